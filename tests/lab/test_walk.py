"""What a walk-through tells, without a cluster."""

from pathlib import Path
from typing import cast

from kdns.lab.asking import Arrived, Refused, Silence, Unreachable
from kdns.lab.cluster import Cluster
from kdns.lab.flags import LAYOUTS, MODES
from kdns.lab.kind import Kind
from kdns.lab.steps import OF_LAYOUT, STEPS, steps_of
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


def test_slow_looks_are_repeated() -> None:
    """Where one look takes as long as the patience, the first ones may show what is over by their end."""
    walk = Walk(cast("Cluster", None), Kind("nftables"), lambda _: None, patience=0.0)
    seen = iter([1, 2, 3, 4])
    assert walk.eventually("four", lambda: next(seen), lambda value: value == 4) == 4
    seen = iter([1, 2, 3, 4])
    walk.eventually("five", lambda: next(seen), lambda value: value == 5)
    assert (walk.passed, len(walk.failed)) == (1, 1)


def test_outcomes_in_words() -> None:
    """Each outcome of a probe."""
    assert present(Arrived("web", "10.244.0.5", 4000)) == "web, which saw 10.244.0.5"
    assert [present(one) for one in (Refused(), Silence(), Unreachable("EHOSTUNREACH"))] == [
        "refused",
        "silence",
        "unreachable (EHOSTUNREACH)",
    ]


def test_the_page_about_it_names_all_there_is() -> None:
    """Steps, modes and layouts, and what it shows went well."""
    page = (Path(__file__).parents[2] / "docs" / "how-a-service-works.md").read_text()
    assert [word for word in (*STEPS, *MODES, *LAYOUTS, *OF_LAYOUT["node-local"]) if f"`{word}`" not in page] == []
    assert page.count("✓") > 30
    assert "✗" not in page


def test_a_layout_has_steps_of_its_own() -> None:
    """They come after those of every layout."""
    assert [*steps_of("node-local")] == [*STEPS, "local-dns"]
    assert steps_of("pods") == STEPS


def test_commands_and_long_lines_fit_a_terminal() -> None:
    """What is wider than a terminal goes on in the next line, with every word of it."""
    told: list[str] = []
    walk = walk_of(told)
    rule = "-A KUBE-SERVICES " + "-m comment --comment word " * 8
    walk.explain([rule], lambda _: "its meaning")
    assert max(map(len, told)) <= 100
    assert " ".join(told[:-1]).split() == rule.split()
    assert told[-1] == "      └ its meaning"
