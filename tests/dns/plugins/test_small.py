"""The plugins of a screen each, all in one table. What CoreDNS 1.14.7 answered is marked "seen"."""

import socket
from types import ModuleType
from typing import NamedTuple

import pytest

from kdns.dns.api.handler import Client, Response
from kdns.dns.plugins import any as any_plugin
from kdns.dns.plugins import bufsize, chaos, header, local, minimal, nsid, whoami
from kdns.dns.query.responder import compose_reply
from kdns.wire.name import parse_name
from kdns.wire.numbers import NXDOMAIN, RA, REFUSED
from kdns.wire.query import Edns, edns_option
from tests.dns.parts import FakeParts, scripted
from tests.dns.plugins.asking import (
    built,
    client,
    handler,
    mistakes,
    question,
    ready,
    request,
    response,
    takes_the_fast_way,
    words,
)

SOA = "604800 SOA localhost. root.localhost. 1 0 0 0 604800"
BEHIND = "NOERROR aa | behind.test. 5 A 192.0.2.1"


class Case(NamedTuple):
    module: ModuleType
    text: str
    question: str
    words: str
    behind: Response | None = None
    asker: Client = client()


FULL = response("a. 5 A 10.0.0.1", authority=("a. 5 NS n.",), additional=("n. 5 A 10.0.0.2",))
DENIED = response(rcode=NXDOMAIN, authority=(f"test. {SOA}",), additional=("n. 5 A 10.0.0.2",))
NODATA = response(authority=(f"test. {SOA}",))
REFERRAL = response(authority=("a.test. 5 NS n.",), additional=("n. 5 A 10.0.0.2",))
CASES = (
    # --- whoami, as seen ---
    Case(whoami, "whoami", "x. A", "NOERROR aa | ++ x. 0 A 10.1.0.7 | ++ _udp.x. 0 SRV 0 0 4053 ."),
    Case(whoami, "whoami", "x. TYPE999", "NOERROR aa | ++ x. 0 A 10.1.0.7 | ++ _udp.x. 0 SRV 0 0 4053 ."),
    Case(whoami, "whoami", ". A", "NOERROR aa | ++ . 0 AAAA fd00::7 | ++ _tcp. 0 SRV 0 0 4053 .", None,
         client("fd00::7", "tcp")),
    Case(whoami, "whoami", "x. A", "NOERROR aa | ++ x. 0 AAAA fe80::7 | ++ _tcp.x. 0 SRV 0 0 4053 .", None,
         client("fe80::7%eth0", "tls")),
    Case(whoami, "whoami", "x. TXT CH", "NOERROR aa | ++ x. 0 CH A 10.1.0.7 | ++ _udp.x. 0 CH SRV 0 0 4053 ."),
    # --- any, as seen ---
    Case(any_plugin, "any", "x. ANY", 'NOERROR | x. 8482 HINFO "ANY obsoleted" "See RFC 8482"'),
    Case(any_plugin, "any", "x. A", BEHIND),
    Case(any_plugin, "any", "x. ANY CH", BEHIND),
    # minimal
    Case(minimal, "minimal", "a. A", "NOERROR aa | a. 5 A 10.0.0.1", FULL),
    Case(minimal, "minimal", "x.test. A", words(DENIED), DENIED),
    Case(minimal, "minimal", "x.test. A", words(NODATA), NODATA),
    Case(minimal, "minimal", "x.a.test. A", words(REFERRAL), REFERRAL),
    Case(minimal, "minimal", "x.test. A", "REFUSED aa", response(rcode=REFUSED)),
    Case(minimal, "minimal", "x.test. A", "NOERROR aa", response(additional=("n. 5 A 10.0.0.2",))),
    Case(minimal, "minimal", "x.test. AXFR", words(FULL), FULL),
    # --- chaos, as seen ---
    Case(chaos, "chaos v1 me", "version.bind. TXT CH", 'NOERROR | version.bind. 0 CH TXT "v1"'),
    Case(chaos, "chaos v1", "version.server. TXT CH", 'NOERROR | version.server. 0 CH TXT "v1"'),
    Case(chaos, "chaos v1 me me", "authors.bind. TXT CH", 'NOERROR | authors.bind. 0 CH TXT "me"'),
    Case(chaos, "chaos", "authors.bind. TXT CH", 'NOERROR | authors.bind. 0 CH TXT "kdns"'),
    Case(chaos, "chaos", "id.server. TXT CH", f'NOERROR | id.server. 0 CH TXT "{socket.gethostname()}"'),
    Case(chaos, "chaos", "hostname.bind. TXT CH", f'NOERROR | hostname.bind. 0 CH TXT "{socket.gethostname()}"'),
    Case(chaos, "chaos", "other.bind. TXT CH", BEHIND),
    Case(chaos, "chaos", "version.bind. TXT", BEHIND),
    Case(chaos, "chaos", "version.bind. A CH", BEHIND),
    # local (seen, but for the one that says otherwise)
    Case(local, "local", "localhost. A", "NOERROR | localhost. 604800 A 127.0.0.1"),
    Case(local, "local", "localhost. AAAA", "NOERROR | localhost. 604800 AAAA ::1"),
    Case(local, "local", "localhost. SOA", f"NOERROR | localhost. {SOA}"),
    Case(local, "local", "localhost. NS", "NOERROR | localhost. 604800 NS localhost."),
    Case(local, "local", "localhost. TXT", f"NOERROR | -- localhost. {SOA}"),
    Case(local, "local", "a.localhost. AAAA", "NOERROR | a.localhost. 604800 AAAA ::1"),
    Case(local, "local", "a.localhost. TXT", f"NOERROR | -- a.localhost. {SOA}"),
    Case(local, "local", "localhost.x.y. A", "NOERROR | localhost.x.y. 604800 A 127.0.0.1"),
    Case(local, "local", "localhosts.x.y. A", BEHIND),
    Case(local, "local", "alocalhost. A", BEHIND),
    Case(local, "local {\n localhost_prefix off\n}", "localhost.x.y. A", BEHIND),
    Case(local, "local {\n localhost_prefix off\n}", "x.localhost. A", "NOERROR | x.localhost. 604800 A 127.0.0.1"),
    Case(local, "local", "127.in-addr.arpa. A", f"NOERROR | -- 127.in-addr.arpa. {SOA}"),
    Case(local, "local", "255.in-addr.arpa. NS", "NOERROR | 255.in-addr.arpa. 604800 NS localhost."),
    Case(local, "local", "1.0.0.127.in-addr.arpa. PTR", "NOERROR | 1.0.0.127.in-addr.arpa. 604800 PTR localhost."),
    Case(local, "local", "1.0.0.127.in-addr.arpa. A", f"NOERROR | -- 127.in-addr.arpa. {SOA}"),
    Case(local, "local", "2.0.0.127.in-addr.arpa. PTR", f"NXDOMAIN | -- 127.in-addr.arpa. {SOA}"),
    Case(local, "local", "0.127.in-addr.arpa. PTR", f"NOERROR | -- 127.in-addr.arpa. {SOA}"),  # CoreDNS: NXDOMAIN
    Case(local, "local", "1.128.in-addr.arpa. PTR", BEHIND),
    Case(local, "local", "localhost. A CH", BEHIND),
    # header
    Case(header, "header {\n response set ra\n}", "x. A", "NOERROR aa ra"),
    Case(header, "header {\n response clear AA\n response set ra\n}", "x. A", "NOERROR ra"),
    Case(header, "header {\n response set ra aa\n response clear ra\n}", "x. A", "NOERROR aa"),
    Case(header, "header {\n query set rd\n}", "x. A", "NOERROR aa"),
)  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{' '.join(case.text.split())}: {case.question}")
async def test_what_is_answered(case: Case) -> None:
    """A question, and what the plugin makes of it and of the answer behind it."""
    made = built(case.module, case.text, FakeParts())
    behind = case.behind or (response() if case.module is header else response("behind.test. 5 A 192.0.2.1"))
    assert words(await handler(made, behind)(request(case.question, None, case.asker))) == case.words


