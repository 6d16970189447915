"""Where boxes and lines of a drawing are, for wide windows and for phones."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from kdns.status.drawing import draw
from kdns.status.graph import ENDPOINTS, PORTS, Graph, Node, Port, Way, graph
from kdns.status.narrow import WIDTH, draw_narrow
from kdns.status.parts import Parts
from kdns.status.path import ServicePath, service_path
from kdns.status.shapes import Box, Drawing
from tests.status.serving import cluster, served

Draw = Callable[[Graph], Drawing]
BOTH = pytest.mark.parametrize("draw_it", [draw, draw_narrow])
SAYS = "node node-a (nftables), 10.96.0.9:80/TCP: a rule drops it on its way to 10.244.1.5:8080"
REPORT = {"links": [{"link": "rules", "state": "fault", "code": "E33", "says": SAYS}]}


async def paths(folder: Path) -> list[ServicePath]:
    """Of every Service of the example."""
    async with served(cluster(folder)) as kdns:
        parts = Parts("kdns serve", kdns.app)
        follower = parts.follower()
        assert follower is not None
        found = [service_path(parts, key.namespace, key.name) for key in follower.store.service_keys()]
    return [path for path in found if path is not None]


def full() -> Graph:
    """As much as is ever drawn: two records, all ports with several ways in, and all endpoints."""
    endpoints = tuple(Node("ok", (f"[fd00::{number}]:8443", "ready, node-b")) for number in range(ENDPOINTS))
    targets = tuple((number, endpoint.state) for number, endpoint in enumerate(endpoints))
    rule = Node("ok", ("to one of 6 endpoints", "of the cluster"))
    hosts = ("10.96.0.9", "fd00:96::9", "192.0.2.20", "")
    ways = tuple(Way(Node("ok", (f"{host}:443", "cluster IP, TCP https")), rule, host, targets) for host in hosts)
    records = (Node("ok", ("10.96.0.9", "A, TTL 5 s")), Node("ok", ("fd00:96::9", "AAAA, TTL 5 s")))
    ports = tuple(Port(f"port {number}/TCP", ways, endpoints) for number in range(PORTS))
    return Graph(Node("ok", ("web", "shop.svc.cluster.local")), records, ports, (), "")


def segments(drawing: Drawing) -> Iterator[tuple[int, int, int, int]]:
    """The straight lines of paths of M, H and V: from x, y to x, y."""
    for line in drawing.lines:
        x, y = map(int, re.match(r"M(\d+) (\d+)", line.path).groups())  # type: ignore[union-attr]
        for letter, number in re.findall(r"([HV])(\d+)", line.path):
            x2, y2 = (int(number), y) if letter == "H" else (x, int(number))
            yield min(x, x2), min(y, y2), max(x, x2), max(y, y2)
            x, y = x2, y2


def crosses(segment: tuple[int, int, int, int], box: Box) -> bool:
    """A line runs through a box, and not only along an edge or up to it."""
    left, top, right, bottom = segment
    return left < box.right and right > box.x and top < box.bottom and bottom > box.y


@BOTH
async def test_boxes_do_not_overlap(tmp_path: Path, draw_it: Draw) -> None:
    """Whatever is drawn, no box lies on another, and all are inside."""
    for drawn in (*map(graph, await paths(tmp_path)), full()):
        drawing = draw_it(drawn)
        taken: set[tuple[int, int]] = set()
        for box in drawing.boxes:
            assert box.x >= 0
            assert box.right <= drawing.width
            assert box.bottom <= drawing.height
            spots = {(x, y) for x in range(box.x, box.right) for y in range(box.y, box.bottom)}
            assert not spots & taken
            taken |= spots


async def test_no_line_of_a_phone_crosses_a_box(tmp_path: Path) -> None:
    """Lines run beside the boxes, and end at their edges."""
    for drawn in (*map(graph, await paths(tmp_path)), full()):
        drawing = draw_narrow(drawn)
        assert drawing.width == WIDTH
        assert not [(line, box) for line in segments(drawing) for box in drawing.boxes if crosses(line, box)]


@BOTH
async def test_both_drawings_have_the_same_boxes_and_lines(tmp_path: Path, draw_it: Draw) -> None:
    """Each box of the graph is drawn once, with its state; a line leads into each but the first, where one leads."""
    for path in await paths(tmp_path):
        drawn = graph(path)
        drawing = draw_it(drawn)
        nodes = [drawn.name, *drawn.records, *(node for node, _ in drawn.hosts)]
        for port in drawn.ports:
            nodes += [node for way in port.ways for node in (way.arrives, way.rule)] + list(port.endpoints)
        assert sorted(box.state for box in drawing.boxes) == sorted(node.state for node in nodes if node is not None)
        ends = len(drawn.records) + sum(len(way.targets) + 1 for port in drawn.ports for way in port.ways)
        assert len(drawing.lines) >= ends


async def test_a_rule_that_explain_finds_harmed(tmp_path: Path) -> None:
    """Its box names code and node, and the line to the endpoint that is harmed is red, not those to the others."""
    async with served(cluster(tmp_path)) as kdns:
        path = service_path(Parts("kdns lab", kdns.app), "shop", "web", REPORT)
    assert path is not None
    (port,) = graph(path).ports
    assert port.ways[0].rule == Node(
        "fault", ("E33 on node-a", "a rule drops it on its way to 10.244.1.5:8080"),
        f"E33 {SAYS}; to one of 2 endpoints of the cluster",
    )  # fmt: skip
    states = {port.endpoints[number].lines[0]: state for number, state in port.ways[0].targets}
    assert states == {"10.244.0.5:8080": "ok", "10.244.1.5:8080": "fault"}


async def test_it_is_said_in_words_too(tmp_path: Path) -> None:
    """Those who cannot see it hear the same: the name, its record, the way in, the rule, and what is wrong."""
    (path,) = [path for path in await paths(tmp_path) if path.name == "broken"]
    words = graph(path).words()
    order = ["The name broken.shop.svc.cluster.local.", "record 10.96.0.10, A", "cluster IP 10.96.0.10:80: refuse",
             "(fault)", "endpoint 10.244.0.7:8080, not ready", "(fault)"]  # fmt: skip
    at = 0
    for part in order:
        at = words.index(part, at) + len(part)
