"""Which kinds are missing, and why."""

from collections.abc import Sequence
from typing import NamedTuple

import pytest

from kdns.watch.readiness import Readiness
from kdns.watch.source import Event, ListComplete, Listing, Lost, Resumed, Skipped, Want

WANTS = (Want("Service"), Want("EndpointSlice"), Want("Namespace", optional=True))
OTHERS = (ListComplete("EndpointSlice"), ListComplete("Namespace"))


class Case(NamedTuple):
    """Events, and the reasons that are left after them."""

    title: str
    events: Sequence[Event]
    reasons: list[str]


CASES = (
    Case(
        "at first everything is missing",
        (),
        [
            "kubernetes: services: not listed yet",
            "kubernetes: endpointslices: not listed yet",
            "kubernetes: namespaces: not listed yet",
        ],
    ),
    Case("listed or waived kinds are not missing", (ListComplete("Service"), *OTHERS), []),
    Case(
        "an optional kind that is forbidden is not missing",
        (ListComplete("Service"), ListComplete("EndpointSlice"), Lost("Namespace", "403"), Skipped("Namespace", "403")),
        [],
    ),
    Case(
        "a kind that cannot be listed says why",
        (*OTHERS, Listing("Service"), Lost("Service", "403: may not list services")),
        ["kubernetes: services: 403: may not list services"],
    ),
    Case(
        "a list under way is not enough",
        (*OTHERS, Listing("Service")),
        ["kubernetes: services: its first list is not complete yet"],
    ),
    Case(
        "a list that is tried again does not hide what was wrong",
        (*OTHERS, Lost("Service", "timeout"), Listing("Service")),
        ["kubernetes: services: timeout"],
    ),
    Case(
        "what was listed once stays listed while it is lost",
        (ListComplete("Service"), *OTHERS, Lost("Service", "x")),
        [],
    ),
)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.title)
def test_reasons(case: Case) -> None:
    """The reasons name each missing kind, and synced is true exactly when there are none."""
    readiness = Readiness(WANTS)
    for event in case.events:
        readiness.note(event)
    assert readiness.reasons() == case.reasons
    assert readiness.synced == (not case.reasons)


def test_shutting_down_is_the_only_reason_then() -> None:
    """From SIGTERM on, readiness says so whatever else it knows."""
    readiness = Readiness(WANTS)
    readiness.shutting_down = True
    assert readiness.reasons() == ["Shutting down"]


def test_a_waived_kind_that_may_be_listed_after_all_is_waived_no_longer() -> None:
    """Somebody granted the permission: from then on the kind counts like all others."""
    readiness = Readiness(WANTS)
    readiness.note(Skipped("Namespace", "403: may not list namespaces"))
    assert readiness.skipped == {"Namespace": "403: may not list namespaces"}
    readiness.note(ListComplete("Namespace"))
    assert readiness.skipped == {}


def test_a_resumed_kind_is_no_longer_lost() -> None:
    """Lost and Resumed come in pairs."""
    readiness = Readiness(WANTS)
    readiness.note(Lost("Service", "connection refused"))
    assert readiness.lost == {"Service": "connection refused"}
    readiness.note(Resumed("Service"))
    assert readiness.lost == {}
