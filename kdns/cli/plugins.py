"""``kdns plugins``: the directives that a Corefile may name."""

import argparse
import sys

from kdns.cli.output import FORMS, write
from kdns.cli.parser import Parser, value
from kdns.config.arguments import parse_word

EXAMPLES = """
  kdns plugins
  kdns plugins --plugins ./my-plugins -o json
"""


def add_arguments(parser: Parser) -> None:
    """Add the flags of the command."""
    forms = ("text", *FORMS)
    parser.add_argument("--plugins", default="", metavar="DIR", help="a folder with more plugins, in Python")
    parser.add_argument("-o", "--output", type=value(parse_word, forms), default="text", metavar="FORM",
                        help="text (default), json or yaml")  # fmt: skip


def run(arguments: argparse.Namespace) -> int:
    """Print the names, in the order in which plugins see a question; the exit status."""
    from kdns.dns.server.registry import Registry  # noqa: PLC0415 - `kdns --help` does without

    names = list(Registry(arguments.plugins).names())
    if arguments.output == "text":
        print("\n".join(names))
    else:
        write(names, arguments.output, sys.stdout)
    return 0
