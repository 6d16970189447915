"""rewrite: other questions, and replies that do not show it. What CoreDNS 1.14.7 answered is marked "seen"."""

from typing import NamedTuple

import pytest
from msgspec.structs import replace

from kdns.base.errors import UpstreamError
from kdns.dns.api.handler import Response, chain
from kdns.dns.plugins import rewrite
from kdns.wire.message import asked as asked_of_upstream
from kdns.wire.name import name_text, parse_name
from kdns.wire.numbers import SERVFAIL
from kdns.wire.query import Edns, edns_option, edns_options
from tests.dns.parts import FakeParts, scripted
from tests.dns.plugins.asking import built, client, mistakes, request, response, rtype, takes_the_fast_way, words

ZOO = ("zoo.new.b.test. 60 A 10.0.0.1", "zoo.new.b.test. 60 MX 10 t.zoo.new.b.test.", "zoo.new.b.test. 60 PTR x.test.")


class Case(NamedTuple):
    title: str
    text: str
    question: str
    asked: str
    behind: Response
    words: str


EXACT = "rewrite name exact ex.b.test ex.new.b.test"
SUFFIX = "rewrite name suffix .old.b.test .new.b.test answer auto"
REGEX = r"rewrite name regex ^re-(.*)\.b\.test\.$ {1}.new.b.test"
BLOCK = r"""rewrite stop {
    name regex ^ex-(.*)\.b\.test\.$ {1}.new.b.test
    answer name ^(.*)\.new\.b\.test\.$ ex-{1}.b.test
    answer value ^(.*)\.new\.b\.test\.$ val-{1}.b.test
}"""
BARE = response(rcode=0)
CASES = (
    Case("exact, its answer and names below it (seen)", EXACT, "EX.b.test.", "ex.new.b.test. A",
         response("ex.new.b.test. 60 A 10.0.0.1", authority=("b.test. 60 NS ns.ex.new.b.test.",),
                  additional=("x.ex.new.b.test. 60 A 10.0.0.2",)),
         "NOERROR aa | ex.b.test. 60 A 10.0.0.1 | -- b.test. 60 NS ns.ex.b.test. | ++ x.ex.b.test. 60 A 10.0.0.2"),
    Case("exact is whole names", EXACT, "a.ex.b.test.", "a.ex.b.test. A", BARE, "NOERROR aa"),
    Case("exact is the default", "rewrite name ex.b.test. other", "ex.b.test.", "other. A", BARE, "NOERROR aa"),
    Case("suffix with auto (seen)", SUFFIX, "a.old.b.test. MX", "a.new.b.test. MX",
         response("a.new.b.test. 60 MX 10 target.a.new.b.test.", "a.new.b.test. 60 SRV 1 2 3 a.new.b.test.",
                  "a.new.b.test. 60 SOA a.new.b.test. host.a.new.b.test. 1 2 3 4 5"),
         "NOERROR aa | a.old.b.test. 60 MX 10 target.a.old.b.test. | a.old.b.test. 60 SRV 1 2 3 a.old.b.test. | "
         "a.old.b.test. 60 SOA a.old.b.test. host.a.new.b.test. 1 2 3 4 5"),
    Case("without auto the answer shows it", "rewrite name suffix .old.b.test .new.b.test", "a.old.b.test.",
         "a.new.b.test. A", response("a.new.b.test. 60 A 10.0.0.1"), "NOERROR aa | a.new.b.test. 60 A 10.0.0.1"),
    Case("prefix (seen)", "rewrite name prefix foo. bar.", "foo.b.test.", "bar.b.test. A", BARE, "NOERROR aa"),
    Case("prefix is made absolute (seen)", "rewrite name prefix foo bar", "foofoo.b.test.", "foofoo.b.test. A", BARE,
         "NOERROR aa"),
    Case("substring (seen)", "rewrite name substring mid. MIDDLE.", "amid.bmid.b.test.", "amiddle.bmiddle.b.test. A",
         BARE, "NOERROR aa"),
    Case("regex with auto (seen)", f"{REGEX} answer auto", "re-zoo.b.test. MX", "zoo.new.b.test. MX",
         response(*ZOO), "NOERROR aa | re-zoo.b.test. 60 A 10.0.0.1 | re-zoo.b.test. 60 MX 10 t.re-zoo.b.test. | "
         "re-zoo.b.test. 60 PTR x.test."),
    Case("a block with answers (seen)", BLOCK, "ex-zoo.b.test.", "zoo.new.b.test. A", response(*ZOO),
         "NOERROR aa | ex-zoo.b.test. 60 A 10.0.0.1 | ex-zoo.b.test. 60 MX 10 val-t.zoo.b.test. | "
         "ex-zoo.b.test. 60 PTR x.test."),
    Case("the first that stops is the last (seen)", "rewrite name one.c.test two.c.test\nrewrite name two.c.test three",
         "one.c.test.", "two.c.test. A", BARE, "NOERROR aa"),
    Case("continue, and back in the opposite order (seen)",
         "rewrite continue name exact one.c.test two.c.test\nrewrite continue name exact two.c.test three.c.test",
         "one.c.test.", "three.c.test. A", response("three.c.test. 60 A 10.0.0.1"),
         "NOERROR aa | one.c.test. 60 A 10.0.0.1"),
    Case("type (seen)", "rewrite type TXT A", "t.c.test. TXT", "t.c.test. A", response("t.c.test. 60 A 10.0.0.9"),
         "NOERROR aa | t.c.test. 60 A 10.0.0.9"),
    Case("class", "rewrite class CH IN", "t.c.test. A CH", "t.c.test. A", BARE, "NOERROR aa"),
    Case("at least (seen)", "rewrite ttl suffix high.c.test 100-", "x.high.c.test.", "x.high.c.test. A",
         response("x. 60 A 10.0.0.1", "x. 200 A 10.0.0.2"), "NOERROR aa | x. 100 A 10.0.0.1 | x. 200 A 10.0.0.2"),
    Case("at most (seen)", "rewrite ttl low.c.test. -30", "low.c.test.", "low.c.test. A",
         response("x. 60 A 10.0.0.1"), "NOERROR aa | x. 30 A 10.0.0.1"),
    Case("between (seen)", "rewrite ttl exact mid.c.test. 70-80", "mid.c.test.", "mid.c.test. A",
         response("x. 60 A 10.0.0.1"), "NOERROR aa | x. 70 A 10.0.0.1"),
    Case("so long (seen)", "rewrite ttl regex ^set 5", "set.c.test.", "set.c.test. A",
         response("x. 60 A 10.0.0.1", authority=("x. 7 NS y.",)), "NOERROR aa | x. 5 A 10.0.0.1 | -- x. 5 NS y."),
    Case("rcode (seen)", r"rewrite rcode regex .*\.rc\.c\.test SERVFAIL NOERROR", "x.rc.c.test.", "x.rc.c.test. A",
         Response(2), "NOERROR"),
    Case("rcode of another kind", "rewrite rcode x.test 2 0", "x.test.", "x.test. A", Response(3), "NXDOMAIN"),
    Case("what the rest drops is dropped", EXACT, "ex.b.test.", "ex.new.b.test. A", Response(dropped=True), "dropped"),
)  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.title)
async def test_question_and_reply(case: Case) -> None:
    """What is asked instead, and what the client gets to see."""
    made, script = built(rewrite, case.text, FakeParts()), scripted(case.behind)
    assert made.plugin is not None
    reply = await chain((made.plugin,), script)(request(case.question))
    query = script.requests[0].query
    name, kind = case.asked.split()
    assert (name_text(query.name), query.rtype, query.rclass) == (name, rtype(kind), 1)
    assert query.question == query.name + query.rtype.to_bytes(2, "big") + b"\0\1"
    assert words(reply) == case.words


