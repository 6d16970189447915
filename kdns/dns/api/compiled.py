"""Sections of a response that are octets already, and their records for the plugins that want to see them.

A plugin that is content with a response passes it on, and its octets are sent; one that reads the records gets them,
made when they are first read; one that puts other records in their place has them composed: see
`kdns.dns.api.handler.Response.compiled_for`.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import overload

from kdns.records.answers import Answer
from kdns.wire.compose import Sections
from kdns.wire.rr import RR
from kdns.wire.walk import Facts

Counts = tuple[int, int, int]
"""Records in answer, authority and additional section."""
Pick = Callable[[int], tuple[bytes, Counts]]
"""Octets that there are room for -> whole records that fit, and how many they are in each section."""
Loaded = tuple[Sequence[RR], Sequence[RR], Sequence[RR]]
"""The records of all three sections."""
Load = Callable[[], Loaded]
"""Makes them."""


class _Loader:
    """Makes the records of three sections; it knows nothing of those who ask, so none of them is part of a cycle."""

    __slots__ = ("load", "loaded")

    def __init__(self, load: Load) -> None:
        self.load = load
        self.loaded: Loaded | None = None

    def records(self) -> Loaded:
        """Answer, authority and additional section."""
        if self.loaded is None:
            self.loaded = self.load()
        return self.loaded


class Compiled:
    """Sections behind a question for one folded name."""

    __slots__ = ("_cut", "_loader", "additional", "answer", "authority", "facts", "name", "size", "uncompressed")

    def __init__(
        self,
        name: bytes,
        sections: Sections,
        cut: Pick,
        load: Load,
        uncompressed: int,
        most: int | None = None,
        facts: Facts | None = None,
    ) -> None:
        """``most``: records that are made of each section at most, for a client who cannot get more.

        ``facts``: what is known of sections that came from an upstream.
        """
        self.facts = facts
        self.name = name
        self.size = len(sections.octets)
        """Octets of all sections."""
        self.uncompressed = uncompressed
        """Octets of all sections if no name were compressed."""
        self._cut = cut
        self._loader = loader = _Loader(load)
        answers, authorities, additionals = sections.counts
        if most is not None:
            answers, authorities, additionals = min(answers, most), min(authorities, most), min(additionals, most)
        self.answer = LazyRecords(loader, 0, answers)
        self.authority = LazyRecords(loader, 1, authorities)
        self.additional = LazyRecords(loader, 2, additionals)

    def cut(self, room: int) -> tuple[bytes, Counts]:
        """The octets of those whole records that fit, and how many they are. Costs no more than ``room`` octets do."""
        return self._cut(room)

    @property
    def loaded(self) -> bool:
        """Some plugin has read the records."""
        return self._loader.loaded is not None

    def records(self) -> Loaded:
        """Answer, authority and additional section."""
        return self._loader.records()


class LazyRecords(Sequence[RR]):
    """The records of one section, made when the first of them is read."""

    __slots__ = ("_count", "_loader", "_section")

    def __init__(self, loader: _Loader, section: int, count: int) -> None:
        self._loader, self._section, self._count = loader, section, count

    def _records(self) -> Sequence[RR]:
        return self._loader.records()[self._section] if self._count else ()

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, at: int) -> RR: ...
    @overload
    def __getitem__(self, at: slice) -> Sequence[RR]: ...
    def __getitem__(self, at: int | slice) -> RR | Sequence[RR]:
        return self._records()[at]

    def __iter__(self) -> Iterator[RR]:
        return iter(self._records())

    def __eq__(self, other: object) -> bool:
        return tuple(self) == tuple(other) if isinstance(other, Sequence) else NotImplemented

    def __hash__(self) -> int:
        return hash(tuple(self))

    def __repr__(self) -> str:
        return repr(tuple(self))


def from_answer(name: bytes, answer: Answer, load: Callable[[int], Loaded], most: int | None = None) -> Compiled:
    """A compiled answer of the cluster in its next rotation; ``load`` gets the number of records it is rotated by."""
    turn = answer.next_turn() if answer.ring_size else 0
    rotation = turn // answer.unit if turn else 0

    def cut(room: int) -> tuple[bytes, Counts]:
        kept, counts = answer.sections.cut(room)
        before = answer.before[:kept]
        rotated = min(answer.ring_size, kept - len(before))
        after = answer.after[: kept - len(before) - rotated]
        return before + answer.ring[turn : turn + rotated] + after, counts

    return Compiled(name, answer.sections, cut, lambda: load(rotation), answer.uncompressed, most)


def from_facts(name: bytes, facts: Facts, load: Load) -> Compiled:
    """The sections of a clean response, to be sent on as they came; see `Compiled`."""
    sections = facts.sections

    def cut(room: int) -> tuple[bytes, Counts]:
        size, counts = sections.cut(room)
        return sections.octets[:size], counts

    return Compiled(name, sections, cut, load, facts.uncompressed, facts=facts)
