"""What a reflector does next: states, what can come of each, and the table that leads on. Pure.

::

               ┌──────────────── STALE, SILENT ─────────────────┐
               v                                                │
    ──> LISTING ── LISTED ─────────────────────────────────> WATCHING <── SAME ── COMPARING
           │  ^                                                 ^  │ CLOSED, BROKEN   ^
           │  └─ STALE, BROKEN, REFUSED ── PAGING ── LISTED ────┘  └──────────────────┘
           └──── UNSUPPORTED, LIST_ONLY, FAILED ──^

A streaming list (KEP-3157) and the watch after it are one request: with LISTED, the same connection goes over from
LISTING to WATCHING.
"""

from collections.abc import Mapping
from enum import Enum
from typing import Final

from kdns.base.errors import ApiError, Denied, Expired, Throttled
from kdns.watch.api.failures import StreamingRefused, WatchTimeout


class State(Enum):
    """What is asked of the API server next."""

    LISTING = "a streaming list"
    PAGING = "the list in pages"
    WATCHING = "a watch from the newest version that we know"
    COMPARING = "its newest version: it may be another server now, or restored from a backup"


class Outcome(Enum):
    """What became of it."""

    LISTED = "the list is complete"
    SAME = "the server is not behind us"
    ENDED = "the watch lasted as long as it was to last"
    CLOSED = "the server ended the watch earlier"
    STALE = "what we know cannot be continued: 410, an older server, or objects that differ"
    SILENT = "nothing was heard, not even a bookmark: what was missed is unknown"
    BROKEN = "no reply, or one that broke off"
    FAILED = "an error of the server's own, 500 or above"
    REFUSED = "any other refusal"
    UNSUPPORTED = "the server does not stream lists; perhaps it has pages, which are asked for at once"
    LIST_ONLY = "we may not watch; perhaps we may list"


TRANSITIONS: Final[Mapping[tuple[State, Outcome], State]] = {
    (State.LISTING, Outcome.LISTED): State.WATCHING,
    (State.LISTING, Outcome.STALE): State.LISTING,
    (State.LISTING, Outcome.SILENT): State.LISTING,
    (State.LISTING, Outcome.BROKEN): State.LISTING,
    (State.LISTING, Outcome.REFUSED): State.LISTING,
    (State.LISTING, Outcome.FAILED): State.PAGING,  # the error may be about the option alone
    (State.LISTING, Outcome.UNSUPPORTED): State.PAGING,
    (State.LISTING, Outcome.LIST_ONLY): State.PAGING,  # and say with what is known that we may not watch
    (State.PAGING, Outcome.LISTED): State.WATCHING,
    (State.PAGING, Outcome.STALE): State.LISTING,
    (State.PAGING, Outcome.SILENT): State.LISTING,
    (State.PAGING, Outcome.BROKEN): State.LISTING,
    (State.PAGING, Outcome.REFUSED): State.LISTING,
    (State.PAGING, Outcome.FAILED): State.PAGING,
    (State.WATCHING, Outcome.ENDED): State.WATCHING,
    (State.WATCHING, Outcome.CLOSED): State.COMPARING,  # it is shutting down, or is another one by now
    (State.WATCHING, Outcome.STALE): State.LISTING,
    (State.WATCHING, Outcome.SILENT): State.LISTING,
    (State.WATCHING, Outcome.BROKEN): State.COMPARING,
    (State.WATCHING, Outcome.REFUSED): State.WATCHING,
    (State.WATCHING, Outcome.FAILED): State.WATCHING,
    (State.COMPARING, Outcome.SAME): State.WATCHING,
    (State.COMPARING, Outcome.STALE): State.LISTING,
    (State.COMPARING, Outcome.SILENT): State.COMPARING,
    (State.COMPARING, Outcome.BROKEN): State.COMPARING,
    (State.COMPARING, Outcome.REFUSED): State.COMPARING,
    (State.COMPARING, Outcome.FAILED): State.COMPARING,
}
"""Every pair that can occur; all that is not here is a bug."""


def outcome_of(state: State, error: ApiError) -> Outcome:
    """What an error of the API server, or of the way to it, makes of an attempt."""
    match error:
        case StreamingRefused():
            return Outcome.UNSUPPORTED
        case Expired():
            return Outcome.STALE
        case WatchTimeout():
            return Outcome.SILENT
        case Denied(code=403) if state is State.LISTING:
            return Outcome.LIST_ONLY
        case ApiError(code=500) if state is State.LISTING and not isinstance(error, Throttled):
            return Outcome.UNSUPPORTED  # over an etcd older than 3.4.25, say: "RequestWatchProgress is disabled"
    if error.code == 0:
        return Outcome.BROKEN
    return Outcome.FAILED if error.code >= 500 else Outcome.REFUSED