@pytest.mark.parametrize("to", ["{1}..x.", "a..b", "x" * 64, ".".join(["x" * 60] * 5)])
async def test_what_becomes_no_name_is_servfail(to: str) -> None:
    """As seen from CoreDNS, with the same text for the log."""
    made = built(rewrite, rf"rewrite name regex ^(bad)\..*$ {to}", FakeParts())
    assert made.plugin is not None
    with pytest.raises(UpstreamError, match="invalid name after rewrite: ") as caught:
        await chain((made.plugin,), scripted(BARE))(request("bad.q.test."))
    assert caught.value.rcode == 2


async def test_a_failure_gets_another_rcode_too() -> None:
    """What fails behind is still told to the errors plugin, with the rcode that the client gets."""
    made = built(rewrite, "rewrite rcode x.test SERVFAIL NXDOMAIN", FakeParts())
    assert made.plugin is not None
    with pytest.raises(UpstreamError, match="no healthy") as caught:
        await chain((made.plugin,), scripted(UpstreamError("no healthy upstream")))(request("x.test."))
    assert caught.value.rcode == 3


CDN = response("a.test. 200 CNAME b.test.", "b.test. 200 CNAME q.cdn.test.", "q.cdn.test. 300 A 20.2.0.1")
OTHER = response("q.other.test. 100 A 30.3.1.2")
ALIASES = (
    (r"rewrite cname regex ^(.*)\.cdn\.test\.$ {1}.other.test.", "q.other.test."),
    ("rewrite cname suffix .cdn.test .other.test", "q.other.test."),
    ("rewrite cname exact q.cdn.test q.other.test.", "q.other.test."),
    ("rewrite cname Q.CDN.test q.other.test", "q.other.test."),
    ("rewrite cname substring cdn other", "q.other.test."),
    ("rewrite cname prefix q.cdn q.other", "q.other.test."),
)


