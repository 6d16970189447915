"""The words of the command line become a command, the command runs, and its exit status is ours.

Bare flags, without a command, mean ``serve``, and may be CoreDNS's; under the name ``kube-proxy`` the words are those
of ``proxy``. What an operator got wrong is printed on standard error, with a hint; there is no traceback.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Final, Protocol, cast

from kdns.base.errors import ConfigError
from kdns.cli import early
from kdns.cli.commands import COMMANDS, GROUPS, SERVING
from kdns.cli.help import error_line
from kdns.cli.parser import Parser, UsageError
from kdns.config.arguments import near
from kdns.config.flags import DEFAULT_COREFILE, GO_FLAGS, as_commands

KUBE_PROXY: Final = frozenset({"proxy", "node", "rules", "preflight"})
"""Commands with kube-proxy's flags."""
TOP_FLAGS: Final = ("--help", "--version")
EXAMPLES: Final = """examples:
  kdns demo                                   see it work on this machine
  kdns records --source ./manifests           the names that your manifests give
  kdns serve --source kubeconfig --port 1053  answer for the cluster of your kubeconfig
  kdns -conf Corefile -dns.port 53            as CoreDNS is started: bare flags mean serve

kdns COMMAND --help says more about each command.
"""


class Command(Protocol):
    """The module of a command."""

    EXAMPLES: str

    def add_arguments(self, parser: Parser) -> None:
        """Add what may follow the command."""

    def run(self, arguments: argparse.Namespace) -> int:
        """Do it; the exit status."""


def command_module(name: str) -> Command:
    """The module of a command; importing it is cheap, running it imports the rest."""
    return cast(Command, import_module(f"kdns.cli.{name}"))


def command_parser(name: str) -> Parser:
    """One command's own part of the command line."""
    parser = Parser(prog=f"kdns {name}", description=_sentence(name), epilog=_examples(name))
    command_module(name).add_arguments(parser)
    return parser


def parser() -> tuple[Parser, dict[str, Parser]]:
    """The whole command line, and each command's own part of it: for completion, and for tests of the docs."""
    top = _top()
    commands = top.add_subparsers(dest="command", metavar="COMMAND", prog="kdns", parser_class=Parser)
    parts = {}
    for name, text in COMMANDS.items():
        parts[name] = commands.add_parser(name, help=text, description=_sentence(name), epilog=_examples(name))
        command_module(name).add_arguments(parts[name])
    return top, parts


def _top() -> Parser:
    listed = [
        f"{group}:\n" + "".join(f"  {name:<12}{text}\n" for name, text in commands.items())
        for group, commands in GROUPS.items()
    ]
    top = Parser(
        prog="kdns",
        usage="kdns COMMAND [FLAG ...]\n       kdns [-conf FILE] [-dns.port N] [FLAG ...]",
        description="DNS and Services of a Kubernetes cluster: from the name to the Pod.\n\n" + "\n".join(listed),
        epilog=EXAMPLES,
    )
    top.add_argument("-V", "--version", action="store_true", help="print the version and exit")
    return top


def _sentence(name: str) -> str:
    return COMMANDS[name][0].upper() + COMMANDS[name][1:] + "."


def _examples(name: str) -> str:
    return f"examples:\n{command_module(name).EXAMPLES.strip(chr(10))}\n"


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """The command line as a namespace; ``command`` is always set. Raises UsageError for what cannot be read.

    Asking for help prints it and raises SystemExit(0), as argparse does.
    """
    words, bare = as_commands(["version"] if argv[:1] == ["-V"] else argv, tuple(COMMANDS))
    if words[:1] == ["help"]:
        words = [*words[1:2], "--help"]
    first = words[0] if words else ""
    if first == "--version":
        return argparse.Namespace(command="version", output="text")
    if not first or first in {"-h", "--help"}:
        if first:
            _top().parse_args([first])
        raise UsageError(_top().format_help().rstrip())
    if first not in COMMANDS:
        hint = near(first, COMMANDS) or f"there are {', '.join(COMMANDS)}"
        raise UsageError(f"unknown command {first!r}", hint=hint)
    return _parse_command(first, words[1:], bare)


def _parse_command(name: str, words: list[str], bare: bool) -> argparse.Namespace:
    if name in KUBE_PROXY:
        from kdns.cli.kubeproxy import normalized  # noqa: PLC0415 - other commands do without

        words = normalized(words)
    own = command_parser(name)
    arguments, unknown = own.parse_known_args(words)
    if unknown:
        word = unknown[0].partition("=")[0]
        flags = [*own.flags, *TOP_FLAGS * bare, *GO_FLAGS * bare]
        called = "kdns" if bare else own.prog
        problem = f"unknown flag {word}" if word.startswith("-") else f"unexpected argument {word!r}"
        hint = near(word, flags) if word.startswith("-") else ""
        raise UsageError(f"{called}: {problem}", hint=hint or f"{called} --help lists what there is")
    arguments.command = name
    if name == "serve":
        from kdns.cli.serve import check_usage  # noqa: PLC0415 - it is imported already

        if bare and not arguments.conf:
            arguments.conf = DEFAULT_COREFILE
        check_usage(arguments, words)
    return arguments


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; the exit status."""
    try:
        arguments = parse(_argv() if argv is None else argv)
        if arguments.command not in SERVING:
            early.restore()
        status = command_module(arguments.command).run(arguments)
        sys.stdout.flush()  # a reader that has gone is noticed here and not after main
        return status
    except UsageError as error:
        print(error if str(error).startswith("usage:") else error_line(str(error)), file=sys.stderr)
        return 2
    except ConfigError as error:
        print(
            error_line(str(error)) if error.at is None else error, file=sys.stderr
        )  # FILE:LINE:COLUMN: as compilers do
        return 1
    except BrokenPipeError:  # kdns records | head
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        return 130


def _argv() -> list[str]:
    """The words we were called with."""
    if os.path.basename(sys.argv[0]) != "kube-proxy":
        return sys.argv[1:]
    from kdns.cli.kubeproxy import argv_for_program_name  # noqa: PLC0415 - only under that name

    return argv_for_program_name()
