"""What of the cluster's Nodes and ServiceCIDRs changes the policy."""

from kdns.base.objects import Node, NodeChange, ServiceCIDR, ServiceCIDRChange
from kdns.config.kubeproxy.settings import NodePortAddresses, ProxySettings
from kdns.proxy.model import Family
from kdns.proxy.node_view import NodeView
from tests.build import key, network, node, packed, service_cidr


def change(name: str, after: Node | None) -> NodeChange:
    """A Node as it is now."""
    return NodeChange(key("Node", name), None, after)


def cidr(name: str, after: ServiceCIDR | None) -> ServiceCIDRChange:
    """A ServiceCIDR as it is now."""
    return ServiceCIDRChange(key("ServiceCIDR", name), None, after)


def test_our_node_that_is_gone_stays_as_it_was() -> None:
    """The kubelet makes it again; meanwhile the rules stay."""
    view = NodeView(ProxySettings(node_port_addresses=NodePortAddresses(primary=True)), "a")
    assert view.policy(Family.IPV4, ()).node.node_port_addresses == ()
    assert view.apply(change("a", node("a", ["172.18.0.2"])))
    assert not view.apply(change("a", None))
    assert view.policy(Family.IPV4, ()).node.node_port_addresses == (packed("172.18.0.2"),)


def test_other_nodes_count_by_their_addresses_only() -> None:
    """A Node whose zone changes, say, is nothing new."""
    view = NodeView(ProxySettings(mode="ipvs"), "a")
    assert view.apply(change("b", node("b", ["172.18.0.3", "fc00::3"])))
    assert not view.apply(change("b", node("b", ["172.18.0.3", "fc00::3"], zone="z")))
    assert view.policy(Family.IPV6, ()).node.other_nodes == {packed("fc00::3")}
    assert view.apply(change("b", None))
    assert not view.apply(change("b", None))
    assert view.policy(Family.IPV6, ()).node.other_nodes == frozenset()


def test_ranges_of_cluster_ips_come_and_go() -> None:
    """Those of the family."""
    view = NodeView(ProxySettings(), "a")
    assert view.apply(cidr("one", service_cidr("one", "10.96.0.0/16", "fd00::/112")))
    assert view.apply(cidr("two", service_cidr("two", "10.97.0.0/16")))
    assert view.policy(Family.IPV4, ()).node.service_cidrs == (network("10.96.0.0/16"), network("10.97.0.0/16"))
    assert view.apply(cidr("one", None))
    assert view.policy(Family.IPV4, ()).node.service_cidrs == (network("10.97.0.0/16"),)
