"""What the other rooms hear of a kind that cannot be followed: Lost, Skipped, Resumed, nothing twice in a row. Pure."""

from typing import Final

from kdns.base.errors import ApiError, Throttled
from kdns.watch.api.failures import reason_of
from kdns.watch.source import Lost, Resumed, Skipped, Want

SKIPPED_PAUSE: Final = 300.0
"""Seconds until a kind that we were never allowed to list, and can do without, is asked for again."""
QUICK_ATTEMPTS: Final = 5
"""So many times it is asked for within seconds first where the answer was 403: an API server that has just started says
that until it knows its own rules."""


class Standing:
    """Whether a kind is followed, as far as it was reported."""

    def __init__(self, want: Want) -> None:
        self._want = want
        self._lost = ""
        """The reason that was reported; empty while all is well."""
        self._followed = False
        """It was listed once, so we were allowed to."""
        self._denials = 0
        """Of a kind that is skipped, in a row."""

    def listed(self) -> None:
        """A list is complete; that it is says enough."""
        self._lost, self._followed, self._denials = "", True, 0

    def resumed(self) -> Resumed | None:
        """A watch goes on where it was."""
        if not self._lost:
            return None
        self._lost = ""
        return Resumed(self._want.kind)

    def failed(self, error: ApiError) -> Lost | Skipped | None:
        """An attempt failed; what is new of that."""
        reason = reason_of(error)
        if self._can_do_without(error):
            self._denials += 1
            self._lost = ""
            missing = not self._want.installed and error.code == 404
            skipped = Skipped(self._want.kind, f"{reason} (not installed)" if missing else reason)
            return skipped if self._denials == 1 else None
        if self._denials or reason == self._lost:
            return None
        self._lost = reason
        return Lost(self._want.kind, reason)

    def pause(self, error: ApiError) -> float:
        """The least that is waited before the next attempt, in seconds."""
        if isinstance(error, Throttled):
            return error.after
        if not self._can_do_without(error) or (error.code == 403 and self._denials <= QUICK_ATTEMPTS):
            return 0.0
        return SKIPPED_PAUSE

    def _can_do_without(self, error: ApiError) -> bool:
        """A kind that was followed before is asked for again like any other: its objects are known, and may change."""
        if self._followed:
            return False
        missing = not self._want.installed and error.code == 404
        return missing or (self._want.optional and error.code in {403, 404})  # 404: the server is older than the kind
