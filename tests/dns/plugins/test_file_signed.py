"""file: zones that were signed elsewhere (RFC 4035 section 3.1). Signatures here are no real ones: see tests/e2e."""

import logging
from collections.abc import Sequence
from pathlib import Path

import pytest

from kdns.dns.api.handler import Response
from kdns.dns.zonefile.reading import read_zone
from kdns.dns.zonefile.zone import StaticZone
from kdns.wire.name import name_text, parse_name
from kdns.wire.query import Edns
from kdns.wire.rr import RR
from kdns.wire.types import type_text
from tests.dns.plugins.asking import handler, request, response, words
from tests.dns.plugins.test_file import started

PLAIN = {
    "@": ("SOA ns1 root 7 7200 3600 1209600 300", "NS ns1"),
    "ns1": ("A 192.0.2.53",),
    "web": ("A 192.0.2.80", "AAAA 2001:db8::80"),
    "www": ("CNAME web",),
    "out": ("CNAME www.other.test.",),
    "alias": ("CNAME x.wild",),
    "*.wild": ("A 192.0.2.99",),
    "a.deep": ("A 192.0.2.1",),
    "old": ("DNAME new",),
    "x.new": ("A 192.0.2.7",),
    "sub": ("NS ns.sub",),
    "safe": ("NS ns.safe", "DS 1 13 2 0123"),
}
"""Each name has an NSEC record, and each set a signature, but for those of delegations."""
GLUE = "ns.sub A 192.0.2.54\nns.safe A 192.0.2.55\n"


def signed(end: str = "20380101000000") -> str:
    """The zone as a signer leaves it; ``end``: when the signatures end."""

    def signature(name: str, rtype: str, ttl: int) -> str:
        depth = 2 + sum(label != "*" for label in name.split(".") if name != "@")
        return f"{name} {ttl} RRSIG {rtype} 13 {depth} {ttl} {end} 20250101000000 1 example.org. AAAA\n"

    order = sorted(PLAIN, key=lambda name: [] if name == "@" else name.split(".")[::-1])
    lines = [GLUE]
    for name, following in zip(order, (*order[1:], "@"), strict=True):
        kinds = [record.split()[0] for record in PLAIN[name]]
        lines += [f"{name} 60 {record}\n" for record in PLAIN[name]]
        lines.append(f"{name} 30 NSEC {following} {' '.join(kinds)} RRSIG NSEC\n")
        lines += [signature(name, kind, 60) for kind in kinds if kind != "NS" or name == "@"]
        lines.append(signature(name, "NSEC", 30))
    return "".join(lines)


def shown(records: Sequence[RR]) -> list[str]:
    """``web A``, and ``web A*`` for a signature of that type."""
    found = []
    for each in records:
        name = name_text(each.owner).removesuffix("example.org.").removesuffix(".") or "@"
        kind = type_text(int.from_bytes(each.rdata[:2], "big")) + "*" if each.rtype == 46 else type_text(each.rtype)
        found.append(f"{name} {kind}")
    return found


SOA = ["@ SOA", "@ SOA*"]
NS = ["@ NS", "@ NS*"]
CASES: tuple[tuple[str, list[str], list[str]], ...] = (
    # question, answer, authority
    ("web A", ["web A", "web A*"], NS),
    ("web RRSIG", ["web A*", "web AAAA*", "web NSEC*"], NS),
    ("web NSEC", ["web NSEC", "web NSEC*"], NS),
    ("web ANY", ["web A", "web A*"], NS),
    ("www A", ["www CNAME", "www CNAME*", "web A", "web A*"], NS),
    ("@ SOA", SOA, NS),
    ("web TXT", [], [*SOA, "web NSEC", "web NSEC*"]),
    ("www TXT", ["www CNAME", "www CNAME*"], [*SOA, "web NSEC", "web NSEC*"]),
    ("x.wild A", ["x.wild A", "x.wild A*"], [*NS, "*.wild NSEC", "*.wild NSEC*"]),
    ("alias A", ["alias CNAME", "alias CNAME*", "x.wild A", "x.wild A*"], [*NS, "*.wild NSEC", "*.wild NSEC*"]),
    ("x.wild TXT", [], [*SOA, "*.wild NSEC", "*.wild NSEC*"]),
    ("deep A", [], [*SOA, "alias NSEC", "alias NSEC*"]),
    ("m A", [], [*SOA, "a.deep NSEC", "a.deep NSEC*", "@ NSEC", "@ NSEC*"]),
    ("zz A", [], [*SOA, "www NSEC", "www NSEC*", "@ NSEC", "@ NSEC*"]),
    ("q.deep A", [], [*SOA, "a.deep NSEC", "a.deep NSEC*", "alias NSEC", "alias NSEC*"]),
    ("x.old A", ["old DNAME", "old DNAME*", "x.old CNAME", "x.new A", "x.new A*"], NS),
    ("h.sub A", [], ["sub NS", "sub NSEC", "sub NSEC*"]),
    ("h.safe A", [], ["safe NS", "safe DS", "safe DS*"]),
    ("safe DS", ["safe DS", "safe DS*"], NS),
    ("sub DS", [], [*SOA, "sub NSEC", "sub NSEC*"]),
)


