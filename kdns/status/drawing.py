"""The path of a Service as boxes and lines for an SVG, left to right: name, records, frontends, rules, endpoints. Pure.

Lengths are in the SVG's own units, which are CSS pixels where the page is wide enough.
"""

import textwrap
from collections.abc import Sequence
from typing import Final

from msgspec import Struct

from kdns.status.path import PathEndpoint, PathPort, ServicePath, Stage

COLUMNS: Final = ("name", "record", "arrives at", "rule", "endpoints")
WIDTHS: Final = (190, 200, 210, 236, 236)
GAP: Final = 44
BOX: Final = 46
"""Height of a box with two lines."""
SPACE: Final = 12
TOP: Final = 34
"""Room for the heads of the columns."""
ENDPOINTS: Final = 6
"""Endpoints of a port that are drawn; one box stands for the rest."""
PORTS: Final = 6
"""Ports, by family, that are drawn; the table has all."""
CHARACTERS: Final = (7.6, 6.6)
"""Width of a character of the first line, and of the second, smaller one."""

State = str
"""A class of the style sheet: ok, fault, warn, idle."""


class Box(Struct, frozen=True):
    """A box with one or two lines of text; what does not fit is cut, and whole in its title."""

    x: int
    y: int
    width: int
    height: int
    state: State
    lines: tuple[str, ...]
    title: str


class Line(Struct, frozen=True):
    """From the right edge of a box to the left edge of another."""

    path: str
    """As the attribute d of an SVG path."""
    state: State


class Drawing(Struct, frozen=True):
    """All of it."""

    width: int
    height: int
    heads: tuple[tuple[int, str], ...]
    """Where each column begins, and what it is called."""
    boxes: tuple[Box, ...]
    lines: tuple[Line, ...]
    more: str
    """What is not drawn; empty: nothing."""


def draw(path: ServicePath) -> Drawing:
    """Lay out one Service."""
    return _Layout(path).drawing()


