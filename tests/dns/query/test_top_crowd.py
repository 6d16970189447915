"""What `top` costs in a crowd: memory that is bounded, whatever is asked by however many clients."""

import random
import tracemalloc
from typing import Final

import pytest

from kdns.dns.query.top import RATE, Top
from kdns.wire.name import parse_name
from kdns.wire.numbers import NXDOMAIN, SERVFAIL, A

MOST: Final = 8 << 20
"""Octets."""
MINUTES: Final = 75
"""Longer than the longest window, so that what is forgotten is in it."""
EACH: Final = 300
"""Different clients and names in each minute: more than a sketch keeps, so that each minute's is full."""


def name(number: int, chance: random.Random, *, hostile: bool) -> bytes:
    """A name in wire form: usual, or as long as it can be, of octets that take four characters each as text."""
    if not hostile:
        return parse_name(f"host-{number}.default.svc.cluster.local.")
    labels = [bytes((63,)) + bytes(chance.randrange(128, 256) for _ in range(63)) for _ in range(3)]
    return b"".join(labels) + bytes((59,)) + number.to_bytes(59, "big") + b"\0"


@pytest.mark.parametrize(
    "hostile",
    [pytest.param(False, id="usual"), pytest.param(True, id="hostile", marks=pytest.mark.heavy)],
)
def test_memory_is_bounded(hostile: bool) -> None:
    """An hour of clients and names that are always others takes less than 8 MB, with a full ring of failures."""
    chance, now = random.Random(1), [0.0]
    tracemalloc.start()
    try:
        top = Top(lambda: now[0], lambda: now[0], chance)
        top.zones = (b"\0",)
        top.who = lambda address: (f"namespace-{address}", f"pod-of-a-deployment-with-a-long-name-{address}")
        for minute in range(MINUTES):
            now[0] = 60.0 * minute
            for number in range(EACH):
                asked, address = (
                    name(minute * EACH + number, chance, hostile=hostile),
                    f"10.{minute}.{number >> 8}.{number & 255}",
                )
                rcode = NXDOMAIN if number % 2 else SERVFAIL
                top.chain(
                    address, asked, A, rcode, "upstream 192.0.2.1:53: timeout", f"dns://192.0.2.{number % 256}:53", 2.0
                )
        values = top.values()
        used, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert values["windows"]["1h"]["name"]["total"] >= 60 * EACH
    assert used < MOST


def test_the_fast_path_is_sampled_down() -> None:
    """At 200,000 questions a second about as many are looked at as at 2,000: at most three times `RATE`."""
    now = [0.0]
    top = Top(lambda: now[0], lambda: now[0], random.Random(1))
    query = bytes(12) + parse_name("a.test.") + bytes(4)
    for rate in (2_000, 200_000):
        looked_at = 0
        for _ in range(12):
            now[0] += 1.0
            passed = 0
            looked_at = 0
            while passed < rate:
                gap = top.gap()
                passed += gap + 1
                looked_at += 1
                top.sample(query, query, "10.0.0.1", gap + 1)
        assert looked_at <= 3 * RATE
