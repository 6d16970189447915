"""dns64: AAAA records made from A records."""

from ipaddress import IPv6Address, IPv6Network, ip_address
from typing import NamedTuple

import pytest

from kdns.base.errors import UpstreamError
from kdns.dns.api.handler import Request, Response
from kdns.dns.plugins import dns64
from kdns.dns.plugins.dns64 import embed
from kdns.wire.numbers import AAAA, AD, CD, NXDOMAIN, SERVFAIL
from kdns.wire.query import Edns
from tests.dns.parts import FakeParts
from tests.dns.plugins.asking import built, client, mistakes, ready, request, response, takes_the_fast_way, words

SOA = "test. 60 SOA a. b. 1 2 3 4 5"
NODATA = response(authority=(SOA,))
ONE = response("web.test. 300 A 192.0.2.33")
SIX = response("web.test. 300 AAAA 2001:db8::1")
INSIDE = client("fd00::7")


class Case(NamedTuple):
    title: str
    words: str
    aaaa: Response = NODATA
    a: Response = ONE
    text: str = "dns64"
    question: str = "web.test. AAAA"
    asker: str = "fd00::7"


CASES = (
    Case("an address in the well-known prefix", "NOERROR aa | web.test. 60 AAAA 64:ff9b::c000:221"),
    Case("all addresses, and what leads to them",
         "NOERROR aa | web.test. 5 CNAME a.test. | a.test. 20 AAAA 64:ff9b::a00:1 | a.test. 60 AAAA 64:ff9b::a00:2",
         a=response("web.test. 5 CNAME a.test.", "a.test. 20 A 10.0.0.1", "a.test. 99 A 10.0.0.2")),
    Case("without SOA the TTL is 600 at most", "NOERROR aa | web.test. 600 AAAA 64:ff9b::c000:221", response(),
         response("web.test. 3000 A 192.0.2.33")),
    Case("AAAA records are left alone", "NOERROR aa | web.test. 300 AAAA 2001:db8::1", SIX),
    Case("... but with translate_all", "NOERROR aa | web.test. 300 AAAA 64:ff9b::c000:221", SIX,
         text="dns64 {\n translate_all\n}"),
    Case("mapped addresses are none (RFC 6147 section 5.1.4)", "NOERROR aa | web.test. 300 AAAA 64:ff9b::c000:221",
         response("web.test. 300 AAAA ::ffff:192.0.2.33")),
    Case("a name that does not exist", "NXDOMAIN aa", response(rcode=NXDOMAIN)),
    Case("an error is like nothing", "NOERROR aa | web.test. 300 AAAA 64:ff9b::c000:221", Response(SERVFAIL)),
    Case("no A records either", words(NODATA), a=response(authority=("test. 9 SOA a. b. 1 2 3 4 5",))),
    Case("over IPv4", words(NODATA), asker="10.1.0.7"),
    Case("... if that is allowed", "NOERROR aa | web.test. 60 AAAA 64:ff9b::c000:221", text="dns64 {\n allow_ipv4\n}",
         asker="10.1.0.7"),
    Case("another prefix", "NOERROR aa | web.test. 60 AAAA 2001:db8:c000:221::", text="dns64 2001:db8::/32"),
    Case("... in the block", "NOERROR aa | web.test. 60 AAAA 2001:db8:122:344:c0:2:2100:0",
         text="dns64 {\n prefix 2001:db8:122:344::/64\n}"),
    Case("another type", "NOERROR aa | web.test. 300 A 192.0.2.33", question="web.test. A"),
    Case("another class", words(NODATA), question="web.test. AAAA CH"),
    Case("what is dropped stays dropped", "dropped", Response(dropped=True)),
    Case("AD is gone", "NOERROR | web.test. 60 AAAA 64:ff9b::c000:221", a=Response(0, AD, ONE.answer)),
)  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.title)
async def test_what_is_answered(case: Case) -> None:
    """A question, and what becomes of the answers for AAAA and for A behind it."""
    made = built(dns64, case.text, FakeParts())
    assert made.plugin is not None

    async def behind(asked: Request) -> Response:
        assert asked.query.question.endswith(
            asked.query.rtype.to_bytes(2, "big") + asked.query.rclass.to_bytes(2, "big")
        )
        return case.aaaa if asked.query.rtype == AAAA else case.a

    assert words(await made.plugin(behind)(request(case.question, None, client(case.asker)))) == case.words


async def test_clients_that_validate_are_left_alone() -> None:
    """With DO and CD nothing is made up (RFC 6147 section 5.5)."""
    made = built(dns64, "dns64", FakeParts())
    assert made.plugin is not None

    async def behind(asked: Request) -> Response:
        return NODATA if asked.query.rtype == AAAA else ONE

    asking = request("web.test. AAAA", Edns(1232, 0, True), INSIDE)
    checked = asking._replace(query=asking.query._replace(flags=asking.query.flags | CD))
    assert words(await made.plugin(behind)(checked)) == words(NODATA)
    assert words(await made.plugin(behind)(asking)) == "NOERROR aa | web.test. 60 AAAA 64:ff9b::c000:221"


