"""The path of a Service, left to right, for wide windows: name, records, frontends, rules, endpoints. Pure."""

from typing import Final

from kdns.status.graph import Graph, Node, Port, State
from kdns.status.shapes import Box, Drawing, Head, Line, in_order, make_box

COLUMNS: Final = ("name", "record", "arrives at", "rule", "endpoints")
WIDTHS: Final = (190, 200, 210, 236, 236)
GAP: Final = 44
BOX: Final = 46
"""Height of a box with two lines."""
SPACE: Final = 12
TOP: Final = 34
"""Room for the heads of the columns."""
LEFT: Final = tuple(sum(WIDTHS[:number]) + GAP * number for number in range(len(WIDTHS)))
"""Where each column begins."""


def draw(graph: Graph) -> Drawing:
    """Lay out one Service."""
    return _Layout(graph).drawing()


class _Layout:
    """Boxes and lines as they are made, from the top down."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._boxes: list[Box] = []
        self._lines: list[Line] = []
        self._records: list[Box] = []

    def drawing(self) -> Drawing:
        graph = self._graph
        if graph.name is not None:
            name = self._box(0, TOP, graph.name)
            for number, record in enumerate(graph.records):
                box = self._box(1, TOP + number * (BOX + SPACE), record)
                self._records.append(box)
                self._join(name, box, record.state)
        for number, (node, host) in enumerate(graph.hosts):
            endpoint = self._box(2, TOP + number * (BOX + SPACE), node)
            for leading in self._leading_to(host):
                self._join(leading, endpoint, node.state)
        y = TOP
        for port in graph.ports:
            y = self._draw_port(port, y) + SPACE
        columns = (*COLUMNS[:2], COLUMNS[-1]) if graph.hosts else COLUMNS
        used = {box.x for box in self._boxes}
        heads = tuple(Head(x, 16, head) for x, head in zip(LEFT, columns, strict=False) if x in used)
        bottom = max((box.bottom for box in self._boxes), default=TOP)
        return Drawing(LEFT[-1] + WIDTHS[-1], bottom + 2, heads, tuple(self._boxes), in_order(self._lines))

    def _draw_port(self, port: Port, y: int) -> int:
        """The frontends of a port one below the other, their rules beside them, and the endpoints at the right; where
        it ends."""
        endpoints = [self._box(4, y + number * (BOX + SPACE), node) for number, node in enumerate(port.endpoints)]
        left = y
        for way in port.ways:
            arrives = self._box(2, left, way.arrives)
            rule = self._box(3, left, way.rule)
            for record in self._leading_to(way.host):
                self._join(record, arrives, arrives.state)
            self._join(arrives, rule, rule.state)
            for number, state in way.targets:
                self._join(rule, endpoints[number], state)
            left += BOX + SPACE
        return max(left, y + len(endpoints) * (BOX + SPACE))

    def _leading_to(self, host: str) -> list[Box]:
        pairs = zip(self._graph.records, self._records, strict=True)
        return [box for node, box in pairs if host and node.lines[0] == host]

    def _box(self, column: int, y: int, node: Node) -> Box:
        box = make_box(node, LEFT[column], y, WIDTHS[column], BOX)
        self._boxes.append(box)
        return box

    def _join(self, left: Box, right: Box, state: State) -> None:
        x1, y1, x2, y2 = left.right, left.middle, right.x, right.middle
        bend = (x2 - x1) // 2
        self._lines.append(Line(f"M{x1} {y1} C{x1 + bend} {y1} {x2 - bend} {y2} {x2} {y2}", state))
