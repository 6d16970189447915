"""``kdns version``."""

import argparse
import platform
import sys

from kdns import __version__
from kdns.cli.output import FORMS, write
from kdns.cli.parser import Parser, value
from kdns.config.arguments import parse_word

EXAMPLES = """
  kdns version
  kdns version -o json
"""


def add_arguments(parser: Parser) -> None:
    """Add the flags of the command."""
    forms = ("text", *FORMS)
    parser.add_argument("-o", "--output", type=value(parse_word, forms), default="text", metavar="FORM",
                        help="text (default), json or yaml")  # fmt: skip


def run(arguments: argparse.Namespace) -> int:
    """Print the version; the exit status."""
    show_version(getattr(arguments, "output", "text"))
    return 0


def show_version(form: str) -> None:
    """Print it as text, json or yaml."""
    system = f"{platform.system().lower()}/{platform.machine()}"
    if form == "text":
        print(f"kdns-{__version__}")
        print(f"{system}, python{platform.python_version()}")
    else:
        write({"version": __version__, "platform": system, "python": platform.python_version()}, form, sys.stdout)
