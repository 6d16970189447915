"""What is drawn of a Service's path: boxes with their texts and states, and which leads to which. Pure.

Where they stand is for `kdns.status.drawing` (left to right) and `kdns.status.narrow` (from the top down).
"""

import re
from collections.abc import Iterator, Sequence
from typing import Final, Literal, NamedTuple

from kdns.status.path import PathEndpoint, PathFrontend, PathPort, ServicePath, Stage

ENDPOINTS: Final = 6
"""Endpoints of a port, and records, that are drawn; one box stands for the rest."""
PORTS: Final = 6
"""Ports, by family, that are drawn; the table has all."""
ON_NODE: Final = re.compile(r"node (\S+?)(?: \([a-z-]+\))?, \S+: ")
"""How `kdns explain` begins what it says of rules."""

State = Literal["ok", "fault", "warn", "idle"]
"""A class of the style sheet."""


class Node(NamedTuple):
    """A box: two lines of text at most."""

    state: State
    lines: tuple[str, ...]
    title: str = ""
    """All of it, where the lines may be cut."""


class Way(NamedTuple):
    """One way in: where traffic arrives, and what becomes of it."""

    arrives: Node
    rule: Node
    host: str
    """The address that a record leads to; empty for a node port."""
    targets: tuple[tuple[int, State], ...]
    """The endpoints of the port that the rule leads to, by their number, and how."""


class Port(NamedTuple):
    """One port in one family."""

    label: str
    ways: tuple[Way, ...]
    endpoints: tuple[Node, ...]


class Graph(NamedTuple):
    """All of it."""

    name: Node | None
    """None: this process answers no names."""
    records: tuple[Node, ...]
    ports: tuple[Port, ...]
    """None of a headless Service."""
    hosts: tuple[tuple[Node, str], ...]
    """Of a headless Service: the endpoints, each with its address, since names lead there directly."""
    more: str
    """What is not drawn; empty: nothing."""

    def words(self) -> str:
        """What is drawn, in sentences, for those who cannot see it."""
        parts = [f"The name {self.name.title or self.name.lines[0]}"] if self.name is not None else []
        parts += [f"record {_spoken(node)}" for node in self.records]
        parts += [f"endpoint {_spoken(node)}" for node, _ in self.hosts]
        for port in self.ports:
            parts.append(port.label)
            parts += [f"{way.arrives.title}: {_spoken(way.rule)}" for way in port.ways]
            parts += [f"endpoint {_spoken(node)}" for node in port.endpoints]
        return ". ".join(parts) + "."


def _spoken(node: Node) -> str:
    """A box in words; what is wrong is marked by a word, as by its colour."""
    text = ", ".join(line for line in node.lines if line)
    return f"{text} (fault)" if node.state == "fault" else text


def graph(path: ServicePath) -> Graph:
    """What is drawn of one Service."""
    faulty: frozenset[Stage] = frozenset(fault.stage for fault in path.faults)
    name = None
    if path.owner:
        first, _, rest = path.owner.rstrip(".").partition(".")
        name = Node("fault" if "name" in faulty else "ok", (first, rest), path.owner)
    if path.type == "headless":
        return Graph(name, tuple(_records(path)), (), tuple(_hosts(path)), "")
    ports = tuple(_port(path, port, faulty) for port in path.ports[:PORTS])
    left = len(path.ports) - PORTS
    more = f"{left} more port{'s are' if left > 1 else ' is'} in the tables below" if left > 0 else ""
    return Graph(name, tuple(_records(path)) if name else (), ports, (), more)


def _records(path: ServicePath) -> Iterator[Node]:
    if not path.records:
        says = next((fault.says for fault in path.faults if fault.stage == "record"), "")
        yield Node("fault", ("no record", says), says)
    for record in path.records[:ENDPOINTS]:
        yield Node("ok", (record.data, f"{record.type}, TTL {record.ttl} s"), record.data)
    if path.record_total > ENDPOINTS:
        yield Node("idle", (f"and {path.record_total - ENDPOINTS} more",))


