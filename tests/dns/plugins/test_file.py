"""file: zones from master files. What was answered by CoreDNS 1.14.7 (with the SOA's own TTL in a "no") is "seen"."""

import asyncio
import os
from pathlib import Path
from typing import NamedTuple

import pytest

from kdns.base.errors import ConfigError, ConfigErrors
from kdns.dns.api.handler import Response
from kdns.dns.api.plugin import Built
from kdns.dns.plugins import file
from kdns.dns.plugins.file import Files
from kdns.wire.name import parse_name
from tests.config.text import directives
from tests.dns.parts import FakeParts
from tests.dns.plugins.asking import built, handler, mistakes, request, response, words
from tests.dns.zonefile_text import DENIAL, SERVERS, SOA, ZONE

BEHIND = "NOERROR aa | behind. 5 A 192.0.2.1"


async def started(folder: Path, text: str = "file db example.org", zone: str | None = ZONE) -> tuple[Built, FakeParts]:
    """The plugin with its file read."""
    if zone is not None:
        (folder / "db").write_text(zone)
    parts = FakeParts(folder=str(folder))
    made = built(file, text, parts)
    assert made.start is not None
    await made.start()
    return made, parts


class Case(NamedTuple):
    title: str
    question: str
    words: str


CASES = (
    Case("SOA, seen", "example.org SOA", f"NOERROR aa | {SOA.format(3600)} | {SERVERS}"),
    Case("NS with addresses", "example.org NS", f"NOERROR aa | {SERVERS[3:]} | ++ ns1.example.org. 3600 A 192.0.2.53"),
    Case(
        "MX with addresses",
        "example.org MX",
        f"NOERROR aa | example.org. 3600 MX 10 mail.example.org. | {SERVERS} | ++ mail.example.org. 3600 A 192.0.2.25"
        " | ++ mail.example.org. 3600 AAAA 2001:db8::25",
    ),
    Case(
        "an alias within the zone, seen",
        "www.example.org A",
        "NOERROR aa | www.example.org. 300 CNAME web.example.org. | web.example.org. 3600 A 192.0.2.80 | " + SERVERS,
    ),
    Case(
        "an alias asked for ANY, seen but for NS",
        "www.example.org ANY",
        "NOERROR aa | www.example.org. 300 CNAME web.example.org.",
    ),
    Case("ANY of others is nothing, seen", "ns1.example.org ANY", f"NOERROR aa | {DENIAL}"),
    Case("texts", "txt.example.org TXT", rf'NOERROR aa | txt.example.org. 3600 TXT "a b; c" "c\"d" "A" | {SERVERS}'),
    Case("wildcard, seen", "x.wild.example.org A", f"NOERROR aa | x.wild.example.org. 3600 A 192.0.2.99 | {SERVERS}"),
    Case(
        "wildcard, two labels",
        "x.y.wild.example.org A",
        f"NOERROR aa | x.y.wild.example.org. 3600 A 192.0.2.99 | {SERVERS}",
    ),
    Case("wildcard without the type, seen", "x.wild.example.org AAAA", f"NOERROR aa | {DENIAL}"),
    Case("a name that is there hides the wildcard", "here.wild.example.org A", f"NOERROR aa | {DENIAL}"),
    Case("and for names under it, too (RFC 4592)", "x.here.wild.example.org A", f"NXDOMAIN aa | {DENIAL}"),
    Case("empty non-terminal, seen", "deep.example.org A", f"NOERROR aa | {DENIAL}"),
    Case("missing, seen", "c.deep.example.org A", f"NXDOMAIN aa | {DENIAL}"),
    Case(
        "referral with glue, seen",
        "host.sub.example.org A",
        "NOERROR | -- sub.example.org. 3600 NS ns.sub.example.org. | -- sub.example.org. 3600 NS ns.elsewhere.test."
        " | ++ ns.sub.example.org. 3600 A 192.0.2.54",
    ),
    Case(
        "an alias into a delegation",
        "into.example.org A",
        "NOERROR aa | into.example.org. 3600 CNAME host.sub.example.org. | -- sub.example.org. 3600 NS"
        " ns.sub.example.org. | -- sub.example.org. 3600 NS ns.elsewhere.test. | ++ ns.sub.example.org. 3600 A"
        " 192.0.2.54",
    ),
    Case(
        "DS of a delegation",
        "sub.example.org DS",
        rf"NOERROR aa | sub.example.org. 3600 DS \# 24 000105010123456789abcdef0123456789abcdef01234567 | {SERVERS}",
    ),
    Case(
        "SRV, seen",
        "_http._tcp.example.org SRV",
        f"NOERROR aa | _http._tcp.example.org. 3600 SRV 0 1 80 web.example.org. | {SERVERS}"
        " | ++ web.example.org. 3600 A 192.0.2.80",
    ),
    Case(
        "DNAME, seen",
        "x.old.example.org A",
        r"NOERROR aa | old.example.org. 3600 DNAME \# 17 036e6577076578616d706c65036f726700"
        f" | x.old.example.org. 3600 CNAME x.new.example.org. | x.new.example.org. 60 A 192.0.2.7 | {SERVERS}",
    ),
    Case("the owner of a DNAME", "old.example.org A", f"NOERROR aa | {DENIAL}"),
    Case(
        "CAA",
        "caa.example.org CAA",
        rf"NOERROR aa | caa.example.org. 3600 CAA \# 14 0005697373756563612e74657374 | {SERVERS}",
    ),
    Case(
        "NAPTR, read by dnslib",
        "naptr.example.org NAPTR",
        r"NOERROR aa | naptr.example.org. 3600 NAPTR \# 38 000a00140153075349502b44325500045f736970045f756470"
        rf"076578616d706c65036f726700 | {SERVERS}",
    ),
    Case(
        "unknown type",
        "odd.example.org TYPE65280",
        rf"NOERROR aa | odd.example.org. 3600 TYPE65280 \# 3 abcdef | {SERVERS}",
    ),
    Case("generic data", "generic.example.org A", f"NOERROR aa | generic.example.org. 3600 A 192.0.2.8 | {SERVERS}"),
    Case(
        "a circle of aliases",
        "loop1.example.org A",
        "SERVFAIL aa | loop1.example.org. 3600 CNAME loop2.example.org. | loop2.example.org. 3600 CNAME"
        " loop1.example.org.",
    ),
    Case(
        "equal records are one", "twice.example.org A", f"NOERROR aa | twice.example.org. 3600 A 192.0.2.1 | {SERVERS}"
    ),
    Case("transfers", "example.org AXFR", "REFUSED"),
    Case("outside", "stray.test A", BEHIND),
    Case("another class", "example.org TXT CH", BEHIND),
)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.title)
async def test_answers(case: Case, tmp_path: Path) -> None:
    """The zone answers as an authoritative server does."""
    made, parts = await started(tmp_path)
    found = await handler(made, response("behind. 5 A 192.0.2.1"))(request(case.question))
    assert words(found) == case.words
    await parts.close()


