"""The packets that a question is about: who sends them where, and which node decides what becomes of them. Pure."""

from collections.abc import Iterator
from ipaddress import ip_address
from typing import NamedTuple, cast

from kdns.base.objects import Node
from kdns.explain.case import Case
from kdns.explain.model import Client
from kdns.explain.objects import Body, field
from kdns.explain.target import addresses_of
from kdns.proxy.model import Family, Protocol

EXAMPLE = {Family.IPV4: ip_address("192.0.2.1").packed, Family.IPV6: ip_address("2001:db8::1").packed}
"""A client outside whose address is not known (RFC 5737, RFC 3849)."""


class Sent(NamedTuple):
    """The first packet of a connection."""

    node: str
    """Where it is decided; empty: any node."""
    source: bytes
    inside: bool
    """A Pod of this node sends it; else it comes from outside of the node, or a process of the node sends it."""
    own: bool
    """A process of the node sends it."""
    protocol: Protocol
    destination: bytes
    port: int
    example: bool = False
    """The source is one that the client might have, not the client's own."""

    @property
    def family(self) -> Family:
        """By its destination."""
        return Family.IPV4 if len(self.destination) == 4 else Family.IPV6


def client_pod(case: Case, client: Client) -> Body | None:
    """The Pod that asks, if it is one and in the evidence."""
    if client.kind != "pod":
        return None
    return case.objects.get("Pod", client.namespace, client.name)


def nodes_of(case: Case, client: Client) -> list[str]:
    """Nodes whose rules decide for a client; one of them is empty if it could be any, and the evidence has none."""
    pod = client_pod(case, client)
    node = client.node or (field(pod, "spec.nodeName", "") if pod else client.name if client.kind == "node" else "")
    if node:
        return [node]
    if client.kind == "outside":
        asked = case.question.target.address
        for body in case.objects.all("Node"):
            if asked and asked in [entry.get("address") for entry in field(body, "status.addresses", [])]:
                return [str(field(body, "metadata.name", ""))]
    return sorted(case.evidence.nodes) or [""]


def packets(case: Case, service: Body, client: Client) -> list[Sent]:
    """What a client sends to the ports of a Service that the question is about, for each node that may decide."""
    sent = []
    for node in nodes_of(case, client):
        known = case.cluster.node(node) if node else None
        for destination, port, protocol in frontends(case, service, client, known):
            family = Family.IPV4 if len(destination) == 4 else Family.IPV6
            source = _source(case, client, node, known, family)
            if source is not None:
                packed, inside, own, example = source
                sent.append(Sent(node, packed, inside, own, protocol, destination, port, example))
    return sent


def frontends(case: Case, service: Body, client: Client, node: Node | None) -> Iterator[tuple[bytes, int, Protocol]]:
    """Address, port and protocol of what is asked for."""
    target = case.question.target
    service_is_target = case.service is not None and case.service is service
    address = target.address if service_is_target else ""
    wanted = target.port if service_is_target else None
    for port in field(service, "spec.ports", []):
        number, node_port = int(port.get("port") or 0), int(port.get("nodePort") or 0)
        protocol = cast(Protocol, port.get("protocol") or "TCP")
        if wanted is not None and (wanted not in (number, port.get("name"), node_port) or protocol != target.protocol):
            continue
        if protocol not in ("TCP", "UDP", "SCTP"):
            continue
        if address:
            own = address in addresses_of(service)
            if own or node_port:
                yield ip_address(address).packed, number if own else node_port, protocol
            continue
        for packed, at_node in _addresses(service, client, node):
            if not at_node or node_port:
                yield packed, node_port if at_node or wanted == node_port != 0 else number, protocol


def _addresses(service: Body, client: Client, node: Node | None) -> Iterator[tuple[bytes, bool]]:
    """By name: the cluster IPs; for a client outside, what leads in from there. True: a node's, for node ports."""
    cluster = field(service, "spec.clusterIPs") or [field(service, "spec.clusterIP", "")]
    inside = [text for text in cluster if text and text != "None"]
    if client.kind == "outside":
        outside = [text for text in addresses_of(service) if text not in inside]
        if outside or any(port.get("nodePort") for port in field(service, "spec.ports", [])):
            yield from ((ip_address(text).packed, False) for text in outside)
            if not outside:
                yield from ((packed, True) for packed in (node.addresses if node else ()))
            return
    yield from ((ip_address(text).packed, False) for text in inside)


def _source(
    case: Case, client: Client, node: str, known: Node | None, family: Family
) -> tuple[bytes, bool, bool, bool] | None:
    """Address; whether a Pod of the node sends it; whether the node does; whether it is only an example."""
    if client.kind == "outside":
        address = ip_address(client.address).packed if client.address else EXAMPLE[family]
        return (address, False, False, not client.address) if len(address) == family.width else None
    of_node = next((address for address in (known.addresses if known else ()) if len(address) == family.width), None)
    if client.kind == "node":
        return (of_node, False, True, False) if of_node else None
    pod = client_pod(case, client)
    if pod is not None and field(pod, "spec.hostNetwork", False) is True:
        return (of_node, False, True, False) if of_node else None
    if pod is not None:
        address_of_pod = next((packed for packed in pod_addresses(pod) if len(packed) == family.width), None)
        if address_of_pod is not None:
            return address_of_pod, True, False, False
    example = _some_pod(case, client.namespace, node, known, family)
    return (example, True, False, True) if example else None


def pod_addresses(pod: Body) -> list[bytes]:
    """All addresses of a Pod."""
    rows = field(pod, "status.podIPs", []) or [{"ip": field(pod, "status.podIP", "")}]
    return [ip_address(row["ip"]).packed for row in rows if row.get("ip")]


def _some_pod(case: Case, namespace: str, node: str, known: Node | None, family: Family) -> bytes | None:
    """The address of some Pod on the node, if possible one that no endpoint has: in its ranges, or a Pod there is."""
    for network in known.pod_cidrs if known else ():
        if len(network.address) == family.width and network.length <= family.width * 8 - 2:
            last = (1 << (family.width * 8 - network.length)) - 2
            return (int.from_bytes(network.address) + last).to_bytes(family.width)
    pods = [
        pod
        for pod in case.objects.all("Pod")
        if field(pod, "spec.hostNetwork", False) is not True and (not node or field(pod, "spec.nodeName", "") == node)
    ]
    pods.sort(key=lambda pod: field(pod, "metadata.namespace", "") != namespace)
    addresses = (packed for pod in pods for packed in pod_addresses(pod) if len(packed) == family.width)
    first = next(addresses, None)
    if first is not None:
        return first
    cidr = case.proxy_settings.cluster_cidr(family.width)
    if cidr is not None:
        return (int.from_bytes(cidr.address) + 250).to_bytes(family.width)
    return ip_address("10.255.255.253").packed if family is Family.IPV4 else ip_address("fdff::fd").packed
