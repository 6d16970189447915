"""``kdns demo``: an example cluster, served and shown on this machine."""

import argparse
import asyncio

from kdns.base.listen_address import parse_port
from kdns.cli.parser import Parser, value
from kdns.config.arguments import parse_local_address

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
    parser.add_argument("--status", type=value(parse_local_address), default="127.0.0.1:0", metavar="ADDR",
                        help="the pages for a browser (default: a free port on loopback)")  # fmt: skip


def run(arguments: argparse.Namespace) -> int:
    """Serve until a signal ends it; the exit status."""
    from kdns.cli.status import dns_site, explained  # noqa: PLC0415 - `kdns --help` does without
    from kdns.demo import demo  # noqa: PLC0415 - likewise

    return asyncio.run(
        demo(
            arguments.port,
            arguments.folder,
            status_at=arguments.status,
            site=lambda settings: dns_site("kdns demo", explained(settings, apart=False), small=True),
        )
    )