@pytest.mark.parametrize(
    ("end", "expected"),
    [
        (response("www.other.test. 9 A 192.0.2.6"), "NOERROR aa | ALIAS | www.other.test. 9 A 192.0.2.6"),
        (Response(3), "NXDOMAIN aa | ALIAS"),
        (Response(5), "NOERROR aa | ALIAS"),
    ],
)
async def test_aliases_that_lead_outside(end: Response, expected: str, tmp_path: Path) -> None:
    """They are looked up through the server, and the rcode is that of their end."""
    made, parts = await started(tmp_path)

    async def lookup(_: object) -> Response:
        return end

    parts.answer_lookup = lookup
    found = await handler(made)(request("out.example.org A"))
    assert words(found) == expected.replace("ALIAS", "out.example.org. 3600 CNAME www.other.test.")
    assert parts.looked_up[0].query.name == parse_name("www.other.test")
    await parts.close()


async def test_fallthrough(tmp_path: Path) -> None:
    """Only names that do not exist go on, and only where it is said."""
    made, parts = await started(tmp_path, "file db example.org {\n fallthrough b.example.org\n}")
    chain = handler(made, response("behind. 5 A 192.0.2.1"))
    assert words(await chain(request("x.b.example.org A"))) == BEHIND
    assert words(await chain(request("b.deep.example.org A"))) == f"NOERROR aa | {DENIAL}"
    assert words(await chain(request("x.c.example.org A"))) == f"NXDOMAIN aa | {DENIAL}"
    await parts.close()


async def test_sees_its_zones(tmp_path: Path) -> None:
    """What plugins behind it have ready for other names is sent at once."""
    made, parts = await started(tmp_path)
    assert made.must_see(parse_name("x.example.org"), False)
    assert made.must_see(parse_name("org"), True)
    assert not made.must_see(parse_name("org"), False)
    assert not made.must_see(parse_name("example.net"), True)
    await parts.close()


