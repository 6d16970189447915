"""What the configuration and the Node come to, by family: a line of the configuration, and what follows."""

from typing import NamedTuple

import pytest

from kdns.base.objects import Node, address_text
from kdns.config.kubeproxy.parsing import parse_kubeproxy
from kdns.proxy.model import Family
from kdns.proxy.node_policy import node_policy
from kdns.proxy.rules import Policy
from tests.build import key, network, packed

HEAD = "apiVersion: kubeproxy.config.k8s.io/v1alpha1\nkind: KubeProxyConfiguration\n"
NODE = Node(
    key("Node", "node-1"),
    tuple(map(packed, ("172.18.0.2", "fc00::2", "203.0.113.2"))),
    "a",
    (network("10.244.0.0/24"), network("fd00:244::/64")),
)
INTERFACES = tuple(map(packed, ("127.0.0.1", "::1", "172.18.0.2", "10.244.0.1", "fc00::2", "fe80::2")))


def decided(text: str, family: Family, node: Node | None = NODE) -> Policy:
    """The policy of this configuration on our node."""
    settings, warnings = parse_kubeproxy(HEAD + text, "config.conf")
    assert not [one for one in warnings if "deprecated" not in one and "loopback" not in one]
    cidrs = (network("10.96.0.0/16"), network("fd00:96::/112"))
    return node_policy(settings, family, node, "node-1", INTERFACES, cidrs)


def told(policy: Policy) -> str:
    """Detector, node ports and the node's address in a line."""
    rules, found = policy.node, policy.node.detector
    pods = "-" if found is None else f"{found.kind} {found.network or found.interface}"
    listed = rules.node_port_addresses
    ports = "all" if listed is None else ",".join(map(address_text, listed)) or "none"
    local = " localhost" if rules.localhost_node_ports else ""
    assert policy.node_address is not None
    return f"{pods} | {ports}{local} | {address_text(policy.node_address)}"


class Case(NamedTuple):
    text: str
    four: str
    six: str


