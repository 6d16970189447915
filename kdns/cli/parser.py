"""argparse that raises `UsageError` instead of leaving, and knows its flags for suggestions."""

import argparse
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

from kdns.base.errors import ConfigError
from kdns.cli.help import formatter
from kdns.config.arguments import near


class UsageError(ConfigError):
    """The command line cannot be read, or asks for what does not go together: exit status 2."""


@contextmanager
def usage_errors() -> Iterator[None]:
    """A ConfigError that names no position in a file is one of the command line."""
    try:
        yield
    except ConfigError as error:
        if error.at is not None:
            raise
        raise UsageError(error.problem, hint=error.hint) from error


class Parser(argparse.ArgumentParser):
    """One command's flags."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.flags: list[str] = []
        kwargs.setdefault("allow_abbrev", False)
        kwargs.setdefault("formatter_class", formatter)
        super().__init__(*args, **kwargs)

    def add_argument(self, *args: Any, **kwargs: Any) -> argparse.Action:
        """As argparse has it; long flags are remembered."""
        action = super().add_argument(*args, **kwargs)
        self.flags += action.option_strings
        return action

    def error(self, message: str) -> NoReturn:
        """What argparse found wrong; a line break in it begins the hint."""
        problem, _, hint = message.removeprefix("argument ").partition("\n")
        raise UsageError(problem, hint=hint or f"{self.prog} --help lists what there is")

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        """A word that is none of the choices, with the one that is near."""
        if action.choices is not None and value not in action.choices:
            known = [str(choice) for choice in action.choices]
            name = action.metavar if isinstance(action.metavar, str) else "/".join(action.option_strings)
            raise UsageError(
                f"{name}: invalid choice {value!r}", hint=near(str(value), known) or f"choose from {', '.join(known)}"
            )


def corefile(text: str) -> str:
    """The path of a Corefile; ``-`` is standard input."""
    return "stdin" if text == "-" else text  # CoreDNS's word for it


def value(parse: Callable[..., Any], *known: Any) -> Callable[[str], Any]:
    """A reader of values for argparse: what ValueError says reaches the operator as it is."""

    def read(text: str) -> Any:
        try:
            return parse(text, *known)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from error

    return read


class Once(argparse.Action):
    """A flag whose second value would silently win over the first: giving it twice is an error."""

    def __call__(
        self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: Any, option_string: Any = None
    ) -> None:
        """Keep the value."""
        if getattr(namespace, self.dest, self.default) not in (self.default, values):
            raise UsageError(f"{option_string} is given twice", hint="a folder may hold many files: --source FOLDER")
        setattr(namespace, self.dest, values)