@pytest.mark.parametrize(("text", "target"), ALIASES)
async def test_an_alias_leads_elsewhere(text: str, target: str) -> None:
    """What is behind the new target takes the place of what was behind the old one (seen)."""

    async def lookup(_: object) -> Response:
        return OTHER

    parts = FakeParts(lookup=lookup)
    made = built(rewrite, text, parts)
    assert made.plugin is not None
    reply = await chain((made.plugin,), scripted(CDN))(request("a.test."))
    assert [name_text(each.query.name) for each in parts.looked_up] == [target]
    expected = "a.test. 200 CNAME b.test. | b.test. 200 CNAME q.other.test. | q.other.test. 100 A 30.3.1.2"
    assert words(reply) == f"NOERROR aa | {expected}"


@pytest.mark.parametrize("text", [text for text, _ in ALIASES])
async def test_an_alias_is_matched_whatever_its_spelling(text: str) -> None:
    """The target of an ExternalName keeps the spelling that the object has."""

    async def lookup(_: object) -> Response:
        return OTHER

    made = built(rewrite, text, FakeParts(lookup=lookup))
    assert made.plugin is not None
    spelled = CDN.answer[1]._replace(rdata=parse_name("Q.Cdn.Test.", fold=False))
    reply = await chain((made.plugin,), scripted(replace(CDN, answer=(CDN.answer[0], spelled))))(request("a.test."))
    assert reply.answer[-1] == OTHER.answer[0]


async def test_an_alias_that_leads_nowhere_stays(caplog: pytest.LogCaptureFixture) -> None:
    """A lookup that fails is logged, and the answer is as it was."""
    made = built(rewrite, "rewrite cname q.cdn.test q.other.test", FakeParts())
    assert made.plugin is not None
    reply = await chain((made.plugin,), scripted(CDN))(request("a.test."))
    assert reply.answer == CDN.answer
    assert "upstream lookup failed" in caplog.text


