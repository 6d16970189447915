"""``kdns rules``: the rules that the proxy would write, for reading; with --diff, beside those of a kernel."""

import argparse
import asyncio
import http.client
import os
import sys
from typing import Final

from kdns.cli import kubeproxy
from kdns.cli.output import FORMS
from kdns.cli.parser import Parser, UsageError, usage_errors, value
from kdns.config.arguments import parse_word
from kdns.config.kubeproxy.fields import MODES
from kdns.config.source import pick_source

EXAMPLES = """
  kdns rules --source dump.yaml --mode nftables --service shop/web
  kdns rules --source kubeconfig --node worker-1 > worker-1.rules
  kdns rules --source dump.yaml -o json           # frontends and backends, not a mode's text
  kdns rules --diff --source kubeconfig           # on a node: what its kernel has beside what is asked for
  kdns rules --diff --evidence bundle.tar.gz --service shop/web
"""
PROXY_ONLY: Final = frozenset({"write-config-to", "cleanup", "init-only", "dry-run"})
"""Flags of ``kdns proxy`` that mean nothing to a command that only reads."""


def add_arguments(parser: Parser) -> None:
    """Add the flags of the command."""
    parser.add_argument("--mode", default=None, type=value(parse_word, MODES), metavar="M",
                        help="iptables (default; with --diff: the one that runs here), nftables or ipvs")  # fmt: skip
    parser.add_argument("--node", default="", metavar="N", help="the node they are for (default: this one)")
    parser.add_argument("--service", default="", metavar="NS/NAME", help="only those of this Service")
    parser.add_argument("-o", "--output", type=value(parse_word, ("text", *FORMS)), default="text", metavar="FORM",
                        help="text (what would be written, the default), json or yaml")  # fmt: skip
    parser.add_argument(
        "--diff",
        action="store_true",
        help="compare with what the kernel has: of this node, or of each node of --evidence",
    )
    parser.add_argument(
        "--evidence",
        action="append",
        default=[],
        metavar="PATH",
        help="with --diff: a folder or tar.gz of kdns collect; repeatable",
    )
    usage = (
        "[--source S] [--mode M] [--node N]\n"
        "         [--service NS/NAME] [-o FORM] [--diff [--evidence PATH]] [FLAG ...]"
    )
    kubeproxy.add_flags(parser, usage, PROXY_ONLY)


def run(arguments: argparse.Namespace) -> int:
    """Print the rules; the exit status."""
    from kdns.cli.print_rules import print_rules  # noqa: PLC0415 - `kdns --help` does without
    from kdns.ops import logs  # noqa: PLC0415 - likewise

    if arguments.mode:
        arguments.proxy_mode = arguments.mode
    unsaid = arguments.diff and not arguments.evidence and not {"config", "proxy_mode"} & vars(arguments).keys()
    if unsaid and (mode := running_mode()):
        arguments.proxy_mode = mode
    command = kubeproxy.proxy_command(arguments)
    if arguments.evidence:
        return _diff(arguments, command.source)
    with usage_errors():
        pick_source(command.source or (command.settings.client_connection.kubeconfig and "kubeconfig"), os.environ)
    logs.set_up(stream=sys.stderr)
    if arguments.diff:
        from kdns.cli.print_rules import print_diff  # noqa: PLC0415 - likewise

        return asyncio.run(print_diff(command, node_name=arguments.node, service=arguments.service))
    return asyncio.run(print_rules(command, node_name=arguments.node, service=arguments.service, form=arguments.output))


def running_mode(port: int = 10249) -> str | None:
    """The mode of the Service proxy that runs on this node, as its page /proxyMode says; None: no such page."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=1.0)
    try:
        connection.request("GET", "/proxyMode")
        text = connection.getresponse().read(64).decode("ascii").strip()
    except (OSError, http.client.HTTPException, UnicodeDecodeError):
        return None
    finally:
        connection.close()
    return text if text in MODES else None


def _diff(arguments: argparse.Namespace, source: str) -> int:
    """Compare the nodes of a bundle; 1 if something differs."""
    from kdns.explain.run_diff import diff_of_evidence  # noqa: PLC0415 - `kdns rules --help` does without
    from kdns.ops import logs, process  # noqa: PLC0415 - likewise

    with usage_errors():
        if not arguments.diff:
            raise UsageError("--evidence is for --diff", hint="kdns rules --diff --evidence PATH")
    process.rest_collector()
    logs.set_up(stream=sys.stderr)
    return diff_of_evidence(
        arguments.evidence, source, getattr(arguments, "config", "") or "", node=arguments.node,
        service=arguments.service, out=sys.stdout,
    )  # fmt: skip
