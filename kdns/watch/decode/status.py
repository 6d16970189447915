"""What the API server says instead of an answer, and the base of all that it writes."""

from msgspec import Struct


class Wire(Struct, rename="camel", gc=False):
    """Only the fields kdns reads; all others are skipped while decoding. Lives from the line to the packed object."""


class Cause(Wire):
    """One entry of Status.details.causes."""

    reason: str | None = None


class StatusDetails(Wire):
    """Status.details."""

    retry_after_seconds: int | None = None
    causes: list[Cause | None] | None = None


class Status(Wire):
    """What the server says instead of an answer."""

    code: int | None = None
    reason: str | None = None
    message: str | None = None
    details: StatusDetails | None = None

    @property
    def too_large_version(self) -> bool:
        """Our resource version is from the server's future: it was restored, or is another server.

        Recognised by the cause ResourceVersionTooLarge; servers before 1.20 say it in the message only.
        """
        causes = (self.details.causes if self.details else None) or ()
        return any(cause is not None and cause.reason == "ResourceVersionTooLarge" for cause in causes) or (
            "Too large resource version" in (self.message or "")
        )