async def test_what_goes_wrong_is_told() -> None:
    """An upstream that does not answer is an error for the plugins in front, and counts as no translation."""
    parts = FakeParts()
    made = built(dns64, "dns64", parts)
    assert made.plugin is not None

    async def behind(asked: Request) -> Response:
        if asked.query.rtype == AAAA:
            return NODATA
        raise UpstreamError("timed out")

    with pytest.raises(UpstreamError):
        await made.plugin(behind)(request("web.test. AAAA", None, INSIDE))
    assert parts.value("coredns_dns64_requests_translated_total", server="dns://:53") is None


async def test_translations_are_counted() -> None:
    """Each answer that was made counts, by server."""
    parts = FakeParts()
    made = built(dns64, "dns64", parts)
    assert made.plugin is not None

    async def behind(asked: Request) -> Response:
        return NODATA if asked.query.rtype == AAAA else ONE

    for asked in ("web.test. AAAA", "web.test. A"):
        await made.plugin(behind)(request(asked, None, INSIDE))
    assert parts.value("coredns_dns64_requests_translated_total", server="dns://:53") == 1


EMBEDDED = (  # the table of RFC 6052 section 2.4
    ("2001:db8::/32", "2001:db8:c000:221::"),
    ("2001:db8:100::/40", "2001:db8:1c0:2:21::"),
    ("2001:db8:122::/48", "2001:db8:122:c000:2:2100::"),
    ("2001:db8:122:300::/56", "2001:db8:122:3c0:0:221::"),
    ("2001:db8:122:344::/64", "2001:db8:122:344:c0:2:2100::"),
    ("2001:db8:122:344::/96", "2001:db8:122:344::192.0.2.33"),
)


@pytest.mark.parametrize(("prefix", "address"), EMBEDDED)
def test_addresses_in_prefixes(prefix: str, address: str) -> None:
    """192.0.2.33 in a prefix of each length is what RFC 6052 says."""
    octets = embed(IPv6Network(prefix), ip_address("192.0.2.33").packed)
    assert IPv6Address(octets) == IPv6Address(address)


FOUR, FOUND = ready("web.test. 5 A 10.0.0.1"), ready("web.test. 5 AAAA fd00::1")
FAST = (
    ("dns64", "web.test. A", FOUR, True),
    ("dns64", "web.test. AAAA", FOUND, True),
    ("dns64", "web.test. AAAA", ready("web.test. 5 AAAA fd00::1", "web.test. 5 AAAA fd00::2"), True),
    ("dns64", "web.test. AAAA", ready("web.test. 5 AAAA ::ffff:10.0.0.1"), False),
    ("dns64", "web.test. AAAA", ready("web.test. 5 CNAME a.test."), False),
    ("dns64", "web.test. AAAA", ready(), False),
    ("dns64", "web.test. AAAA", ready(rcode=NXDOMAIN), True),
    ("dns64", "web.test. AAAA", ready(rcode=SERVFAIL), False),
    ("dns64 {\n translate_all\n}", "web.test. AAAA", FOUND, False),
)


@pytest.mark.parametrize("row", FAST, ids=lambda row: f"{' '.join(row[0].split())}: {row[1]}")
def test_the_fast_way(row: tuple[str, str, object, bool]) -> None:
    """What is ready is sent as it is where nothing could be made of it."""
    text, asked, find, fast = row
    assert takes_the_fast_way(built(dns64, text, FakeParts()), asked, find) is fast  # type: ignore[arg-type]


MISTAKES = (
    ("dns64 10.0.0.0/8", "1:7 10.0.0.0/8 is no IPv6 prefix"),
    ("dns64 64:ff9b::/95", "1:7 a prefix of 95 bits"),
    ("dns64 64:ff9b::/72", "1:7 a prefix of 72 bits"),
    ("dns64 2001:db8:0:0:ff00::/96", "1:7 octet 9 of the prefix must be 0"),
    ("dns64 a b", "1:9 'dns64' takes 0 to 1 arguments, got 2"),
    ("dns64 {\n prefix\n}", "2:2 'prefix' needs 1 argument, got 0"),
    ("dns64 {\n translate_all now\n allow\n}",
     "2:16 'translate_all' takes no argument\n3:2 'dns64' has no property 'allow'"),
    ("dns64\ndns64", "2:1 'dns64' stands twice in this server block"),
)  # fmt: skip


@pytest.mark.parametrize(("text", "problem"), MISTAKES)
def test_mistakes_have_places(text: str, problem: str) -> None:
    """What is wrong with the directive is told at its place."""
    assert mistakes(dns64, text, FakeParts()) == problem
