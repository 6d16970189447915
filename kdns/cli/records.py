"""``kdns records``: every DNS record of a source, and the object it came from."""

import argparse
import asyncio
import os
import sys

from kdns.cli import names
from kdns.cli.output import FORMS
from kdns.cli.parser import Parser, usage_errors, value
from kdns.config.arguments import parse_word
from kdns.config.source import pick_source

EXAMPLES = """
  kdns records --source ./manifests
  kdns records --source dump.yaml web.shop          # a Service by its short name
  kdns records --source dump.yaml 10.96.0.10        # what has this address
  kubectl get services,endpointslices,namespaces -A -o yaml | kdns records --source - -o json
"""


def add_arguments(parser: Parser) -> None:
    """Add the arguments of the command."""
    parser.add_argument("-o", "--output", type=value(parse_word, ("zone", *FORMS)), default="zone", metavar="FORM",
                        help="zone (a master file, the default), json or yaml")  # fmt: skip
    parser.add_argument("name", nargs="?", default="", metavar="NAME",
                        help="only this name and those below it; a short name, or an address, too")  # fmt: skip
    names.add_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    """Print the records; the exit status."""
    from kdns.cli.print_records import print_records  # noqa: PLC0415 - `kdns --help` does without
    from kdns.ops import logs  # noqa: PLC0415 - likewise

    options = names.kubernetes_options(arguments)
    with usage_errors():
        source = pick_source(arguments.source, os.environ)
    logs.set_up(stream=sys.stderr)
    return asyncio.run(print_records(source, options, form=arguments.output, name_text=arguments.name))
