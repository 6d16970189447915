"""Lines of a DNS server's log, and its metrics, that say what is wrong: CoreDNS's and ours. Pure.

A log tells what was, so what it says counts as a fault only where it is the last word on its matter.
"""

import re
from collections.abc import Iterator
from typing import Final, NamedTuple

from kdns.explain.evidence import TextFile
from kdns.explain.model import Item

OLD: Final = 300.0
"""Seconds without a word from the API server: its bookmarks come about once a minute, and a watch that is silent for
150 s is started again."""

QUERY: Final = re.compile(r'"(?P<type>[A-Z0-9]+) IN (?P<name>\S+?)\.? (?:udp|tcp) [^"]*" (?P<rcode>[A-Z]+) ')
"""The common format of plugin ``log``."""
ERROR: Final = re.compile(r"plugin/errors: (?P<rcode>\d+) (?P<name>\S+?)\.? (?P<type>[A-Z0-9]+): (?P<problem>.*)")
LOOP: Final = re.compile(r"plugin/loop: Loop \(.*detected for zone")
UNSYNCED: Final = re.compile(
    r"starting server with unsynced Kubernetes API|waiting for Kubernetes API before starting server"
    r"|Failed to watch|failed to list|Kubernetes API connection failure|Still waiting on: \"kubernetes\""
    r"|Plugins? not ready: \"?kubernetes|is forbidden: User|watch of \w+ lost|not following \w+:"
    r"|serving before the cluster is known"
)
SYNCED: Final = re.compile(r"watch of \w+ resumed|\b\w+ relisted: \+|synced in [\d.]+ s")
SAMPLE: Final = re.compile(r"(?P<name>[a-zA-Z_:][\w:]*)(?:\{(?P<labels>[^}]*)\})?\s+(?P<value>\S+)")


class Line(NamedTuple):
    """A line that counts, and what it says."""

    item: Item
    problem: str


def loop(file: TextFile) -> Line | None:
    """The server ended since its questions came back to it."""
    return next((line for line in _lines(file, LOOP)), None)


def unsynced(file: TextFile) -> Line | None:
    """The last word on the API server is that it cannot be followed; None if there is no such word, or a better one.

    CoreDNS does not say when a watch is well again; so of its lines only those count that nothing was answered after.
    """
    last: Line | None = None
    for number, text in enumerate(file.text.splitlines(), 1):
        if UNSYNCED.search(text):
            last = _line(file, number, text)
        elif SYNCED.search(text) or QUERY.search(text):
            last = None
    return last


def rcode_of(file: TextFile, name: str, rtype: str) -> tuple[str, Line] | None:
    """The last answer for a question in the query log; None if it is not there."""
    latest: tuple[str, Line] | None = None
    wanted = name.rstrip(".").lower()
    for number, text in enumerate(file.text.splitlines(), 1):
        if wanted not in text.lower():
            continue
        match = QUERY.search(text)
        if match and match["name"].lower() == wanted and match["type"] == rtype:
            latest = match["rcode"], _line(file, number, text)
    return latest


def upstream_errors(file: TextFile) -> Iterator[tuple[str, Line]]:
    """(name, line) for each question that an upstream did not answer."""
    for number, text in enumerate(file.text.splitlines(), 1):
        if match := ERROR.search(text):
            yield match["name"].lower(), _line(file, number, text, match["problem"])


def data_age(file: TextFile) -> Line | None:
    """The oldest data of our server, where it is older than `OLD`; of its snapshot, where one is served."""
    worst: tuple[float, Line] | None = None
    for number, text in enumerate(file.text.splitlines(), 1):
        match = SAMPLE.fullmatch(text.strip())
        if match is None or match["name"] not in {"kdns_watch_data_age_seconds", "kdns_watch_snapshot_age_seconds"}:
            continue
        try:
            age = float(match["value"])
        except ValueError:
            continue
        snapshot = "snapshot" in match["name"]
        if (snapshot or age > OLD) and (worst is None or age > worst[0]):
            kind = re.sub(r'.*kind="([^"]*)".*', r"\1", match["labels"] or "")
            what = "a snapshot is served" if snapshot else f"nothing was heard of {kind or 'the cluster'}"
            worst = age, _line(file, number, text, f"{what} for {age:.0f} s")
    return worst[1] if worst else None


def _lines(file: TextFile, pattern: re.Pattern[str]) -> Iterator[Line]:
    for number, text in enumerate(file.text.splitlines(), 1):
        if pattern.search(text):
            yield _line(file, number, text)


def _line(file: TextFile, number: int, text: str, problem: str = "") -> Line:
    return Line(Item(file=file.path, line=number, text=text.strip()), problem or text.strip())
