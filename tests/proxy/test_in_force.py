"""How long the last changes took to reach the kernel."""

from collections import deque

from kdns.base.objects import ObjectKey
from kdns.proxy.apply.applier import Applied
from kdns.proxy.in_force import InForce
from kdns.proxy.left_out import LeftOut
from kdns.proxy.model import Family
from kdns.proxy.proxier import Round
from kdns.watch.recent import Recent

WEB, API = ObjectKey("Service", "shop", "web"), ObjectKey("Service", "shop", "api")


def change(key: ObjectKey, arrived: float | None, applied: float) -> Recent:
    """One that the follower remembers."""
    return Recent(key, 1_700_000_000.0, False, None, None, arrived, applied)


def written(known: float) -> Round:
    """A round that was a success."""
    return Round(known, 0.1, False, Applied())


def nothing_left_out(_: ObjectKey) -> tuple[LeftOut, ...]:
    """Every rule is written."""
    return ()


def test_both_families_must_have_it() -> None:
    """A change is in force when the later family has written it; what came after a round is not in that one."""
    recent = deque([change(WEB, 10.0, 10.001), change(API, 10.5, 10.501)])
    in_force = InForce(recent, list(Family))
    in_force.note(Family.IPV4, written(10.2), 10.3, nothing_left_out)
    assert in_force.seconds(recent[0]) is None
    in_force.note(Family.IPV6, written(10.2), 10.4, nothing_left_out)
    assert [in_force.seconds(one) for one in recent] == [10.4 - 10.0, None]
    for family in Family:
        in_force.note(family, written(11.0), 11.5, nothing_left_out)
    assert [in_force.seconds(one) for one in recent] == [10.4 - 10.0, 11.5 - 10.5]


def test_what_failed_or_was_refused_is_not_in_force() -> None:
    """A round that failed counts for nothing, and one without a Service's rules not for that Service."""
    recent = deque([change(WEB, 10.0, 10.0), change(API, 10.0, 10.0)])
    in_force = InForce(recent, [Family.IPV4])
    in_force.note(Family.IPV4, Round(11.0, 0.1, True, None), 11.0, nothing_left_out)
    assert [in_force.seconds(one) for one in recent] == [None, None]

    def refused(key: ObjectKey) -> tuple[LeftOut, ...]:
        return (LeftOut("RulesRefused", "the kernel refuses them"),) if key == API else ()

    in_force.note(Family.IPV4, written(11.0), 12.0, refused)
    assert [in_force.seconds(one) for one in recent] == [2.0, None]


def test_what_is_forgotten_there_is_forgotten_here() -> None:
    """No more is kept than the follower keeps, and a change of a list has no time."""
    recent = deque([change(WEB, 10.0, 10.0)], maxlen=1)
    in_force = InForce(recent, [Family.IPV4])
    in_force.note(Family.IPV4, written(10.0), 11.0, nothing_left_out)
    first = recent[0]
    recent.append(change(API, None, 12.0))
    in_force.note(Family.IPV4, written(12.0), 13.0, nothing_left_out)
    assert in_force.seconds(first) is None
    assert in_force.seconds(recent[0]) is None
