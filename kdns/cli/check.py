"""``kdns check``: the mistakes of a Corefile, all at once, or what it would serve."""

import argparse
import sys

from kdns.base.listen_address import parse_port
from kdns.cli.parser import Parser, UsageError, corefile, value
from kdns.config.flags import DEFAULT_COREFILE
from kdns.config.settings import ServeSettings

EXAMPLES = """
  kdns check Corefile
  kubectl -n kube-system get configmap coredns -o jsonpath='{.data.Corefile}' | kdns check -
"""


def add_arguments(parser: Parser) -> None:
    """Add the arguments of the command."""
    parser.add_argument("file", nargs="?", type=corefile, default="", metavar="FILE",
                        help=f"a Corefile; - for standard input (default: {DEFAULT_COREFILE})")  # fmt: skip
    parser.add_argument("--conf", type=corefile, default="", metavar="FILE", help="the same")
    parser.add_argument("--port", type=value(parse_port), default=ServeSettings().port, metavar="N",
                        help="port of zones that name none (default: 53)")  # fmt: skip
    parser.add_argument("--plugins", default="", metavar="DIR", help="a folder with more plugins, in Python")


def run(arguments: argparse.Namespace) -> int:
    """Print what the Corefile would serve and a verdict; the exit status."""
    from kdns.dns.server.app import check  # noqa: PLC0415 - `kdns --help` does without
    from kdns.ops import logs  # noqa: PLC0415 - likewise

    if arguments.file and arguments.conf and arguments.file != arguments.conf:
        raise UsageError("kdns check: two Corefiles", hint="give FILE or --conf FILE")
    path = arguments.file or arguments.conf or DEFAULT_COREFILE
    logs.set_up(stream=sys.stderr)
    checked = check(ServeSettings(corefile=path, port=arguments.port, plugins=arguments.plugins))
    for line in checked.lines:
        print(line)
    blocks = f"{checked.blocks} server block{'s' * (checked.blocks != 1)}"
    warnings = f", {checked.warnings} warning{'s' * (checked.warnings != 1)}" if checked.warnings else ""
    print(f"{path}: no mistakes, {blocks}{warnings}")
    return 0