async def test_one_file_for_two_zones(tmp_path: Path) -> None:
    """Relative names are in each of them."""
    made, parts = await started(
        tmp_path, "file db a.test b.test", "@ 60 SOA ns root 1 1 1 1 1\n@ NS ns\nns A 192.0.2.3\n"
    )
    for zone in ("a.test", "b.test"):
        found = await handler(made)(request(f"ns.{zone} A"))
        assert words(found) == f"NOERROR aa | ns.{zone}. 60 A 192.0.2.3 | -- {zone}. 60 NS ns.{zone}."
    await parts.close()


async def test_a_changed_file_is_read_and_a_broken_one_is_not(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """By modification time; a broken file is told once, and the zone stays as it was."""
    path = tmp_path / "db"
    parts = FakeParts(folder=str(tmp_path))
    turns = asyncio.Semaphore(0)
    looks = asyncio.Semaphore(0)

    async def sleep(seconds: float) -> None:
        assert seconds == 15
        looks.release()
        await turns.acquire()

    options = file.parse(directives("file db example.org {\n reload 15s\n}"), parts.place)
    files = Files(options, parts, sleep)
    chain = handler(Built(plugin=files.plugin))

    async def address() -> str:
        await asyncio.wait_for(looks.acquire(), 120)
        return words(await chain(request("web.example.org A"))).split(" | ")[0:2][-1]

    async def write(text: str, second: int) -> None:
        path.write_text(text)
        os.utime(path, (second, second))
        turns.release()

    await files.start()  # the file is not there yet
    assert await address() == "SERVFAIL"
    assert files.serial(parse_name("example.org")) is None
    await write(ZONE, 1)
    assert await address() == "web.example.org. 3600 A 192.0.2.80"
    assert files.serial(parse_name("example.org")) == 7
    forgotten = parts.forgotten
    assert forgotten
    for second in (2, 2):
        await write(ZONE.replace("192.0.2.80", "192.0.2.800"), second)
        assert await address() == "web.example.org. 3600 A 192.0.2.80"
    assert [record.message for record in caplog.records if "db:12:11" in record.message] != []
    assert sum("db:12:11" in record.message for record in caplog.records) == 1
    await write(ZONE.replace("192.0.2.80", "192.0.2.81"), 3)
    assert await address() == "web.example.org. 3600 A 192.0.2.81"
    assert parts.forgotten == forgotten + 1
    await parts.close()


HEAD = "@ 60 IN SOA ns root 1 1 1 1 1\n"
BROKEN = (
    ("a A 1.2.3", "db:2:5: invalid A data: Expected 4 octets"),
    ("a A", "db:2:3: invalid A data: a field is missing at the end"),
    ("a AAAA fe80::1%eth0", "db:2:8: invalid AAAA data: 'fe80::1%eth0' has a scope"),
    ("a MX mail", "db:2:6: invalid MX data: expecting an integer"),
    ("a MX 10", "db:2:6: invalid MX data: a field is missing at the end"),
    ("a MX 10 mail ( \n more )", "db:3:2: invalid MX data: unexpected word after the last field"),
    ("a SRV 1 2 3 a..b", "db:2:13: invalid SRV data: empty label in 'a..b'"),
    ("a SRV 1 2 3 b\u00fccher", "db:2:13: 'b\u00fccher' is not ASCII"),
    ("a KX 1 b\u00fccher", "db:2:8: 'b\u00fccher' is not ASCII"),
    ("a URI 10 x https://e/", "db:2:10: invalid URI data: expecting an integer"),
    ("a CAA 0 issue", "db:2:9: invalid CAA data: a field is missing at the end"),
    ("a HINFO a " + "b" * 256, "db:2:11: invalid HINFO data: string too long"),
    ("a MX 70000 mail", "db:2:6: invalid MX data: 70000 has over 16 bits"),
    ("a NOSUCH x", "db:2:3: unknown record type 'NOSUCH'"),
    ("a AXFR x", "db:2:3: unknown record type 'AXFR'"),
    ("a TYPE65280 x", "db:2:13: invalid TYPE65280 data: only the generic form"),
    (r"a A \# 3 c00002", "db:2:10: invalid A data: "),
    ("a CH TXT x", "db:2:3: class CH"),
    ("a 60", "db:2:3: this record has no type"),
    ("a 99999999999 A 192.0.2.1", "db:2:3: invalid TTL '99999999999'"),
    ('a TXT "open', "db:2:7: this quotation mark is never closed"),
    ("a TXT ( x", "db:2:7: this parenthesis is never closed"),
    ("a TXT x )", "db:2:9: this parenthesis closes nothing"),
    (f"{'x' * 64} A 192.0.2.1", "db:2:1: label of 64 octets"),
    ("b\u00fccher A 192.0.2.1", "db:2:1: 'b\u00fccher' is not ASCII"),
    ("$INCLUDE other", "db:2:10: 'other' cannot be read: No such file or directory"),
    ("$INCLUDE", "db:2:1: $INCLUDE needs a file and maybe an origin, got 0 words"),
    ("$INCLUDE .", "not a regular file"),
    ("$INCLUDE db a..b", "db:2:13: empty label"),
    ("$INCLUDE db", "db:2:1: over 7 files within each other"),
    ("$GENERATE 1-9 a$ A", "db:2:1: $GENERATE needs RANGE OWNER TYPE DATA, got 3 words"),
    ("$GENERATE 9-1 a$ A 192.0.2.$", "db:2:11: invalid range '9-1'"),
    ("$GENERATE 1-9/0 a$ A 192.0.2.$", "db:2:11: invalid range '1-9/0'"),
    ("$GENERATE a a$ A 192.0.2.$", "db:2:11: invalid range 'a': START-STOP"),
    ("$GENERATE 0-65536 a$ A 192.0.2.1", "db:2:11: 0-65536 has 65537 numbers, at most 65536"),
    ("$GENERATE 1-2 a${x} A 192.0.2.$", "db:2:15: invalid number format '${x}'"),
    ("$GENERATE 1-2 a${0,64} A 192.0.2.$", "db:2:15: invalid number format '${0,64}'"),
    ("$GENERATE 1-2 a${-2} A 192.0.2.$", "db:2:15: ${-2} is -1 for 1"),
    ("$GENERATE 255-256 a$ A 192.0.2.$", "db:2:24: invalid A data: Octet 256"),
    ("$FOO x", "db:2:1: unknown directive '$FOO'"),
    ("$TTL x", "db:2:6: invalid TTL 'x'"),
    ("a CNAME b\na A 192.0.2.1", "a.example.org. is an alias and has other records"),
    ("a SOA ns root 1 1 1 1 1", "an SOA record at a.example.org."),
    ("a NSEC3 1 1 0 - 2T7B4G4VSA5SMI47K61MV5BV1A22BOJR A", "db:2:3: NSEC3 is not supported"),
    ("@ NSEC3PARAM 1 0 0 -", "db:2:3: NSEC3 is not supported"),
    (HEAD.replace(" 1 1", " 2 1"), "2 SOA records at example.org."),
)


@pytest.mark.parametrize(("text", "problem"), BROKEN)
async def test_a_broken_file_is_told_at_its_place(text: str, problem: str, tmp_path: Path) -> None:
    """File, line and column, and what is wrong; the block does not start."""
    with pytest.raises(ConfigError) as caught:
        await started(tmp_path, zone=HEAD + text + "\n")
    assert problem in str(caught.value)
    assert f"{tmp_path}/db" in str(caught.value)


async def test_all_mistakes_of_a_file_are_told(tmp_path: Path) -> None:
    """In one error."""
    with pytest.raises(ConfigErrors) as caught:
        await started(tmp_path, zone="a A 1\nb A 2\n")
    assert [each.at.line for each in caught.value.errors if each.at] == [1, 2]


async def test_an_empty_file_is_no_zone(tmp_path: Path) -> None:
    """A zone has an SOA record."""
    with pytest.raises(ConfigError, match="0 SOA records"):
        await started(tmp_path, zone="; nothing\n")


async def test_a_missing_file_that_is_not_looked_at_again(tmp_path: Path) -> None:
    """Nobody would ever answer."""
    with pytest.raises(ConfigError, match="cannot read the zone file"):
        await started(tmp_path, "file db example.org {\n reload 0\n}", zone=None)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("file", "1:1 'file' needs at least 1 argument, got 0"),
        ("file db a..b", "1:9 no zone: empty label in 'a..b'"),
        ("file db {\n reload 5\n}", "2:9 invalid duration '5'"),
        ("file db {\n reload_by_mtime x\n}", "2:18 'reload_by_mtime' takes no argument"),
        ("file db {\n upstreams\n}", "2:2 'file' has no property 'upstreams'"),
        ("file db a.test\nfile other a.test", "2:1 zone a.test. is read from two files"),
    ],
)
def test_mistakes(text: str, problem: str) -> None:
    """Each is told at its word."""
    assert mistakes(file, text, FakeParts()) == problem
