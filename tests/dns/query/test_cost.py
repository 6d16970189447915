"""What a datagram costs: the work is counted, and is bounded by the reply that it gets."""

from collections.abc import Iterator, Sequence
from typing import overload

import pytest

from kdns.dns.api.handler import Handler, Request, Response, chain
from kdns.dns.cache.kinds import Kind
from kdns.dns.cache.store import Entry
from kdns.dns.plugins import loadbalance, log
from kdns.dns.plugins.kubernetes import MAX_READ, kubernetes
from kdns.dns.query.responder import compose_reply
from kdns.wire.compose import compose_sections
from kdns.wire.name import parse_name
from kdns.wire.numbers import AA, AAAA, MX, RD, SRV, TC, TXT, A
from kdns.wire.query import TCP_LIMIT, Edns, Query, edns_option
from kdns.wire.rr import RR
from tests.dns.messages import CLIENT
from tests.dns.parts import FakeParts, scripted
from tests.dns.plan import OBJECTS
from tests.dns.plugins.asking import built
from tests.records.zone_text import cluster

LARGE = "thousands.shop.svc.cluster.local."
EDNS = Edns(4096, 0, False, edns_option(10, b"cookie!!"))
COOKIE = (parse_name(LARGE), A, EDNS)


class Counting(Sequence[RR]):
    """Records that are counted as they are read."""

    def __init__(self, records: Sequence[RR]) -> None:
        self._records = records
        self.read = 0

    def __len__(self) -> int:
        return len(self._records)

    @overload
    def __getitem__(self, at: int) -> RR: ...
    @overload
    def __getitem__(self, at: slice) -> Sequence[RR]: ...
    def __getitem__(self, at: int | slice) -> RR | Sequence[RR]:
        return self._records[at]

    def __iter__(self) -> Iterator[RR]:
        for record in self._records:
            self.read += 1
            yield record


def asking(name: str, rtype: int, edns: Edns | None = EDNS) -> Query:
    """A query."""
    wire = parse_name(name)
    return Query(7, RD, wire + rtype.to_bytes(2, "big") + b"\0\1", wire, rtype, 1, edns)


MANY = {
    A: [RR(b"\4many\0", A, 5, number.to_bytes(4, "big")) for number in range(4000)],
    MX: [RR(b"\4many\0", MX, 5, b"\0\1" + bytes((4,)) + b"%04d" % number + b"\0") for number in range(4000)],
    TXT: [RR(b"\4many\0", TXT, 5, b"\xc8" + bytes(200)) for _ in range(300)],
}


@pytest.mark.parametrize("rtype", MANY)
@pytest.mark.parametrize("edns", [None, EDNS], ids=["512", "1232"])
def test_composing_stops_where_the_reply_ends(rtype: int, edns: Edns | None) -> None:
    """No record is composed behind the first one that does not fit, and the reply is that of composing all of them."""
    answer, additional = Counting(MANY[rtype]), Counting(MANY[A])
    query = asking("many.", rtype, edns)
    reply = compose_reply(query, Response(0, AA, answer, (), additional), "udp")
    sections = compose_sections(query.name, MANY[rtype], (), MANY[A])
    size, counts = sections.cut(query.limit("udp") - 12 - len(query.question) - (11 if edns else 0))
    assert reply[12 + len(query.question) :][:size] == sections.octets[:size]
    assert int.from_bytes(reply[6:8], "big") == counts[0]
    assert int.from_bytes(reply[2:4], "big") & TC
    assert answer.read <= counts[0] + 2, "two more than fit were looked at"
    assert additional.read == 0