class _Layout:
    """Boxes and lines as they are made, from the top down."""

    def __init__(self, path: ServicePath) -> None:
        self._path = path
        self._x = [sum(WIDTHS[:number]) + GAP * number for number in range(len(WIDTHS))]
        self._boxes: list[Box] = []
        self._lines: list[Line] = []
        self._faulty: set[Stage] = {fault.stage for fault in path.faults}
        self._records: list[Box] = []

    def drawing(self) -> Drawing:
        path, more, y = self._path, "", TOP
        name = None
        if path.owner:
            first, _, rest = path.owner.rstrip(".").partition(".")
            state = "fault" if {"name"} & self._faulty else "ok"
            name = self._box(0, y, state, (first, rest), path.owner)
            self._draw_records(name)
        if path.type == "headless":
            self._draw_headless()
        for port in path.ports[:PORTS] if path.type != "headless" else ():
            y = self._draw_port(port, y) + SPACE
        if path.type != "headless" and len(path.ports) > PORTS:
            more = f"{len(path.ports) - PORTS} more ports are in the tables below"
        columns = (*COLUMNS[:2], COLUMNS[-1]) if path.type == "headless" else COLUMNS
        heads = tuple(
            (x, head) for x, head in zip(self._x, columns, strict=False) if any(box.x == x for box in self._boxes)
        )
        bottom = max((box.y + box.height for box in self._boxes), default=TOP)
        return Drawing(self._x[-1] + WIDTHS[-1], bottom + 2, heads, tuple(self._boxes), tuple(self._lines), more)

    def _draw_records(self, name: Box) -> None:
        y = TOP
        path = self._path
        for record in path.records[:ENDPOINTS]:
            box = self._box(1, y, "ok", (record.data, f"{record.type}, TTL {record.ttl} s"), record.data)
            self._records.append(box)
            self._join(name, box, "ok")
            y += BOX + SPACE
        if path.record_total > ENDPOINTS:
            box = self._box(1, y, "idle", (f"and {path.record_total - ENDPOINTS} more",), "")
            self._join(name, box, "idle")
            y += BOX + SPACE
        if not path.records:
            says = next((fault.says for fault in path.faults if fault.stage == "record"), "")
            box = self._box(1, y, "fault", ("no record", says), says)
            self._join(name, box, "fault")

    def _draw_headless(self) -> None:
        """Names lead to endpoints directly; no rule is in between."""
        ports: dict[str, list[str]] = {}
        for port in self._path.ports:
            for endpoint in port.endpoints:
                host, _, number = endpoint.address.rpartition(":")
                ports.setdefault(host.strip("[]"), []).append(number)
        y = TOP
        for host, numbers in list(ports.items())[:ENDPOINTS]:
            listed = f"port{'s' if len(numbers) > 1 else ''} {', '.join(numbers)}"
            box = self._box(2, y, "ok", (host, f"ready, {listed}"), f"{host} {listed}")
            for record in self._records:
                if record.lines[0] == host:
                    self._join(record, box, "ok")
            y += BOX + SPACE
        total = max((port.total for port in self._path.ports), default=0)
        if total > ENDPOINTS:
            self._box(2, y, "idle", (f"and {total - ENDPOINTS} more",), "")
        if not ports:
            self._box(2, y, "fault", ("no ready endpoint",), "")

    def _draw_port(self, port: PathPort, y: int) -> int:
        """The frontends of a port one below the other, their rules beside them, and the endpoints at the right."""
        boxes, right = self._draw_endpoints(port, y)
        left = y
        found = self._found_at("rule")
        for frontend in port.frontends:
            at = f"{frontend.kind}, {port.protocol}{f' {port.name}' if port.name else ''}"
            state = "fault" if "frontend" in self._faulty else "ok"
            arrives = self._box(2, left, state, (frontend.address, at), f"{frontend.kind} {frontend.address}")
            bad = frontend.verdict in {"reject", "drop"} or bool(found)
            last = frontend.rules[-1].removeprefix("others: ")
            lines = self._wrapped(3, found) if found else _two_lines(last)
            rule = self._box(
                3, left, "fault" if bad else "ok", lines, "; ".join((*filter(None, (found,)), *frontend.rules))
            )
            host = frontend.address.rpartition(":")[0].strip("[]")
            for record in self._records:
                if record.lines[0] == host:
                    self._join(record, arrives, state)
            self._join(arrives, rule, rule.state)
            for address, box in boxes.items():
                if address in frontend.backends:
                    self._join(rule, box, box.state)
            if frontend.verdict in {"reject", "drop"}:
                for box in boxes.values():
                    self._join(rule, box, "fault")
            left += BOX + SPACE
        return max(left, right)

    def _found_at(self, stage: Stage) -> str:
        """The first fault that `kdns explain` found at a stage, with its code; empty: none."""
        if self._path.explained is None:
            return ""
        return next(
            (f"{fault.code} {fault.says}" for fault in self._path.faults if fault.stage == stage and fault.code), ""
        )

    def _wrapped(self, column: int, text: str) -> tuple[str, ...]:
        """A text on two lines of a box, divided between words."""
        fits = int((WIDTHS[column] - 20) / CHARACTERS[0])
        first, *rest = textwrap.wrap(text, fits, break_long_words=False)
        return first, " ".join(rest)

    def _draw_endpoints(self, port: PathPort, y: int) -> tuple[dict[str, Box], int]:
        boxes: dict[str, Box] = {}
        for endpoint in port.endpoints[:ENDPOINTS]:
            boxes[endpoint.address] = self._endpoint(endpoint, y)
            y += BOX + SPACE
        if port.total > ENDPOINTS:
            self._box(4, y, "idle", (f"and {port.total - ENDPOINTS} more",), "")
            y += BOX + SPACE
        if not port.endpoints:
            boxes[""] = self._box(4, y, "fault", ("no ready endpoint",), "")
            y += BOX + SPACE
        return boxes, y

    def _endpoint(self, endpoint: PathEndpoint, y: int) -> Box:
        state = "ok" if endpoint.state == "ready" else "warn" if "serving" in endpoint.state else "fault"
        about = ", ".join(filter(None, (endpoint.state, endpoint.node)))
        return self._box(4, y, state, (endpoint.address, about), f"{endpoint.address} {about}")

    def _box(self, column: int, y: int, state: State, lines: Sequence[str], title: str) -> Box:
        width = WIDTHS[column]
        cut = tuple(_cut(line, int((width - 20) / size)) for line, size in zip(lines, CHARACTERS, strict=False) if line)
        box = Box(self._x[column], y, width, BOX, state, cut, title)
        self._boxes.append(box)
        return box

    def _join(self, left: Box, right: Box, state: State) -> None:
        x1, y1 = left.x + left.width, left.y + left.height // 2
        x2, y2 = right.x, right.y + right.height // 2
        bend = (x2 - x1) // 2
        self._lines.append(Line(f"M{x1} {y1} C{x1 + bend} {y1} {x2 - bend} {y2} {x2} {y2}", state))


def _two_lines(sentence: str) -> tuple[str, ...]:
    """Divided so that a box can hold it."""
    for mark in (", ", ": ", " of the cluster", " on this node"):
        if mark in sentence:
            first, _, rest = sentence.partition(mark)
            return first, rest or mark.strip()
    return (sentence,)


def _cut(line: str, fits: int) -> str:
    return line if len(line) <= fits else f"{line[: fits - 1]}…"
