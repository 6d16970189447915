"""Requests and responses of plugin tests in words: ``web.test. A`` in, ``NOERROR aa | web.test. 5 A 10.0.0.1`` out."""

from collections.abc import Sequence
from ipaddress import ip_address
from types import ModuleType

import pytest

from kdns.base.errors import ConfigError, ConfigErrors
from kdns.dns.api.handler import Client, Handler, Request, Response, chain
from kdns.dns.api.plugin import Built, FindPrecompiled, PrecompiledAnswer, sees_nothing
from kdns.dns.query.router import RoutedBlock, Router
from kdns.records.answers import Answer
from kdns.records.present import rdata_text
from kdns.wire.compose import compose_sections
from kdns.wire.name import ROOT, name_text, parse_name
from kdns.wire.numbers import AA, AAAA, AD, CH, HINFO, IN, MX, RA, RD, SRV, TC, A
from kdns.wire.query import Edns, Query
from kdns.wire.rcodes import RCODE_TEXT
from kdns.wire.rr import RR
from kdns.wire.types import TYPE_TEXT, type_text
from tests.config.text import directives
from tests.dns.parts import FakeParts, scripted

CLASSES = {"IN": IN, "CH": CH}
RTYPES = {text: number for number, text in TYPE_TEXT.items()}
FLAGS = {"aa": AA, "tc": TC, "rd": RD, "ra": RA, "ad": AD}


def rtype(text: str) -> int:
    """The number of a type, also for ``TYPE99``."""
    return RTYPES[text] if text in RTYPES else int(text.removeprefix("TYPE"))


def question(text: str, edns: Edns | None = None, number: int = 7) -> Query:
    """``NAME [TYPE [CLASS]]``."""
    name, kind, rclass, *_ = [*text.split(), *("A", "IN")[text.count(" ") :]]
    wire = parse_name(name)
    numbers = rtype(kind).to_bytes(2, "big") + CLASSES[rclass].to_bytes(2, "big")
    return Query(number, RD, wire + numbers, wire, rtype(kind), CLASSES[rclass], edns)


def client(address: str = "10.1.0.7", proto: str = "udp") -> Client:
    """Somebody who asks from port 4053."""
    return Client(address, 4053, "fd00::53" if ":" in address else "10.96.0.10", proto, 2 if ":" in address else 1)


def request(text: str, edns: Edns | None = None, asker: Client | None = None) -> Request:
    """A request for ``NAME [TYPE [CLASS]]``."""
    query = question(text, edns)
    return Request(query, asker or client(), 12 + len(query.question) + 11 * (edns is not None), "dns://:53", {})


def rr(text: str) -> RR:
    """One record from a line ``OWNER TTL TYPE RDATA`` for the types that tests need."""
    owner, ttl, kind, rdata = text.split(maxsplit=3)
    number = rtype(kind)
    if number in {A, AAAA}:
        octets = ip_address(rdata).packed
    elif number == MX:
        preference, name = rdata.split()
        octets = int(preference).to_bytes(2, "big") + parse_name(name)
    elif number == SRV:
        *numbers, name = rdata.split()
        octets = b"".join(int(each).to_bytes(2, "big") for each in numbers) + parse_name(name)
    elif kind in {"CNAME", "NS", "PTR"}:
        octets = parse_name(rdata)
    elif kind == "SOA":
        mname, rname, *numbers = rdata.split()
        octets = parse_name(mname) + parse_name(rname) + b"".join(int(each).to_bytes(4, "big") for each in numbers)
    else:
        octets = bytes((len(rdata),)) + rdata.encode()
    return RR(parse_name(owner), number, int(ttl), octets)


def response(*answer: str, rcode: int = 0, authority: Sequence[str] = (), additional: Sequence[str] = ()) -> Response:
    """What the rest of a chain answers, from lines."""
    return Response(rcode, AA, tuple(map(rr, answer)), tuple(map(rr, authority)), tuple(map(rr, additional)), "behind")


def line(each: RR) -> str:
    """``OWNER TTL TYPE RDATA``; a class other than IN stands before the type."""
    text = rdata_text(each.rtype, each.rdata)
    if each.rtype == MX:
        text = f"{int.from_bytes(each.rdata[:2], 'big')} {name_text(each.rdata[2:])}"
    elif each.rtype == HINFO:
        cpu = each.rdata[1 : 1 + each.rdata[0]]
        text = f'"{cpu.decode()}" "{each.rdata[2 + len(cpu) :].decode()}"'
    rclass = "" if each.rclass == IN else "CH " if each.rclass == CH else f"CLASS{each.rclass} "
    return f"{name_text(each.owner)} {each.ttl} {rclass}{type_text(each.rtype)} {text}".strip()


def lines(records: Sequence[RR]) -> list[str]:
    """Each record as a line."""
    return [line(each) for each in records]


def words(reply: Response) -> str:
    """``RCODE flags``, then the records, authority behind ``--``, additional behind ``++``."""
    if reply.dropped:
        return "dropped"
    flags = [text for text, flag in FLAGS.items() if reply.flags & flag]
    parts = [" ".join([RCODE_TEXT[reply.rcode], *flags]), *lines(reply.answer)]
    parts += [f"-- {each}" for each in lines(reply.authority)] + [f"++ {each}" for each in lines(reply.additional)]
    return " | ".join(parts)


def built(module: ModuleType, text: str, parts: FakeParts) -> Built:
    """A plugin from the directives of a Corefile."""
    made = module.build(module.parse(directives(text), parts.place), parts)
    assert isinstance(made, Built)
    return made


def handler(made: Built, *behind: Response | Exception) -> Handler:
    """The plugin in front of scripted replies."""
    assert made.plugin is not None
    return chain((made.plugin,), scripted(*behind or (response("behind.test. 5 A 192.0.2.1"),)))


def mistakes(module: ModuleType, text: str, parts: FakeParts) -> str:
    """What `parse` finds wrong: ``LINE:COLUMN problem (hint)``, one line each."""
    with pytest.raises(ConfigError) as caught:
        module.parse(directives(text), parts.place)
    error = caught.value
    errors = error.errors if isinstance(error, ConfigErrors) else (error,)
    return "\n".join(
        f"{each.at.line if each.at else 0}:{each.at.column if each.at else 0} {each.problem}" for each in errors
    )


def ready(*records: str, rcode: int = 0, extra: Sequence[str] = ()) -> FindPrecompiled:
    """A plugin's find that always has one answer: its addresses in rotation, ``extra`` as additional."""
    answer = tuple(map(rr, records))

    def find(query: Query) -> PrecompiledAnswer:
        sections = compose_sections(query.name, answer, (), tuple(map(rr, extra)))
        turning = len(answer) > 1 and {each.rtype for each in answer} <= {A, AAAA}
        end = sections.ends[len(answer) - 1] if turning else 0
        return PrecompiledAnswer(Answer(rcode, sections, (0, end), shared=False), "behind", find)

    return find


def takes_the_fast_way(made: Built, text: str, find: FindPrecompiled | None = None, edns: Edns | None = None) -> bool:
    """True if what a plugin behind has ready is sent without this plugin seeing it."""
    behind = Built(precompiled=find or ready("web.test. 5 A 10.0.0.1"), must_see=sees_nothing)
    site = Router((RoutedBlock(zones={ROOT: "."}, handler=scripted(Response()), built=(made, behind)),))
    return site.find(question(text, edns)) is not None
