"""When a proxier does what: a clock that is set by hand, and what is due then."""

import pytest

from kdns.proxy.schedule import HOUR, RETRY, SETTLE, SOON, Schedule, Step


class Timed:
    """A schedule that is synced, and its clock."""

    def __init__(self, least: float = 1.0, period: float = 30.0) -> None:
        self.now = 100.0
        self.schedule = Schedule(least, period, lambda: self.now)
        self.schedule.synced = True

    def after_a_round(self, *, wrote: bool = False) -> "Timed":
        """The first round, which is a full one, has just succeeded."""
        assert self.schedule.begin(self.now)
        self.schedule.succeeded(full=True, wrote=wrote)
        return self

    def due(self, *, pending: bool = False) -> Step | float | None:
        """What is to be done now, or for how many seconds nothing is."""
        delay = self.schedule.delay(pending=pending)
        return delay if delay is None or delay > 0 else self.schedule.step(pending=pending)


def test_nothing_is_done_before_everything_is_known() -> None:
    """Rules of half a cluster would refuse connections to the other half."""
    timed = Timed()
    timed.schedule.synced = False
    assert timed.due(pending=True) is None


@pytest.mark.parametrize(
    ("seconds", "pending", "due"),
    [
        (0.0, True, 1.0),  # minSyncPeriod counts from the end of a round (facts b.7)
        (0.25, True, 0.75),
        (1.0, True, Step.ROUND),
        (1.0, False, 29.0),
        (29.0, False, 1.0),
        (30.0, False, Step.LOOK),
        (30.0, True, Step.ROUND),
        (HOUR, False, Step.ROUND),
    ],
)
def test_after_a_round(seconds: float, pending: bool, due: Step | float) -> None:
    """The next one waits for the least interval, a look for the period, a full round for an hour."""
    timed = Timed().after_a_round()
    timed.now += seconds
    assert timed.due(pending=pending) == due


def test_what_a_round_leaves_is_tidied_once() -> None:
    """A moment later, unless a round is due."""
    timed = Timed().after_a_round(wrote=True)
    timed.now += SETTLE
    assert timed.due() is Step.TIDY
    assert timed.due() == 30.0 - SETTLE


def test_a_sign_of_others_brings_a_look_soon() -> None:
    """One for many signs that come together, and none later than it was due."""
    timed = Timed().after_a_round()
    timed.now += 5.0
    timed.schedule.want_look()
    timed.now += SOON / 2
    timed.schedule.want_look()
    assert timed.due() == SOON / 2
    timed.now += SOON / 2
    assert timed.due() is Step.LOOK
    assert timed.due() == 30.0
    timed.now += 30.0 - SOON / 2
    timed.schedule.want_look()
    assert timed.due() == SOON / 2


def test_a_look_is_followed_by_a_period() -> None:
    """Whatever it finds."""
    timed = Timed().after_a_round()
    timed.now += 31.0
    assert timed.due() is Step.LOOK
    assert timed.due() == 30.0


def test_a_failure_is_followed_by_a_full_round_after_a_pause() -> None:
    """Changes that come meanwhile do not shorten it."""
    timed = Timed(least=0.0).after_a_round()
    timed.now += 5.0
    assert not timed.schedule.begin(timed.now)
    timed.schedule.ended()
    pause = timed.schedule.retry_later()
    assert 0.0 < pause <= RETRY
    assert timed.schedule.retrying
    assert timed.due(pending=True) == pytest.approx(pause)
    timed.now += pause
    assert timed.due() is Step.ROUND
    assert timed.schedule.begin(timed.now)


def test_pauses_end_at_the_period() -> None:
    """However often it fails."""
    timed = Timed(period=4.0)
    assert max(timed.schedule.retry_later() for _ in range(50)) <= 4.0


def test_a_full_round_that_is_wished_for_during_one_is_the_next() -> None:
    """As by another policy; and one that follows at once waits for the least interval only."""
    timed = Timed()
    assert timed.schedule.begin(timed.now)
    timed.schedule.want_full()
    timed.schedule.succeeded(full=True, wrote=False)
    timed.now += 1.0
    assert timed.due() is Step.ROUND
    assert timed.schedule.begin(timed.now)
    timed.schedule.ended()
    timed.schedule.retry_now()
    assert timed.due() == 1.0
