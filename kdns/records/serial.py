"""The serial of a zone's SOA record: Unix seconds of the last change, and always another one after a change.

Secondaries look at nothing else to see whether there is news (RFC 1034 section 4.3.5), so two changes within one second
must not share a serial. Only a serial that was read has to be followed by a greater one: the ten thousand
changes of a first list are one step, not ten thousand that would run ahead of the clock, which is what the serial of
the next process begins with.
"""

from typing import Final

_MASK: Final = 0xFFFFFFFF
_HALF: Final = 1 << 31


class Serial:
    """One zone's."""

    def __init__(self) -> None:
        self._read: int | None = None
        self._changed: int | None = None

    def change(self, now: int) -> None:
        """The zone has changed; ``now`` is Unix seconds. The clock may have been set back."""
        self._changed = now if self._changed is None else max(now, self._changed)

    @property
    def value(self) -> int:
        """32 bits; 0 before the first change."""
        if self._changed is not None:
            self._read = next_serial(self._read, self._changed)
            self._changed = None
        return self._read or 0


def next_serial(last: int | None, now: int) -> int:
    """The later of ``now`` and what follows ``last``, by the arithmetic of RFC 1982 section 3; None: there was none."""
    now &= _MASK
    if last is None:
        return now
    following = (last + 1) & _MASK
    return now if (now - following) & _MASK < _HALF else following
