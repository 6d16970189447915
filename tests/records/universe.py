"""A small universe for properties: a few objects that collide in every way that matters, and what to ask of them."""

import struct
from collections.abc import Iterable, Sequence
from ipaddress import ip_address

from dnslib import DNSRecord
from hypothesis import strategies as st
from msgspec.structs import replace

from kdns.base.objects import EndpointSlice, Namespace, Object, Pod, Service
from kdns.config.settings import KubernetesOptions
from kdns.records.answers import Answer
from kdns.records.reasons import Missing
from kdns.records.rrset import Result, RRset
from kdns.wire.compose import head
from kdns.wire.name import name_text, parse_name
from kdns.wire.numbers import AA, AAAA, CNAME, IN, NS, PTR, QR, SOA, SRV, TXT, A
from kdns.wire.types import type_text
from tests.build import Endpoint, namespace, pod, service, service_import, slice_, tcp, udp

OPTIONS = KubernetesOptions(
    zones=("cluster.local.", "example.org.", "clusterset.local.", "in-addr.arpa.", "ip6.arpa."),
    multicluster=("clusterset.local.",),
    pods="verified",
    fallthrough=("ip6.arpa.",),
)
ALL_OPTIONS = (
    OPTIONS,
    KubernetesOptions(namespace_labels="dns=yes", endpoint_pod_names=True),
    KubernetesOptions(namespaces=("a", "c", "anchor"), ignore_empty_service=True, pods="insecure"),
)
"""Options that make other names depend on other objects."""
OWN = ("10.244.0.1",)
"""The address of this server, which some slices have."""

HTTP, HTTPS, DNS, BARE = tcp(80, "http"), tcp(443, "https"), udp(53, "dns"), tcp(81)

SERVICES: dict[str, tuple[Service, ...]] = {
    "a/x": (
        service("a/x", ("10.96.0.1",), (HTTP, HTTPS)),
        service("a/x", ("10.96.0.1", "fd00:10:96::1"), (HTTP, DNS, BARE)),
        service("a/x", ("10.96.0.2",)),
        service("a/x", ("None",), (HTTP,)),
        service("a/x", external="y.a.svc.cluster.local"),
    ),
    "a/y": (
        service("a/y", ("None",), (HTTP,)),
        service("a/y", ("10.96.0.1",), (DNS,)),
        service("a/y", external="x.b.svc.example.org"),
        service("a/y", external="www.example.com"),
        service("a/y", external="192.0.2.1"),
    ),
    "b/x": (
        service("b/x", ("10.96.0.3",), (HTTP,)),
        service("b/x", external="x.a.svc.cluster.local"),
        service("b/x", ("None",)),
    ),
}
_ROWS: tuple[tuple[str | Endpoint, ...], ...] = (
    (),
    ("10.244.0.1",),
    ("10.244.0.1", "10.244.0.2", "10.244.1.1"),
    (Endpoint("10.244.0.1", "h-0"), Endpoint("10.244.0.2", "h-1"), "10.244.0.3"),
    (Endpoint("10.244.0.3", "h-0"), Endpoint("10.96.0.1", "h-0")),
    ("fd00:10:244::1", Endpoint("fd00:10:244::", "h-0"), "fd00:10:244:0:0:0:0:2"),
)
_PORTS = ((), (HTTP,), (HTTP, DNS), (BARE,))


def _slices(path: str, owners: Sequence[str]) -> tuple[EndpointSlice, ...]:
    return tuple(slice_(path, owner, rows, ports) for owner in owners for rows in _ROWS for ports in _PORTS)


SLICES: dict[str, tuple[EndpointSlice, ...]] = {
    "a/x-1": _slices("a/x-1", ("x", "y")),
    "a/x-2": _slices("a/x-2", ("x",)),
    "a/y-1": _slices("a/y-1", ("y",)),
    "b/x-1": _slices("b/x-1", ("x",)),
}
IMPORTS: dict[str, tuple[Service, ...]] = {
    "a/x": (
        service_import("a/x", ("10.112.0.1",), (HTTP, DNS)),
        service_import("a/x", ("10.112.0.1", "fd00:10:112::1"), (BARE,)),
        service_import("a/x", ("10.112.0.2",)),
        service_import("a/x", ("None",), (HTTP,)),
    ),
    "b/x": (service_import("b/x", ("None",)), service_import("b/x", ("10.112.0.1",), (HTTP,))),
}
IMPORTED: dict[str, tuple[EndpointSlice, ...]] = {
    f"{space}/x-{cluster}": tuple(
        replace(part, imported="x", cluster=cluster)
        for owner in ("", "x")
        for part in _slices(f"{space}/x-{cluster}", (owner,))
    )
    for space, cluster in (("a", "east"), ("a", "h-0"), ("b", "east"), ("b", ""))
}
"""Slices of ServiceImports; some are of a Service, too, and one cluster is called as an endpoint is."""
NAMESPACES: dict[str, tuple[Namespace, ...]] = {name: (namespace(name),) for name in ("a", "b", "c")}
PODS: dict[str, tuple[Pod, ...]] = {
    path: (pod(path, "10.244.0.1"), pod(path, "10.244.0.2"), pod(path, "")) for path in ("a/p", "a/q", "b/p")
}
SLOTS: tuple[tuple[Object, ...], ...] = tuple(
    states for kind in (SERVICES, SLICES, IMPORTS, IMPORTED, NAMESPACES, PODS) for states in kind.values()
)

STEPS = st.lists(
    st.integers(0, len(SLOTS) - 1).flatmap(
        lambda slot: st.tuples(st.just(slot), st.none() | st.sampled_from(SLOTS[slot]))
    ),
    max_size=14,
)
"""Which slot gets which object; None: it is deleted."""

