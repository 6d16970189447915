"""Who asks for what in the table, and what `trace` expects of it."""

from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

from kdns.lab.plan import CLIENT, OUTSIDE, PLAN, Address, Node
from kdns.proxy.model import Family, Mode, Protocol, RuleSet
from kdns.proxy.trace import Packet, is_local, trace
from tests.proxy.flows.ground import ELSEWHERE, LOOPBACK, STRANGER
from tests.proxy.flows.shapes import (
    NUMBERS,
    PODS,
    UNALLOCATED,
    UNDEFINED,
    Shape,
    balancer_ip,
    cluster_ip,
    external_ip,
    health_port,
    name_of,
    node_port,
    port,
)

NODES: Final[Mapping[str, Node]] = {node.name: node for node in PLAN.nodes}


class Asker(NamedTuple):
    """Who asks: a part of the lab; the outside client goes through a node."""

    part: str
    first: str
    """The node that sees its packets first."""
    interface: str = ""
    """Where they come in to that node; empty: the node is the asker."""
    address: tuple[Address, Address] | None = None
    """Asked from explicitly."""

    @property
    def name(self) -> str:
        """As reports call it."""
        via = f" through {self.first}" if self.part == OUTSIDE else ""
        return f"{'stranger' if self.address else self.part}{via}"


ASKERS: Final = (
    *(Asker(pod, PODS[pod].node, PODS[pod].link) for pod in ("x", "y", "a")),
    *(Asker(node, node) for node in NODES),
    *(Asker(OUTSIDE, node, "eth0") for node in NODES),
    *(Asker(OUTSIDE, node, "eth0", STRANGER) for node in NODES),
)


class Expected(NamedTuple):
    """What should come of a probe."""

    servers: tuple[tuple[str, str], ...] = ()
    """One of these answers, by name and by the client that it sees; over some probes, each of them."""
    refused: bool = False
    unheard: bool = False
    """Some answers take another way back than the questions came, so the asker may hear nothing."""
    sticks: bool = False
    """The same one answers every time."""
    why: str = ""
    verdict: str = ""

    def __str__(self) -> str:
        if not self.servers:
            return f"{'refused' if self.refused else 'silence'} ({self.why})"
        return f"{', '.join(f'{name} seeing {client}' for name, client in self.servers)} ({self.why})"


class Cell(NamedTuple):
    """One line of the table."""

    asker: Asker
    protocol: Protocol
    address: Address
    port: int
    expected: Expected
    once: bool
    """One answer is enough; another cell sees to it that each server of the set is heard."""

    def __str__(self) -> str:
        return f"{self.asker.name} -> {self.address} port {self.port} {self.protocol}"


class Place(NamedTuple):
    """Somewhere to ask for."""

    protocol: Protocol
    address: Address
    port: int
    only: str = ""
    """Only this node can ask there."""
    strangers: bool = False
    """Not all may come."""
    once: bool = False
    """See `Cell`."""

    def asked_by(self, asker: Asker) -> bool:
        """Whether it is worth while."""
        if asker.address is not None and not self.strangers:
            return False
        if asker.part == OUTSIDE and (node := _home(self.address)) is not None:
            return asker.first == node.name  # it goes there directly
        return self.only in ("", asker.part)