@pytest.mark.parametrize("room", [0, 1, 15, 16, 17, 100, 511, 1200, 16_400, 65_535, 1 << 20])
@pytest.mark.parametrize("rtype", MANY)
def test_composing_in_part_is_composing_what_fits(rtype: int, room: int) -> None:
    """RFC 2181 section 9: what is sent are whole records, the first ones, whether or not the others were composed."""
    whole = compose_sections(b"\4many\0", MANY[rtype][:50], MANY[TXT][:3], MANY[A])
    part = compose_sections(b"\4many\0", MANY[rtype][:50], MANY[TXT][:3], MANY[A], room)
    for size in {0, room // 2, room}:
        kept, counts = whole.cut(size)
        assert part.cut(size) == (kept, counts)
        assert part.octets[:kept] == whole.octets[:kept]
    assert (part.cut(room)[0] < len(part.octets)) == (whole.cut(room)[0] < len(whole.octets))


def seen(handler: Handler, into: list[Response]) -> Handler:
    """The handler, and a copy of what it responds."""

    async def handle(request: Request) -> Response:
        into.append(await handler(request))
        return into[-1]

    return handle


@pytest.mark.parametrize("rtype", [A, AAAA, SRV])
@pytest.mark.parametrize("name", [LARGE, f"_http._tcp.{LARGE}"])
async def test_a_large_service_in_the_chain(name: str, rtype: int) -> None:
    """Behind log and loadbalance the records of a compiled answer are not made; what is sent is the same as if."""
    replies = []
    for lazy in (True, False):
        plugins = [built(loadbalance, "loadbalance", FakeParts()).plugin, built(log, "log", FakeParts()).plugin]
        responses: list[Response] = []
        last = seen(kubernetes(cluster(*OBJECTS))(scripted(Response(0))), responses)
        query = asking(name, rtype)
        response = await chain([each for each in plugins if each], last)(Request(query, CLIENT, 60, "dns://:53", {}))
        if not lazy:
            response = Response(response.rcode, response.flags, tuple(response.answer), tuple(response.authority),
                                tuple(response.additional))  # fmt: skip
        replies.append(compose_reply(query, response, "udp"))
        compiled = responses[0].compiled
        assert compiled is not None
        if lazy and len(compiled.answer):
            assert not compiled.loaded
    assert replies[0] == replies[1]


@pytest.mark.parametrize(("proto", "made"), [("udp", MAX_READ), ("tcp", 4500)])
async def test_a_plugin_that_reads_records_of_a_large_service(proto: str, made: int) -> None:
    """For a client over UDP it gets no more than several datagrams could carry, and the reply is truncated."""
    responses: list[Response] = []
    last = seen(kubernetes(cluster(*OBJECTS))(scripted(Response(0))), responses)
    query = asking(LARGE, A)
    response = await last(Request(query, CLIENT._replace(proto=proto), 60, "dns://:53", {}))
    assert response.compiled is not None
    assert (len(response.answer), len(tuple(response.answer))) == (made, made)
    read = Response(response.rcode, response.flags, tuple(response.answer))
    assert compose_reply(query, read, proto) == compose_reply(query, response, proto)
    assert bool(response.flags & TC) is (proto == "udp")


def test_no_more_is_compiled_than_a_message_can_carry() -> None:
    """Of the SRV records of a large Service, those are made that TCP can carry, and one more to know that it is cut."""
    answer = cluster(*OBJECTS).find(parse_name(f"_http._tcp.{LARGE}"), SRV)
    assert answer is not None
    ends = answer.sections.ends
    assert ends[-2] <= TCP_LIMIT < ends[-1]
    assert not answer.sections.counts[2]


@pytest.mark.parametrize("rtype", MANY)
@pytest.mark.parametrize("keepttl", [False, True])
def test_a_cached_answer_is_cut_and_not_made_again(rtype: int, keepttl: bool) -> None:
    """The octets of an entry are composed once; the records with the seconds that are left are not made for a reply."""
    query = asking("many.", rtype)
    entry = Entry(Response(0, AA, MANY[rtype], (), MANY[A]), Kind.SUCCESS, 100, 60, keepttl=keepttl)
    for now, left in ((100, 60), (117, 43), (159, 1)):
        response = entry.reply(query, now)
        seconds = 60 if keepttl else left
        plain = Response(0, response.flags, tuple(response.answer), (), tuple(response.additional))
        assert {rr.ttl for rr in plain.answer} == {seconds}
        response = entry.reply(query, now)
        for proto in ("udp", "tcp"):
            assert compose_reply(query, response, proto) == compose_reply(query, plain, proto)
        assert response.compiled is not None
        assert not response.compiled.loaded
    stale = entry.reply(query, 200, 30)
    assert compose_reply(query, stale, "udp")[12 + len(query.question) + 6 :][:4] == (30).to_bytes(4, "big")


def test_other_records_are_not_sent_as_the_compiled_ones() -> None:
    """A plugin that puts other records in place of those that are compiled, or asks for another name, is obeyed."""
    query = asking("many.", A)
    entry = Entry(Response(0, AA, MANY[A][:2]), Kind.SUCCESS, 100, 60)
    response = entry.reply(query, 100)
    assert response.compiled_for(query.name) is not None
    assert response.compiled_for(b"\4much\0") is None
    changed = Response(0, AA, response.answer[:1], response.authority, response.additional, compiled=response.compiled)
    assert changed.compiled_for(query.name) is None
    assert compose_reply(query, changed, "udp")[6:8] == b"\0\1"
    assert [rr.rdata for rr in response.answer] == [rr.rdata for rr in MANY[A][:2]]
