"""The ways an API server disappoints, as values."""

from typing import Any, NamedTuple


class Refusal(NamedTuple):
    """An HTTP status with the Status object that goes with it."""

    code: int
    reason: str
    message: str
    retry_after: int | None = None
    """Seconds, in the header Retry-After and in the body."""
    causes: tuple[str, ...] = ()

    def status(self) -> dict[str, Any]:
        """As the server writes it."""
        details: dict[str, Any] = {}
        if self.retry_after is not None:
            details["retryAfterSeconds"] = self.retry_after
        if self.causes:
            details["causes"] = [{"reason": cause, "message": self.message} for cause in self.causes]
        return {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": self.message,
            "reason": self.reason,
            "details": details,
            "code": self.code,
        }


def too_large(wanted: int, newest: int) -> Refusal:
    """What a server says that is asked for a version from its future."""
    return Refusal(
        504,
        "Timeout",
        f"Too large resource version: {wanted}, current: {newest}",
        retry_after=1,
        causes=("ResourceVersionTooLarge",),
    )


class Reply(NamedTuple):
    """One scripted reply, and the requests it is for; see `FakeApiServer.next_reply`."""

    refusal: Refusal | None
    verb: str
    plural: str
    page: int


class Cut(NamedTuple):
    """Send half of an event line, then reset the connection."""


class Close(NamedTuple):
    """End the watch properly, as a server does whose time is over."""


class Garbage(NamedTuple):
    """Send a line that is no event."""

    line: bytes = b'{"type":"MODIFIED","object":{"metadata":{"na\xff\x00'


class Oversized(NamedTuple):
    """Send one event of at least so many octets."""

    octets: int


class Duplicate(NamedTuple):
    """Send the last event again."""


class Stall(NamedTuple):
    """Keep the connection and say nothing more, not even bookmarks."""


class Say(NamedTuple):
    """Send this line as it is; the newline is added."""

    line: bytes


class Error(NamedTuple):
    """Send an ERROR event and end the watch."""

    refusal: Refusal


class Mark(NamedTuple):
    """Send a bookmark now, with this version or the newest."""

    version: int | None = None


Disturbance = Cut | Close | Garbage | Oversized | Duplicate | Stall | Say | Error | Mark
