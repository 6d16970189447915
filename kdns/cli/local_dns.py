"""The flags of ``kdns node`` for DNS on the cluster's own DNS address."""

import argparse
from typing import Final

from kdns.base.addresses import parse_address
from kdns.base.errors import ConfigError
from kdns.cli.parser import Parser, value
from kdns.config.arguments import parse_word

SERVICE: Final = "kube-system/kube-dns"
RULES: Final = ("auto", "nftables", "iptables")


def add_arguments(parser: Parser) -> None:
    """Add the flags."""
    parser.add_argument(
        "--local-dns",
        nargs="?",
        const=SERVICE,
        default=None,
        type=value(parse_service),
        metavar="NAMESPACE/SERVICE",
        help=f"answer on this Service's cluster IPs on the node itself (default: {SERVICE}); the kernel goes around "
        "this server when it does not answer",
    )
    parser.add_argument(
        "--local-dns-address",
        action="append",
        default=[],
        type=value(parse_local_address),
        metavar="ADDR",
        help="answer on this address instead of the Service's; repeatable; implies --local-dns",
    )
    parser.add_argument(
        "--local-dns-rules",
        default=RULES[0],
        type=value(parse_word, RULES),
        metavar="KIND",
        help="auto (default: nftables where the kernel takes it), nftables, or iptables",
    )


def parse_service(text: str) -> str:
    """``NAMESPACE/NAME``. Raises ConfigError."""
    namespace, slash, name = text.partition("/")
    if not (namespace and slash and name) or "/" in name:
        raise ConfigError(f"invalid Service {text!r}", hint=f"NAMESPACE/NAME, such as {SERVICE}")
    return text


def parse_local_address(text: str) -> bytes:
    """A packed address. Raises ConfigError."""
    try:
        return parse_address(text)
    except ValueError as error:
        raise ConfigError(f"invalid address {text!r}", hint="an IPv4 or IPv6 address, such as 10.96.0.10") from error


def wanted(arguments: argparse.Namespace) -> bool:
    """Whether the flags ask for it."""
    return bool(arguments.local_dns or arguments.local_dns_address)
