"""acl: who may ask what, and that there is no way around it."""

from collections.abc import Callable
from typing import NamedTuple

import pytest

from kdns.dns.api.handler import Handler, Request, Response, chain
from kdns.dns.api.plugin import Built
from kdns.dns.plugins import acl
from kdns.dns.query.responder import compose_reply
from kdns.dns.query.router import RoutedBlock, Router
from kdns.wire.name import ROOT, parse_name
from kdns.wire.query import Edns
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

BEHIND = "NOERROR aa | behind. 5 A 192.0.2.1"


class Case(NamedTuple):
    title: str
    text: str
    question: str
    words: str
    address: str = "10.1.0.7"


CASES = (
    Case("block refuses (seen)", "acl b.test {\n block\n}", "b.test. A", "REFUSED"),
    Case("filter answers nothing (seen)", "acl f.test {\n filter\n}", "f.test. A", "NOERROR"),
    Case("drop is silent (seen)", "acl d.test {\n drop\n}", "d.test. A", "dropped"),
    Case("below the zone", "acl b.test {\n block\n}", "x.y.b.test. A", "REFUSED"),
    Case("outside of it", "acl b.test {\n block\n}", "test. A", BEHIND),
    Case("a name that only ends like the zone", "acl b.test {\n block\n}", "ab.test. A", BEHIND),
    Case("the zones of the server block", "acl {\n block\n}", "x.test. A", "REFUSED"),
    Case("a CIDR as zone", "acl 10.0.0.0/8 {\n block\n}", "7.0.1.10.in-addr.arpa. PTR", "REFUSED"),
    Case("by network", "acl {\n block net 10.0.0.0/8 fd00::/8\n}", "x.test. A", "REFUSED"),
    Case("... of the other family", "acl {\n block net 10.0.0.0/8 fd00::/8\n}", "x.test. A", "REFUSED", "fd00::7"),
    Case("... that the client is not in", "acl {\n block net 10.2.0.0/16\n}", "x.test. A", BEHIND),
    Case("a single address is a network", "acl {\n block net 10.1.0.7\n}", "x.test. A", "REFUSED"),
    Case("... and no other", "acl {\n block net 10.1.0.8 fd00::1\n}", "x.test. A", BEHIND),
    Case(
        "an IPv4 client on an IPv6 socket", "acl {\n block net 10.0.0.0/8\n}", "x.test. A", "REFUSED", "::ffff:10.1.0.7"
    ),
    Case("a client on a link", "acl {\n block net fe80::/10\n}", "x.test. A", "REFUSED", "fe80::1%eth0"),
    Case("a client from nowhere", "acl {\n allow net 10.0.0.0/8\n}", "x.test. A", "REFUSED", "somewhere"),
    Case("by type", "acl {\n filter type AAAA HTTPS\n}", "x.test. HTTPS", "NOERROR"),
    Case("... that is another", "acl {\n filter type AAAA HTTPS\n}", "x.test. A", BEHIND),
    Case("types in small letters, and by number", "acl {\n filter type aaaa TYPE65\n}", "x.test. HTTPS", "NOERROR"),
    Case("everything", "acl {\n drop type * net *\n}", "x.test. TXT", "dropped"),
    Case("both must fit", "acl {\n block type A net 10.2.0.0/16\n}", "x.test. A", BEHIND),
    Case("the first that fits", "acl {\n allow net 10.1.0.0/16\n block\n}", "x.test. A", BEHIND),
    Case("... or the next", "acl {\n allow net 10.2.0.0/16\n block\n}", "x.test. A", "REFUSED"),
    Case("allow ends it all", "acl a.test {\n allow\n}\nacl test {\n block\n}", "x.a.test. A", BEHIND),
    Case("... where it fits", "acl a.test {\n allow net 10.2.0.0/16\n}\nacl test {\n block\n}", "a.test. A", "REFUSED"),
    Case("a transfer by the name of its zone", "acl a.test {\n block\n}", "test. AXFR", BEHIND),
    Case("... and its type", "acl {\n block type AXFR IXFR\n}", "test. AXFR", "REFUSED"),
    Case("a reverse name is a name", "acl test {\n block\n}", "7.0.1.10.in-addr.arpa. PTR", BEHIND),
    Case("words may be capitals", "acl {\n Block Type A Net 10.1.0.0/16\n}", "x.test. A", "REFUSED"),
)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.title)
async def test_who_may_ask_what(case: Case) -> None:
    """A question of a client is answered, refused, answered with nothing, or dropped."""
    made = built(acl, case.text, FakeParts(zones=("test.",)))
    asking = request(case.question, None, client(case.address))
    behind = scripted(response("behind. 5 A 192.0.2.1"))
    assert made.plugin is not None
    assert words(await made.plugin(behind)(asking)) == case.words
    assert bool(behind.requests) is (case.words == BEHIND)


