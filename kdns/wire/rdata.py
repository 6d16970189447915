"""Names inside a message's octets: pointers followed (RFC 1035 section 4.1.4), rdata made whole.

Types of RFC 1035 may have compressed names in their rdata; those of later types must not (RFC 3597 section 4), but
some senders do it, and a pointer that is copied into another message would lead anywhere. So all types whose names
some sender is known to compress are made whole.
"""

from typing import Final

from kdns.base.errors import FormError
from kdns.wire.name import MAX_NAME
from kdns.wire.numbers import AAAA, CNAME, DNAME, HTTPS, MX, NS, PTR, SOA, SRV, SVCB, A

FIRST: Final = 12
"""Octets of the header: no name begins in it."""
MAX_POINTERS: Final = 127
"""In one name: as many as it can have labels."""
MAX_WHOLE: Final = 1 << 20
"""Octets of rdata of one message when all its names are whole; small pointers could make it many times as long."""

_NAME: Final = -1
_TEXT: Final = -2  # a character-string: one octet of length (RFC 1035 section 3.3)
_REST: Final = -3
LAYOUT: Final[dict[int, tuple[int, ...]]] = {
    NS: (_NAME,),
    3: (_NAME,),  # MD
    4: (_NAME,),  # MF
    CNAME: (_NAME,),
    SOA: (_NAME, _NAME, 20),
    7: (_NAME,),  # MB
    8: (_NAME,),  # MG
    9: (_NAME,),  # MR
    PTR: (_NAME,),
    14: (_NAME, _NAME),  # MINFO
    MX: (2, _NAME),
    17: (_NAME, _NAME),  # RP
    18: (2, _NAME),  # AFSDB
    21: (2, _NAME),  # RT
    24: (18, _NAME, _REST),  # SIG
    26: (2, _NAME, _NAME),  # PX
    30: (_NAME, _REST),  # NXT
    SRV: (6, _NAME),
    35: (4, _TEXT, _TEXT, _TEXT, _NAME),  # NAPTR
    36: (2, _NAME),  # KX
    DNAME: (_NAME,),
    46: (18, _NAME, _REST),  # RRSIG
    47: (_NAME, _REST),  # NSEC
    SVCB: (2, _NAME, _REST),
    HTTPS: (2, _NAME, _REST),
}
EXACT: Final = {A: 4, AAAA: 16}
_FOLDED: Final = frozenset({NS, CNAME, SOA, MX, SRV, DNAME})
"""Types whose names are asked for next. Those of PTR are read by people, those of later types are signed as they are
(RFC 6840 section 5.1), so they keep their spelling."""


class Names:
    """Reads the names of one message; each pointer's end is worked out once."""

    def __init__(self, octets: bytes) -> None:
        self.octets = octets
        self._known: dict[int, bytes] = {}

    def read(self, at: int) -> tuple[bytes, int]:
        """The name at an offset, uncompressed, in its spelling, and where what follows it begins.

        Raises FormError, or IndexError where the message is cut.
        """
        octets = self.octets
        pieces: list[bytes] = []
        passed: list[tuple[int, int]] = []  # offsets pointed to, and how many pieces there were before
        floor, end, here = at, 0, at
        while length := octets[here]:
            if length >= 0xC0:
                target = (length & 0x3F) << 8 | octets[here + 1]
                end = end or here + 2
                # RFC 1035 section 4.1.4: a pointer is to "a prior occurrence of the same name", so none can loop
                if not FIRST <= target < floor:
                    raise FormError(f"octet {here}: a pointer that does not lead back")
                floor = here = target
                if (known := self._known.get(target)) is not None:
                    pieces.append(known)
                    break
                passed.append((target, len(pieces)))
                if len(passed) > MAX_POINTERS:
                    raise FormError(f"octet {at}: a name of over {MAX_POINTERS} pointers")
                continue
            if length > 63:
                raise FormError(f"octet {here}: a label of an unknown kind")
            pieces.append(octets[here : here + 1 + length])
            here += 1 + length
        else:
            pieces.append(b"\0")
            end = end or here + 1
        name = b"".join(pieces)
        if len(name) > MAX_NAME:
            raise FormError(f"octet {at}: a name of over {MAX_NAME} octets")
        for target, before in passed:
            self._known[target] = b"".join(pieces[before:])
        return name, end

    def rdata(self, rtype: int, at: int, end: int) -> bytes:
        """The rdata of a type between two offsets, its names whole. Raises FormError for invalid rdata."""
        layout = LAYOUT.get(rtype)
        if layout is None:
            exact = EXACT.get(rtype)
            if exact is not None and end - at != exact:
                raise FormError(f"octet {at}: an address of {end - at} octets")
            return self.octets[at:end]
        parts = []
        for field in layout:
            if field == _NAME:
                name, after = self.read(at)
                parts.append(name.lower() if rtype in _FOLDED else name)
            else:
                after = end if field == _REST else at + (1 + self.octets[at] if field == _TEXT else field)
                parts.append(self.octets[at:after])
            at = after
            if at > end:
                break
        if at != end:
            raise FormError(f"octet {end}: rdata of type {rtype} does not end where it should")
        return b"".join(parts)