class Table(NamedTuple):
    """The rules that the expectations come from."""

    mode: Mode
    rules: Mapping[tuple[str, Family], RuleSet]
    shapes: tuple[Shape, ...]
    addresses: Mapping[tuple[str, Family], frozenset[bytes]]
    """All local ones of a node, those that the mode has put there among them."""
    served: Mapping[tuple[str, Protocol, Address, int], str]
    """Servers that are no Pods: by part, protocol, address and port."""

    def cells(self, family: Family) -> Iterator[Cell]:
        """All lines of one family."""
        for place in dict.fromkeys(self._places(0 if family is Family.IPV4 else 1)):
            heard = set()
            for asker in ASKERS:
                if place.asked_by(asker) and not self._beyond_us(asker, place):
                    expected = self.expect(asker, place, family)
                    same = asker.first, frozenset(name for name, _ in expected.servers)
                    yield Cell(asker, place.protocol, place.address, place.port, expected, place.once or same in heard)
                    heard.add(same)

    def _beyond_us(self, asker: Asker, place: Place) -> bool:
        """In IPVS mode SCTP of a node itself by IPv6 gets no answer: its first packet names all addresses of the node,
        those on the dummy link among them, and the kernel does not rewrite them."""
        return self.mode == "ipvs" and not asker.interface and place.protocol == "SCTP" and place.address.version == 6

    def _places(self, which: int) -> Iterator[Place]:
        yield Place("TCP", cluster_ip(UNALLOCATED)[which], 80)
        yield Place("UDP", cluster_ip(UNALLOCATED)[which], 80)
        for shape in self.shapes:
            for protocol in shape.protocols:
                for place in self._places_of(shape, protocol, which):
                    yield place._replace(strangers=bool(shape.ranges), once=protocol != shape.protocols[0])
            if number := health_port(shape):
                yield Place("TCP", PLAN.nodes[0].addresses[which], number)

    def _places_of(self, shape: Shape, protocol: Protocol, which: int) -> Iterator[Place]:
        cluster = cluster_ip(NUMBERS[shape.name])[which]
        yield Place(protocol, cluster, port(shape))
        if shape.inside:
            yield Place(protocol, cluster, UNDEFINED)
            return
        yield Place(protocol, external_ip(shape)[which], port(shape))
        yield Place(protocol, balancer_ip(shape)[which], port(shape))
        for node in PLAN.nodes:
            yield Place(protocol, node.addresses[which], node_port(shape))
        yield Place(protocol, PLAN.nodes[0].gateway[which], node_port(shape))
        yield Place(protocol, LOOPBACK[which], node_port(shape), PLAN.nodes[0].name)

    def expect(self, asker: Asker, place: Place, family: Family) -> Expected:
        """Follow the first packet from node to node, until one has rules for it or it is there."""
        node, interface = NODES[asker.first], asker.interface
        source = self._asked_from(asker, place, family)
        while True:
            at = node.name, family
            packet = Packet(place.protocol, source.packed, place.address.packed, place.port, interface)
            outcome = trace(self.rules[at], packet, self.mode, self.addresses[at])
            if outcome.verdict == "dnat":
                break
            if outcome.verdict != "untouched":
                return Expected(refused=outcome.verdict == "reject", why=outcome.why, verdict=outcome.verdict)
            if is_local(packet.destination, family, self.addresses[at]):
                return self._served(node.name, place, source, asker, outcome.why)
            beyond = _home(place.address)
            if beyond is None:
                return self._served("switch", place, source, asker, outcome.why)
            node, interface = beyond, "eth0"
        servers, unheard = [], False
        which = 0 if family is Family.IPV4 else 1
        for backend in outcome.backends:
            pod = PODS[name_of(backend.address)]
            out = node.gateway if pod.node == node.name else node.addresses
            rewritten = outcome.masquerade or backend.address == source.packed
            # What goes to a node with its client's address comes back to the client by itself, past this node.
            if rewritten or node.name in (pod.node, asker.first if asker.part != OUTSIDE else ""):
                servers.append((pod.name, str(out[which] if rewritten else source)))
            else:
                unheard = True
        assert outcome.rules is not None
        return Expected(tuple(servers), False, unheard, bool(outcome.rules.affinity), outcome.why, "dnat")

    def _served(self, part: str, place: Place, source: Address, asker: Asker, why: str) -> Expected:
        """By what a node, or the network of the nodes, does without rules."""
        name = self.served.get((part, place.protocol, place.address, place.port))
        if name is None:
            return Expected(refused=part != "switch", why=why, verdict="untouched")
        unheard = name == ELSEWHERE and asker.part == OUTSIDE  # the answer comes directly, which the node may not like
        return Expected(((name, str(source)),), unheard=unheard, why=why, verdict="untouched")

    def _asked_from(self, asker: Asker, place: Place, family: Family) -> Address:
        """The address that the asker's kernel chooses."""
        which = 0 if family is Family.IPV4 else 1
        if asker.address is not None:
            return asker.address[which]
        if asker.part in PODS:
            return PODS[asker.part].addresses[which]
        if asker.part == OUTSIDE:
            return CLIENT[which]
        if is_local(place.address.packed, family, self.addresses[asker.part, family]):
            return place.address
        return NODES[asker.part].addresses[which]


def _home(address: Address) -> Node | None:
    """The node whose address, or whose Pods', it is."""
    return next((node for node in PLAN.nodes if address in node.addresses or address in node.gateway), None)
