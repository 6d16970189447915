"""Sets of questions, each with what every server must answer."""

import random
import struct
from collections.abc import Callable, Iterable
from typing import Literal, NamedTuple

from bench import plan

A, AAAA, SRV = 1, 28, 33
TYPE_TEXT = {A: "A", AAAA: "AAAA", SRV: "SRV"}
NOERROR, NXDOMAIN = 0, 3
OPT = bytes.fromhex("00 0029 04d0 00000000 0000")
"""An OPT record that offers 1232 octets (RFC 6891 section 6.1.2)."""
LARGEST = 65_536
"""A set has no more messages than there are message ids: the id says which question a reply belongs to."""


class Query(NamedTuple):
    """A question and the answer that counts as right."""

    name: str
    rtype: int = A
    edns: bool = False
    rcode: int = NOERROR
    answers: int = 1
    """Records in the answer section; -1: more than a datagram holds, so as many as the server likes, and TC."""

    def message(self, number: int) -> bytes:
        """The query as octets, RD set, with this message id (RFC 1035 section 4.1)."""
        header = struct.pack("!6H", number, 0x0100, 1, 0, 0, 1 if self.edns else 0)
        labels = b"".join(bytes((len(label),)) + label.encode() for label in self.name.rstrip(".").split("."))
        return header + labels + b"\0" + struct.pack("!2H", self.rtype, 1) + (OPT if self.edns else b"")

    def line(self) -> str:
        """The question as dnsperf reads it."""
        return f"{self.name} {TYPE_TEXT[self.rtype]}"


class Workload(NamedTuple):
    """One row of the table."""

    key: str
    title: str
    queries: Callable[[random.Random], Iterable[Query]]
    transport: str = "udp"
    edns: bool = False
    """What dnsperf is told; our own client goes by each query."""
    fresh: bool = False
    """No question may be asked of a server twice: the flood and what measures latency get a half of them each."""

    def make(self, seed: int) -> list[Query]:
        """The questions of one round: other random names each round, the same ones for every server."""
        return list(self.queries(random.Random(seed)))[:LARGEST]


def _numbers(rng: random.Random) -> list[int]:
    numbers = list(range(plan.SERVICES))
    rng.shuffle(numbers)
    return numbers


def _hits(rng: random.Random) -> Iterable[Query]:
    return (Query(plan.service_owner(number)) for number in _numbers(rng))


def _hits_edns(rng: random.Random) -> Iterable[Query]:
    return (query._replace(edns=True) for query in _hits(rng))


def _any_hits(rng: random.Random) -> Iterable[Query]:
    return (Query(plan.service_owner(rng.randrange(plan.SERVICES))) for _ in range(LARGEST))


def _forms(rng: random.Random) -> Iterable[Query]:
    """More different messages than kdns remembers whole ones."""
    for _ in range(LARGEST):
        query = Query(plan.service_owner(rng.randrange(plan.SERVICES)), edns=rng.random() < 0.5)
        yield query if rng.random() < 0.5 else query._replace(rtype=AAAA, answers=0)


def _mixed_case(rng: random.Random) -> Iterable[Query]:
    for query in _hits(rng):
        name = "".join(rng.choice((letter.lower(), letter.upper())) for letter in query.name)
        yield query._replace(name=name)


def _nodata(rng: random.Random) -> Iterable[Query]:
    return (query._replace(rtype=AAAA, answers=0) for query in _hits(rng))


def _srv(rng: random.Random) -> Iterable[Query]:
    return (query._replace(name=f"_http._tcp.{query.name}", rtype=SRV) for query in _hits(rng))


def _search_misses(rng: random.Random) -> Iterable[Query]:
    """What a resolver with ndots:5 asks before it asks for the name itself."""
    hosts = [f"www.host-{rng.randrange(10**6)}.com" for _ in range(500)]
    searches = [f"{plan.namespace_name(number)}.svc.{plan.ZONE}" for number in range(4)]
    searches += [f"svc.{plan.ZONE}", plan.ZONE]
    misses = [Query(f"{host}.{search}", rcode=NXDOMAIN, answers=0) for host in hosts for search in searches]
    rng.shuffle(misses)
    return misses


def _random_misses(rng: random.Random) -> Iterable[Query]:
    for _ in range(40_000):
        yield Query(f"{rng.getrandbits(60):x}.com.default.svc.{plan.ZONE}", rcode=NXDOMAIN, answers=0)


