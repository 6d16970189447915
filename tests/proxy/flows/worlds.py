"""How the nodes are set up: one world of the table each."""

from typing import Final, NamedTuple

from kdns.config.kubeproxy.settings import (
    DetectLocal,
    DetectLocalMode,
    IptablesSettings,
    NftablesSettings,
    NodePortAddresses,
    ProxySettings,
)
from kdns.lab.plan import PODS, SERVICES, Node
from kdns.proxy.model import Family, Mode
from kdns.proxy.node_policy import node_policy
from kdns.proxy.rules import Policy
from tests.build import network, node
from tests.proxy.flows.shapes import SHAPES, Shape, chosen

FEW: Final = tuple(
    shape._replace(protocols=(("TCP",), ("UDP",))[number % 2])
    for number, shape in enumerate(chosen(("everywhere", "local", "local-far", "empty", "inner", "mirror")))
)


class World(NamedTuple):
    """What the operator has chosen, and the Services."""

    name: str
    shapes: tuple[Shape, ...] = FEW
    detector: DetectLocalMode | None = "ClusterCIDR"
    """None: no pod is known, since no cluster CIDR is."""
    masquerade_all: bool = False
    node_ports: tuple[str, ...] = ()
    """nodePortAddresses; empty: all."""
    primary: bool = False
    """nodePortAddresses are "primary"."""
    gradual: bool = False
    """The Services come by partial syncs, half of them in another state first."""

    def settings(self, mode: Mode) -> ProxySettings:
        """As `kdns proxy` would have them."""
        known = tuple(network(str(one)) for one in PODS) if self.detector == "ClusterCIDR" else ()
        return ProxySettings(
            mode=mode,
            cluster_cidrs=known,
            detect_local_mode=self.detector or "ClusterCIDR",
            detect_local=DetectLocal(bridge_interface="veth9", interface_name_prefix="veth"),
            node_port_addresses=NodePortAddresses(self.primary, tuple(map(network, self.node_ports))),
            iptables=IptablesSettings(masquerade_all=self.masquerade_all),
            nftables=NftablesSettings(masquerade_all=self.masquerade_all),
        )

    def policy(self, mode: Mode, family: Family, at: Node) -> Policy:
        """Of one node and family."""
        known = node(at.name, map(str, at.addresses), zone=at.zone, pod_cidrs=map(str, at.pods))
        cidrs = [network(str(one)) for one in SERVICES]
        return node_policy(self.settings(mode), family, known, at.name, local_addresses(at, family), cidrs)


def local_addresses(at: Node, family: Family) -> frozenset[bytes]:
    """All that a node of the lab has on its links, but loopback."""
    which = 0 if family is Family.IPV4 else 1
    return frozenset((at.addresses[which].packed, at.gateway[which].packed))


WORLDS: Final = (
    World("usual", SHAPES),
    World("gradual", SHAPES[:8], detector="InterfaceNamePrefix", gradual=True),
    World("no detector", detector=None, primary=True),
    World("node CIDR", detector="NodeCIDR"),
    World(
        "masquerade all",
        detector="BridgeInterface",
        masquerade_all=True,
        node_ports=("10.244.0.0/15", "fd00:10:244::/48"),
    ),
)
