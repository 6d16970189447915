"""The path of a Service from the top down, for phones: as `kdns.status.drawing`, in one column. Pure.

Lines from a name to its records and on to the frontends run down the left edge, those from rules to endpoints down the
right one, so that none crosses a box.
"""

from typing import Final

from kdns.status.graph import Graph, Node, Port, State
from kdns.status.shapes import Box, Drawing, Head, Line, in_order, make_box

WIDTH: Final = 308
"""A phone's 360 pixels without the edges of the page and of the drawing."""
BOX: Final = 42
SPACE: Final = 9
HEAD: Final = 22
"""Height of a head."""
EDGE: Final = 14
"""Left of records, and right of rules, where lines run."""
TRACK: Final = 6
"""Between two lines that run beside each other."""


def draw_narrow(graph: Graph) -> Drawing:
    """Lay out one Service."""
    return _Layout(graph).drawing()


class _Layout:
    """Boxes and lines as they are made; ``_y`` is where the next one goes."""

    def __init__(self, graph: Graph) -> None:
        self._graph, self._y = graph, 0
        self._heads: list[Head] = []
        self._boxes: list[Box] = []
        self._lines: list[Line] = []
        self._records: list[tuple[Node, Box]] = []

    def drawing(self) -> Drawing:
        graph, x = self._graph, self._left()
        if graph.name is not None:
            self._head(0, "name")
            name = self._box(0, graph.name, WIDTH)
            self._head(x, "records" if len(graph.records) > 1 else "record")
            for record in graph.records:
                box = self._box(x, record, WIDTH - x)
                self._records.append((record, box))
                self._lines.append(Line(f"M5 {name.bottom} V{box.middle - 7} H{box.x}", record.state))
        if graph.hosts:
            self._head(x, "endpoints")
            for node, host in graph.hosts:
                self._join_records(host, self._box(x, node, WIDTH - x), node.state)
        for port in graph.ports:
            self._draw_port(port, x)
        height = max(self._y - SPACE, 0) + 2
        return Drawing(WIDTH, height, tuple(self._heads), tuple(self._boxes), in_order(self._lines))

    def _left(self) -> int:
        """Room for the line of the name, and for those of the records that lead on."""
        leading = {way.host for port in self._graph.ports for way in port.ways}
        leading |= {host for _, host in self._graph.hosts}
        return EDGE + TRACK * sum(node.lines[0] in leading for node in self._graph.records)

    def _draw_port(self, port: Port, x: int) -> None:
        rules: list[Box] = []
        self._head(x, port.label)
        for way in port.ways:
            arrives = self._box(x, way.arrives, WIDTH - x - EDGE)
            self._join_records(way.host, arrives, arrives.state)
            rule = self._box(x + EDGE, way.rule, WIDTH - x - 2 * EDGE)
            self._lines.append(Line(f"M{x + 6} {arrives.bottom} V{rule.middle} H{rule.x}", rule.state))
            rules.append(rule)
        self._head(x + 2 * EDGE, "endpoints" if len(port.endpoints) > 1 else "endpoint")
        endpoints = [self._box(x + 2 * EDGE, node, WIDTH - x - 3 * EDGE) for node in port.endpoints]
        for way, rule in zip(port.ways, rules, strict=True):
            for number, state in way.targets:
                at = endpoints[number]
                self._lines.append(Line(f"M{rule.right} {rule.middle} H{WIDTH - 5} V{at.middle} H{at.right}", state))

    def _join_records(self, host: str, box: Box, state: State) -> None:
        """A line down the left from each record that leads there, each on a track of its own."""
        for number, (node, record) in enumerate(self._records):
            if host and node.lines[0] == host:
                x = 5 + TRACK * (number + 1)
                self._lines.append(Line(f"M{record.x} {record.middle + 7} H{x} V{box.middle} H{box.x}", state))

    def _head(self, x: int, text: str) -> None:
        self._heads.append(Head(x, self._y + 13, text))
        self._y += HEAD

    def _box(self, x: int, node: Node, width: int) -> Box:
        box = make_box(node, x, self._y, width, BOX)
        self._boxes.append(box)
        self._y += BOX + SPACE
        return box
