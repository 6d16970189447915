"""The form of log lines."""

import io
import json
import logging
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
