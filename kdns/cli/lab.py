"""``kdns lab``: a cluster of network namespaces on this machine."""

import argparse
from typing import TYPE_CHECKING

from kdns.cli.parser import Parser, UsageError
from kdns.lab.flags import ACTIONS, add_flags

if TYPE_CHECKING:
    from collections.abc import Callable

    from kdns.dns.server.app import App
    from kdns.lab.cluster import Cluster
    from kdns.lab.kind import Kind
    from kdns.ops.port import Answer

EXAMPLES = """
  kdns lab run                               # a lab, a walk through the life of a Service, and its end
  kdns lab run --status :9180                # the same with its pages for a browser; it stays until Ctrl-C
  kdns lab up --folder ./manifests           # your own manifests in a lab that stays
  kdns lab exec busybox -- busybox nslookup kubernetes.default
  kdns lab down
"""


def _site(cluster: "Cluster", kind: "Kind") -> "Callable[[App], Answer]":
    """What answers for the status pages of a lab."""
    from kdns.cli.status import lab_site  # noqa: PLC0415 - `kdns lab exec` does without

    return lab_site(cluster, kind)


def add_arguments(parser: Parser) -> None:
    """Add each action with its own flags."""
    add_flags(parser)


def run(arguments: argparse.Namespace) -> int:
    """Do what the action says; the exit status."""
    from kdns.lab.commands import run as run_action  # noqa: PLC0415 - `kdns --help` does without

    if not arguments.action:
        raise UsageError("kdns lab: no action given", hint=f"choose from {', '.join(ACTIONS)}")
    return run_action(arguments, _site)
