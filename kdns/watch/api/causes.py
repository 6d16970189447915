"""Why a watch restarts, in few words: what `kdns_watch_restarts_total` counts by."""

from collections.abc import Mapping
from typing import Final

from kdns.base.errors import ApiError, Denied, Expired, Throttled
from kdns.metrics.cluster import Cause
from kdns.watch.api.failures import WatchTimeout

_CAUSES: Final[Mapping[str, Cause]] = {
    "DNS": "dns",
    "credentials": "credentials",
    "TLS": "tls",
    "garbage": "garbage",
    "lost": "lost",
    "refused": "refused",
    "timeout": "timeout",
}
"""Of errors without an answer, by their reason."""


def cause_of(error: ApiError) -> Cause:
    """The word for an error of the API server, or of the way to it."""
    match error:
        case Expired():
            if error.reason == "differs":
                return "differs"
            return "expired" if error.code == 410 else "older"
        case WatchTimeout():
            return "silent"
        case Denied():
            return "denied"
        case Throttled():
            return "throttled"
    return _CAUSES.get(error.reason, "error") if not error.code else "error"
