"""What a plugin with whole zones offers to ``transfer``: see `kdns.dns.api.plugin.BlockContext.offer`."""

from collections.abc import Iterator
from typing import Protocol, runtime_checkable

from kdns.wire.rr import RR


@runtime_checkable
class ZoneSource(Protocol):
    """Zones that can be copied."""

    def apexes(self) -> tuple[bytes, ...]:
        """Folded, whether they can be copied now or not."""

    def serial(self, apex: bytes) -> int | None:
        """Of the zone as it is now, 32 bits; None: it is not known yet, or no longer."""

    def zone_records(self, apex: bytes) -> Iterator[RR]:
        """The records of a zone as it is now, its one SOA first. May be walked later, and slowly: it stays the same."""
