"""``kdns demo``: an example cluster, served and shown on this machine."""

import argparse
import asyncio

from kdns.base.listen_address import parse_port
from kdns.cli.parser import Parser, value

EXAMPLES = """
  kdns demo
  kdns demo --port 5300 --folder ./example     # keeps the manifests, for you to edit
"""


def add_arguments(parser: Parser) -> None:
    """Add the flags of the command."""
    parser.add_argument("--port", type=value(parse_port), default=1053, metavar="N",
                        help="UDP and TCP port on loopback (default: 1053)")  # fmt: skip
    parser.add_argument("--folder", default="", metavar="PATH",
                        help="put the example here and keep it (default: a temporary folder)")  # fmt: skip


def run(arguments: argparse.Namespace) -> int:
    """Serve until a signal ends it; the exit status."""
    from kdns.demo import demo  # noqa: PLC0415 - `kdns --help` does without

    return asyncio.run(demo(arguments.port, arguments.folder))