SUBNET24 = b"\0\1\x18\0\x0a\1\0"
OPTIONS: tuple[tuple[str, dict[int, bytes], dict[int, bytes], dict[int, bytes]], ...] = (
    # rules, the client's options, those that plugins behind see, those that go on to an upstream
    ("rewrite edns0 local set 0xffee abcd", {}, {0xFFEE: b"abcd"}, {0xFFEE: b"abcd"}),
    ("rewrite edns0 local set 0xffee abcd", {10: b"cookie!!"}, {10: b"cookie!!", 0xFFEE: b"abcd"}, {0xFFEE: b"abcd"}),
    ("rewrite edns0 local set 0xffee abcd revert", {}, {0xFFEE: b"abcd"}, {0xFFEE: b"abcd"}),
    ("rewrite edns0 local set 0xffee abcd", {0xFFEE: b"x"}, {0xFFEE: b"abcd"}, {0xFFEE: b"abcd"}),
    ("rewrite edns0 local replace 0xffef bcde revert", {}, {}, {}),
    ("rewrite edns0 local replace 65519 0x6263", {0xFFEF: b"x"}, {0xFFEF: b"bc"}, {0xFFEF: b"bc"}),
    ("rewrite edns0 local append 65519 y", {0xFFEF: b"x"}, {0xFFEF: b"x"}, {}),
    ("rewrite edns0 local append 65519 y", {}, {0xFFEF: b"y"}, {0xFFEF: b"y"}),
    ("rewrite edns0 local unset 65519", {0xFFEF: b"x", 3: b""}, {3: b""}, {}),
    ("rewrite edns0 nsid set", {}, {3: b""}, {3: b""}),
    ("rewrite edns0 nsid append", {}, {3: b""}, {3: b""}),
    ("rewrite edns0 nsid replace", {}, {}, {}),
    ("rewrite edns0 nsid replace", {3: b""}, {3: b""}, {3: b""}),
    ("rewrite edns0 nsid unset", {3: b""}, {}, {}),
    ("rewrite edns0 subnet set 24 56", {}, {8: SUBNET24}, {8: SUBNET24}),
    ("rewrite edns0 subnet set 32 128", {}, {8: b"\0\1\x20\0\x0a\1\0\7"}, {8: b"\0\1\x20\0\x0a\1\0\7"}),
    ("rewrite edns0 subnet set 0 0", {}, {8: b"\0\1\0\0"}, {8: b"\0\1\0\0"}),
    ("rewrite edns0 subnet set 24 56", {8: b"\0\1\x08\0\x09"}, {8: SUBNET24}, {8: SUBNET24}),
    ("rewrite edns0 subnet append 24 56", {8: b"\0\1\x08\0\x09"}, {8: b"\0\1\x08\0\x09"}, {}),
    ("rewrite edns0 subnet replace 24 56", {}, {}, {}),
    ("rewrite edns0 subnet replace 24 56", {8: b"\0\1\x08\0\x09"}, {8: SUBNET24}, {8: SUBNET24}),
    ("rewrite edns0 subnet unset", {8: SUBNET24}, {}, {}),
    ("rewrite edns0 local set 1000 {qname}", {}, {1000: b"x.test."}, {1000: b"x.test."}),
    ("rewrite edns0 local set 1000 {qtype}", {}, {1000: b"\0\1"}, {1000: b"\0\1"}),
    ("rewrite edns0 local set 1000 {client_ip}", {}, {1000: b"\x0a\1\0\7"}, {1000: b"\x0a\1\0\7"}),
    ("rewrite edns0 local set 1000 {client_port}", {}, {1000: b"\x0f\xd5"}, {1000: b"\x0f\xd5"}),
    ("rewrite edns0 local set 1000 {protocol}", {}, {1000: b"udp"}, {1000: b"udp"}),
    ("rewrite edns0 local set 1000 {server_ip}", {}, {1000: b"\x0a\x60\0\x0a"}, {1000: b"\x0a\x60\0\x0a"}),
    ("rewrite edns0 local set 1000 {server_port}", {}, {1000: b"\0\x35"}, {1000: b"\0\x35"}),
    ("rewrite edns0 local set 1000 {some/label}", {}, {}, {}),
    ("rewrite edns0 local set 1000 {kubernetes/client-namespace}", {}, {1000: b"team-a"}, {1000: b"team-a"}),
    ("rewrite continue {\n edns0 local set 1000 a\n}\nrewrite edns0 local replace 1000 b revert", {},
     {1000: b"b"}, {1000: b"b"}),
    ("rewrite continue {\n edns0 local set 1000 a\n}\nrewrite edns0 local unset 1000", {}, {}, {}),
    ("rewrite continue {\n edns0 local set 1000 a\n}\nrewrite edns0 nsid set", {},
     {1000: b"a", 3: b""}, {1000: b"a", 3: b""}),
)  # fmt: skip


