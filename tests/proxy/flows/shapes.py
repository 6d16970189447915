"""The Services of the table: every traffic policy, with every place where endpoints can be, in both families."""

from collections.abc import Iterable, Mapping, Sequence
from ipaddress import ip_address
from typing import Final, NamedTuple

from kdns.base.objects import READY, SERVING, TERMINATING, Service, ServicePort, ServiceView
from kdns.lab.plan import BALANCERS, EXTERNAL, PLAN, SERVICES, Pair, Pod
from kdns.proxy.model import Protocol, RuleSet
from kdns.proxy.rules import Policy as NodePolicy
from kdns.proxy.rules import rule_set, service_rules
from tests.build import Policy, State, proxied, states_slice

PODS: Final[Mapping[str, Pod]] = {
    name: PLAN.pod(name, address)
    for name, address in (
        ("a", "10.244.0.5"),
        ("b", "10.244.0.6"),
        ("x", "10.244.0.9"),
        ("c", "10.244.1.5"),
        ("y", "10.244.1.9"),
    )
}
"""a and b serve on node-0, c on node-1; x and y ask on them."""
TARGET: Final = 9376
READILY: Final = READY | SERVING
DYING: Final = SERVING | TERMINATING


class Shape(NamedTuple):
    """A Service by what makes it special. Its number is in all its addresses and ports."""

    name: str
    endpoints: Mapping[str, int]
    """Conditions by Pod."""
    etp: Policy = "Cluster"
    itp: Policy = "Cluster"
    affinity: int = 0
    ranges: tuple[str, ...] = ()
    """Who may come to the load balancer IPs."""
    health: bool = False
    inside: bool = False
    """It has a cluster IP alone."""
    own: bool = False
    """Its external IP is an address of node-0."""
    protocols: tuple[Protocol, ...] = ("TCP", "UDP")


ALL: Final = {"a": READILY, "b": READILY, "c": READILY}
FAR: Final = {"c": READILY}
LONG_RANGES: Final = ("fc00:f853:ccd:e793::100/128", "fd00:10:244::8/125")
SHAPES: Final = (
    Shape("everywhere", ALL),
    Shape("local", ALL, etp="Local", health=True),
    Shape("local-far", FAR, etp="Local", health=True),
    Shape("empty", {}),
    Shape("empty-local", {}, etp="Local", itp="Local"),
    Shape("inner", ALL, itp="Local"),
    Shape("inner-far", FAR, itp="Local"),
    Shape("both-local", ALL, etp="Local", itp="Local"),
    Shape("dying", {"a": DYING, "c": DYING}),
    Shape("half-dying", {"a": DYING, "c": READILY}, etp="Local"),
    Shape("unready", {"a": 0, "b": SERVING}),
    Shape(
        "ranged", ALL, ranges=("172.18.0.100/32", "10.244.0.8/29", "fc00:f853:ccd:e793::100/128", "fd00:10:244::/64")
    ),
    Shape("ranged-empty", {}, ranges=("172.18.0.100/32", "fc00:f853:ccd:e793::100/128")),
    Shape("ranged-local", FAR, etp="Local", ranges=("172.18.0.0/28", "fc00:f853:ccd:e793::/124")),
    Shape("affine", ALL, affinity=600),
    Shape("affine-local", ALL, etp="Local", affinity=600),
    Shape("mirror", {"a": READILY}),
    Shape("inside", FAR, inside=True),
    Shape("node-address", {"a": READILY, "c": READILY}, own=True),
    Shape("streams", ALL, protocols=("SCTP",)),
)
NUMBERS: Final = {shape.name: number for number, shape in enumerate(SHAPES, 10)}
UNALLOCATED: Final = 250
"""The number of a service address that no Service has."""
UNDEFINED: Final = 81
"""A port that no Service has."""


def cluster_ip(number: int) -> Pair:
    """10.96.0.10 and fd00:10:96::a for 10."""
    return SERVICES[0][number], SERVICES[1][number]


def external_ip(shape: Shape) -> Pair:
    """198.51.100.10, or node-0's address."""
    number = NUMBERS[shape.name]
    return PLAN.nodes[0].addresses if shape.own else (EXTERNAL[0][number], EXTERNAL[1][number])


def balancer_ip(shape: Shape) -> Pair:
    """203.0.113.10"""
    number = NUMBERS[shape.name]
    return BALANCERS[0][number], BALANCERS[1][number]


def port(shape: Shape) -> int:
    """80, but what shares a node's address has a number of its own."""
    return 8000 + NUMBERS[shape.name] if shape.own else 80


def node_port(shape: Shape) -> int:
    """30010; 0: none."""
    return 0 if shape.inside else 30000 + NUMBERS[shape.name]


def health_port(shape: Shape) -> int:
    """31010; 0: none."""
    return 31000 + NUMBERS[shape.name] if shape.health else 0


def service(shape: Shape) -> Service:
    """The Service of a shape, in both families."""
    ports = [ServicePort(name.lower(), name, port(shape), node_port(shape)) for name in shape.protocols]
    cluster = list(map(str, cluster_ip(NUMBERS[shape.name])))
    if shape.inside:
        return proxied(f"flows/{shape.name}", cluster, ports)
    return proxied(
        f"flows/{shape.name}",
        cluster,
        ports,
        type="LoadBalancer",
        external_ips=map(str, external_ip(shape)),
        lb=map(str, balancer_ip(shape)),
        ranges=shape.ranges,
        etp=shape.etp,
        itp=shape.itp,
        affinity=shape.affinity,
        health=health_port(shape),
    )


def view(shape: Shape) -> ServiceView:
    """The Service of a shape with its slices."""
    ports = [ServicePort(name.lower(), name, TARGET) for name in shape.protocols]
    families: tuple[tuple[int, bool], ...] = ((0, False), (1, True))
    slices = [
        states_slice(
            f"flows/{shape.name}-{'v6' if six else 'v4'}",
            [State(str(PODS[pod].addresses[at]), PODS[pod].node, was) for pod, was in shape.endpoints.items()],
            ports,
            service=shape.name,
            family=6 if six else 4,
        )
        for at, six in families
    ]
    return ServiceView(service(shape), tuple(slices))


def rules_of(shapes: Iterable[Shape], policy: NodePolicy) -> RuleSet:
    """What a node's rules for them are."""
    return rule_set([one for shape in shapes for one in service_rules(view(shape), policy).ports], policy.node)


def name_of(address: bytes) -> str:
    """The Pod with an address."""
    return next(pod.name for pod in PODS.values() if ip_address(address) in pod.addresses)


def chosen(names: Sequence[str]) -> tuple[Shape, ...]:
    """Shapes by name."""
    return tuple(shape for shape in SHAPES if shape.name in names)
