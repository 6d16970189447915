"""``kdns proxy``: program this node's kernel for Services, as kube-proxy does."""

import argparse
import asyncio
import sys

from kdns.cli import kubeproxy
from kdns.cli.parser import Parser

EXAMPLES = """
  kdns proxy --config /var/lib/kube-proxy/config.conf --hostname-override "$NODE_NAME"
  kdns proxy --dry-run --source dump.yaml --proxy-mode nftables
  kdns proxy --cleanup                        # remove the rules of every mode
"""


def add_arguments(parser: Parser) -> None:
    """Add the flags of the command."""
    kubeproxy.add_flags(parser, "[--config FILE] [--source S] [--proxy-mode M] [FLAG ...]")


def run(arguments: argparse.Namespace) -> int:
    """Keep the rules until a signal ends it; the exit status."""
    from kdns.cli.run_proxy import proxy  # noqa: PLC0415 - `kdns --help` does without
    from kdns.ops import logs  # noqa: PLC0415 - likewise

    command = kubeproxy.proxy_command(arguments)
    logs.set_up(command.settings.logging.format, sys.stderr if command.dry_run else sys.stdout)
    return asyncio.run(proxy(command))