_FORWARD = (
    "", "svc.", "pod.", "dns.", "ns.dns.", "dns-version.", "a.svc.", "b.svc.", "c.svc.", "d.svc.", "a.pod.", "b.pod.",
    "x.a.svc.", "y.a.svc.", "x.b.svc.", "z.a.svc.",
    "_tcp.x.a.svc.", "_udp.x.a.svc.", "_http._tcp.x.a.svc.", "_dns._udp.x.a.svc.", "_._tcp.x.a.svc.",
    "_http._tcp.y.a.svc.", "_dns._udp.y.a.svc.", "_http._tcp.x.b.svc.",
    "h-0.x.a.svc.", "h-1.x.a.svc.", "h-0.y.a.svc.", "h-0.x.b.svc.", "10-244-0-1.x.a.svc.", "10-244-0-3.x.a.svc.",
    "fd00-10-244--1.x.a.svc.", "fd00-10-244-0-0-0-0-2.y.a.svc.", "q.h-0.x.a.svc.",
    "10-244-0-1.a.pod.", "10-244-0-2.a.pod.", "10-244-0-1.b.pod.", "no.such.thing.",
)  # fmt: skip
_REVERSE = ("10.96.0.1", "10.96.0.2", "10.96.0.3", "10.244.0.1", "10.244.0.2", "10.244.0.3", "10.244.1.1", "10.9.9.9")
_REVERSE_6 = ("fd00:10:96::1", "fd00:10:244::", "fd00:10:244::1", "fd00:10:244::2")
_IMPORTED = (
    "east.x.a.svc.", "h-0.east.x.a.svc.", "h-0.h-0.x.a.svc.", "10-244-0-1.east.x.a.svc.", "10-244-0-1.x.b.svc.",
    "h-1.west.x.a.svc.", "_http.east.x.a.svc.", "q.h-0.east.x.a.svc.", "fd00-10-244--1.east.x.b.svc.",
)  # fmt: skip
NAMES = (
    *(parse_name(f"{left}clusterset.local.") for left in (*_FORWARD, *_IMPORTED)),
    *(parse_name(left + zone) for zone in ("cluster.local.", "example.org.") for left in _FORWARD),
    *(parse_name(ip_address(address).reverse_pointer) for address in (*_REVERSE, *_REVERSE_6)),
    *map(
        parse_name, ("in-addr.arpa.", "10.in-addr.arpa.", "244.10.in-addr.arpa.", "0.96.10.in-addr.arpa.", "ip6.arpa.")
    ),
    *map(parse_name, ("d.f.ip6.arpa.", "0.d.f.ip6.arpa.", "7.7.ip6.arpa.")),
)
SIBLINGS = tuple(
    map(
        parse_name,
        (
            "west.corp.cluster.local.",
            "east.corp.cluster.local.",
            "web.a.svc.west.corp.cluster.local.",
            "x.a.svc.west.corp.cluster.local.",
            "corp.cluster.local.",
            "95.10.in-addr.arpa.",
            "96.10.in-addr.arpa.",
            "1.0.95.10.in-addr.arpa.",
            "x.nope.cluster.local.",
            "y.nope.cluster.local.",
            "z.x.nope.cluster.local.",
            "www.example.com.",
        ),
    )
)
ASKED = (*NAMES, *(b"\1q" + name for name in NAMES if len(name) < 200))
NESTED = (
    *ALL_OPTIONS,
    KubernetesOptions(zones=("cluster.local.", "west.corp.cluster.local.", "in-addr.arpa.", "10.96.0.0/16")),
    KubernetesOptions(fallthrough=("x.nope.cluster.local.", "x.a.svc.cluster.local.", "in-addr.arpa.")),
)
"""Options under which neighbours of one parent are answered differently."""
RTYPES = (A, AAAA, SRV, PTR, TXT, SOA, NS, CNAME)
QUESTIONS = tuple((name, rtype) for name in NAMES for rtype in RTYPES)

Plain = frozenset[tuple[bytes, int, int, bytes]]


def plain(rrsets: Iterable[RRset]) -> Plain:
    """RRsets as a set of records: neither order nor source."""
    return frozenset((rrset.owner, rrset.rtype, rrset.ttl, rdata) for rrset in rrsets for rdata in rrset.rdatas)


def meaning(result: Result | Missing) -> object:
    """What a client could tell of a result."""
    if isinstance(result, Missing):
        return result
    sections = tuple(map(plain, (result.answer, result.authority, result.additional)))
    return (result.zone, result.rcode, sections, result.chase, result.fallthrough)


def reply(name: bytes, rtype: int, answer: Answer, turn: int = 0) -> DNSRecord:
    """The whole message made of an Answer, as dnslib reads it."""
    octets = answer.before + answer.ring[turn : turn + answer.ring_size] + answer.after
    question = name + struct.pack("!HH", rtype, IN)
    message = b"\0\1" + head(QR | AA | answer.rcode, answer.sections.counts, False) + question + octets
    return DNSRecord.parse(message)


def said(name: bytes, rtype: int, answer: Answer | None) -> object:
    """What dnslib reads in an Answer, as sets of zone lines."""
    if answer is None:
        return None
    message = reply(name, rtype, answer)
    lines = tuple(frozenset(str(rr) for rr in section) for section in (message.rr, message.auth, message.ar))
    return answer.rcode, lines


def same_answer(name: bytes, rtype: int, one: Answer | None, other: Answer | None) -> bool:
    """True if both would be sent as the same records."""
    if one is not None and other is not None and one.sections == other.sections and one.rcode == other.rcode:
        return True
    return said(name, rtype, one) == said(name, rtype, other)


def question_text(name: bytes, rtype: int) -> str:
    """For messages of failed assertions."""
    return f"{name_text(name)} {type_text(rtype)}"
