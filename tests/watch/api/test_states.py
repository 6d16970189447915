"""The table that a reflector walks, and the walks that a server can send it on."""

import itertools

import pytest

from kdns.base.errors import ApiError, Denied, Expired, Throttled
from kdns.watch.api.failures import StreamingRefused, WatchTimeout
from kdns.watch.api.states import TRANSITIONS, Outcome, State, outcome_of

ERRORS: dict[str, ApiError] = {
    "410": Expired(410),
    "older": Expired(0, "older"),
    "silence": WatchTimeout(0, "timeout"),
    "no reply": ApiError(0, "lost"),
    "500": ApiError(500),
    "503 with Retry-After": Throttled(503, after=1.0),
    "429": Throttled(429, after=1.0),
    "401": Denied(401),
    "403": Denied(403),
    "404": ApiError(404),
    "no streaming": StreamingRefused(422, "streaming"),
}
L, P, W, C = State.LISTING, State.PAGING, State.WATCHING, State.COMPARING
WALKS: dict[str, tuple[State, list[str | Outcome], list[State]]] = {
    "a server that streams lists": (L, [Outcome.LISTED, Outcome.ENDED], [W, W]),
    "a server that does not": (L, ["no streaming", Outcome.LISTED, "410", "no streaming"], [P, W, L, P]),
    "an outage is over, nothing was lost": (W, ["no reply", "no reply", "500", Outcome.SAME], [C, C, C, W]),
    "a server restored from a backup": (W, [Outcome.CLOSED, "older", Outcome.LISTED], [C, L, W]),
    "silence: only a list tells what vanished": (W, ["silence", Outcome.LISTED], [L, W]),
    "may list, may not watch": (L, ["403", Outcome.LISTED, "403", "403"], [P, W, W, W]),
    "may do neither": (L, ["403", "403", "403", "403"], [P, L, P, L]),
    "an error that may be about streaming": (L, ["500", Outcome.LISTED, "500"], [P, W, W]),
    "a gateway's error": (L, ["503 with Retry-After", Outcome.LISTED], [P, W]),
    "pages fail, too": (L, ["500", "500", "no reply"], [P, P, L]),
    "a server that rations": (W, ["429", "503 with Retry-After", "401"], [W, W, W]),
}


@pytest.mark.parametrize("walk", WALKS)
def test_walks(walk: str) -> None:
    """Each outcome leads to the state that the walk names."""
    state, steps, states = WALKS[walk]
    seen = []
    for step in steps:
        outcome = outcome_of(state, ERRORS[step]) if isinstance(step, str) else step
        state = TRANSITIONS[state, outcome]
        seen.append(state)
    assert seen == states


@pytest.mark.parametrize(("state", "error"), list(itertools.product(State, ERRORS)))
def test_every_error_leads_somewhere(state: State, error: str) -> None:
    """No error of a server, in no state, ends a reflector. Streaming is refused only where it was asked for."""
    if error == "no streaming" and state is not State.LISTING:
        return
    assert (state, outcome_of(state, ERRORS[error])) in TRANSITIONS


def test_every_state_is_left_and_reached() -> None:
    """From each state a watch can be reached, and only a list or a comparison leads to one."""
    for start in State:
        reached = {start}
        while more := {TRANSITIONS[key] for key in TRANSITIONS if key[0] in reached} - reached:
            reached |= more
        assert State.WATCHING in reached
        assert State.LISTING in reached
    into_watch = {key for key, state in TRANSITIONS.items() if state is W and key[0] is not W}
    assert into_watch == {(L, Outcome.LISTED), (P, Outcome.LISTED), (C, Outcome.SAME)}