HEADERS = (
    ("response set rd", 0x0000, 0x8500),
    ("response clear rd", 0x0100, 0x8400),
    ("response clear aa rd", 0x0100, 0x8000),
    ("query clear rd", 0x0100, 0x8500),
)


@pytest.mark.parametrize(("rule", "asked", "flags"), HEADERS)
async def test_header_on_the_wire(rule: str, asked: int, flags: int) -> None:
    """The flags of the reply, RD among them, are what the rules say."""
    made = built(header, f"header {{\n {rule}\n}}", FakeParts())
    query = question("x. A")._replace(flags=asked)
    reply = await handler(made, response())(request("x. A")._replace(query=query))
    assert int.from_bytes(compose_reply(query, reply, "udp")[2:4], "big") == flags


async def test_header_changes_the_question() -> None:
    """Plugins behind see the question's flags as the rules make them."""
    made = built(header, "header {\n query clear rd\n query set ra\n}", FakeParts())
    behind = scripted(Response())
    assert made.plugin is not None
    await made.plugin(behind)(request("x. A"))
    assert behind.requests[0].query.flags == RA


SIZES = ((None, 0), (Edns(512, 0, False), 0), (Edns(600, 0, False), 0), (Edns(4096, 0, True), 600))


@pytest.mark.parametrize(("edns", "limit"), SIZES)
async def test_bufsize(edns: Edns | None, limit: int) -> None:
    """A client that takes more is taken to take this much, by the plugins behind and in the reply."""
    made = built(bufsize, "bufsize 600", FakeParts())
    behind = scripted(response(*(f"x{n}.example. 5 TXT {'t' * 200}" for n in range(6))))
    assert made.plugin is not None
    asking = request("x. TXT", edns)
    reply = await made.plugin(behind)(asking)
    seen = behind.requests[0].query.edns
    assert (seen.payload if seen else None) == (limit or edns.payload if edns else None)
    assert reply.limit == limit
    octets = compose_reply(asking.query, reply, "udp")
    assert len(octets) <= (limit or (edns.payload if edns else 512))
    assert octets[2] & 2  # TC
    assert len(compose_reply(asking.query, reply, "tcp")) > 1200


