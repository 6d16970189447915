"""``kdns lab``: a cluster of network namespaces on this machine."""

import argparse

from kdns.cli.parser import Parser, UsageError
from kdns.lab.flags import ACTIONS, add_flags

EXAMPLES = """
  kdns lab run                               # a lab, a walk through the life of a Service, and its end
  kdns lab up --folder ./manifests           # your own manifests in a lab that stays
  kdns lab exec busybox -- busybox nslookup kubernetes.default
  kdns lab down
"""


def add_arguments(parser: Parser) -> None:
    """Add each action with its own flags."""
    add_flags(parser)


def run(arguments: argparse.Namespace) -> int:
    """Do what the action says; the exit status."""
    from kdns.lab.commands import run as run_action  # noqa: PLC0415 - `kdns --help` does without

    if not arguments.action:
        raise UsageError("kdns lab: no action given", hint=f"choose from {', '.join(ACTIONS)}")
    return run_action(arguments)