def _hosts(path: ServicePath) -> Iterator[tuple[Node, str]]:
    """The endpoints by address, each with all of its ports."""
    ports: dict[str, list[str]] = {}
    for port in path.ports:
        for endpoint in port.endpoints:
            host, _, number = endpoint.address.rpartition(":")
            ports.setdefault(host.strip("[]"), []).append(number)
    for host, numbers in list(ports.items())[:ENDPOINTS]:
        listed = f"port{'s' if len(numbers) > 1 else ''} {', '.join(numbers)}"
        yield Node("ok", (host, f"ready, {listed}"), f"{host} {listed}"), host
    total = max((port.total for port in path.ports), default=0)
    if total > ENDPOINTS:
        yield Node("idle", (f"and {total - ENDPOINTS} more",)), ""
    if not ports:
        yield Node("fault", ("no ready endpoint",)), ""


def _port(path: ServicePath, port: PathPort, faulty: frozenset[Stage]) -> Port:
    shown = port.endpoints[:ENDPOINTS]
    endpoints = [_endpoint(endpoint) for endpoint in shown]
    if port.total > ENDPOINTS:
        endpoints.append(Node("idle", (f"and {port.total - ENDPOINTS} more",)))
    if not port.endpoints:
        endpoints.append(Node("fault", ("no ready endpoint",)))
    harm = _harm(path)
    state: State = "fault" if "frontend" in faulty else "ok"
    number = f"port {port.port}/{port.protocol}" if port.port else "endpoints"
    label = f"{number} {port.name}".rstrip() + f", {port.family}"
    return Port(
        label, tuple(_way(frontend, port, endpoints, state, harm) for frontend in port.frontends), tuple(endpoints)
    )


def _way(frontend: PathFrontend, port: PathPort, endpoints: Sequence[Node], state: State, harm: str) -> Way:
    at = f"{frontend.kind}, {port.protocol}{f' {port.name}' if port.name else ''}"
    arrives = Node(state, (frontend.address, at), f"{frontend.kind} {frontend.address}")
    refused = frontend.verdict in {"reject", "drop"}
    lines = _harm_lines(harm) if harm else _two_lines(frontend.rules[-1].removeprefix("others: "))
    title = "; ".join(filter(None, (harm, *frontend.rules)))
    rule = Node("fault" if refused or harm else "ok", lines, title)
    addresses = [endpoint.address for endpoint in port.endpoints[:ENDPOINTS]]
    if refused:
        targets: list[tuple[int, State]] = [(number, "fault") for number in range(len(addresses) or 1)]
    else:
        hit = {address for address in addresses if re.search(rf"(?<!\S){re.escape(address)}(?![\w.:])", harm)}
        harmed = (hit or set(addresses)) if harm else set()
        targets = [
            (number, "fault" if address in harmed else endpoints[number].state)
            for number, address in enumerate(addresses)
            if address in frontend.backends
        ]
    return Way(arrives, rule, frontend.address.rpartition(":")[0].strip("[]"), tuple(targets))


def _endpoint(endpoint: PathEndpoint) -> Node:
    state: State = "ok" if endpoint.state == "ready" else "warn" if "serving" in endpoint.state else "fault"
    about = ", ".join(filter(None, (endpoint.state, endpoint.node)))
    return Node(state, (endpoint.address, about), f"{endpoint.address} {about}")


def _harm(path: ServicePath) -> str:
    """The first fault of the rules that `kdns explain` found, with its code; empty: none, or it was not asked."""
    if path.explained is None:
        return ""
    faults = (fault for fault in path.faults if fault.stage == "rule" and fault.code)
    return next((f"{fault.code} {fault.says}" for fault in faults), "")


def _harm_lines(harm: str) -> tuple[str, ...]:
    """Code and node, then what is wrong: the address stands in the box before."""
    code, _, says = harm.partition(" ")
    if (on_node := ON_NODE.match(says)) is not None:
        return f"{code} on {on_node[1]}", says[on_node.end() :]
    return code, says


def _two_lines(sentence: str) -> tuple[str, ...]:
    """Divided so that a box can hold it."""
    for mark in (" of the cluster", " on this node"):
        if mark in sentence:
            first, _, rest = sentence.partition(mark)
            return first, f"{mark.strip()}{rest}"
    first, _, rest = sentence.partition(": ")
    return first, rest