@pytest.mark.parametrize(("text", "before", "behind", "onward"), OPTIONS)
@pytest.mark.parametrize("edns", [True, False])
async def test_edns_options(
    text: str, before: dict[int, bytes], behind: dict[int, bytes], onward: dict[int, bytes], edns: bool
) -> None:
    """What the Corefile sets goes on, the client's own options do not; the reply has nothing of either."""
    if before and not edns:
        return
    octets = b"".join(edns_option(code, data) for code, data in before.items())
    made, script = built(rewrite, text, FakeParts()), scripted(BARE)
    assert made.plugin is not None
    asked = request("x.test.", Edns(1232, 0, False, octets) if edns else None)
    asked.metadata["kubernetes/client-namespace"] = "team-a"
    reply = await chain((made.plugin,), script)(asked)
    there = script.requests[0].query.edns
    assert dict(edns_options(there.options if there else b"")) == behind
    assert dict(edns_options(asked_of_upstream(script.requests[0].query).options)) == onward
    assert reply.options == b""


@pytest.mark.parametrize("address", ["10.1.0.7", "::ffff:10.1.0.7"])
async def test_an_ipv4_client_on_an_ipv6_socket(address: str) -> None:
    """It is the same client, with the same subnet and address (RFC 7871 section 6 knows no mapped addresses)."""
    text = "rewrite continue {\n edns0 subnet set 24 56\n}\nrewrite edns0 local set 1000 {client_ip}"
    made, script = built(rewrite, text, FakeParts()), scripted(BARE)
    assert made.plugin is not None
    await chain((made.plugin,), script)(request("x.test.", None, client(address)))
    edns = script.requests[0].query.edns
    assert edns is not None
    assert dict(edns_options(edns.options)) == {8: SUBNET24, 1000: b"\x0a\1\0\7"}


async def test_an_extended_rcode_needs_edns() -> None:
    """A client without EDNS cannot be told BADCOOKIE, though the query that went on had an OPT record."""
    made, script = built(rewrite, "rewrite edns0 nsid set", FakeParts()), scripted(Response(23, plugin="forward"))
    assert made.plugin is not None
    assert (await chain((made.plugin,), script)(request("x.test."))).rcode == SERVFAIL
    assert (await chain((made.plugin,), script)(request("x.test.", Edns(1232, 0, False)))).rcode == 23


async def test_a_subnet_of_ipv6() -> None:
    """Only the octets of the prefix are given away."""
    made, script = built(rewrite, "rewrite edns0 subnet set 24 56", FakeParts()), scripted(BARE)
    assert made.plugin is not None
    await chain((made.plugin,), script)(request("x.test.", None, client("fd00:1:2:3:4::7")))
    edns = script.requests[0].query.edns
    assert edns is not None
    assert dict(edns_options(edns.options)) == {8: bytes.fromhex("00023800fd000001000200")}


