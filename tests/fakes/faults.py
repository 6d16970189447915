"""The ways an API server disappoints, as values."""

from typing import NamedTuple

from kdns.lab.refusal import Refusal as Refusal  # noqa: PLC0414 - for those who import it from here
from kdns.lab.refusal import too_large as too_large  # noqa: PLC0414


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


class Deaf(NamedTuple):
    """Show no more events, but go on with bookmarks, as a watch whose cache has lost its own watch."""


Disturbance = Deaf | Cut | Close | Garbage | Oversized | Duplicate | Stall | Say | Error | Mark
