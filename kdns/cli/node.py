"""``kdns node``: DNS and the Service proxy in one process, for one node."""

import argparse
import os

from kdns.cli import kubeproxy, local_dns
from kdns.cli.parser import Parser, UsageError, usage_errors
from kdns.config.settings import ServeSettings
from kdns.config.source import IN_CLUSTER, pick_source

EXAMPLES = """
  kdns node --conf /etc/coredns/Corefile --config /var/lib/kube-proxy/config.conf
  kdns node --conf /etc/coredns/Corefile --local-dns   # on the cluster's DNS address
"""


def add_arguments(parser: Parser) -> None:
    """Add the flags of the command."""
    parser.add_argument("--conf", default="", metavar="FILE", help="the Corefile that DNS is served by; required")
    parser.add_argument("--plugins", default="", metavar="DIR", help="a folder with more plugins, in Python")
    local_dns.add_arguments(parser)
    kubeproxy.add_flags(parser, "--conf COREFILE [--config FILE] [--source S] [FLAG ...]")


def run(arguments: argparse.Namespace) -> int:
    """Serve and keep the rules until a signal ends it; the exit status."""
    from kdns.cli.run_local_dns import options  # noqa: PLC0415 - `kdns --help` does without
    from kdns.cli.run_node import node  # noqa: PLC0415 - likewise
    from kdns.ops import direct_loop, logs  # noqa: PLC0415 - likewise

    command = kubeproxy.proxy_command(arguments)
    if not arguments.conf:
        raise UsageError("kdns node: no Corefile", hint="give --conf FILE, and in it: bind {$HOST_IP}")
    with usage_errors():
        source = pick_source(command.source, os.environ) if command.source or os.environ.get(IN_CLUSTER) else ""
    serving = ServeSettings(
        source=source, corefile=arguments.conf, plugins=arguments.plugins, snapshot=command.snapshot
    )
    logs.set_up(command.settings.logging.format)
    return direct_loop.run(node(serving, command, options(arguments)))
