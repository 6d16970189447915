"""Names of Pods: ``1-2-3-4.NAMESPACE.pod.ZONE`` (Kubernetes DNS specification 1.1.0, and CoreDNS for IPv6)."""

import ipaddress
from typing import Final

from kdns.base.objects import ObjectKey
from kdns.records.reasons import NOT_AN_ADDRESS, Missing
from kdns.records.rrset import Node, address_rrsets

_SPELLING: Final = frozenset(b"0123456789abcdef-")


def pod_text(label: bytes) -> str | Missing:
    """The address text a Pod label spells.

    Three single dashes make IPv4; any other label has its dashes read as colons.
    """
    if not set(label) <= _SPELLING:
        return NOT_AN_ADDRESS
    text = label.decode("ascii")
    separator = "." if text.count("-") == 3 and "--" not in text else ":"
    text = text.replace("-", separator)
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return NOT_AN_ADDRESS
    return text


def pod_node(text: str, owner: bytes, ttl: int, source: ObjectKey | None) -> Node:
    """The node of a Pod name whose address text is valid."""
    return Node(address_rrsets(owner, (ipaddress.ip_address(text).packed,), ttl, source))
