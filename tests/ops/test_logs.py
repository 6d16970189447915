"""The form of log lines."""

import asyncio
import errno
import io
import json
import logging
import os
from collections.abc import Iterator
from typing import Literal

import pytest

from kdns.ops import logs
from tests.running import logging_as_it_was


@pytest.fixture(autouse=True)
def _logging_as_it_was() -> Iterator[None]:
    """Logging is process-wide: put back what other tests had."""
    with logging_as_it_was():
        yield


def written(form: Literal["text", "json"], logger: str, level: int, message: str, **kwargs: bool) -> str:
    """What one log call writes."""
    stream = io.StringIO()
    logs.set_up(form, stream)
    logging.getLogger(logger).log(level, message, **kwargs)  # type: ignore[arg-type] # exc_info only
    return stream.getvalue()


@pytest.mark.parametrize(
    ("logger", "level", "expected"),
    [
        ("kdns.watch", logging.INFO, "[INFO] plugin/kubernetes: hello\n"),
        ("kdns.watch.api.reflector", logging.WARNING, "[WARNING] plugin/kubernetes: hello\n"),
        ("kdns.watchdog", logging.WARNING, "[WARNING] hello\n"),
        ("kdns.dns", logging.ERROR, "[ERROR] hello\n"),
        ("kdns.ops.http.health", logging.INFO, "[INFO] plugin/health: hello\n"),
        ("kdns", logging.CRITICAL, "[FATAL] hello\n"),
        ("kdns", logging.DEBUG, ""),
        ("asyncio", logging.ERROR, "[ERROR] asyncio: hello\n"),
        ("aiohttp.server", logging.INFO, ""),
        ("kdns.banner", logging.INFO, "hello\n"),
    ],
)
def test_a_text_line_is_as_coredns_writes_it(logger: str, level: int, expected: str) -> None:
    """The level in brackets, then the plugin or library that speaks, then the message, and no time."""
    assert written("text", logger, level, "hello") == expected


def test_no_descriptors_left_is_one_line() -> None:
    """asyncio tells each failed accept with a traceback, thousands a second: one line a minute is enough."""
    now = [100.0]
    out = io.StringIO()
    handler = logging.StreamHandler(out)
    handler.setFormatter(logs.TextFormat())
    logger = logging.Logger("asyncio")
    logger.addHandler(handler)
    logger.addFilter(logs.AcceptTrouble(lambda: now[0]))

    def fail(number: int, message: str) -> None:
        try:
            raise OSError(number, os.strerror(number))
        except OSError:
            logger.exception(message)

    for _ in range(1000):
        fail(errno.EMFILE, "socket.accept() out of system resource\nsocket: 7")
    assert (
        out.getvalue() == "[ERROR] asyncio: cannot accept connections: Too many open files; they wait (see ulimit -n)\n"
    )
    now[0] += logs.REPEATED
    fail(errno.ENFILE, "socket.accept() out of system resource\nsocket: 7")
    assert out.getvalue().count("\n") == 2
    fail(errno.EPERM, "socket.accept() out of system resource\nsocket: 7")
    fail(errno.EMFILE, "something else")
    assert out.getvalue().count("Traceback") == 2


def test_a_json_line_is_one_object() -> None:
    """Each line is one JSON object with time, level, who speaks, and the message."""
    line = json.loads(written("json", "kdns.watch", logging.WARNING, "two\nlines"))
    time = line.pop("time")
    assert line == {"level": "WARNING", "plugin": "kubernetes", "message": "two\nlines"}
    assert time.endswith("+00:00")
    assert json.loads(written("json", "kdns.dns", logging.ERROR, "x"))["logger"] == "kdns.dns"


@pytest.mark.parametrize("form", ["text", "json"])
def test_a_traceback_is_kept(form: Literal["text", "json"]) -> None:
    """A logged bug shows its traceback; in JSON within the same line."""
    try:
        raise ZeroDivisionError("by nothing")
    except ZeroDivisionError:
        text = written(form, "kdns.watch", logging.ERROR, "a bug", exc_info=True)
    assert "ZeroDivisionError: by nothing" in text
    assert form == "text" or text.count("\n") == 1


class Counting(io.StringIO):
    """Counts how often it is written to."""

    def __init__(self) -> None:
        super().__init__()
        self.writes = 0

    def write(self, text: str) -> int:
        self.writes += 1
        return super().write(text)


async def test_lines_about_questions_are_written_together() -> None:
    """Once a turn of the loop, before any other line that comes after them, and at most so many."""
    stream = Counting()
    logs.set_up("text", stream)
    queries, others = logging.getLogger(logs.QUERIES), logging.getLogger("kdns.dns")
    for number in range(3):
        queries.info("%d", number)
    assert stream.writes == 0
    await asyncio.sleep(0)
    assert (stream.getvalue(), stream.writes) == ("[INFO] 0\n[INFO] 1\n[INFO] 2\n", 1)
    queries.info("3")
    others.warning("other")
    assert stream.getvalue().endswith("[INFO] 3\n[WARNING] other\n")
    assert stream.writes == 2
    for number in range(logs.MOST_LINES):
        queries.info("%d", number)
    assert stream.writes == 3
    queries.info("last")
    logging.getLogger().handlers[0].flush()
    assert stream.getvalue().endswith("[INFO] last\n")


class FullDisk(io.StringIO):
    """A stream that takes nothing."""

    def write(self, text: str) -> int:
        """See `io.TextIOBase.write`."""
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


async def test_lines_about_questions_that_cannot_be_written(capsys: pytest.CaptureFixture[str]) -> None:
    """The caller, who answers a question, notices nothing of it, and nor does the loop; stderr has the reason."""
    logs.set_up("text", FullDisk())
    problems: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: problems.append(context))
    for _ in range(2 * logs.MOST_LINES + 1):
        logs.write_query_line("a question")
    await asyncio.sleep(0)
    assert not problems
    assert os.strerror(errno.ENOSPC) in capsys.readouterr().err


def test_lines_about_questions_without_a_loop() -> None:
    """They are written at once."""
    assert written("text", logs.QUERIES, logging.INFO, "hello") == "[INFO] hello\n"


@pytest.mark.parametrize("form", ["text", "json"])
def test_query_lines_are_what_their_logger_writes(form: Literal["text", "json"]) -> None:
    """A line about a question is written as its logger would write it, and not at all where that is switched off."""
    queries, lines = logging.getLogger(logs.QUERIES), []
    for write in (logs.write_query_line, lambda text: queries.info("%s", text)):
        stream = io.StringIO()
        logs.set_up(form, stream)
        write('192.0.2.1:53 - 7 "A IN 100%s. udp"')
        queries.setLevel(logging.WARNING)
        write("not to be seen")
        queries.setLevel(logging.NOTSET)
        text = stream.getvalue()
        lines.append(text if form == "text" else json.loads(text) | {"time": ""})
    assert lines[0] == lines[1]
    assert "not to be seen" not in str(lines)
