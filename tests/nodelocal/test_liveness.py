"""When an address counts as alive, with answers at moments of the test's own."""

import pytest

from kdns.nodelocal import iptables, nftables
from kdns.nodelocal.liveness import Answers, Liveness

LIVENESSES = pytest.mark.parametrize("liveness", [nftables.LIVENESS, iptables.LIVENESS], ids=["nftables", "iptables"])


def answers(liveness: Liveness, moments: list[float]) -> Answers:
    """An address whose questions of these moments were answered."""
    had = Answers(liveness, 0.0)
    for moment in moments:
        had.note(moment)
    return had


@LIVENESSES
def test_half_a_second_is_kept(liveness: Liveness) -> None:
    """A question is answered elsewhere half a second after the last answer at the latest, timers being late."""
    assert liveness.longest <= 0.4 + 1e-9
    steady = answers(liveness, [number * liveness.every for number in range(100)])
    last = 99 * liveness.every
    assert steady.alive(last + liveness.longest - 0.001)
    assert not steady.alive(last + liveness.longest + 0.001)


@LIVENESSES
def test_a_late_loop_stays_alive(liveness: Liveness) -> None:
    """Questions that leave half a pause late, every one of them, do not send clients elsewhere."""
    late = answers(liveness, [number * liveness.every * 1.5 for number in range(100)])
    assert late.alive(100 * liveness.every * 1.5)


def test_enough_answers_within_the_time() -> None:
    """One fewer is not enough, nor is one of them too old."""
    liveness = Liveness(every=0.1, within=1.0, enough=3)
    assert not answers(liveness, [5.0, 5.1]).alive(5.1)
    assert answers(liveness, [5.0, 5.1, 5.2]).alive(6.0)
    assert not answers(liveness, [4.9, 5.1, 5.2]).alive(6.0)
    assert answers(liveness, [1.0, 5.1, 5.2, 5.3]).alive(6.0)


def test_the_list_of_recent_has_room() -> None:
    """xt_recent keeps 20 packets of an address by default (ip_pkt_list_tot), and refuses to count further."""
    assert iptables.LIVENESS.enough <= 20
    assert iptables.LIVENESS.within == iptables.SECONDS
