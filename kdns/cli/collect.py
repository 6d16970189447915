"""``kdns collect``: the evidence of a cluster and of a node in one file, for ``kdns explain``."""

import argparse
import os
import sys

from kdns.cli.parser import Once, Parser, usage_errors

EXAMPLES = """
  kdns collect
  kdns collect --node -o node-1.tar.gz
  kdns collect --source kubeconfig:~/.kube/config@prod -o prod.tar.gz
  kdns collect --source none --node -o - > node-1.tar.gz
"""


def add_arguments(parser: Parser) -> None:
    """Add the arguments of the command."""
    add = parser.add_argument
    add("--source", default="", metavar="S", action=Once,
        help="cluster, kubeconfig[:PATH[@CONTEXT]], or none (default: cluster in a Pod, else kubeconfig)")  # fmt: skip
    add("--node", action="store_true", help="also what this node has: rules, flows, sysctls, addresses; needs root")
    add("--node-name", default="", metavar="NAME", help="this node's name (default: the Node with its address)")
    add("--host-root", default="/", metavar="DIR", help="where the node's files are mounted (default: /)")
    add("-o", "--output", default="", metavar="FILE", help="the tar.gz; - for standard output")


def run(arguments: argparse.Namespace) -> int:
    """Write the file; 0, or 2 if nothing can be read."""
    from kdns.config.source import default_source  # noqa: PLC0415 - `kdns --help` does without
    from kdns.explain.collect import Asked  # noqa: PLC0415 - likewise
    from kdns.explain.collect import run as run_collect  # noqa: PLC0415 - likewise
    from kdns.ops import logs  # noqa: PLC0415 - likewise

    logs.set_up(stream=sys.stderr)
    with usage_errors():
        source = "" if arguments.source == "none" else arguments.source or default_source(os.environ)
        asked = Asked(source, arguments.node, arguments.node_name, arguments.output, arguments.host_root)
        if message := run_collect(asked):
            print(message)
    return 0
