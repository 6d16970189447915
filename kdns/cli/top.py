"""``kdns top``: who asks what, and the last failures, from a server whose Corefile has the plugin ``top``."""

import argparse
import asyncio
from typing import Final

from kdns.cli.output import FORMS
from kdns.cli.parser import Parser, value
from kdns.config.arguments import parse_word

EXAMPLES = """
  kdns top                                    # on the machine, or in the Pod, of the server
  kubectl -n kube-system port-forward pod/kdns-x 9154 & kdns top
  kdns top --node worker-1 --source kubeconfig
  kdns top -o json
"""
DEFAULT: Final = "http://127.0.0.1:9154/top"


def add_arguments(parser: Parser) -> None:
    """Add the flags of the command."""
    parser.add_argument("--url", default="", metavar="URL", help=f"the server's page (default: {DEFAULT})")
    parser.add_argument("--node", default="", metavar="NODE", help="ask port 9154 of this node's InternalIP instead")
    parser.add_argument("--source", default="cluster", metavar="S",
                        help="where the node is: cluster (default) or kubeconfig[:PATH[@CONTEXT]]")  # fmt: skip
    parser.add_argument("--window", type=value(parse_word, ("1m", "10m", "1h")), default="10m", metavar="W",
                        help="1m, 10m (default) or 1h")  # fmt: skip
    parser.add_argument("--once", action="store_true", help="print once; so where output is no terminal")
    parser.add_argument("-o", "--output", type=value(parse_word, ("text", *FORMS)), default="text", metavar="FORM",
                        help="text (default), json or yaml")  # fmt: skip


def run(arguments: argparse.Namespace) -> int:
    """Print it, again and again on a terminal; the exit status."""
    from kdns.cli.show_top import show  # noqa: PLC0415 - `kdns --help` does without

    return asyncio.run(
        show(
            arguments.url or DEFAULT, node=arguments.node, source=arguments.source, window=arguments.window,
            form=arguments.output, once=arguments.once,
        )
    )  # fmt: skip
