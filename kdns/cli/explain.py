"""``kdns explain``: why a name or a port does not answer."""

import argparse
import os
import sys

from kdns.cli.help import colour_wanted
from kdns.cli.output import write
from kdns.cli.parser import Once, Parser, usage_errors, value
from kdns.config.arguments import parse_word

EXAMPLES = """
  kdns explain cart.shop:8080 --source dump.yaml
  kdns explain cart.shop:8080 --from shop/client --evidence bundle.tar.gz
  kdns explain 172.18.0.2:30080 --from outside=192.0.2.7 --evidence bundle/
  kdns explain svc/cart -n shop -o json
"""


def add_arguments(parser: Parser) -> None:
    """Add the arguments of the command."""
    add = parser.add_argument
    add("target", metavar="TARGET", help="a name, an address, either with a port, a URL, or svc/NAME")
    add("-n", "--namespace", default="", metavar="NS", help="the Namespace of short names (default: the client's)")
    add("--from", dest="client", default="", metavar="WHO",
        help="NS/POD, or outside, or outside=ADDRESS (default: any Pod in the target's Namespace)")  # fmt: skip
    add("--from-node", default="", metavar="NODE", help="a process of this node asks")
    add("--type", default="", dest="rtype", metavar="TYPE", help="type of the DNS question (default: A and AAAA)")
    add("--port", default="", metavar="P", help="a number, or the name of a port of the Service")
    add("--protocol", default="", metavar="P", help="tcp (default), udp, sctp, or icmp for a ping")
    add("--source", default="", metavar="S", action=Once,
        help="cluster, kubeconfig[:PATH[@CONTEXT]], or manifests; - for stdin (default without --evidence: cluster "
             "in a Pod, else kubeconfig)")  # fmt: skip
    add("--corefile", default="", metavar="FILE", help="the DNS server's (default: from the objects)")
    add("--proxy-config", default="", metavar="FILE", help="the Service proxy's (default: from the objects)")
    add("--evidence", action="append", default=[], metavar="PATH",
        help="a folder or tar.gz that kdns collect wrote; repeatable")  # fmt: skip
    add("--probe", action="store_true", help="ask and connect for real, from this machine")
    add("-v", "--verbose", action="store_true", help="show every piece of evidence")
    add("-o", "--output", type=value(parse_word, ("text", "json", "yaml")), default="text", metavar="FORM",
        help="text (default), json or yaml")  # fmt: skip


def run(arguments: argparse.Namespace) -> int:
    """Explain; 0 without a fault, 1 with one, 2 if question or evidence cannot be read."""
    from kdns.config.source import default_source  # noqa: PLC0415 - `kdns --help` does without
    from kdns.explain.question import parse_question  # noqa: PLC0415 - likewise
    from kdns.explain.run import Request  # noqa: PLC0415 - likewise
    from kdns.explain.run import run as run_explain  # noqa: PLC0415 - likewise
    from kdns.ops import logs, process  # noqa: PLC0415 - likewise

    process.rest_collector()
    who, outside = arguments.client, None
    if who == "outside" or who.startswith("outside="):
        who, outside = "", who.partition("=")[2]
    logs.set_up(stream=sys.stderr)
    with usage_errors():
        question = parse_question(
            arguments.target, namespace=arguments.namespace, from_pod=who, from_node=arguments.from_node,
            outside=outside, port=arguments.port, protocol=arguments.protocol, rtype=arguments.rtype,
        )  # fmt: skip
        source = arguments.source or ("" if arguments.evidence else default_source(os.environ))
        request = Request(
            question, source, arguments.corefile, arguments.proxy_config, arguments.evidence,
            arguments.output, arguments.verbose, arguments.probe,
        )  # fmt: skip
        return run_explain(request, write, colour=colour_wanted(), out=sys.stdout)
