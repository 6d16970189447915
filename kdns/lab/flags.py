"""The flags of ``kdns lab``. Light: every command of kdns imports it."""

import argparse
from typing import Final

from kdns.config.arguments import parse_local_address

MODES: Final = ("nftables", "iptables", "iptables-legacy", "ipvs", "none")
"""Of the proxies. ``iptables`` keeps its rules in nf_tables; ``none`` runs none: no Service has a data path."""
LAYOUTS: Final = ("pods", "node", "node-local")
"""DNS in two Pods and a proxy on each node; both in one process on each node; or that and the Pods to fail over to."""
LAYOUT: Final = (
    "pods: DNS in two Pods, a proxy on each node; node: `kdns node`, which is both, on each node; node-local: that at "
    "the cluster's own DNS address, and two Pods to fail over to (pods)"
)


ACTIONS: Final = {
    "up": "make a lab that stays until `down`, and wait until it is ready",
    "run": "make a lab, walk through the life of a Service, checking every step, and end the lab",
    "status": "list its parts and Services",
    "exec": "run a command in one of its parts",
    "down": "end it, and remove what is left of labs that were killed",
}
"""What there is to do, with a line about each."""
KEEP: Final = "keep"
"""What `up` starts: make a lab and stay in the foreground. It is not listed."""
STATUS: Final = "127.0.0.1:0"
"""Where `up` serves the pages: a free port of this machine's loopback."""
PAGES: Final = {
    "up": "the pages for a browser (default: a free port on loopback; an empty ADDR: none)",
    "run": "pages for a browser, and the lab stays after the walk, until Ctrl-C (default: off)",
    KEEP: "as of up",
}


def add_flags(part: argparse.ArgumentParser) -> None:
    """Add each action with its own flags."""
    actions = part.add_subparsers(dest="action", metavar="ACTION", parser_class=type(part))
    for action, text in (*ACTIONS.items(), (KEEP, "")):
        parser = actions.add_parser(action, help=text) if text else actions.add_parser(action)
        parser.add_argument("--name", default="", metavar="NAME", help="which lab (kdns)")
        if action in ("up", "keep", "run"):
            parser.add_argument(
                "--mode",
                choices=MODES[:-1] if action == "run" else MODES,
                default=MODES[0],
                help="of the proxies (nftables)",
            )
            parser.add_argument("--layout", choices=LAYOUTS, default=LAYOUTS[0], help=LAYOUT)
            parser.add_argument("--folder", default="", metavar="PATH", help="manifests instead of those of kdns")
        if action in ("up", "keep", "run"):
            default = "" if action == "run" else STATUS
            parser.add_argument("--status", type=_status_address, default=default, metavar="ADDR", help=PAGES[action])
        if action == "run":
            parser.add_argument("steps", nargs="*", metavar="STEP", help="these steps alone; without any, all of them")
        if action == "status":
            parser.add_argument(
                "-o", "--output", choices=("text", "json"), default="text", help="text (default) or json"
            )
        if action == "exec":
            part_help = "a node, a Pod (or how it begins), outside, or deploy/NAME"
            parser.add_argument("part", metavar="PART", help=part_help)
            parser.add_argument("words", nargs="*", metavar="-- COMMAND", help="what to run there")


def _status_address(text: str) -> str:
    try:
        return parse_local_address(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