@pytest.mark.parametrize(("question", "answer", "authority"), CASES)
def test_with_do(question: str, answer: list[str], authority: list[str]) -> None:
    """Each set has its signature behind it, and what does not exist, or is made from a wildcard, has a proof."""
    apex = parse_name("example.org")
    zone = StaticZone(apex, read_zone(signed().splitlines(), apex, "db"))
    name, rtype = question.split()
    asked = request(f"{'example.org' if name == '@' else f'{name}.example.org'}. {rtype}").query
    found = zone.lookup(asked.name, asked.rtype, do=True)
    assert (shown(found.answer), shown(found.authority)) == (answer, authority)


@pytest.mark.parametrize("question", [case[0] for case in CASES if case[0].split()[1] not in {"RRSIG", "NSEC"}])
def test_without_do(question: str) -> None:
    """The answer is the same without signatures and proofs."""
    apex = parse_name("example.org")
    zone = StaticZone(apex, read_zone(signed().splitlines(), apex, "db"))
    name, rtype = question.split()
    asked = request(f"{'example.org' if name == '@' else f'{name}.example.org'}. {rtype}").query
    plain, full = (zone.lookup(asked.name, asked.rtype, do=do) for do in (False, True))
    assert plain.rcode == full.rcode
    assert shown(plain.answer) == [each for each in shown(full.answer) if not each.endswith("*")]
    assert not any("NSEC" in each or each.endswith("*") or "DS" in each for each in shown(plain.authority))


async def test_a_client_that_asks_for_it(tmp_path: Path) -> None:
    """Only clients with DO, and also where an alias leads elsewhere."""
    made, parts = await started(tmp_path, zone=signed())

    async def lookup(_: object) -> Response:
        return response("www.other.test. 9 A 192.0.2.6")

    parts.answer_lookup = lookup
    for do, count in ((False, 1), (True, 2)):
        found = await handler(made)(request("web.example.org A", Edns(1232, 0, do)))
        assert len(found.answer) == count
    found = await handler(made)(request("out.example.org A", Edns(1232, 0, True)))
    assert shown(found.answer)[:2] == ["out CNAME", "out CNAME*"]
    assert words(found).endswith("www.other.test. 9 A 192.0.2.6")
    await parts.close()


@pytest.mark.parametrize(("end", "said"), [("20380101000000", False), ("20250102000000", True), ("1735776000", True)])
async def test_signatures_that_have_ended(
    end: str, said: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Validating resolvers take no such zone, so it is told."""
    _, parts = await started(tmp_path, zone=signed(end))
    warnings = [record.message for record in caplog.records if record.levelno >= logging.WARNING]
    told = f"{tmp_path}/db: the signatures of zone example.org. have ended: sign it again"
    assert warnings == ([told] if said else [])
    await parts.close()


RDATA = (
    ("DS 1 13 2 AB cd", "00010d02abcd"),
    ("CDS 0 0 0 00", "0000000000"),
    ("DNSKEY 257 3 13 AAEC Aw==", "0101030d00010203"),
    ("CDNSKEY 0 3 0 AA==", "0000030000"),
    ("NSEC b A MX RRSIG NSEC TYPE1234", "0162076578616d706c65036f7267000006400100000003041b" + "00" * 26 + "20"),
)


@pytest.mark.parametrize(("text", "octets"), RDATA)
def test_data_of_signers(text: str, octets: str) -> None:
    """In wire form (RFC 4034)."""
    (record,) = read_zone([f"a {text}"], parse_name("example.org"), "db")
    assert record.rdata.hex() == octets


def test_a_signature() -> None:
    """Both ways to write a time."""
    text = "RRSIG A 13 3 60 20380101000000 2145916800 7 @ AAEC"
    (record,) = read_zone([f"a {text}"], parse_name("example.org"), "db")
    moment = (2145916800).to_bytes(4, "big")
    assert record.rdata == b"\0\1\r\3\0\0\0<" + moment * 2 + b"\0\7" + parse_name("example.org") + b"\0\1\2"