def _headless(name: str, answers: int) -> Callable[[random.Random], Iterable[Query]]:
    def queries(_: random.Random) -> Iterable[Query]:
        return [Query(f"{name}.many.svc.{plan.ZONE}", edns=True, answers=answers)] * 1000

    return queries


def _mix(rng: random.Random) -> Iterable[Query]:
    """Half of the names are elsewhere, asked for as A and AAAA along the search path; some names are much more popular.

    The most popular hundredth of the Services gets a fifth of the questions, as with a density that falls like x^-2/3.
    """
    hits, misses, services = list(_hits(rng)), list(_search_misses(rng)), list(_srv(rng))

    def popular(queries: list[Query]) -> Query:
        return queries[int(len(queries) * rng.random() ** 3)]

    for _ in range(20_000):
        edns = rng.random() < 0.5
        draw = rng.random()
        if draw < 0.25:
            yield popular(hits)._replace(edns=edns)
        elif draw < 0.45:
            yield popular(hits)._replace(edns=edns, rtype=AAAA, answers=0)
        elif draw < 0.90:
            yield popular(misses)._replace(edns=edns, rtype=rng.choice((A, AAAA)))
        elif draw < 0.95:
            yield popular(services)._replace(edns=edns)
        else:
            yield Query(f"sixty.many.svc.{plan.ZONE}", edns=True, answers=60)


WORKLOADS = (
    Workload("hits", "A of 10k Services", _hits),
    Workload("random", "A at random", _any_hits),
    Workload("forms", "A and AAAA at random, half EDNS", _forms),
    Workload("edns", "A of 10k Services, EDNS", _hits_edns, edns=True),
    Workload("mixedcase", "A, mixed case (0x20)", _mixed_case),
    Workload("nodata", "AAAA, NODATA", _nodata),
    Workload("nxdomain", "NXDOMAIN, search path", _search_misses),
    Workload("nxrandom", "NXDOMAIN, random names", _random_misses),
    Workload("srv", "SRV", _srv),
    Workload("headless", "headless of 60, rotated, EDNS", _headless("sixty", 60), edns=True),
    Workload("headless100", "headless of 100, cut, EDNS", _headless("hundred", -1), edns=True),
    Workload("mix", "realistic mix", _mix),
    Workload("tcp", "A over TCP, 20 connections", _hits, transport="tcp"),
)

CACHED = 1_000
"""Names that a cache has while it is measured: with those of some rounds before, fewer than CoreDNS's 10,000."""
MISSED = 2 * 4_096


def _cluster(edns: bool) -> Callable[[random.Random], Iterable[Query]]:
    def queries(rng: random.Random) -> Iterable[Query]:
        return (Query(plan.service_owner(number), edns=edns) for number in _numbers(rng)[:CACHED])

    return queries


def _outside(label: str, count: int, edns: bool) -> Callable[[random.Random], Iterable[Query]]:
    """Names that were in no round and in no row before, so that nothing goes out of a cache while it is measured."""

    def queries(rng: random.Random) -> Iterable[Query]:
        return (Query(f"www.{label}-{rng.getrandbits(40):x}.example.com", edns=edns) for _ in range(count))

    return queries


Way = Literal["udp", "tcp", "tls"]
"""How an upstream is asked."""


class Forwarded(NamedTuple):
    """One row of the table of forwarded names."""

    workload: Workload
    beside: Workload | None = None
    """What kdns alone is asked in the same rounds."""
    upstream: Way = "udp"
    """How the upstream is asked."""


FORWARDED = (
    Forwarded(
        Workload("cached", "cached", _outside("c", CACHED, edns=False)),
        Workload("cachedcluster", "of the cluster", _cluster(edns=False)),
    ),
    Forwarded(
        Workload("cachededns", "cached, EDNS", _outside("e", CACHED, edns=True), edns=True),
        Workload("cachedednscluster", "of the cluster, EDNS", _cluster(edns=True), edns=True),
    ),
    Forwarded(Workload("missed", "not cached", _outside("m", MISSED, edns=False), fresh=True)),
    Forwarded(Workload("missededns", "not cached, EDNS", _outside("n", MISSED, edns=True), edns=True, fresh=True)),
    Forwarded(
        Workload("missedtcp", "not cached, upstream by TCP", _outside("t", MISSED, edns=False), fresh=True),
        upstream="tcp",
    ),
    Forwarded(
        Workload("missedtls", "not cached, upstream by TLS", _outside("s", MISSED, edns=False), fresh=True),
        upstream="tls",
    ),
)