NSID = ((None, b""), (Edns(1232, 0, False), b""), (Edns(1232, 0, False, edns_option(10, b"12345678")), b""),
        (Edns(1232, 0, False, edns_option(10, b"12345678") + edns_option(3, b"")), edns_option(3, b"us east")),
        (Edns(1232, 0, False, b"\0\3\0\5"), b""))  # fmt: skip


@pytest.mark.parametrize(("edns", "options"), NSID)
async def test_nsid(edns: Edns | None, options: bytes) -> None:
    """The name is told to those who ask for it, and behind the options that are there."""
    made = built(nsid, "nsid us east", FakeParts())
    reply = await handler(made, Response(options=b"\0\x0f\0\0"))(request("x. A", edns))
    assert reply.options == b"\0\x0f\0\0" + options


async def test_nsid_is_the_machine() -> None:
    """Without a text it is the name of the machine."""
    edns = Edns(1232, 0, False, edns_option(3, b""))
    reply = await handler(built(nsid, "nsid", FakeParts()))(request("x. A", edns))
    assert reply.options == edns_option(3, socket.gethostname().encode())


def test_chaos_wants_its_class() -> None:
    """The server lets other classes through where chaos is."""
    assert built(chaos, "chaos", FakeParts()).classes


async def test_local_counts() -> None:
    """Names below localhost and localhost in search domains are counted, localhost itself is not."""
    parts = FakeParts()
    ask = handler(built(local, "local", parts))
    for name in ("localhost.", "a.localhost.", "localhost.svc.cluster.local.", "x."):
        await ask(request(name))
    assert parts.value("coredns_local_localhost_requests_total") == 2


