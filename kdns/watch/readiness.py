"""Which kinds of objects are still missing, and why. Pure: fed with events, asked by /ready and the start-up."""

from collections.abc import Sequence

from kdns.base.objects import PLURALS, Kind
from kdns.watch.source import Event, ListComplete, Listing, Lost, Resumed, Skipped, Want


class Readiness:
    """What must be listed before kdns knows the cluster, and what became of it so far.

    A kind that was listed once stays listed: while a source is lost, answers come from what is known.
    """

    def __init__(self, wants: Sequence[Want]) -> None:
        self._missing: dict[Kind, str] = {want.kind: "not listed yet" for want in wants}
        self.lost: dict[Kind, str] = {}
        """Kinds that cannot be followed just now, with the reason."""
        self.skipped: dict[Kind, str] = {}
        """Optional kinds that are not followed for the time being, with the reason."""
        self.restored: float | None = None
        """Unix seconds at which the snapshot was taken that is served meanwhile; None: none is."""
        self.shutting_down = False

    @property
    def synced(self) -> bool:
        """True once every kind was listed or skipped."""
        return not self._missing

    def note(self, event: Event) -> None:
        """Take one event of a source into account."""
        match event:
            case ListComplete(kind):
                self._missing.pop(kind, None)
                self.lost.pop(kind, None)
                self.skipped.pop(kind, None)
            case Skipped(kind, reason):
                self._missing.pop(kind, None)
                self.lost.pop(kind, None)
                self.skipped[kind] = reason
            case Lost(kind, reason):
                self.lost[kind] = reason
            case Listing(kind):
                # What was lost stays so until a list is complete: one that fails again changes nothing.
                if kind in self._missing:
                    self._missing[kind] = "its first list is not complete yet"
            case Resumed(kind):
                self.lost.pop(kind, None)

    def remarks(self, now: float) -> list[str]:
        """What is to be known though kdns is ready: how old the snapshot is that is served; `now` in Unix seconds."""
        if self.restored is None:
            return []
        return [f"kubernetes: served from a snapshot {max(0.0, now - self.restored):.0f} s old", *self.missing()]

    def reasons(self) -> list[str]:
        """Why kdns is not ready, a line each: ``kubernetes: services: 403: may not list services``; empty if it is."""
        if self.shutting_down:
            return ["Shutting down"]
        return [] if self.restored is not None else self.missing()

    def missing(self) -> list[str]:
        """What is not known yet, a line each, whether a snapshot is served instead or not."""
        return [f"kubernetes: {PLURALS[kind]}: {self.lost.get(kind, state)}" for kind, state in self._missing.items()]
