"""Rules as people read them: who asks for what on a node, and what becomes of it, a line each.

``pod 10.96.0.9:80 -> 10.244.0.5 10.244.1.6`` says that a pod's connection reaches one of the two; ``+M`` behind it,
that they see the node's address; ``REJECT``, ``DROP`` and ``untouched`` stand for themselves.
"""

from collections.abc import Iterable
from ipaddress import ip_address

from kdns.base.objects import Network, Service, ServicePort, ServiceView, address_text
from kdns.proxy.model import Family, LocalDetector, Mode, NodeRules, Protocol, RuleSet
from kdns.proxy.rules import Policy, rule_set, service_rules
from kdns.proxy.trace import Packet, trace
from tests.build import State, network, states_slice

NODE, OTHER = "node-1", "node-2"
NODE_ADDRESS = "172.18.0.2"
ADDRESSES = frozenset(ip_address(text).packed for text in (NODE_ADDRESS, "10.244.0.1", "fc00:f853:ccd:e793::2"))
"""Of our node: on the node network, and the gateway of its pods."""
PODS = LocalDetector("CIDR", network("10.244.0.0/16"))
SOURCES = {
    "pod": ("10.244.0.9", "veth9"),
    "far pod": ("10.244.1.9", "eth0"),
    "host": (NODE_ADDRESS, ""),
    "client": ("192.0.2.7", "eth0"),
    "neighbour": ("192.0.2.200", "eth0"),
    "localhost": ("127.0.0.1", ""),
}


def policy(
    detector: LocalDetector | None = PODS,
    *,
    masquerade_all: bool = False,
    localhost_node_ports: bool = True,
    node_port_addresses: tuple[bytes, ...] | None = None,
    service_cidrs: tuple[Network, ...] = (),
    external_ips: bool = True,
) -> Policy:
    """Of node-1 in zone a."""
    node = NodeRules(
        Family.IPV4,
        detector=detector,
        masquerade_all=masquerade_all,
        localhost_node_ports=localhost_node_ports,
        node_port_addresses=node_port_addresses,
        service_cidrs=service_cidrs,
    )
    return Policy(node, NODE, "a", ip_address(NODE_ADDRESS).packed, external_ips)


def view_of(service: Service, endpoints: Iterable[State], port: int = 8080) -> ServiceView:
    """A Service whose endpoints listen on one port under each of its ports' names."""
    path = f"{service.key.namespace}/{service.key.name}"
    ports = tuple(ServicePort(one.name, one.protocol, port) for one in service.ports)
    return ServiceView(service, (states_slice(path, endpoints, ports),))


def rules_of(service: Service, endpoints: Iterable[State], decided: Policy | None = None, port: int = 8080) -> RuleSet:
    """The rule set of that one Service."""
    decided = decided or policy()
    return rule_set(service_rules(view_of(service, endpoints, port), decided).ports, decided.node)


def walk(rules: RuleSet, question: str, mode: Mode = "iptables", protocol: Protocol = "TCP") -> str:
    """What becomes of ``pod 10.96.0.9:80``."""
    who, _, where = question.rpartition(" ")
    source, interface = SOURCES.get(who, (who, "veth"))
    address, _, port = where.rpartition(":")
    destination = ip_address(address.strip("[]")).packed
    packet = Packet(protocol, ip_address(source).packed, destination, int(port), interface)
    outcome = trace(rules, packet, mode, ADDRESSES)
    if outcome.verdict != "dnat":
        return outcome.verdict if outcome.verdict == "untouched" else outcome.verdict.upper()
    found = " ".join(address_text(backend.address) for backend in outcome.backends)
    return f"{found} +M" if outcome.masquerade else found


def walks(rules: RuleSet, lines: str, mode: Mode = "iptables") -> list[str]:
    """The lines as they come out."""
    asked = [line.partition(" -> ")[0].strip() for line in lines.strip().splitlines()]
    return [f"{question} -> {walk(rules, question, mode)}" for question in asked]


def lined(lines: str) -> list[str]:
    """The lines as they are expected."""
    return [" ".join(line.split()) for line in lines.strip().splitlines()]
