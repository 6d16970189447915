"""The options that shape names, and the zones they live in.

Kubernetes DNS-Based Service Discovery, schema version 1.1.0; zones as CIDR notation as in CoreDNS.
"""

import ipaddress
from collections.abc import Iterator
from typing import Final, Literal

from msgspec import Struct

from kdns.wire.name import parse_name, under

SCHEMA_VERSION: Final = "1.1.0"
SCHEMA_TTL: Final = 28800
"""Seconds, of dns-version, whatever the other records have."""

IN_ADDR: Final = parse_name("in-addr.arpa.")
IP6: Final = parse_name("ip6.arpa.")


class Schema(Struct, frozen=True, kw_only=True):
    """What decides how objects become names; made once from the options, see `build_schema`."""

    zones: tuple[bytes, ...]
    """Apexes of the forward zones; the first is the primary one, into which reverse names point."""
    reverse_zones: tuple[bytes, ...]
    ttl: int = 5
    pods: Literal["disabled", "insecure", "verified"] = "disabled"
    endpoint_pod_names: bool = False
    namespaces: frozenset[str] = frozenset()
    """The only Namespaces exposed; empty means all."""
    namespaces_selected: bool = False
    """A label selector picks the Namespaces: only those the source lists exist. Otherwise a Service in one is proof."""
    ignore_empty_service: bool = False
    fallthrough: tuple[bytes, ...] = ()
    """In names at or under these, what does not exist goes on to the next plugin."""

    def exposed(self, namespace: str) -> bool:
        """True if the ``namespaces`` option does not hide it."""
        return not self.namespaces or namespace in self.namespaces


def build_schema(
    zones: tuple[str, ...],
    *,
    ttl: int = 5,
    pods: Literal["disabled", "insecure", "verified"] = "disabled",
    endpoint_pod_names: bool = False,
    namespaces: tuple[str, ...] = (),
    namespaces_selected: bool = False,
    ignore_empty_service: bool = False,
    fallthrough: tuple[str, ...] | None = None,
) -> Schema:
    """A Schema from options in text. Raises ValueError for a bad zone or ttl, or when no forward zone is left."""
    apexes = [apex for text in zones for apex in zone_names(text)]
    reverse = tuple(apex for apex in apexes if is_reverse(apex))
    forward = tuple(apex for apex in apexes if not is_reverse(apex))
    if not forward:
        raise ValueError("at least one zone must be a forward zone, such as cluster.local")
    if not 0 <= ttl <= 3600:
        raise ValueError(f"ttl must be between 0 and 3600 seconds, got {ttl}")
    return Schema(
        zones=tuple(dict.fromkeys(forward)),
        reverse_zones=tuple(dict.fromkeys(reverse)),
        ttl=ttl,
        pods=pods,
        endpoint_pod_names=endpoint_pod_names,
        namespaces=frozenset(namespaces),
        namespaces_selected=namespaces_selected,
        ignore_empty_service=ignore_empty_service,
        fallthrough=tuple(apex for text in fallthrough or () for apex in zone_names(text)),
    )


def is_reverse(apex: bytes) -> bool:
    """True for a zone of reverse names."""
    return under(apex, IN_ADDR) or under(apex, IP6)


def zone_names(text: str) -> Iterator[bytes]:
    """The zones a text stands for: a name is itself, a CIDR the reverse zones that cover it.

    A mask is widened to the next octet (IPv4) or nibble (IPv6) by listing every zone: 10.0.0.0/15 is
    0.10.in-addr.arpa and 1.10.in-addr.arpa. Raises ValueError for what is neither name nor CIDR.
    """
    if "/" not in text:
        yield parse_name(text)
        return
    network = ipaddress.ip_network(text, strict=False)
    step = 8 if network.version == 4 else 4
    new_prefix = min(-(-network.prefixlen // step) * step, network.max_prefixlen)
    for part in network.subnets(new_prefix=new_prefix) if new_prefix != network.prefixlen else (network,):
        yield reverse_name(part.network_address.packed, new_prefix // step)


def reverse_name(address: bytes, digits: int | None = None) -> bytes:
    """The name under in-addr.arpa (RFC 1035 section 3.5) or ip6.arpa (RFC 3596 section 2.5) of a packed address.

    ``digits``: only so many leading octets (IPv4) or nibbles (IPv6).
    """
    if len(address) == 4:
        parts = [str(octet) for octet in address]
        apex = IN_ADDR
    else:
        parts = list(address.hex())
        apex = IP6
    if digits is not None:
        parts = parts[:digits]
    return b"".join(bytes((len(part),)) + part.encode("ascii") for part in reversed(parts)) + apex
