"""The lab's network with two nodes whose rules one mode has written."""

from collections.abc import Iterable, Mapping
from ipaddress import ip_address
from types import TracebackType
from typing import Final, Self

from kdns.kernel import sysctl
from kdns.lab.namespaces import inside, write_sysctls
from kdns.lab.network import Network
from kdns.lab.plan import OUTSIDE, PLAN, SWITCH, Address, Node, Pair, Plan, pair
from kdns.lab.serving import knows
from kdns.proxy.apply.applier import Applier
from kdns.proxy.model import Family, Protocol, RuleChange, RuleSet, ServicePortName, ServicePortRules
from tests.proxy.flows.modes import Variant, applier, mode_of
from tests.proxy.flows.resident import Resident
from tests.proxy.flows.shapes import (
    FAR,
    NUMBERS,
    PODS,
    TARGET,
    UNALLOCATED,
    UNDEFINED,
    Shape,
    balancer_ip,
    cluster_ip,
    external_ip,
    health_port,
    node_port,
    rules_of,
)
from tests.proxy.flows.worlds import World

ELSEWHERE: Final = "elsewhere"
"""The server of service addresses in the nodes' network: it gets what no rule has touched."""
STRANGER: Final = pair("172.18.0.101", "fc00:f853:ccd:e793::101")
"""A second address of the outside client, in no source range."""
LOOPBACK: Final = (ip_address("127.0.0.1"), ip_address("::1"))
FAMILIES: Final = (Family.IPV4, Family.IPV6)
EVERY_REFUSAL: Final = {"net/ipv4/icmp_ratemask": "0", "net/ipv6/icmp/ratelimit": "0"}
"""By default a host is told only about once in a second that it is refused."""


class Ground:
    """Make it with ``with``; everything is gone afterwards."""

    def __init__(self, variant: Variant, world: World) -> None:
        self.variant, self.mode, self.world = variant, mode_of(variant), world
        self.network = Network(Plan(pods=tuple(PODS.values())))
        self._residents: list[Resident] = []
        self.rules: dict[tuple[str, Family], RuleSet] = {}
        """By node and family."""
        self.served: dict[tuple[str, Protocol, Address, int], str] = {}
        """Servers that are no Pods: by part, protocol, address and port."""

    def __enter__(self) -> Self:
        try:
            self._build()
        except BaseException:
            self._close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()

    def _close(self) -> None:
        for resident in self._residents:
            resident.close()
        self.network.close()

    @property
    def shapes(self) -> tuple[Shape, ...]:
        """The Services whose protocols this kernel has.

        In IPVS mode none has another node's address: it would be on our node's dummy link, and the other node out of
        reach, with kube-proxy as with us.
        """
        known = (shape for shape in self.world.shapes if all(map(knows, shape.protocols)))
        return tuple(shape for shape in known if self.mode != "ipvs" or not shape.own)

    def _build(self) -> None:
        every_refusal(self.network)
        self.network.configure(OUTSIDE, _given((STRANGER,), "eth0 preferred_lft 0"))  # asked from only explicitly
        for pod in ("a", "b", "c"):
            self.network.serve(pod, TARGET, ("TCP", "UDP", *(("SCTP",) if knows("SCTP") else ())))
        self._serve_elsewhere()
        for node in PLAN.nodes:
            self._serve_on_node(node)
            self._residents.append(resident := Resident(self.network.parts[node.name]))
            for family in FAMILIES:
                resident.wait_for(self._write(node, family))

    def _serve_elsewhere(self) -> None:
        """Addresses without rules, or without any that hold for everybody."""
        addresses: list[Pair] = [cluster_ip(UNALLOCATED)]
        for shape in self.shapes:
            if not shape.endpoints and not shape.own:
                addresses += [external_ip(shape), balancer_ip(shape)]
            if shape.inside:
                addresses.append(cluster_ip(NUMBERS[shape.name]))
        self.network.configure(SWITCH, _given(addresses, "lo"))
        for number in (80, UNDEFINED):
            self._serve(SWITCH, number, [one for pair in addresses for one in pair], name=ELSEWHERE)

    def _serve_on_node(self, node: Node) -> None:
        """Servers of the node itself, on ports that rules may take: they get what no rule has touched."""
        for shape in self.shapes:
            if shape.protocols == ("SCTP",):
                continue
            if number := node_port(shape):
                self._serve(node.name, number, [*node.gateway, *LOOPBACK])
            if number := health_port(shape):
                self._serve(node.name, number, node.addresses, ("TCP",))

    def _serve(
        self,
        part: str,
        port: int,
        addresses: Iterable[Address],
        protocols: Iterable[Protocol] = ("TCP", "UDP"),
        name: str = "",
    ) -> None:
        addresses = tuple(addresses)
        self.network.serve(part, port, protocols, name=name, addresses=addresses)
        for protocol in protocols:
            self.served.update({(part, protocol, address, port): name or part for address in addresses})

    async def _write(self, node: Node, family: Family) -> None:
        policy = self.world.policy(self.mode, family, node)
        if policy.node.localhost_node_ports:
            assert not sysctl.route_localnet()
        writer = await applier(self.variant, policy.node)
        rules = rules_of(self.shapes, policy)
        if self.world.gradual:
            await _write_gradually(writer, rules_of(_earlier(self.shapes), policy), rules)
        else:
            await writer.sync(rules, None)
        self.rules[node.name, family] = rules
        assert await writer.intact(), f"{node.name} {family}: not intact"


def every_refusal(network: Network) -> None:
    """Have each refusal told to whom it is for."""
    for name in (SWITCH, *(node.name for node in PLAN.nodes)):
        with inside(network.parts[name].network):
            write_sysctls(EVERY_REFUSAL)


def _given(addresses: Iterable[Pair], link: str) -> Iterable[str]:
    for four, six in addresses:
        yield f"address add {four}/32 dev {link}"
        yield f"address add {six}/128 nodad dev {link}"


def _earlier(shapes: Iterable[Shape]) -> Iterable[Shape]:
    """The Services some time ago: some are not there yet, others have other endpoints."""
    for number, shape in enumerate(shapes):
        match number % 4:
            case 0:
                yield shape._replace(endpoints=FAR)
            case 1:
                yield shape._replace(endpoints={})
            case 2:
                yield shape


async def _write_gradually(writer: Applier, earlier: RuleSet, rules: RuleSet) -> None:
    await writer.sync(RuleSet(rules.node, {}), None)
    await _change(writer, {}, earlier)
    await _change(writer, earlier.ports, rules)


async def _change(writer: Applier, before: Mapping[ServicePortName, ServicePortRules], after: RuleSet) -> None:
    names = [*after.ports, *(name for name in before if name not in after.ports)]
    changes = [
        RuleChange(name, before.get(name), after.ports.get(name))
        for name in names
        if before.get(name) != after.ports.get(name)
    ]
    await writer.sync(after, changes)
