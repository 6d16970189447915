"""The formats of query lines: text with placeholders becomes a list of functions, once; a line is what they say.

::

    {remote}:{port} - {>id} "{type} {class} {name} {proto} {size} {>do} {>bufsize}" {rcode} {>rflags} {rsize} {duration}
"""

import re
from collections.abc import Callable, Iterator
from functools import lru_cache
from itertools import accumulate, chain
from typing import Final, NamedTuple

from kdns.dns.api.handler import Request, Response
from kdns.dns.api.request_values import bufsize, do, proto
from kdns.wire.compose import compose_sections
from kdns.wire.name import name_text
from kdns.wire.numbers import AA, AD, BADVERS, CD, HEADER, QR, RA, RD, TC
from kdns.wire.query import OPT_SIZE, fitting_options
from kdns.wire.rcodes import RCODE_TEXT
from kdns.wire.rr import RR
from kdns.wire.types import class_text, type_text

COMMON: Final = (
    '{remote}:{port} - {>id} "{type} {class} {name} {proto} {size} {>do} {>bufsize}" '
    "{rcode} {>rflags} {rsize} {duration}"
)
COMBINED: Final = COMMON + ' "{>opcode}"'
EMPTY: Final = "-"
"""What stands for a value that is not there."""
PLACEHOLDER: Final = re.compile(r"\{([^{}]*)\}")
FLAG_TEXT: Final = ((QR, "qr"), (AA, "aa"), (TC, "tc"), (RD, "rd"), (RA, "ra"), (0x40, "z"), (AD, "ad"), (CD, "cd"))
RECORD: Final = 10
"""Octets of a record besides owner and rdata."""


class Asked(NamedTuple):
    """One question and what came of it."""

    request: Request
    response: Response
    seconds: float


Part = Callable[[Asked], str] | str
"""A function, or a text between them."""


def parse_format(text: str) -> tuple[Part, ...]:
    """The parts of a line. Braces around other words are text, so that lines can be JSON."""
    text = text.replace("{common}", COMMON).replace("{combined}", COMBINED)
    parts: list[Part] = []
    at = 0
    for match in PLACEHOLDER.finditer(text):
        word = match[1]
        part = _metadata(word[1:]) if word.startswith("/") else PARTS.get(word)
        if part is None:
            continue
        if match.start() > at:
            parts.append(text[at : match.start()])
        parts.append(part)
        at = match.end()
    if at < len(text):
        parts.append(text[at:])
    return tuple(parts)


def metadata_keys(text: str) -> tuple[str, ...]:
    """The keys of the metadata that a format has."""
    return tuple(word[1:] for word in PLACEHOLDER.findall(text) if word.startswith("/"))


def line(parts: tuple[Part, ...], asked: Asked) -> str:
    """The line for one question."""
    return "".join([part if isinstance(part, str) else part(asked) for part in parts])


def line_of(text: str) -> Callable[[Asked], str]:
    """Makes the lines of a format: the default one in one step, since it costs half as much as part by part."""
    parts = parse_format(text)

    def common(asked: Asked) -> str:
        request, response, seconds = asked
        query, client = request.query, request.client
        compiled = response.compiled_for(query.name)
        if compiled is None or response.dropped or response.limit or response.cleared:
            return line(parts, asked)
        udp, edns, size = client.proto == "udp", query.edns, len(query.question)
        room = query.limit(client.proto) - HEADER - size
        if edns is not None:
            room -= OPT_SIZE + (len(fitting_options(response.options, room)) if response.options else 0)
        flags = QR | query.flags & (RD | CD) | response.flags
        if compiled.size > room:
            flags |= TC
        octets = HEADER + size + compiled.uncompressed + (OPT_SIZE + len(response.options) if response.options else 0)
        duration = f"{max(seconds, 0.0):.9f}".rstrip("0").rstrip(".")
        return (
            f"{_address(client.address)}:{client.port} - {query.id} "
            f'"{type_text(query.rtype)} {class_text(query.rclass)} '
            f"{name_text(query.name)} {'udp' if udp else 'tcp'} {request.size} "
            f'{"true" if edns is not None and edns.do else "false"} {bufsize(request)}" '
            f"{_rcode(asked)} {_flags_text(flags)} {octets} {duration}s"
        )

    return common if text == COMMON else lambda asked: line(parts, asked)


