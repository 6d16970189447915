"""What the fast path remembers of a message: the reply in the pieces that do not change, and how it is counted.

Classes with slots are as fast as the tuples that they replaced: 217 ns a hit either way, by the best of 120 rounds.
"""

from typing import NamedTuple, final

from kdns.dns.api.plugin import KnownChildren
from kdns.dns.cache.aged import Aged
from kdns.metrics.dns import Counted
from kdns.records.answers import Answer


class _Reply:
    """The reply to one exact message in lower case, but for its id."""

    __slots__ = ("answer", "behind", "kind", "tally")

    def __init__(self, answer: Answer, kind: Counted, tally: dict[int, int], behind: int) -> None:
        self.answer = answer
        self.kind = kind
        """What it is counted as."""
        self.tally = tally
        """How often, by the length of the query."""
        self.behind = behind
        """How many octets of the message follow the name."""


@final
class FixedReply(_Reply):
    """The same octets each time."""

    __slots__ = ("octets",)

    def __init__(self, answer: Answer, kind: Counted, tally: dict[int, int], behind: int, octets: bytes) -> None:
        super().__init__(answer, kind, tally, behind)
        self.octets = octets
        """All of the reply behind its id."""

    @property
    def size(self) -> int:
        """Octets that it keeps."""
        return len(self.octets)


@final
class RotatingReply(_Reply):
    """Octets around addresses that take turns."""

    __slots__ = ("octets", "rest", "rotated")

    def __init__(
        self, answer: Answer, kind: Counted, tally: dict[int, int], behind: int, parts: tuple[bytes, int, bytes]
    ) -> None:
        super().__init__(answer, kind, tally, behind)
        self.octets, self.rotated, self.rest = parts
        """The octets between id and addresses, how many octets of addresses follow, and the octets behind those."""

    @property
    def size(self) -> int:
        """Octets that it keeps."""
        return len(self.octets) + len(self.rest)


@final
class AgingReply(_Reply):
    """Octets in pieces, to be joined by the TTL that is left."""

    __slots__ = ("pieces", "turns", "until")

    def __init__(
        self,
        answer: Aged,
        kind: Counted,
        tally: dict[int, int],
        behind: int,
        until: int,
        pieces: tuple[bytes, ...],
        turns: tuple[tuple[bytes, ...], ...],
    ) -> None:
        super().__init__(answer, kind, tally, behind)
        self.until = until
        """The second from which on it has expired; 0 if it takes more than the clock to decide, see `Aged.use`."""
        self.pieces = pieces
        """Empty where addresses take turns."""
        self.turns = turns
        """The pieces of each rotation."""

    @property
    def size(self) -> int:
        """Octets that it keeps."""
        return sum(len(piece) for turn in (self.pieces, *self.turns) for piece in turn)


Remembered = FixedReply | RotatingReply | AgingReply


class Miss(NamedTuple):
    """A "no" to all messages that differ in a first label of one length."""

    answer: Answer
    kind: Counted
    tally: dict[int, int]
    head: bytes
    """Flags and counts."""
    rest: bytes
    """What follows the question."""
    end: int
    """Where the question ends."""
    children: KnownChildren
    """The names beside it for which a "no" would be wrong."""
