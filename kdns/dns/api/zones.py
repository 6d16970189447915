"""Zones of a plugin, matched by whole labels and never by the text of their ends."""

from collections.abc import Iterable

from kdns.wire.name import ROOT, label_starts, parse_name, under


class Zones:
    """A set of zones."""

    def __init__(self, texts: Iterable[str]) -> None:
        self.texts = {parse_name(text): text for text in texts}
        """Folded apex -> as it was written."""
        self.everything = ROOT in self.texts
        self._all = self.everything and len(self.texts) == 1

    def of(self, name: bytes) -> bytes | None:
        """The longest zone that a folded name is in; None if it is in none."""
        if self._all:
            return ROOT
        for start in label_starts(name) or ():
            if name[start:] in self.texts:
                return name[start:]
        return ROOT if self.everything else None

    def touch(self, name: bytes, below: bool) -> bool:
        """True if a name is in a zone; with ``below``, if any name under it is. Fits `kdns.dns.api.plugin.MustSee`."""
        return self.of(name) is not None or (below and any(under(zone, name) for zone in self.texts))


class Fallthrough:
    """Where a plugin hands on the questions that it could answer with "no" only."""

    def __init__(self, zones: Iterable[str] | None) -> None:
        self.zones = Zones(zones or ())
        """None at all: nowhere."""

    def through(self, name: bytes) -> bool:
        """True if a question for a folded name goes on to the next plugin."""
        return self.zones.of(name) is not None
