"""Names as the API server checks them before it stores an object (Kubernetes: "Object Names and IDs"). Pure.

An API server that checks nothing (a fake one, an aggregated one, a proxy in between) must not bring line breaks and
escape sequences into logs, or names into zones that no cluster has: files are checked by the same rules.
"""

import re
from typing import Final

from kdns.base.objects import Kind
from kdns.watch.decode.spelling import quoted

LABEL: Final = re.compile(r"[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?")
"""A label of RFC 1123: Services, Namespaces, ports, host names."""
SUBDOMAIN: Final = re.compile(r"(?=.{1,253}\Z)[a-z0-9](?:[-.a-z0-9]*[a-z0-9])?")
"""A subdomain of RFC 1123: all other objects."""
PROTOCOLS: Final = frozenset({"TCP", "UDP", "SCTP"})
"""Protocols of ports that Kubernetes has."""

_LABEL_KINDS: Final[frozenset[Kind]] = frozenset({"Service", "ServiceImport", "Namespace"})


def check_name(kind: Kind, name: str) -> None:
    """ValueError unless an object of the kind can have the name."""
    if not (LABEL if kind in _LABEL_KINDS else SUBDOMAIN).fullmatch(name):
        raise ValueError(f"its name {quoted(name)} is not a valid name of a {kind}")


def check_namespace(namespace: str) -> None:
    """ValueError unless a Namespace can have the name."""
    if not LABEL.fullmatch(namespace):
        raise ValueError(f"its namespace {quoted(namespace)} is not a valid name of a Namespace")


def check_port(name: str, protocol: str) -> None:
    """ValueError unless a port can have the name (empty for the unnamed port) and the protocol."""
    if name and not LABEL.fullmatch(name):
        raise ValueError(f"port name {quoted(name)} is not valid")
    if protocol not in PROTOCOLS:
        raise ValueError(f"protocol {quoted(protocol)} is not TCP, UDP or SCTP")
