"""Serials of zones: they grow with every change, by RFC 1982's arithmetic."""

import pytest

from kdns.records.serial import Serial, next_serial

LAST = 0xFFFFFFFF
HALF = 1 << 31


@pytest.mark.parametrize(
    ("last", "now", "following"),
    [
        (None, 1_700_000_000, 1_700_000_000),
        (None, (1 << 32) + 5, 5),
        (1_700_000_000, 1_700_000_060, 1_700_000_060),
        (1_700_000_000, 1_700_000_000, 1_700_000_001),
        (1_700_000_007, 1_700_000_000, 1_700_000_008),
        (1_700_000_000, 1_700_000_001, 1_700_000_001),
        (LAST, LAST, 0),
        (LAST, (1 << 32) + 9, 9),
        (LAST - 1, LAST, LAST),
        (5, LAST, 6),  # 32 bits further back: the clock was set back by ten seconds over the end of the circle
        (7, 7 + HALF, 7 + HALF),
        (7, 8 + HALF, 8),  # as far ahead as RFC 1982 lets a serial go, and one more
    ],
)
def test_what_follows(last: int | None, now: int, following: int) -> None:
    """The time, or one more than the last where that is later."""
    assert next_serial(last, now) == following
    if last is not None:
        assert 0 < (following - last) & LAST <= HALF


def test_only_what_was_read_is_followed() -> None:
    """A list of ten thousand objects is one step; two changes with a look between them are two."""
    serial = Serial()
    assert serial.value == 0
    for _ in range(10_000):
        serial.change(1_700_000_000)
    assert (serial.value, serial.value) == (1_700_000_000, 1_700_000_000)
    serial.change(1_700_000_000)
    assert serial.value == 1_700_000_001
    serial.change(1_700_000_009)
    serial.change(1_700_000_003)
    assert serial.value == 1_700_000_009
