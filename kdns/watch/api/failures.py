"""All that can go wrong with an API server, as an `ApiError` and one plain line for the log."""

import os
import socket
import ssl
from collections.abc import Awaitable
from typing import Final, TypeVar

import aiohttp

from kdns.base.errors import ApiError, Denied, Expired, Throttled
from kdns.watch.decode.status import Status

T = TypeVar("T")

QUOTED: Final = 256
"""Characters quoted of what a server says, so that no log line is a page."""
MOST_ASKED: Final = 300.0
"""Seconds we let a server make us wait."""


class StreamingRefused(ApiError):
    """The server does not stream lists: ask for pages."""


class WatchTimeout(ApiError):
    """Nothing was heard for the whole watch timeout, not even a bookmark: what was missed is unknown."""


def refusal(status: Status, *, code: int = 0, denied: str = "may not watch", after: float | None = None) -> ApiError:
    """The error that a Status stands for, whether it came as a reply (`code` is its HTTP status) or as an event."""
    code = code or status.code or 500
    reason, message = one_line(status.reason or ""), one_line(status.message or "")
    if code == 410 or status.too_large_version:
        return Expired(code, reason, message)
    asked = status.details.retry_after_seconds if status.details else None
    if after is None and asked:
        after = float(asked)
    if code == 429 or (code in (500, 503, 504) and after is not None):
        return Throttled(code, reason, message, after=min(after if after is not None else 1.0, MOST_ASKED))
    if code in (401, 403):
        return Denied(code, reason, f"{denied} ({message})" if message else denied)
    return ApiError(code, reason, message)


def reason_of(error: ApiError) -> str:
    """One plain line for operators: ``403: may not list services (...)``, ``DNS: cannot resolve ...``."""
    return f"{error.code or error.reason}: {error.message or error.reason}"


def retry_after(text: str | None) -> float | None:
    """Retry-After in seconds; a date (RFC 9110 section 10.2.3 allows both) counts as a second."""
    if text is None:
        return None
    return float(text) if text.isascii() and text.isdigit() else 1.0


def one_line(text: str) -> str:
    """Text from outside for the log: white space and control characters become single spaces, and it is not long."""
    line = " ".join("".join(char if char.isprintable() else " " for char in text[: 4 * QUOTED]).split())
    return line if len(line) <= QUOTED else line[: QUOTED - 3] + "..."


async def translated(waiting: Awaitable[T], timeout: aiohttp.ClientTimeout) -> T:  # noqa: ASYNC109 - for the message
    """Wait for it; a failure of the network comes out as ApiError(0, class of cause, one line)."""
    try:
        return await waiting
    except (aiohttp.ClientError, OSError, TimeoutError) as error:
        raise _no_answer(error, timeout) from error
    except ValueError as error:  # aiohttp about what we send: a control character in a header, a proxy of another kind
        raise ApiError(0, "request", f"cannot be sent: {one_line(str(error))}") from error


def _no_answer(error: Exception, timeout: aiohttp.ClientTimeout) -> ApiError:
    os_error = getattr(error, "os_error", error)
    text = one_line(str(error) or type(error).__name__)
    if isinstance(error, aiohttp.ClientConnectorError):  # its own text shows the TLS context's address in memory
        cause = getattr(error, "certificate_error", os_error)
        problem = getattr(cause, "verify_message", "") or getattr(cause, "reason", "")  # of TLS
        number = getattr(cause, "errno", None)
        text = one_line(f"{error.host}:{error.port}: {problem or (os.strerror(number) if number else cause)}")
    if isinstance(os_error, socket.gaierror):
        return ApiError(0, "DNS", f"cannot resolve {getattr(error, 'host', 'the API server')} ({os_error.strerror})")
    if isinstance(error, ssl.SSLError | aiohttp.ClientSSLError):
        return ApiError(0, "TLS", text)
    if isinstance(error, TimeoutError):
        connecting = isinstance(error, getattr(aiohttp, "ConnectionTimeoutError", ())) or "onnect" in text
        if connecting:
            return ApiError(0, "timeout", f"no connection within {timeout.connect:g} s")
        return WatchTimeout(0, "timeout", f"nothing heard for {timeout.sock_read:g} s")
    if isinstance(os_error, ConnectionRefusedError):
        return ApiError(0, "refused", text)
    if isinstance(error, aiohttp.ClientPayloadError):  # aiohttp's text has a code, 400, that no server has sent
        return ApiError(0, "lost", "the connection ended in the middle of a reply")
    if isinstance(error, aiohttp.ClientResponseError):  # likewise
        return ApiError(0, "lost", f"the reply is not HTTP ({one_line(error.message)})")
    return ApiError(0, "lost", text)
