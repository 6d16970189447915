"""Log lines on stdout: CoreDNS's form for people, one JSON object a line for machines.

::

    [INFO] plugin/kubernetes: synced in 1.2 s: 10,012 services, 10,015 endpoint slices, 61 namespaces
    {"time": "2026-01-01T00:00:00.123456+00:00", "level": "INFO", "plugin": "kubernetes", "message": "synced in ..."}

No timestamps in the first form: the collector of a container's lines stamps them. One line a state change.
"""

import asyncio
import errno
import json
import logging
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final, Literal, TextIO

PLUGINS: Final = (
    ("kdns.watch", "kubernetes"),
    ("kdns.records", "kubernetes"),
    ("kdns.dns.server.app", "kubernetes"),
    ("kdns.ops.http.health", "health"),
    ("kdns.ops.http.ready", "ready"),
    ("kdns.ops.http.metrics", "prometheus"),
)
"""Which part of the program speaks as which plugin; the first prefix that fits decides."""
OF_PLUGINS: Final = "kdns.dns.plugins."
"""What comes behind this is the plugin's name."""
LEVELS: Final = {logging.CRITICAL: "FATAL"}
"""CoreDNS's words where they are not Python's."""


def plugin_of(logger: str) -> str:
    """The plugin a logger speaks for; empty for the server itself."""
    for prefix, plugin in PLUGINS:
        if logger == prefix or logger.startswith(f"{prefix}."):
            return plugin
    if logger.startswith(OF_PLUGINS):
        return logger.removeprefix(OF_PLUGINS).partition(".")[0]
    return ""


def _foreign(logger: str) -> str:
    """The logger's name if it is a library's, which has no place among the plugins."""
    return "" if logger in {"kdns", "root"} or logger.startswith("kdns.") else logger


class TextFormat(logging.Formatter):
    """``[LEVEL] plugin/NAME: message``, a traceback on the lines below."""

    def format(self, record: logging.LogRecord) -> str:
        """The line, or lines when there is a traceback."""
        level = LEVELS.get(record.levelno, record.levelname)
        who = f"plugin/{plugin}: " if (plugin := plugin_of(record.name)) else ""
        if not who and (name := _foreign(record.name)):
            who = f"{name}: "
        text = f"[{level}] {who}{record.getMessage()}"
        return f"{text}\n{self.formatException(record.exc_info)}" if record.exc_info else text


class JsonFormat(logging.Formatter):
    """One JSON object a line: time (RFC 3339, UTC), level, plugin or logger, message, traceback if there is one."""

    def format(self, record: logging.LogRecord) -> str:
        """The object as one line."""
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="microseconds"),
            "level": LEVELS.get(record.levelno, record.levelname),
        }
        if plugin := plugin_of(record.name):
            line["plugin"] = plugin
        else:
            line["logger"] = record.name
        line["message"] = record.getMessage()
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)


class PlainFormat(logging.Formatter):
    """The bare message: for the lines that CoreDNS prints at start without a level."""

    def __init__(self, leveled: logging.Formatter) -> None:
        super().__init__()
        self._leveled = leveled

    def format(self, record: logging.LogRecord) -> str:
        """The message alone if it comes from the banner, else as the other format has it."""
        return record.getMessage() if record.name == BANNER.name else self._leveled.format(record)


BANNER: Final = logging.getLogger("kdns.banner")
"""For the start-up lines: one per served zone, version, runtime."""


QUERIES: Final = "kdns.query"
"""The logger of the lines about questions, of which there may be thousands a second."""
MOST_LINES: Final = 256
"""Lines about questions that wait to be written together."""


class BatchedHandler(logging.StreamHandler[TextIO]):
    """Lines about questions are written once a turn of the event loop: each write to a file or pipe costs more than
    the answer. All lines keep their order, and any other line is written at once."""

    def __init__(self, stream: TextIO) -> None:
        super().__init__(stream)
        self._lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Take a line; see `logging.Handler.emit`."""
        try:
            self._lines.append(self.format(record))
            if record.name != QUERIES or len(self._lines) >= MOST_LINES:
                self._write()
            elif len(self._lines) == 1:
                self._write_soon()
        except Exception:  # noqa: BLE001 - as logging does with lines that cannot be written
            self.handleError(record)

    def query_line(self, text: str) -> None:
        """A line of level INFO about a question, in the form for people."""
        self._lines.append(f"[INFO] {text}")
        if len(self._lines) == 1:
            self._write_soon()
        elif len(self._lines) >= MOST_LINES:
            self.flush()

    def _write_soon(self) -> None:
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            self.flush()
        else:
            loop.call_soon(self.flush)

    def flush(self) -> None:
        """Write what waits; logging calls it at the end, too. Never raises: a full disk keeps no answer back."""
        self.acquire()
        try:
            self._write()
        except Exception:  # noqa: BLE001 - as in `emit`
            self.handleError(logging.makeLogRecord({"name": QUERIES, "msg": "lines about questions"}))
        finally:
            self.release()

    def _write(self) -> None:
        lines, self._lines = self._lines, []
        if lines:
            self.stream.write("\n".join((*lines, "")))
        super().flush()


def write_query_line(text: str) -> None:
    """Log a line about a question as its logger would, but without a record, which costs more than the line."""
    handlers = logging.root.handlers
    logger = _QUERIES_LOGGER
    if (
        len(handlers) == 1
        and type(handler := handlers[0]) is BatchedHandler
        and type(handler.formatter) is PlainFormat
        and not (logger.handlers or logger.filters or handler.filters)
    ):
        if logger.isEnabledFor(logging.INFO):
            handler.query_line(text)
    else:
        logger.info("%s", text)


_QUERIES_LOGGER: Final = logging.getLogger(QUERIES)


OUT_OF_FILES: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
REPEATED: Final = 60.0
"""Seconds until the same trouble is one more line."""


class AcceptTrouble(logging.Filter):
    """asyncio's failures to accept a connection: one line a minute instead of a traceback for each attempt.

    There are thousands of attempts a second while the process has no file descriptor left.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock = clock
        self._next = float("-inf")

    def filter(self, record: logging.LogRecord) -> bool:
        """False for what was logged a moment ago."""
        error = record.exc_info[1] if record.exc_info else None
        if not isinstance(error, OSError) or error.errno not in OUT_OF_FILES or "accept" not in record.getMessage():
            return True
        now = self._clock()
        if now < self._next:
            return False
        self._next = now + REPEATED
        record.msg, record.args = f"cannot accept connections: {error.strerror}; they wait (see ulimit -n)", ()
        record.exc_info = record.exc_text = None
        return True


def set_up(form: Literal["text", "json"] = "text", stream: TextIO | None = None) -> None:
    """Send everything from INFO on to stdout (or a given stream), and nothing anywhere else."""
    handler = BatchedHandler(stream or sys.stdout)
    handler.setFormatter(JsonFormat() if form == "json" else PlainFormat(TextFormat()))
    accepting = logging.getLogger("asyncio")
    accepting.filters[:] = [filter_ for filter_ in accepting.filters if not isinstance(filter_, AcceptTrouble)]
    accepting.addFilter(AcceptTrouble())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("kdns").setLevel(logging.INFO)
    logging.captureWarnings(True)
