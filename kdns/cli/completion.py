"""``kdns completion SHELL``: a completion script for bash, zsh or fish (shtab)."""

import argparse
import sys

from kdns.cli.parser import Parser

EXAMPLES = """
  kdns completion bash > /etc/bash_completion.d/kdns
  kdns completion zsh > "${fpath[1]}/_kdns"
  kdns completion fish > ~/.config/fish/completions/kdns.fish
"""
SHELLS = ("bash", "zsh", "fish")


def add_arguments(parser: Parser) -> None:
    """Add the arguments of the command."""
    parser.add_argument("shell", choices=SHELLS, metavar="SHELL", help="bash, zsh or fish")


def run(arguments: argparse.Namespace) -> int:
    """Print the script; the exit status."""
    import shtab  # noqa: PLC0415 - only this command needs it

    from kdns.cli.main import parser  # noqa: PLC0415 - all commands, which no other command imports

    sys.stdout.write(shtab.complete(parser()[0], arguments.shell) + "\n")
    return 0
