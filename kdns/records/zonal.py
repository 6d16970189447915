"""The part of a Service that is in one topology zone, for ``TOPOZONE.pin._zone.SERVICE.NAMESPACE.svc.ZONE``."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from msgspec.structs import replace

from kdns.base.objects import EndpointSlice

ANCHOR: Final = b"_zone"
PIN: Final = b"pin"
"""Only the zone's endpoints, be there any or not."""
PREFER: Final = b"prefer"
"""The zone's endpoints if there are any, else all."""


def chosen(slices: Sequence[EndpointSlice], zone: Sequence[bytes], directive: bytes) -> Sequence[EndpointSlice]:
    """The rows that a name is for; ``zone`` is folded and may have several labels."""
    rows = tuple(_within(slices, b".".join(zone).decode("latin-1")))
    return rows or (slices if directive == PREFER else ())


def _within(slices: Iterable[EndpointSlice], zone: str) -> Iterator[EndpointSlice]:
    for part in slices:
        rows = [row for row, place in enumerate(part.zones) if place == zone]
        if rows:
            yield replace(
                part,
                addresses=b"".join(map(part.address, rows)),
                hostnames=_picked(part.hostnames, rows),
                pods=_picked(part.pods, rows),
                texts=_picked(part.texts, rows),
                zones=_picked(part.zones, rows),
            )


def _picked(column: tuple[str, ...], rows: Sequence[int]) -> tuple[str, ...]:
    return tuple(column[row] for row in rows) if column else ()