@pytest.mark.parametrize(("action", "code"), [("block", 15), ("filter", 17)])
async def test_the_reason_is_told(action: str, code: int) -> None:
    """Clients with EDNS read why in an extended error (RFC 8914); others get no OPT record."""
    ask = handler(built(acl, f"acl {{\n {action}\n}}", FakeParts()))
    for edns, end in ((Edns(1232, 0, False), bytes((0, 15, 0, 2, 0, code))), (None, b"\0\1\0\1")):
        asking = request("x.test. A", edns)
        assert compose_reply(asking.query, await ask(asking), "udp").endswith(end)


COUNTED = (
    ("acl test {\n block\n}", "blocked", {"server": "dns://:53", "zone": "test.", "view": ""}),
    ("acl test {\n filter\n}", "filtered", {"server": "dns://:53", "zone": "test.", "view": ""}),
    ("acl test {\n drop\n}", "dropped", {"server": "dns://:53", "zone": "test.", "view": ""}),
    ("acl test {\n allow\n}", "allowed", {"server": "dns://:53", "view": ""}),
    ("acl test {\n block net 192.0.2.0/24\n}", "allowed", {"server": "dns://:53", "view": ""}),
)


@pytest.mark.parametrize(("text", "what", "labels"), COUNTED)
async def test_each_decision_is_counted(text: str, what: str, labels: dict[str, str]) -> None:
    """By what was done, under CoreDNS's names and labels."""
    parts = FakeParts()
    await handler(built(acl, text, parts))(request("a.test. A"))
    assert parts.value(f"coredns_acl_{what}_requests_total", **labels) == 1


FAST = (
    ("acl test {\n block net 192.0.2.1\n}", "web.test. A", False),
    ("acl test {\n allow\n}", "web.test. A", False),
    ("acl b.test {\n block\n}", "web.test. A", True),
    ("acl b.test {\n block\n}", "web.ab.test. A", True),
    ("acl b.test {\n block\n}", "b.test. A", False),
)


@pytest.mark.parametrize(("text", "asked", "fast"), FAST)
def test_the_fast_way(text: str, asked: str, fast: bool) -> None:
    """Nothing in the zones of its blocks is sent without it; everything else is."""
    made = built(acl, text, FakeParts())
    assert takes_the_fast_way(made, asked) is fast
    assert made.must_see(parse_name("test."), True)  # what is known of missing names must not hide it
    assert not made.must_see(parse_name("other."), True)


def renamed(name: str) -> Callable[[Handler], Handler]:
    """A plugin before acl that asks for another name, as rewrite and autopath do."""

    def plugin(following: Handler) -> Handler:
        async def handle(asked: Request) -> Response:
            return await following(asked._replace(query=question(name)))

        return handle

    return plugin


@pytest.mark.parametrize("proto", ["udp", "tcp", "tls", "https"])
@pytest.mark.parametrize("name", ["secret.test.", "SECRET.test.", "a.secret.test."])
async def test_no_way_leads_around_it(name: str, proto: str) -> None:
    """A denied name is denied after a rewrite, over every transport, and where a cache or the cluster has it ready."""
    made = built(acl, "acl secret.test {\n block\n}", FakeParts())
    ready_made = Built(precompiled=ready("secret.test. 5 A 10.0.0.1"))
    assert made.plugin is not None
    through = chain((renamed(name), made.plugin), scripted(response("secret.test. 5 A 10.0.0.1")))
    site = Router((RoutedBlock(zones={ROOT: "."}, handler=through, built=(made, ready_made)),))
    assert site.find(question(name)) is None
    reply, _ = await site.handle(request("harmless.test.", None, client(proto=proto)))
    assert words(reply) == "REFUSED"


MISTAKES = (
    ("acl", "1:1 'acl' has no policy"),
    ("acl a..b {\n block\n}", "1:5 no zone: empty label in 'a..b'"),
    ("acl {\n deny\n}", "2:2 'deny' is none of allow, block, filter, drop"),
    ("acl {\n block 10.0.0.0/8\n}", "2:8 '10.0.0.0/8' is neither 'type' nor 'net'"),
    ("acl {\n block type AAAAA\n}", "2:13 unknown type 'AAAAA'"),
    ("acl {\n block net\n}", "2:2 nothing stands behind 'net'"),
    ("acl {\n block net 10.0.0.0/33\n allow type net *\n}",
     "2:12 '10.0.0.0/33' is not a network\n3:2 nothing stands behind 'type'"),
)  # fmt: skip


@pytest.mark.parametrize(("text", "problem"), MISTAKES)
def test_mistakes_have_places(text: str, problem: str) -> None:
    """What is wrong with the directive is told at its place."""
    assert mistakes(acl, text, FakeParts()) == problem
