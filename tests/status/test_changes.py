"""The last changes of Services, from the watches of DNS and proxy."""

import pytest

from kdns.base.objects import ObjectKey
from kdns.status.changes import TOGETHER, changes
from kdns.watch.recent import Recent

NOW = 1_700_000_100.0


def change(name: str, ago: float, *, arrived: float | None = 50.0, took: float = 0.002) -> Recent:
    """Seen ``ago`` seconds before now, and taken in ``took`` seconds after it came."""
    key = ObjectKey("Service", "shop", name)
    return Recent(key, NOW - ago, False, took, "arrival", arrived, (arrived or 50.0) + took)


def test_two_watches_see_one_change() -> None:
    """The same Service at about the same moment is one change, with both times; the newest comes first."""
    answered = [change("web", 9.0), change("api", 5.0), change("web", 1.0)]
    programmed = [change("web", 8.5), change("api", 5.1), change("web", 1.2)]
    kernel = dict(zip(programmed, (0.3, 0.2, 0.1), strict=True))
    rows = list(changes(answered, programmed, kernel.get, NOW))
    assert [(row.name, round(row.ago), row.in_kernel) for row in rows] == [
        ("web", 1, 0.1), ("api", 5, 0.2), ("web", 9, 0.3),
    ]  # fmt: skip
    assert [row.answered for row in rows] == [pytest.approx(0.002)] * 3
    assert not any(row.pending for row in rows)


def test_what_only_one_of_them_sees() -> None:
    """A headless Service never comes to the proxy; `kdns proxy` answers no names; far apart is not the same change."""
    rows = list(changes([change("peers", 3.0)], (), lambda _: None, NOW))
    assert [(row.answered is None, row.in_kernel, row.pending) for row in rows] == [(False, None, False)]
    rows = list(changes((), [change("web", 3.0)], lambda _: 0.5, NOW))
    assert [(row.answered, row.in_kernel, row.took, row.since) for row in rows] == [(None, 0.5, None, "")]
    rows = list(changes([change("web", 2 * TOGETHER)], [change("web", 0.0)], lambda _: 0.5, NOW))
    assert [(row.answered is None, row.in_kernel) for row in rows] == [(True, 0.5), (False, None)]


def test_what_the_kernel_was_not_given_yet() -> None:
    """It waits; but what came in a list, whose moment is unknown, is not called waiting for ever."""
    (row,) = changes([change("web", 1.0)], [change("web", 1.0)], lambda _: None, NOW)
    assert (row.pending, row.in_kernel) == (True, None)
    (row,) = changes([change("web", 1.0, arrived=None)], [change("web", 1.0, arrived=None)], lambda _: None, NOW)
    assert (row.pending, row.answered) == (False, None)
