"""Chunks of a stream to lines, with a bound on what one line may take. Pure."""

from collections.abc import Callable


class LineSplitter:
    """Cuts octets at newlines; what is left waits for the next chunk.

    A line longer than `limit` octets is skipped up to its newline, reported to `skipped` once with the octets seen
    so far, and the stream goes on behind it: no more than `limit` and a chunk are ever held.
    """

    def __init__(self, limit: int, skipped: Callable[[int], None]) -> None:
        self._limit, self._skipped = limit, skipped
        self._waiting: list[bytes] = []
        self._held = 0
        self._skipping = False

    def feed(self, chunk: bytes) -> list[bytes]:
        """The lines that this chunk completes, without their newlines; empty lines are left out."""
        head, *rest = chunk.split(b"\n")
        self._hold(head)
        if not rest:
            return []
        *whole, tail = rest
        lines = [self._complete(), *whole]
        self._hold(tail)
        return [line for line in lines if line and self._fits(line)]

    @property
    def pending(self) -> int:
        """Octets held of a line that is not complete yet."""
        return self._held

    def _fits(self, line: bytes) -> bool:
        if len(line) > self._limit:
            self._skipped(len(line))
            return False
        return True

    def _hold(self, piece: bytes) -> None:
        if self._skipping or not piece:
            return
        self._waiting.append(piece)
        self._held += len(piece)
        if self._held > self._limit:
            self._skipped(self._held)
            self._waiting.clear()
            self._held, self._skipping = 0, True

    def _complete(self) -> bytes:
        line = b"".join(self._waiting)
        self._waiting.clear()
        self._held, self._skipping = 0, False
        return line
