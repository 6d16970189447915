"""When the proxy is called healthy."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kdns.proxy.healthcheck.proxy_health import FamilyHealth, Health, ProxyHealth


class Moments:
    """A clock that stands, and a wall clock a thousand seconds ahead of it."""

    def __init__(self) -> None:
        self.now = 0.0

    def wall(self) -> float:
        return 1000.0 + self.now

    def __call__(self) -> float:
        return self.now


SCRIPTS = {
    "starting": ("", True),
    "changes wait before the first success, however long": ("0 queued IPv4, 500", True),
    "nothing has changed for hours": ("0 updated IPv4, 9999", True),
    "a change waits": ("0 updated IPv4, 1 queued IPv4, 60", True),
    "a change waits too long": ("0 updated IPv4, 1 queued IPv4, 61", False),
    "a younger change does not make it younger": ("0 updated IPv4, 1 queued IPv4, 50 queued IPv4, 61", False),
    "it is written": ("0 updated IPv4, 1 queued IPv4, 50 updated IPv4, 500", True),
    "it was late, and is written": ("0 updated IPv4, 1 queued IPv4, 99 updated IPv4, 100", True),
    "another family is late":
        ("0 updated IPv4, 0 updated IPv6, 1 queued IPv6, 2 queued IPv4, 3 updated IPv4, 61", False),
    "what came while others were written still waits":
        ("0 updated IPv4, 1 queued IPv4, 5 queued IPv4, 9 updated IPv4 3, 64", False),
    "and is not late yet": ("0 updated IPv4, 1 queued IPv4, 5 queued IPv4, 9 updated IPv4 3, 62", True),
}  # fmt: skip


def play(script: str) -> tuple[ProxyHealth, Moments]:
    """Moments and what happens then."""
    moments = Moments()
    health = ProxyHealth(60.0, moments, moments.wall)
    for line in filter(None, script.split(", ")):
        at, *what = line.split()
        moments.now = float(at)
        match what:
            case ["queued", family]:
                health.queued(family)
            case ["updated", family, *began]:
                health.updated(family, *map(float, began))
    return health, moments


@pytest.mark.parametrize("title", SCRIPTS)
def test_healthy(title: str) -> None:
    """A family is well unless something has waited for 60 seconds since it was written last."""
    script, healthy = SCRIPTS[title]
    assert play(script)[0].healthy is healthy


def test_reports() -> None:
    """Each family that was written tells when, and whether it keeps up."""
    health, _ = play("0 queued IPv6, 5 updated IPv4, 6 updated IPv6, 7 queued IPv6, 70")
    assert health.report() == Health(
        1070.0, 1006.0, False, {"IPv4": FamilyHealth(1005.0, True), "IPv6": FamilyHealth(1006.0, False)}
    )
    assert play("3")[0].report() == Health(1003.0, None, True, {})


@given(st.lists(st.tuples(st.floats(0, 100), st.sampled_from(["queued", "updated"])), max_size=20), st.floats(0, 200))
def test_a_success_makes_well(steps: list[tuple[float, str]], later: float) -> None:
    """Whatever happened: when all is written, a family is well for as long as nothing else happens."""
    moments = Moments()
    health = ProxyHealth(60.0, moments, moments.wall)
    for pause, step in steps:
        moments.now += pause
        health.queued("IPv4") if step == "queued" else health.updated("IPv4", moments.now)
    moments.now += 1
    health.updated("IPv4", moments.now)
    moments.now += later
    assert health.healthy


def test_each_family_keeps_up_by_itself() -> None:
    """A health check answers for its own family; one that was never written is not late."""
    health, _ = play("0 updated IPv4, 0 updated IPv6, 1 queued IPv6, 61")
    assert (health.keeps_up("IPv4"), health.keeps_up("IPv6"), health.healthy) == (True, False, False)
    assert play("0 queued IPv4, 500")[0].keeps_up("IPv4")
