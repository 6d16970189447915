"""kube-proxy's flags, for ``kdns proxy``, ``kdns node`` and ``kdns rules``."""

import argparse
import os
import sys
from collections.abc import Container
from pathlib import Path

from kdns.cli.parser import Parser, usage_errors
from kdns.cli.version import show_version
from kdns.config.kubeproxy import flags


def add_flags(parser: Parser, usage: str, without: Container[str] = ()) -> None:
    """Add kube-proxy's flags, but those; ``usage`` stands for them all, since they are too many for one line."""
    parser.flags += flags.add_flags(parser, without)
    parser.usage = f"{parser.prog} {usage}"


def normalized(words: list[str]) -> list[str]:
    """Flags as Go has them in argparse's form, see `kdns.config.kubeproxy.flags.normalized`."""
    return flags.normalized(words)


def proxy_command(arguments: argparse.Namespace) -> flags.ProxyCommand:
    """What the flags ask for. Raises UsageError, or ConfigError for what is wrong in the file of ``--config``.

    ``--version`` prints it and raises SystemExit(0), as ``--help`` does, whatever else is given.
    """
    from kdns.config.load import read_kubeproxy  # noqa: PLC0415 - `kdns proxy --help` does without

    with usage_errors():
        if form := flags.version_form(vars(arguments)):
            show_version("json" if form == "raw" else "text")
            raise SystemExit(0)
        return flags.proxy_command(vars(arguments), os.environ, read_kubeproxy)


def argv_for_program_name() -> list[str]:
    """The words kdns was called with; under the name ``kube-proxy`` they are those of ``kdns proxy``."""
    words = sys.argv[1:]
    return ["proxy", *words] if Path(sys.argv[0]).name == "kube-proxy" else words