ONE, TWO = ready("web.test. 5 A 10.0.0.1"), ready("web.test. 5 A 10.0.0.1", "web.test. 5 A 10.0.0.2")
WITH_MORE = ready("web.test. 5 A 10.0.0.1", extra=("n. 5 A 10.0.0.2",))
BIG, SMALL = Edns(1232, 0, False), Edns(512, 0, False)
FAST = (
    (any_plugin, "any", "web.test. A", ONE, None, True),
    (any_plugin, "any", "web.test. ANY", ONE, None, False),
    (minimal, "minimal", "web.test. A", TWO, None, True),
    (minimal, "minimal", "web.test. A", WITH_MORE, None, False),
    (minimal, "minimal", "web.test. A", ready(rcode=NXDOMAIN, extra=("n. 5 A 10.0.0.2",)), None, True),
    (header, "header {\n query set rd\n}", "web.test. A", ONE, None, True),
    (header, "header {\n response set ra\n}", "web.test. A", ONE, None, False),
    (bufsize, "bufsize", "web.test. A", ONE, BIG, True),
    (bufsize, "bufsize 1231", "web.test. A", ONE, BIG, False),
    (bufsize, "bufsize 512", "web.test. A", ONE, SMALL, True),
    (bufsize, "bufsize 512", "web.test. A", ONE, None, True),
    (nsid, "nsid", "web.test. A", ONE, BIG, True),
    (nsid, "nsid", "web.test. A", ONE, BIG._replace(options=edns_option(10, b"cookie!!")), True),
    (nsid, "nsid", "web.test. A", ONE, BIG._replace(options=edns_option(3, b"")), False),
    (chaos, "chaos", "web.test. A", ONE, None, True),
    (local, "local", "web.test. A", ONE, None, True),
    (local, "local", "localhost.svc.cluster.local. A", ONE, None, False),
    (local, "local", "localhost. A", ONE, None, False),
    (local, "local", "5.127.in-addr.arpa. PTR", ONE, None, False),
    (local, "local {\n localhost_prefix off\n}", "localhost.svc.cluster.local. A", ONE, None, True),
)


@pytest.mark.parametrize("row", FAST, ids=lambda row: f"{' '.join(row[1].split())}: {row[2]}")
def test_the_fast_way(row: tuple[ModuleType, str, str, object, Edns | None, bool]) -> None:
    """What the plugin would neither change nor answer itself is answered without it."""
    module, text, asked, find, edns, fast = row
    made = built(module, text, FakeParts())
    assert takes_the_fast_way(made, asked, find, edns) is fast  # type: ignore[arg-type]


def test_any_name_may_have_a_child_called_localhost() -> None:
    """What is known of missing names says nothing of localhost below them, unless that is switched off."""
    name = parse_name("svc.cluster.local.")
    assert built(local, "local", FakeParts()).must_see(name, True)
    assert not built(local, "local {\n localhost_prefix off\n}", FakeParts()).must_see(name, True)


MISTAKES = (
    (whoami, "whoami x", "1:8 'whoami' takes no argument"),
    (any_plugin, "any {\n x\n}", "2:2 'any' has no block"),
    (minimal, "minimal x", "1:9 'minimal' takes no argument"),
    (header, "header", "1:1 'header' needs a rule"),
    (header, "header {\n reply set aa\n}", "2:2 'header' has no property 'reply'"),
    (header, "header {\n response set\n}", "2:2 'response' needs at least 2 arguments, got 1"),
    (header, "header {\n response put aa\n query set ad\n}",
     "2:11 'put' is none of set, clear\n3:12 'ad' is none of aa, ra, rd"),
    (bufsize, "bufsize 511", "1:9 511 is out of range"),
    (bufsize, "bufsize 4097", "1:9 4097 is out of range"),
    (bufsize, "bufsize a", "1:9 invalid whole number 'a'"),
    (bufsize, "bufsize 600 700", "1:13 'bufsize' takes 0 to 1 arguments, got 2"),
    (bufsize, "bufsize\nbufsize", "2:1 'bufsize' stands twice in this server block"),
    (nsid, "nsid " + 256 * "x", "1:6 256 octets, at most 255"),
    (nsid, "nsid\nnsid", "2:1 'nsid' stands twice in this server block"),
    (chaos, "chaos v " + 256 * "x", "1:9 256 octets, at most 255"),
    (chaos, "chaos {\n x\n}", "2:2 'chaos' has no block"),
    (local, "local x", "1:7 'local' takes no argument"),
    (local, "local {\n localhost_prefix maybe\n}", "2:19 'maybe' is none of on, off"),
    (local, "local {\n localhost_prefix\n}", "2:2 'localhost_prefix' needs 1 argument, got 0"),
)  # fmt: skip


@pytest.mark.parametrize(("module", "text", "problem"), MISTAKES, ids=lambda value: str(value)[:40])
def test_mistakes_have_places(module: ModuleType, text: str, problem: str) -> None:
    """What is wrong with a directive is told at its place."""
    assert mistakes(module, text, FakeParts()) == problem
