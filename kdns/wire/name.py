"""Domain names in folded wire form (RFC 1035 section 3.1, RFC 4343)."""

from collections.abc import Iterator
from functools import lru_cache
from typing import Final

ROOT: Final = b"\0"
MAX_NAME: Final = 255
MAX_LABEL: Final = 63


def parse_name(text: str, *, fold: bool = True) -> bytes:
    """Folded wire form of a name in text, or with its spelling kept; a missing last dot makes no difference.

    ``\\.`` and ``\\DDD`` are understood (RFC 1035 section 5.1). Raises ValueError for an empty label, a label over
    63 octets, a name over 255 octets, or what is not ASCII.
    """
    if text in {"", "."}:
        return ROOT
    wire = bytearray()
    label = bytearray()
    octets = text.encode("ascii")
    at = 0
    while at < len(octets):
        octet = octets[at]
        if octet == 0x5C:  # backslash
            digits = octets[at + 1 : at + 4]
            if len(digits) == 3 and digits.isdigit():
                if int(digits) > 255:
                    raise ValueError(f"no octet: \\{digits.decode()} in {text!r}")
                label.append(int(digits))
                at += 4
            elif at + 1 < len(octets):
                label.append(octets[at + 1])
                at += 2
            else:
                raise ValueError(f"backslash at the end of {text!r}")
        elif octet == 0x2E:  # dot
            _close(wire, label, text)
            at += 1
        else:
            label.append(octet)
            at += 1
    if label:  # no closing dot
        _close(wire, label, text)
    wire.append(0)
    if len(wire) > MAX_NAME:
        raise ValueError(f"name of {len(wire)} octets, at most {MAX_NAME}: {text[:80]!r}")
    return bytes(wire).lower() if fold else bytes(wire)  # no length octet is a letter


def _close(wire: bytearray, label: bytearray, text: str) -> None:
    if not label:
        raise ValueError(f"empty label in {text!r}")
    if len(label) > MAX_LABEL:
        raise ValueError(f"label of {len(label)} octets, at most {MAX_LABEL}: {text[:80]!r}")
    wire.append(len(label))
    wire += label
    label.clear()


@lru_cache(64)
def name_text(name: bytes) -> str:
    """A name in presentation form with its last dot; octets that need it are escaped (RFC 1035 section 5.1)."""
    if name == ROOT:
        return "."
    parts = [part.decode() if not part.translate(None, _PLAIN) else _escaped(part) for part in labels(name)]
    return ".".join(parts) + "."


_SPECIAL: Final = b'.\\"();@$'
_PLAIN: Final = bytes(octet for octet in range(0x21, 0x7F) if octet not in _SPECIAL)


def _escaped(part: bytes) -> str:
    return "".join(
        "\\" + chr(octet) if octet in _SPECIAL else chr(octet) if 0x21 <= octet <= 0x7E else f"\\{octet:03d}"
        for octet in part
    )


def labels(name: bytes) -> Iterator[bytes]:
    """The labels of a name from left to right, without the root."""
    at = 0
    while length := name[at]:
        yield name[at + 1 : at + 1 + length]
        at += 1 + length


def name_at(rdata: bytes, at: int) -> bytes:
    """The uncompressed name that begins at an offset of rdata."""
    end = at
    while rdata[end]:
        end += 1 + rdata[end]
    return rdata[at : end + 1]


@lru_cache(64)
def label_starts(name: bytes) -> tuple[int, ...] | None:
    """Where each label of a name begins (at its length octet), from left to right; None unless it is a whole name.

    Remembered for the last ones: each plugin that a query passes looks for its zones.
    """
    starts: list[int] = []
    at = 0
    size = len(name)
    while at < size:
        length = name[at]
        if not length:
            return tuple(starts) if at == size - 1 and size <= MAX_NAME else None
        if length > MAX_LABEL:
            return None
        starts.append(at)
        at += 1 + length
    return None


def leading_labels(name: bytes, end: int) -> list[bytes]:
    """The labels of a name that begin before an offset, from left to right, without their length octets."""
    label_list = []
    at = 0
    while at < end:
        length = name[at]
        label_list.append(name[at + 1 : at + 1 + length])
        at += 1 + length
    return label_list


def label(text: str) -> bytes:
    """One label with its length octet, folded. Raises ValueError when it is empty, over 63 octets, or not ASCII."""
    octets = text.encode("ascii").lower()
    if not 0 < len(octets) <= MAX_LABEL:
        raise ValueError(f"label of {len(octets)} octets, 1 to {MAX_LABEL}: {text[:80]!r}")
    return bytes((len(octets),)) + octets


def child(owner: bytes, *left: str) -> bytes:
    """The name made of labels in text, then an owner. Raises ValueError as `label` does, and for over 255 octets."""
    name = b"".join(map(label, left)) + owner
    if len(name) > MAX_NAME:
        raise ValueError(f"name of {len(name)} octets, at most {MAX_NAME}")
    return name


def under(name: bytes, ancestor: bytes) -> bool:
    """True if a name is an ancestor's own or below it, by whole labels."""
    at = len(name) - len(ancestor)
    if at < 0 or name[at:] != ancestor:
        return False
    here = 0
    while here < at:
        here += 1 + name[here]
    return here == at
