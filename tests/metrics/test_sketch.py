"""The most frequent keys, in bounded memory."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from kdns.metrics.sketch import Sketch, merged
from kdns.metrics.windows import Windows

KEYS = st.lists(st.tuples(st.sampled_from("abcdefghijklmnopqrstuvwxyz"), st.integers(1, 9)), max_size=300)


@given(KEYS, st.integers(1, 6))
def test_counts_are_right_within_their_error(stream: list[tuple[str, int]], capacity: int) -> None:
    """A key came at most as often as is said, and at least so often less the error; none is kept beyond the bound."""
    sketch, truth = Sketch[str](capacity), Counter[str]()
    for key, weight in stream:
        sketch.add(key, weight)
        truth[key] += weight
    counted = sketch.top(1000)
    assert len(counted) <= 2 * capacity
    assert sketch.total == truth.total()
    for key, questions, error in counted:
        assert questions - error <= truth[key] <= questions
    kept = {one.key for one in counted}
    assert all(truth[key] <= sketch.floor for key in truth if key not in kept)


@given(st.lists(KEYS, max_size=4), st.integers(1, 6))
def test_merged_counts_keep_the_bound(streams: list[list[tuple[str, int]]], capacity: int) -> None:
    """The same for several streams that were counted apart."""
    truth, parts = Counter[str](), []
    for stream in streams:
        parts.append(Sketch[str](capacity))
        for key, weight in stream:
            parts[-1].add(key, weight)
            truth[key] += weight
    whole = merged(parts, capacity)
    assert whole.total == truth.total()
    for key, questions, error in whole.top(1000):
        assert questions - error <= truth[key] <= questions


def test_a_heavy_key_among_many_is_found() -> None:
    """One key that is a tenth of a million random ones is the first, whatever came between."""
    sketch = Sketch[str](64)
    for number in range(100_000):
        sketch.add("heavy" if number % 10 == 0 else f"random-{number}")
    assert sketch.top(1)[0].key == "heavy"
    assert len(sketch.top(1000)) <= 128


def test_windows_forget() -> None:
    """A minute, ten minutes and an hour later a key has left the window of that name."""
    windows = Windows[str](8)
    windows.add("early", 5, 0.0)
    for at, expected in [
        (59, (5, 5, 5)), (60, (0, 5, 5)), (599, (0, 5, 5)), (600, (0, 0, 5)), (3599, (0, 0, 5)), (4200, (0, 0, 0)),
    ]:  # fmt: skip
        assert tuple(windows.over(window, at).total for window in ("1m", "10m", "1h")) == expected, at


def test_an_hour_adds_up() -> None:
    """What came each minute is counted once in the hour, although old minutes are put together."""
    windows = Windows[str](8)
    for minute in range(60):
        windows.add("steady", 1, minute * 60.0)
    assert windows.over("1h", 59 * 60.0).total == 60
    assert windows.over("10m", 59 * 60.0).total == 10
