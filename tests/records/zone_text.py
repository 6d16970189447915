"""Results as the zone lines people read, and a cluster of a few objects that can be asked in text.

What a question must give is written like this; the order of records inside a section does not matter::

    NOERROR                                     (may be left out before records)
    web.shop.svc.cluster.local. 5 IN A 10.96.0.9
    ; additional
    ...

``NODATA`` and ``NXDOMAIN`` alone stand for the rcode, an empty answer, and one SOA of the zone in authority.
"""

import struct
from collections.abc import Iterable, Iterator, Sequence
from ipaddress import ip_address

from dnslib import RCODE

from kdns.base.objects import Namespace, ServiceView
from kdns.config.settings import KubernetesOptions
from kdns.dns.plugins.kubernetes import schema_of
from kdns.records.answers import Answers
from kdns.records.rrset import Result, RRset
from kdns.wire.name import name_text, parse_name
from kdns.wire.numbers import AAAA, CNAME, NS, PTR, SOA, SRV, TXT, A
from kdns.wire.types import TYPE_TEXT, type_text
from tests.address_plan import NOW
from tests.build import Thing, change, namespace, view_key

RTYPES = {text: rtype for rtype, text in TYPE_TEXT.items()}


def cluster(
    *things: Thing,
    options: KubernetesOptions | None = None,
    own: Iterable[str] = (),
    synced: bool = True,
    spaces: bool = True,
) -> Answers:
    """A zone of these objects; the Namespaces of Services exist too unless ``spaces`` is False."""
    answers = blank(options, own)
    known = dict.fromkeys(thing.key.name for thing in things if isinstance(thing, Namespace))
    wanted = dict.fromkeys(view_key(thing).namespace for thing in things if isinstance(thing, ServiceView))
    if spaces:
        for name in wanted:
            if name not in known:
                answers.apply(change(None, namespace(name)), NOW)
    for thing in things:
        answers.apply(change(None, thing), NOW)
    answers.synced = synced
    return answers


def blank(options: KubernetesOptions | None = None, own: Iterable[str] = ()) -> Answers:
    """A zone without any object, synced."""
    answers = Answers(schema_of(options or KubernetesOptions()))
    answers.set_own_addresses([ip_address(address).packed for address in own])
    answers.synced = True
    return answers


def ask(answers: Answers, question: str) -> Result:
    """Look up ``name TYPE``, which must be inside a zone."""
    result = answers.lookup(*parse_question(question))
    assert isinstance(result, Result), f"{question}: {result}"
    return result


def parse_question(text: str) -> tuple[bytes, int]:
    """``web.shop.svc.cluster.local. A`` as folded name and type number; ``TYPE123`` is understood."""
    name, rtype = text.split()
    return parse_name(name), int(rtype[4:]) if rtype.startswith("TYPE") else RTYPES[rtype]


def present(result: Result, ttl: int = 5) -> list[str]:
    """The lines of a result, sorted inside each section, short for plain negative answers of the zone."""
    answer, authority, additional = (
        sorted(rr_lines(section)) for section in (result.answer, result.authority, result.additional)
    )
    kind = RCODE[result.rcode]
    if list(map(_without_serial, authority)) == [_without_serial(negative_soa(name_text(result.zone), ttl))]:
        if not answer and kind == "NOERROR":
            kind = "NODATA"
        authority = ["NODATA"] if answer and kind == "NOERROR" else []
    elif kind == "NXDOMAIN" or (kind == "NOERROR" and not answer):
        authority = authority or ["no SOA"]
    lines = [] if kind == "NOERROR" else [kind]
    lines += answer
    if authority:
        lines += ["; authority", *authority]
    if additional:
        lines += ["; additional", *additional]
    return lines


def _without_serial(line: str) -> str:
    """Of an SOA record: how it grows has tests of its own."""
    words = line.split()
    return " ".join((*words[:6], *words[7:]))


def expected(text: str) -> list[str]:
    """The lines of a case's text, normalised like those of `present`."""
    sections: list[list[str]] = [[]]
    rcode: list[str] = []
    for line in filter(None, (" ".join(line.split()) for line in text.splitlines())):
        if line.startswith(";"):
            sections.append([line])
        elif line in {"NODATA", "NXDOMAIN", "SERVFAIL"} and len(sections) == 1:
            rcode.append(line)
        elif line != "NOERROR":
            sections[-1].append(line)
    answer, *others = sections
    return rcode + sorted(answer) + [line for head, *rest in others for line in (head, *sorted(rest))]


def negative_soa(zone: str, ttl: int = 5) -> str:
    """The SOA of a negative answer (RFC 2308 section 3), with the fields of CoreDNS."""
    base = "" if zone == "." else zone
    fields = f"ns.dns.{base} hostmaster.{base} {NOW} 7200 1800 86400 {ttl}"
    return f"{zone} {min(ttl, 300)} IN SOA {fields}"


def rr_lines(rrsets: Sequence[RRset]) -> Iterator[str]:
    """Each record as a zone line."""
    for rrset in rrsets:
        assert rrset.rdatas, f"an RRset without records: {rrset}"
        for rdata in rrset.rdatas:
            shown = rdata_text(rrset.rtype, rdata)
            yield f"{name_text(rrset.owner)} {rrset.ttl} IN {type_text(rrset.rtype)} {shown}"


def rdata_text(rtype: int, rdata: bytes) -> str:
    """Rdata in presentation form (RFC 1035 section 3.3, RFC 2782), read without kdns' own composing code."""
    match rtype:
        case int() if rtype in {A, AAAA}:
            assert len(rdata) == (4 if rtype == A else 16)
            return str(ip_address(rdata))
        case int() if rtype in {CNAME, PTR, NS}:
            return name_text(rdata)
        case int() if rtype == SRV:
            priority, weight, port = struct.unpack("!HHH", rdata[:6])
            return f"{priority} {weight} {port} {name_text(rdata[6:])}"
        case int() if rtype == SOA:
            names, numbers = rdata[:-20], struct.unpack("!5I", rdata[-20:])
            end = _end(names)
            return " ".join((name_text(names[:end]), name_text(names[end:]), *map(str, numbers)))
        case int() if rtype == TXT:
            return f'"{rdata[1:].decode("ascii")}"' if rdata[0] == len(rdata) - 1 else repr(rdata)
    raise AssertionError(f"kdns has no business with {type_text(rtype)}")


def _end(names: bytes) -> int:
    at = 0
    while names[at]:
        at += 1 + names[at]
    return at + 1
