"""``kdns preflight``: would kdns work here, what runs here now, and what would change?"""

import argparse
import asyncio
import os
import sys

from kdns.cli import kubeproxy
from kdns.cli.parser import Parser, corefile, usage_errors
from kdns.config.source import IN_CLUSTER, pick_source

EXAMPLES = """
  kdns preflight dns --conf Corefile              # the Corefile, and the ports that it takes
  kdns preflight proxy --proxy-mode nftables      # on a node: kernel, tools, sysctls, rules that are there
  kdns preflight --conf Corefile --config config.conf --source kubeconfig
"""
WHAT = ("node", "dns", "proxy")
"""Both in one process, or one of them."""


def add_arguments(parser: Parser) -> None:
    """Add what may follow the command."""
    parser.add_argument("what", nargs="?", choices=WHAT, default="node", metavar="WHAT",
                        help="dns, proxy, or node for both (default: node)")  # fmt: skip
    parser.add_argument("--conf", type=corefile, default="", metavar="FILE",
                        help="the Corefile of DNS (default: that of ConfigMap coredns, with --source)")  # fmt: skip
    parser.add_argument("--plugins", default="", metavar="DIR", help="a folder with more plugins, in Python")
    kubeproxy.add_flags(
        parser,
        "[dns | proxy | node] [--conf COREFILE] [--source S]\n         [--config FILE] [FLAG ...]",
        {"write-config-to", "cleanup", "init-only", "dry-run"},
    )


def run(arguments: argparse.Namespace) -> int:
    """Print a line for each look; 1 if something would not work."""
    from kdns.cli.run_preflight import preflight  # noqa: PLC0415 - `kdns --help` does without
    from kdns.ops import logs  # noqa: PLC0415 - likewise

    command = kubeproxy.proxy_command(arguments)
    with usage_errors():
        kubeconfig = command.settings.client_connection.kubeconfig
        asked = command.source or (f"kubeconfig:{kubeconfig}" if kubeconfig else "")
        source = pick_source(asked, os.environ) if asked or os.environ.get(IN_CLUSTER) else ""
    logs.set_up(stream=sys.stderr)
    return asyncio.run(preflight(arguments.what, command, source, arguments.conf, arguments.plugins))
