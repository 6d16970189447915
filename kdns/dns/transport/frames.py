"""Messages in a stream of octets: each after its length in two octets."""

from typing import Final

from kdns.dns.transport.datagram import SLOT
from kdns.wire.numbers import HEADER

MAX_QUERY: Final = SLOT
"""Octets of a query, as over UDP: of a longer frame only the header is kept, and answered with FORMERR."""


class Frames:
    """Cuts a stream of octets into messages: each after its length in two octets (RFC 1035 section 4.2.2).

    Of a message over `MAX_QUERY` octets the header comes out alone, as soon as it is there; the rest is skipped.
    """

    def __init__(self) -> None:
        self._octets = b""
        self._at = 0
        self._skip = 0  # octets to come of a message whose header was taken

    def feed(self, octets: bytes) -> None:
        """Take in what was read."""
        if self._skip:
            skipped = min(self._skip, len(octets))
            self._skip -= skipped
            octets = octets[skipped:]
        rest = self._octets[self._at :]
        self._octets = rest + octets if rest else octets
        self._at = 0

    def take(self) -> bytes | None:
        """The next message; None when it is not complete. Then nothing is kept but what is there of it."""
        octets, begin = self._octets, self._at + 2
        if begin <= len(octets):
            end = begin + (octets[begin - 2] << 8 | octets[begin - 1])
            if end - begin > MAX_QUERY and begin + HEADER <= len(octets):
                self._at = min(end, len(octets))
                self._skip = end - self._at
                return octets[begin : begin + HEADER]
            if end <= len(octets):
                self._at = end
                return octets[begin:end]
        if self._at:
            self._octets, self._at = octets[self._at :], 0
        return None

    @property
    def left(self) -> int:
        """Octets that are not taken yet, and those to come of a message that is being skipped."""
        return len(self._octets) - self._at + self._skip
