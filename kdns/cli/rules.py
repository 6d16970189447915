"""``kdns rules``: the rules that the proxy would write, for reading and comparing."""

import argparse
import asyncio
import os
import sys
from typing import Final

from kdns.cli import kubeproxy
from kdns.cli.output import FORMS
from kdns.cli.parser import Parser, usage_errors, value
from kdns.config.arguments import parse_word
from kdns.config.kubeproxy.fields import MODES
from kdns.config.source import pick_source

EXAMPLES = """
  kdns rules --source dump.yaml --mode nftables --service shop/web
  kdns rules --source kubeconfig --node worker-1 > worker-1.rules
  kdns rules --source dump.yaml -o json           # frontends and backends, not a mode's text
"""
PROXY_ONLY: Final = frozenset({"write-config-to", "cleanup", "init-only", "dry-run"})
"""Flags of ``kdns proxy`` that mean nothing to a command that only reads."""


def add_arguments(parser: Parser) -> None:
    """Add the flags of the command."""
    parser.add_argument("--mode", default=None, type=value(parse_word, MODES), metavar="M",
                        help="iptables (default), nftables or ipvs")  # fmt: skip
    parser.add_argument("--node", default="", metavar="N", help="the node they are for (default: this one)")
    parser.add_argument("--service", default="", metavar="NS/NAME", help="only those of this Service")
    parser.add_argument("-o", "--output", type=value(parse_word, ("text", *FORMS)), default="text", metavar="FORM",
                        help="text (what would be written, the default), json or yaml")  # fmt: skip
    kubeproxy.add_flags(parser, "[--source S] [--mode M] [--node N]\n         [--service NS/NAME] [-o FORM] [FLAG ...]",
                        PROXY_ONLY)  # fmt: skip


def run(arguments: argparse.Namespace) -> int:
    """Print the rules; the exit status."""
    from kdns.cli.print_rules import print_rules  # noqa: PLC0415 - `kdns --help` does without
    from kdns.ops import logs  # noqa: PLC0415 - likewise

    if arguments.mode:
        arguments.proxy_mode = arguments.mode
    command = kubeproxy.proxy_command(arguments)
    with usage_errors():
        pick_source(command.source or (command.settings.client_connection.kubeconfig and "kubeconfig"), os.environ)
    logs.set_up(stream=sys.stderr)
    return asyncio.run(print_rules(command, node_name=arguments.node, service=arguments.service, form=arguments.output))