SLIPS: tuple[tuple[str, list[tuple[int, str]]], ...] = (
    # rules, the warnings
    (r"rewrite name regex (.*)\.a {1}.b\.c", [(1, "did you mean {1}.b.c?")]),
    (r"rewrite name suffix .a.test .b\.test", [(1, "the backslash")]),
    ("rewrite name regex (.*)\\.a {1}.b answer name (.*)\\.b {1}.a\\.c", [(1, "the backslash")]),
    ("rewrite name regex (.*)\\.a {1}.b answer value (.*)\\.b {1}.a\\.c", [(1, "the backslash")]),
    ("rewrite cname regex (.*)\\.a {1}.b\\.c", [(1, "the backslash")]),
    ("rewrite cname a b\nrewrite cname c d", [(2, "never tried: that in line 1")]),
    ("rewrite cname a b\nrewrite cname c d\nrewrite name e f", [(2, "line 1"), (3, "line 1")]),
    ("rewrite continue cname a b\nrewrite cname c d\nrewrite cname e f", [(3, "line 2")]),
    ("rewrite edns0 nsid set\nrewrite name a b", [(2, "line 1")]),
    ("rewrite edns0 local unset 1000\nrewrite name a b", [(2, "line 1")]),
    ("rewrite continue cname a b\nrewrite cname c d", []),
    ("rewrite name a b\nrewrite cname c d", []),
    ("rewrite edns0 local append 1000 x\nrewrite name a b", []),
    ("rewrite edns0 local set 1000 {kubernetes/client-namespace}\nrewrite name a b", []),
    (r"rewrite name regex (.*)\.a\.test {1}.b.test", []),
)


@pytest.mark.parametrize(("text", "expected"), SLIPS)
def test_what_is_allowed_and_never_meant(text: str, expected: list[tuple[int, str]]) -> None:
    """It works as in CoreDNS, and `kdns check` and the log say so."""
    parts = FakeParts()
    built(rewrite, text, parts)
    assert len(parts.warnings) == len(expected)
    for warning, (line, part) in zip(parts.warnings, expected, strict=True):
        assert f":{line}:" in warning
        assert part in warning


VARIABLES = (
    "rewrite name regex (.+)\\.here\\.corp {1}.{kubernetes/client-namespace}.svc.cluster.local",
    "rewrite name suffix .here .{kubernetes/client-namespace}.there",
    "rewrite name exact a.test {qname}",
    "rewrite cname regex (.+) {client_ip}.{1}",
    "rewrite name regex (.+)\\.a {1}.b answer name (.+)\\.b {1}.{view/name}",
)


@pytest.mark.parametrize("text", VARIABLES)
def test_metadata_in_a_name_is_a_mistake(text: str) -> None:
    """A name takes groups only; it would be asked for as it stands, and never exist."""
    found = mistakes(rewrite, text, FakeParts())
    assert "is not replaced in a name" in found


FAST = (
    (EXACT, "web.test.", True),
    (EXACT, "ex.b.test.", False),
    (SUFFIX, "web.test.", True),
    (SUFFIX, "web.old.b.test.", False),
    (REGEX, "web.test.", True),
    (REGEX, "re-x.b.test.", False),
    ("rewrite ttl substring web 5", "web.test.", False),
    ("rewrite type TXT A", "web.test.", True),
    ("rewrite type TXT A", "web.test. TXT", False),
    ("rewrite cname a b", "web.test.", False),
    ("rewrite edns0 nsid set", "web.test.", False),
)


@pytest.mark.parametrize(("text", "question", "fast"), FAST)
def test_the_fast_way(text: str, question: str, fast: bool) -> None:
    """Only what a rule could touch is kept from the fast way."""
    assert takes_the_fast_way(built(rewrite, text, FakeParts()), question) is fast


