"""Everything kdns raises on purpose: one class for each way to react.

::

    KdnsError
    ├─ ConfigError(problem, at, hint)        tell the operator with file:line:column, exit 1; on reload keep the old
    │   └─ ConfigErrors(errors)             several of them, reported together
    ├─ FormError(problem, id)                answer FORMERR if there is a whole header, else drop
    ├─ UpstreamError(problem, rcode)         next upstream, then SERVFAIL
    ├─ KernelError(argv, code, stderr)       keep changes pending, retry, count
    └─ ApiError(code, reason, message)       back off and retry
        ├─ Expired                           relist at once (410)
        ├─ Throttled(after)                  wait what the server asks (429)
        └─ Denied                            not ready, say which verb on which kind (401, 403)

Everything else is a bug: logged with its query or change, counted, never hidden by a bare ``except``,
and never the end of the process.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple


class KdnsError(Exception):
    """The root of what kdns raises on purpose."""


class Span(NamedTuple):
    """A place in a configuration text; line and column count from 1."""

    source: str
    line: int
    column: int
    text: str = ""
    """The whole line, for the excerpt; empty when it must not be shown."""


class ConfigError(KdnsError):
    """Something the operator must fix; ``str()`` is ready to print."""

    def __init__(self, problem: str, at: Span | None = None, hint: str = "") -> None:
        super().__init__(problem)
        self.problem, self.at, self.hint = problem, at, hint

    def __str__(self) -> str:
        if self.at is None:
            return f"{self.problem}\n  {self.hint}" if self.hint else self.problem
        head = f"{self.at.source}:{self.at.line}:{self.at.column}: {self.problem}"
        if not self.at.text:
            return f"{head}\n  {self.hint}" if self.hint else head
        gutter = f"{self.at.line:>4} | "
        caret = " " * (len(gutter) + self.at.column - 1) + "^"
        return "\n".join((head, gutter + self.at.text, f"{caret} {self.hint}".rstrip()))


class ConfigErrors(ConfigError):
    """Several mistakes of one text, to be reported together."""

    def __init__(self, errors: Sequence[ConfigError]) -> None:
        super().__init__(errors[0].problem, errors[0].at, errors[0].hint)
        self.errors = tuple(errors)

    def __str__(self) -> str:
        return "\n".join(map(str, self.errors))


class UpstreamError(KdnsError):
    """An upstream did not give a usable answer, or there is none to ask; ``str()`` is what the errors plugin logs.

    ``rcode`` is the one of the reply: SERVFAIL, or REFUSED when we have too much to do. ``options`` are EDNS options in
    wire form for clients that have EDNS, such as an extended error (RFC 8914).
    """

    def __init__(self, problem: str, rcode: int = 2, options: bytes = b"") -> None:
        super().__init__(problem)
        self.rcode, self.options = rcode, options


class KernelError(KdnsError):
    """The kernel, or the tool that speaks for us, did not take what it was given; ``str()`` is one line for the log.

    ``refused`` is the service port whose rules were not taken (a `ServicePortName`), where that is known.
    """

    def __init__(self, argv: Sequence[str], code: int, stderr: str, refused: object = None) -> None:
        lines = stderr.strip().splitlines() or [""]
        super().__init__(f"{' '.join(argv[:4])}: exit status {code}: {lines[0]}")
        self.argv, self.code, self.stderr, self.refused = tuple(argv), code, stderr, refused


class FormError(KdnsError):
    """A DNS message that cannot be read; ``id`` is known once the first two octets are."""

    def __init__(self, problem: str, id: int | None = None) -> None:  # noqa: A002 - RFC 1035's word
        super().__init__(problem)
        self.problem, self.id = problem, id


class ApiError(KdnsError):
    """The API server refused, or its answer could not be read; ``code`` is the HTTP status, 0 if there was none."""

    def __init__(self, code: int, reason: str = "", message: str = "") -> None:
        super().__init__(f"{code} {reason}: {message}" if message else f"{code} {reason}")
        self.code, self.reason, self.message = code, reason, message


class Expired(ApiError):
    """The server no longer knows our resource version, or has gone back before it: list again at once."""


class Throttled(ApiError):
    """Too many requests; ``after`` is how many seconds the server asks to wait."""

    def __init__(self, code: int, reason: str = "", message: str = "", after: float = 1.0) -> None:
        super().__init__(code, reason, message)
        self.after = after


class Denied(ApiError):
    """401 or 403: who we are, or what we may do, is the problem."""


@contextmanager
def first_mistake() -> Iterator[None]:
    """Around a group of tasks: if what goes wrong is the operator's, the first ConfigError is raised alone."""
    try:
        yield
    except BaseExceptionGroup as group:
        mistakes: BaseException | None = group.subgroup(ConfigError)
        while isinstance(mistakes, BaseExceptionGroup):
            mistakes = mistakes.exceptions[0]
        if mistakes is None:
            raise
        raise mistakes from mistakes.__cause__
