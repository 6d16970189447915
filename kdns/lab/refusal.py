"""How an API server says no. Pure."""

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