BELOW = (
    (EXACT, "b.test.", True),
    (EXACT, "ex.b.test.", True),
    (EXACT, "x.test.", False),
    (EXACT, ".", True),
    (SUFFIX, "test.", True),
    (SUFFIX, "a.old.b.test.", True),
    (SUFFIX, "cluster.local.", False),
    (REGEX, "cluster.local.", False),
    (REGEX, "a.re-x.b.test.", True),
    (REGEX, "test.", True),
    (REGEX, ".", True),
    ("rewrite name regex (.*)x b", "cluster.local.", True),
    ("rewrite name substring x b", "cluster.local.", True),
)


@pytest.mark.parametrize(("text", "name", "must_see"), BELOW)
def test_names_below_a_name(text: str, name: str, must_see: bool) -> None:
    """It must see questions below a name if a rule could touch one of them."""
    assert built(rewrite, text, FakeParts()).must_see(parse_name(name), True) is must_see


MISTAKES = (
    ("rewrite", "1:1 'rewrite' needs a field"),
    ("rewrite stop", "1:1 'rewrite' needs a field"),
    ("rewrite nme a b", "1:9 'rewrite' has no field 'nme'"),
    ("rewrite answer auto", "1:9 'answer' stands behind 'name'"),
    ("rewrite name a", "1:9 'name' needs 2 words behind it, got 1"),
    ("rewrite name exct a b", "1:14 'exct' is none of exact, prefix, suffix, substring, regex"),
    ("rewrite name suffix a b auto", "1:25 behind the name comes 'answer', or nothing"),
    ("rewrite name suffix a b answer", "1:25 'answer' needs auto, name or value"),
    ("rewrite name suffix a b answer nam x y", "1:32 'nam' is none of auto, name, value"),
    ("rewrite name suffix a b answer name x", "1:32 'answer name' needs FROM and TO"),
    ("rewrite name suffix a b answer auto name x y", "1:37 'answer auto' and 'answer name' exclude each other"),
    ("rewrite name regex ( b", "1:20 invalid regular expression: missing ): ("),
    ("rewrite name regex (a) {2}", "1:24 '{2}' uses more groups than the pattern has"),
    ("rewrite type A NOPE", "1:16 unknown type 'NOPE'"),
    ("rewrite type A", "1:9 'type' needs 2 words behind it, got 1"),
    ("rewrite type A B C", "1:18 'type' takes 2 words, got 3"),
    ("rewrite class IN XX", "1:18 'XX' is none of IN, CH, HS, NONE, ANY"),
    ("rewrite ttl a -", "1:15 '-' is no TTL"),
    ("rewrite ttl a 30-20", "1:15 invalid range '30-20'"),
    ("rewrite ttl a x", "1:15 invalid whole number 'x'"),
    ("rewrite rcode a 2 24", "1:19 24 is out of range"),
    ("rewrite edns0 locl set 1 a", "1:15 'locl' is none of local, nsid, subnet"),
    ("rewrite edns0 local set 0x1ffff a", "1:25 invalid option code '0x1ffff'"),
    ("rewrite edns0 local set 1 0xabc", "1:27 '0xabc' is not hexadecimal"),
    ("rewrite edns0 local set 1 {qnme}", "1:27 there is no variable '{qnme}'"),
    ("rewrite edns0 local set 1", "1:15 'local set' takes 2 words, got 1"),
    ("rewrite edns0 subnet set 33 56", "1:26 33 is out of range"),
    ("rewrite edns0 nsid set x", "1:24 'nsid set' takes 0 words, got 1"),
    ("rewrite name a b {\n x\n}", "2:2 'rewrite' has no block"),
    ("rewrite ttl a x\nrewrite nme a b", "1:15 invalid whole number 'x'\n2:9 'rewrite' has no field 'nme'"),
)


@pytest.mark.parametrize(("text", "problem"), MISTAKES)
def test_mistakes_have_places(text: str, problem: str) -> None:
    """What is wrong with a rule is told at its place."""
    assert mistakes(rewrite, text, FakeParts()) == problem