ALL = "all localhost | 172.18.0.2"
CASES = (
    Case("", f"- | {ALL}", "- | all | fc00::2"),
    Case("clusterCIDR: 10.244.0.0/16", f"CIDR 10.244.0.0/16 | {ALL}", "- | all | fc00::2"),
    Case("clusterCIDR: fd00:244::/48,10.244.0.0/16", f"CIDR 10.244.0.0/16 | {ALL}",
         "CIDR fd00:244::/48 | all | fc00::2"),
    Case("detectLocalMode: NodeCIDR", f"CIDR 10.244.0.0/24 | {ALL}", "CIDR fd00:244::/64 | all | fc00::2"),
    Case("{detectLocalMode: BridgeInterface, detectLocal: {bridgeInterface: cbr0}}", f"bridge cbr0 | {ALL}",
         "bridge cbr0 | all | fc00::2"),
    Case("{detectLocalMode: InterfaceNamePrefix, detectLocal: {interfaceNamePrefix: veth}}", f"prefix veth | {ALL}",
         "prefix veth | all | fc00::2"),
    Case("bindAddress: 10.0.0.7", "- | all localhost | 10.0.0.7", "- | all | fc00::2"),
    Case("mode: nftables", "- | 172.18.0.2 | 172.18.0.2", "- | fc00::2 | fc00::2"),
    Case("nodePortAddresses: [primary]", "- | 172.18.0.2 | 172.18.0.2", "- | fc00::2 | fc00::2"),
    Case("{mode: nftables, nodePortAddresses: [0.0.0.0/0]}", "- | all | 172.18.0.2", "- | all | fc00::2"),
    # listing one family leaves the other as it is without a list
    Case("nodePortAddresses: [172.18.0.0/16]", "- | 172.18.0.2 | 172.18.0.2", "- | all | fc00::2"),
    Case("nodePortAddresses: ['fc00::/7', '::1/128']", f"- | {ALL}", "- | fc00::2 | fc00::2"),
    Case("nodePortAddresses: [192.0.2.0/24]", "- | none | 172.18.0.2", "- | all | fc00::2"),
    # loopback: in mode iptables, for IPv4, if it is in the list and not switched off
    Case("nodePortAddresses: [127.0.0.0/8, 172.18.0.0/16]", "- | 127.0.0.1,172.18.0.2 localhost | 172.18.0.2",
         "- | all | fc00::2"),
    Case("{nodePortAddresses: [127.0.0.0/8, 172.18.0.0/16], iptables: {localhostNodePorts: false}}",
         "- | 172.18.0.2 | 172.18.0.2", "- | all | fc00::2"),
    Case("{nodePortAddresses: [127.0.0.0/8, 172.18.0.0/16], mode: nftables}", "- | 172.18.0.2 | 172.18.0.2",
         "- | all | fc00::2"),
    Case("iptables: {localhostNodePorts: false}", "- | all | 172.18.0.2", "- | all | fc00::2"),
    # words, in any combination with each other and with ranges (KEP-6032)
    Case("nodePortAddresses: [localhost]", "- | 127.0.0.1 localhost | 172.18.0.2", "- | none | fc00::2"),
    Case("nodePortAddresses: [primary, localhost]", "- | 127.0.0.1,172.18.0.2 localhost | 172.18.0.2",
         "- | fc00::2 | fc00::2"),
    Case("nodePortAddresses: [localhost, primary, primary]", "- | 127.0.0.1,172.18.0.2 localhost | 172.18.0.2",
         "- | fc00::2 | fc00::2"),
    Case("nodePortAddresses: [primary, 10.0.0.0/8]", "- | 10.244.0.1,172.18.0.2 | 172.18.0.2",
         "- | fc00::2 | fc00::2"),
    Case("nodePortAddresses: ['fe80::/10', primary]", "- | 172.18.0.2 | 172.18.0.2", "- | fc00::2,fe80::2 | fc00::2"),
    Case("nodePortAddresses: [localhost, 'fc00::/7']", "- | 127.0.0.1 localhost | 172.18.0.2", "- | fc00::2 | fc00::2"),
    Case("nodePortAddresses: [primary, 0.0.0.0/0]", f"- | {ALL}", "- | fc00::2 | fc00::2"),
    Case("nodePortAddresses: [all]", f"- | {ALL}", "- | all | fc00::2"),
    Case("nodePortAddresses: [all, primary, 10.0.0.0/8]", f"- | {ALL}", "- | all | fc00::2"),
    Case("{mode: nftables, nodePortAddresses: [all]}", "- | all | 172.18.0.2", "- | all | fc00::2"),
    Case("{mode: nftables, nodePortAddresses: [primary, localhost]}", "- | 172.18.0.2 | 172.18.0.2",
         "- | fc00::2 | fc00::2"),
    Case("{nodePortAddresses: [primary, localhost], iptables: {localhostNodePorts: false}}",
         "- | 172.18.0.2 | 172.18.0.2", "- | fc00::2 | fc00::2"),
    Case("mode: ipvs", "- | all | 172.18.0.2", "- | all | fc00::2"),
)  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.text or "defaults")
def test_what_a_configuration_comes_to(case: Case) -> None:
    """Detector, node port addresses, node address, for both families."""
    four, six = (decided(flat(case.text), family) for family in Family)
    assert (told(four), told(six)) == (case.four, case.six)


def flat(text: str) -> str:
    """Flow style at the top, which the head is not, as lines."""
    if not text.startswith("{"):
        return text
    depth, lines = 0, ""
    for character in text[1:-1]:
        depth += (character in "{[") - (character in "}]")
        lines += "\n" if character == "," and not depth else character
    return "\n".join(line.strip() for line in lines.splitlines())


def test_a_cluster_without_our_node() -> None:
    """Nothing is known of it: loopback is no range's address, and there is no detector of its CIDR."""
    assert told(decided("detectLocalMode: NodeCIDR", Family.IPV4, None)) == "- | all localhost | 127.0.0.1"
    assert told(decided("mode: nftables", Family.IPV6, None)) == "- | none | ::1"


def test_what_else_a_node_has() -> None:
    """Mark, masquerading, ranges of cluster IPs, invalid packets, zone."""
    policy = decided("iptables: {masqueradeBit: 3, masqueradeAll: true}\nconntrack: {tcpBeLiberal: true}", Family.IPV6)
    assert (policy.node.masquerade_mark, policy.node.masquerade_all, policy.node.drop_invalid) == (8, True, False)
    assert (policy.node.service_cidrs, policy.zone) == ((network("fd00:96::/112"),), "a")
    assert decided("", Family.IPV4).node.drop_invalid


def test_addresses_of_other_nodes_are_kept_by_family() -> None:
    """Where the mode asks for them."""
    settings, _ = parse_kubeproxy(HEAD, "config.conf")
    others = tuple(map(packed, ("172.18.0.3", "fc00::3", "172.18.0.4")))
    four, six = (node_policy(settings, family, NODE, "node-1", INTERFACES, other_nodes=others) for family in Family)
    assert four.node.other_nodes == {packed("172.18.0.3"), packed("172.18.0.4")}
    assert six.node.other_nodes == {packed("fc00::3")}
