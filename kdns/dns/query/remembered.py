"""What the fast path remembers of a message: the reply in the pieces that do not change, and how it is counted.

Classes with slots are as fast as the tuples that they replaced: 217 ns a hit either way, by the best of 120 rounds.
"""

from typing import Final, NamedTuple, final

from kdns.dns.api.plugin import KnownChildren, Watch
from kdns.metrics.dns import Counted
from kdns.records.answers import Answer

COUNTS: Final = 10
"""Octets of flags and counts, behind the id."""


class Use(NamedTuple):
    """What of a reply has nothing to do with its octets."""

    answer: Answer
    kind: Counted
    """What it is counted as."""
    tally: dict[int, int]
    """How often, by the length of the query."""
    behind: int
    """How many octets of the message follow the name."""
    watch: Watch | None
    """Of a plugin that must see some of its uses."""


class _Reply:
    """The reply to one exact message in lower case, but for its id."""

    __slots__ = ("answer", "behind", "kind", "tally", "watch")

    def __init__(self, use: Use) -> None:
        self.answer, self.kind, self.tally, self.behind, self.watch = use


class FixedReply(_Reply):
    """The same octets each time."""

    __slots__ = ("octets", "spelled_freely")

    def __init__(self, use: Use, octets: bytes) -> None:
        super().__init__(use)
        self.octets = octets
        """All of the reply behind its id."""
        self.spelled_freely = False
        """Its message has letters in the name only: one that is the same in lower case differs in spelling only."""

    @property
    def size(self) -> int:
        """Octets that it keeps."""
        return len(self.octets)


@final
class WatchedReply(FixedReply):
    """One of which a plugin wants to see some uses."""

    __slots__ = ()


class RotatingReply(_Reply):
    """Octets around addresses that take turns."""

    __slots__ = ("octets", "rest", "rotated")

    def __init__(self, use: Use, parts: tuple[bytes, int, bytes]) -> None:
        super().__init__(use)
        self.octets, self.rotated, self.rest = parts
        """The octets between id and addresses, how many octets of addresses follow, and the octets behind those."""

    @property
    def size(self) -> int:
        """Octets that it keeps."""
        return len(self.octets) + len(self.rest)


@final
class WatchedRotatingReply(RotatingReply):
    """One of which a plugin wants to see some uses."""

    __slots__ = ()


@final
class AgingReply(_Reply):
    """Octets in pieces, to be joined by the TTL that is left."""

    __slots__ = ("pieces", "turns", "until")

    def __init__(self, use: Use, until: int, pieces: tuple[bytes, ...], turns: tuple[tuple[bytes, ...], ...]) -> None:
        super().__init__(use)
        self.until = until
        """The second from which on it has expired; 0 if more than the clock decides: `Aged.use`, or a watch."""
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
    watch: Watch | None
    children: KnownChildren
    """The names beside it for which a "no" would be wrong."""
