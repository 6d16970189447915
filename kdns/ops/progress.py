"""A line on a terminal for work that takes its time, so that it is seen that something happens."""

import sys
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Final, Self, TextIO

PATIENCE: Final = 1.0
"""Seconds of work without a word."""
REFRESH: Final = 0.2
"""Seconds between two versions of the line."""
CLEAR: Final = "\r\x1b[K"
"""To the first column, and erase to the end of the line (ECMA-48, EL)."""


class Progress:
    """Counts steps, and shows the count on a terminal once the work takes over a second. Silent in pipes and files."""

    def __init__(self, stream: TextIO | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._stream = stream or sys.stderr
        self._clock = clock
        self._shows = self._stream.isatty()
        self._due = clock() + PATIENCE
        self._what, self._count = "", 0
        self._shown = False

    def begin(self, what: str) -> None:
        """The next part of the work: ``reading dump.yaml``."""
        self._what = what

    def step(self) -> None:
        """One more thing is done, of however many."""
        self._count += 1
        if self._shows and self._clock() >= self._due:
            self._due = self._clock() + REFRESH
            self._shown = True
            self._stream.write(f"{CLEAR}{self._what}: {self._count:,} objects")
            self._stream.flush()

    def end(self) -> None:
        """Take the line away; the next one counts from 0."""
        if self._shown:
            self._stream.write(CLEAR)
            self._stream.flush()
        self._shown, self._count = False, 0
        self._due = self._clock() + PATIENCE


class Waiting:
    """What is being waited for and since when, on a terminal, while the body of a ``with`` runs."""

    def __init__(self, what: str, stream: TextIO | None = None) -> None:
        self._what, self._stream = what, stream or sys.stderr
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        if self._stream.isatty():
            self._thread = threading.Thread(target=self._show, name="progress", daemon=True)
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end()

    def end(self) -> None:
        """Take the line away; what was waited for is there."""
        self._ended.set()
        if self._thread is not None:
            self._thread.join()

    def _show(self) -> None:
        began = time.monotonic()
        shown = False
        while not self._ended.wait(PATIENCE):
            self._stream.write(f"{CLEAR}{self._what}: {time.monotonic() - began:.0f} s")
            self._stream.flush()
            shown = True
        if shown:
            self._stream.write(CLEAR)
            self._stream.flush()