def _metadata(key: str) -> Part:
    return lambda asked: asked.request.metadata.get(key, EMPTY)


def _address(address: str) -> str:
    """As in a URL (RFC 3986 section 3.2.2)."""
    return f"[{address}]" if ":" in address else address


def _rcode(asked: Asked) -> str:
    rcode = asked.response.rcode
    if asked.response.dropped:
        return EMPTY
    return RCODE_TEXT.get(rcode, str(rcode)) if rcode <= BADVERS else str(rcode)


def _flags(asked: Asked) -> str:
    response, query = asked.response, asked.request.query
    if response.dropped:
        return EMPTY
    flags = (QR | query.flags & (RD | CD) | response.flags) & ~response.cleared
    if _truncated(asked):
        flags |= TC
    return _flags_text(flags)


@lru_cache(256)
def _flags_text(flags: int) -> str:
    return ",".join(text for flag, text in FLAG_TEXT if flags & flag)


def _truncated(asked: Asked) -> bool:
    """True if the reply will be cut: compression is counted only where it can matter."""
    response, query = asked.response, asked.request.query
    limit = query.limit(asked.request.client.proto)
    if response.limit and proto(asked.request) == "udp":
        limit = min(limit, response.limit)
    room = limit - HEADER - len(query.question)
    if query.edns is not None:
        room -= OPT_SIZE + len(fitting_options(response.options, room))
    compiled = response.compiled_for(query.name)
    if compiled is not None:
        return compiled.size > room
    if all(size <= room for size in accumulate(map(_size, _records(response)))):
        return False
    sections = compose_sections(query.name, response.answer, response.authority, response.additional, room)
    return len(sections.octets) > room


def _records(response: Response) -> Iterator[RR]:
    return chain(response.answer, response.authority, response.additional)


def _size(record: RR) -> int:
    return len(record.owner) + RECORD + len(record.rdata)


def _rsize(asked: Asked) -> str:
    """Octets without compression, and without an OPT record that has nothing to say."""
    response = asked.response
    if response.dropped:
        return "0"
    opt = OPT_SIZE + len(response.options) if response.options else 0
    compiled = response.compiled_for(asked.request.query.name)
    records = sum(map(_size, _records(response))) if compiled is None else compiled.uncompressed
    return str(HEADER + len(asked.request.query.question) + records + opt)


def _duration(asked: Asked) -> str:
    return f"{max(asked.seconds, 0.0):.9f}".rstrip("0").rstrip(".") + "s"


PARTS: Final[dict[str, Part]] = {
    "type": lambda asked: type_text(asked.request.query.rtype),
    "name": lambda asked: name_text(asked.request.query.name),
    "class": lambda asked: class_text(asked.request.query.rclass),
    "proto": lambda asked: proto(asked.request),
    "size": lambda asked: str(asked.request.size),
    "remote": lambda asked: _address(asked.request.client.address),
    "port": lambda asked: str(asked.request.client.port),
    "local": lambda asked: _address(asked.request.client.local),
    ">id": lambda asked: str(asked.request.query.id),
    ">opcode": lambda _: "0",
    ">do": lambda asked: "true" if do(asked.request) else "false",
    ">bufsize": lambda asked: str(bufsize(asked.request)),
    "rcode": _rcode,
    "rsize": _rsize,
    "duration": _duration,
    ">rflags": _flags,
}
"""By what stands between the braces. Only plain queries get as far as a plugin: their opcode is 0."""
