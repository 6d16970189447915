"""The commands about the Service data path on the command line: ``kdns proxy``, ``node`` and ``rules``.

Whoever calls kdns by the name ``kube-proxy`` means ``kdns proxy``.
"""

import argparse
import asyncio
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from kdns.base.errors import ConfigError
from kdns.config.arguments import parse_word
from kdns.config.kubeproxy import flags as kubeproxy
from kdns.config.kubeproxy.fields import MODES
from kdns.config.load import read_kubeproxy
from kdns.config.settings import ServeSettings
from kdns.config.source import IN_CLUSTER, pick_source

USAGES: Final = {
    "proxy": "[--config FILE] [--source S] [--proxy-mode M] [FLAG ...]",
    "node": "--conf COREFILE [--config FILE] [--source S] [FLAG ...]",
    "rules": "[--source S] [--mode M] [--node N] [--service NS/NAME] [FLAG ...]",
}
"""What --help begins with: kube-proxy's flags are too many to stand there."""
NOT_OF_RULES: Final = frozenset({"write-config-to", "cleanup", "init-only", "dry-run"})
"""Flags of ``kdns proxy`` that ``kdns rules``, which only reads, has no use for."""


def add_flags(parts: Mapping[str, argparse.ArgumentParser]) -> dict[str, list[str]]:
    """Give each of the commands its flags, its own first; those of kube-proxy that each has."""
    parts["node"].add_argument("--conf", default="", metavar="FILE", help="the Corefile that DNS is served by")
    parts["node"].add_argument("--plugins", default="", metavar="DIR", help="a folder with more plugins, in Python")
    rules = parts["rules"]
    rules.add_argument("--mode", default=None, type=_mode, metavar="M", help="iptables (default), nftables or ipvs")
    rules.add_argument("--node", default="", metavar="N", help="the node they are for (this one)")
    rules.add_argument("--service", default="", metavar="NS/NAME", help="only those of this Service")
    for name, usage in USAGES.items():
        parts[name].usage = f"kdns {name} {usage}"
    return {name: kubeproxy.add_flags(parts[name], NOT_OF_RULES if name == "rules" else ()) for name in COMMANDS}


def _mode(text: str) -> str:
    try:
        return parse_word(text, MODES)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def argv_for_program_name() -> list[str]:
    """The words we were called with; who calls us ``kube-proxy`` means ``proxy``."""
    words = sys.argv[1:]
    if Path(sys.argv[0]).name != "kube-proxy":
        return words
    return ["version"] if words[:1] == ["--version"] else ["proxy", *words]


def _proxy(arguments: argparse.Namespace) -> int:
    from kdns.cli.proxy import proxy  # noqa: PLC0415 - see above
    from kdns.ops import logs  # noqa: PLC0415 - see above

    command = proxy_command(arguments)
    logs.set_up(command.settings.logging.format, sys.stderr if command.dry_run else sys.stdout)
    return asyncio.run(proxy(command))


def _node(arguments: argparse.Namespace) -> int:
    from kdns.cli.node import node  # noqa: PLC0415 - see above
    from kdns.ops import logs  # noqa: PLC0415 - see above

    command = proxy_command(arguments)
    if not arguments.conf:
        raise ConfigError("kdns node: no Corefile", hint="say --conf FILE, and in it: bind {$HOST_IP}")
    source = pick_source(command.source, os.environ) if command.source or os.environ.get(IN_CLUSTER) else ""
    serving = ServeSettings(source=source, corefile=arguments.conf, plugins=arguments.plugins)
    logs.set_up(command.settings.logging.format)
    return asyncio.run(node(serving, command))


def _rules(arguments: argparse.Namespace) -> int:
    from kdns.cli.proxy import print_rules  # noqa: PLC0415 - see above
    from kdns.ops import logs  # noqa: PLC0415 - see above

    if arguments.mode:
        arguments.proxy_mode = arguments.mode
    command = proxy_command(arguments)
    pick_source(command.source or (command.settings.client_connection.kubeconfig and "kubeconfig"), os.environ)
    logs.set_up(stream=sys.stderr)
    return asyncio.run(print_rules(command, node_name=arguments.node, service=arguments.service))


def proxy_command(arguments: argparse.Namespace) -> kubeproxy.ProxyCommand:
    """What the flags of ``proxy``, ``node`` and ``rules`` ask for. Raises ConfigError."""
    return kubeproxy.proxy_command(vars(arguments), os.environ, read_kubeproxy)


COMMANDS: Final[Mapping[str, Callable[[argparse.Namespace], int]]] = {"proxy": _proxy, "node": _node, "rules": _rules}
