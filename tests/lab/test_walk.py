"""What a walk-through tells, without a cluster."""

from typing import cast

from kdns.lab.asking import Arrived, Refused, Silence, Unreachable
from kdns.lab.cluster import Cluster
from kdns.lab.kind import Kind
from kdns.lab.walk import Walk, present


def walk_of(told: list[str]) -> Walk:
    """A walk that nobody asks for its cluster."""
    return Walk(cast("Cluster", None), Kind("nftables"), told.append)


def test_checks_are_counted_and_told() -> None:
    """A mark for what holds, the difference for what does not."""
    told: list[str] = []
    walk = walk_of(told)
    walk.equal("one", 1, 1)
    walk.equal("two", 3, 2)
    walk.check("three", False)
    assert told == ["  ✓ one", "  ✗ two; instead: 3, and not 2", "  ✗ three"]
    assert (walk.passed, walk.failed) == (1, ["two: 3, and not 2", "three"])


def test_what_comes_late_holds_when_it_comes() -> None:
    """A condition is looked at until it holds."""
    told: list[str] = []
    walk = walk_of(told)
    seen = iter([1, 2, 3])
    assert walk.eventually("three", lambda: next(seen), lambda value: value == 3) == 3
    assert (walk.passed, walk.failed) == (1, [])


def test_outcomes_in_words() -> None:
    """Each outcome of a probe."""
    assert present(Arrived("web", "10.244.0.5", 4000)) == "web, which saw 10.244.0.5"
    assert [present(one) for one in (Refused(), Silence(), Unreachable("EHOSTUNREACH"))] == [
        "refused",
        "silence",
        "unreachable (EHOSTUNREACH)",
    ]
