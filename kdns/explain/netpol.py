"""NetworkPolicies: whether they let a packet from one Pod to another (E17). Pure.

The rules of networking.k8s.io/v1: a Pod that no policy selects in a direction is open in it; one that is selected has
what the rules of all its policies allow together. Both ends must allow. A client without a Pod (a node, outside) is
seen by ipBlock only; traffic of a Pod's own node is let in by most implementations whatever the policies say.
"""

from collections.abc import Mapping
from ipaddress import ip_address, ip_network
from typing import Any, Literal

from msgspec import Struct

from kdns.explain.dns_service import cluster_ips
from kdns.explain.model import Finding, Item, Link, State
from kdns.explain.objects import Body, Objects, field, item, key_of, labels_of, maps
from kdns.explain.rows import container_ports
from kdns.explain.target import pod_addresses

Direction = Literal["Ingress", "Egress"]


class Peer(Struct, frozen=True):
    """One end of a packet."""

    pod: Body | None = None
    addresses: tuple[str, ...] = ()
    known: bool = True
    """False: it may be any, so that every rule with the port lets the packet through."""

    @classmethod
    def of(cls, pod: Body) -> "Peer":
        """The end that is a Pod."""
        return cls(pod, tuple(pod_addresses(pod)))


class Blocked(Struct, frozen=True):
    """A direction in which policies select a Pod, and no rule lets the packet through."""

    direction: Direction
    pod: Body
    policies: tuple[Body, ...]
    nearly: str = ""
    """What keeps the nearest rule from letting the packet through, where it is a mistake that people make."""

    @property
    def evidence(self) -> tuple[Item, ...]:
        """The policies' rules."""
        return tuple(item(policy, f"spec.{self.direction.lower()}") for policy in self.policies)

    @property
    def names(self) -> str:
        """The policies, in words."""
        names = [key_of(policy).name for policy in self.policies]
        kind = "NetworkPolicy" if len(names) == 1 else "NetworkPolicies"
        return f"{kind} {', '.join(names)} of Namespace {key_of(self.pod).namespace}"


def blocked(objects: Objects, source: Peer, target: Peer, port: int, protocol: str) -> Blocked | None:
    """What keeps a packet from a port of the target; None if nothing does, as far as the objects say."""
    if source.pod is not None and (block := _direction(objects, "Egress", source.pod, target, target, port, protocol)):
        return block
    if target.pod is not None:
        return _direction(objects, "Ingress", target.pod, source, target, port, protocol)
    return None


def _direction(
    objects: Objects, direction: Direction, pod: Body, other: Peer, target: Peer, port: int, protocol: str
) -> Blocked | None:
    if field(pod, "spec.hostNetwork") is True:
        return None  # policies do not hold for Pods in their node's network
    policies = [
        policy for policy in objects.all("NetworkPolicy", key_of(pod).namespace) if _selects(policy, direction, pod)
    ]
    if not policies:
        return None
    for policy in policies:
        for rule in maps(policy, f"spec.{direction.lower()}"):
            if _has_port(rule, target, port, protocol) and _has_peer(objects, rule, direction, policy, other):
                return None
    nearly = ""
    for policy in policies:
        for rule in maps(policy, f"spec.{direction.lower()}"):
            if _has_port(rule, target, port, protocol):
                nearly = nearly or _unlabelled(objects, rule, direction, other) or _cluster_ips(objects, rule)
            elif maps(rule, "from" if direction == "Ingress" else "to"):
                near_peer = _has_peer(objects, rule, direction, policy, other)
                nearly = nearly or (_other_ports(rule) if near_peer else "")
    return Blocked(direction, pod, tuple(policies), nearly)


def _other_ports(rule: Body) -> str:
    """A rule lets the other end through, to other ports: often those of the Service."""
    ports = ", ".join(f"{entry.get('port', 'any')}/{entry.get('protocol', 'TCP')}" for entry in maps(rule, "ports"))
    return f"a rule lets it to {ports}; policies see the port of the Pod, not that of the Service"


def _cluster_ips(objects: Objects, rule: Body) -> str:
    """A rule names cluster IPs, which are translated before a policy sees the packet."""
    for peer in maps(rule, "to"):
        block = field(peer, "ipBlock", {})
        if block and any(_in_block(address, block) for body in objects.all("Service") for address in cluster_ips(body)):
            return f"ipBlock {block.get('cidr')} has cluster IPs, and policies see the addresses of Pods"
    return ""


def _unlabelled(objects: Objects, rule: Body, direction: Direction, other: Peer) -> str:
    """A rule names the other end's Namespace by a label that it does not have."""
    if other.pod is None:
        return ""
    name = key_of(other.pod).namespace
    labels = _labels_of_namespace(objects, name)
    for peer in maps(rule, "from" if direction == "Ingress" else "to"):
        wanted = field(peer, "namespaceSelector.matchLabels", {})
        if name in map(str, wanted.values()) and not matches(field(peer, "namespaceSelector", {}), labels):
            text = ",".join(f"{key}={value}" for key, value in wanted.items())
            return f"Namespace {name} does not have the labels {text}; it has kubernetes.io/metadata.name={name}"
    return ""


def _selects(policy: Body, direction: Direction, pod: Body) -> bool:
    """policyTypes; without them Ingress, and Egress where there is a rule for it, as the API server defaults."""
    egress = ["Egress"] if field(policy, "spec.egress", []) else []
    types = field(policy, "spec.policyTypes", []) or ["Ingress", *egress]
    return direction in types and matches(field(policy, "spec.podSelector", {}), labels_of(pod))


def matches(selector: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    """A LabelSelector: matchLabels and matchExpressions; the empty one picks everything."""
    if any(labels.get(name) != str(value) for name, value in field(selector, "matchLabels", {}).items()):
        return False
    return all(_expression(term, labels) for term in maps(selector, "matchExpressions"))


def _expression(term: Body, labels: Mapping[str, str]) -> bool:
    name, values = str(term.get("key")), [str(value) for value in field(term, "values", [])]
    match term.get("operator"):
        case "In":
            return labels.get(name) in values
        case "NotIn":
            return labels.get(name) not in values
        case "Exists":
            return name in labels
        case "DoesNotExist":
            return name not in labels
    return False


def _has_port(rule: Body, target: Peer, port: int, protocol: str) -> bool:
    """Named ports are those of the Pod that the packet goes to."""
    ports = maps(rule, "ports")
    return not ports or any(
        _is_port(entry, target, port) and entry.get("protocol", "TCP") == protocol for entry in ports
    )


def _is_port(entry: Body, target: Peer, port: int) -> bool:
    wanted = entry.get("port")
    if wanted is None:
        return True
    if isinstance(wanted, str):
        declared = container_ports(target.pod) if target.pod is not None else []
        return any(known.get("name") == wanted and known.get("containerPort") == port for known in declared)
    return wanted <= port <= (entry.get("endPort") or wanted) if isinstance(wanted, int) else False


def _has_peer(objects: Objects, rule: Body, direction: Direction, policy: Body, other: Peer) -> bool:
    peers = maps(rule, "from" if direction == "Ingress" else "to")
    return not peers or not other.known or any(_is_peer(objects, peer, policy, other) for peer in peers)


def _is_peer(objects: Objects, peer: Body, policy: Body, other: Peer) -> bool:
    block = field(peer, "ipBlock", {})
    if block:
        return any(_in_block(address, block) for address in other.addresses)
    if other.pod is None:
        return False
    spaces, pods = peer.get("namespaceSelector"), peer.get("podSelector")
    namespace = key_of(other.pod).namespace
    if spaces is None:
        if namespace != key_of(policy).namespace:
            return False
    elif not matches(spaces, _labels_of_namespace(objects, namespace)):
        return False
    return pods is None or matches(pods, labels_of(other.pod))


def _labels_of_namespace(objects: Objects, name: str) -> dict[str, str]:
    """Its labels, with the one that the API server puts on each."""
    body = objects.get("Namespace", "", name)
    return {"kubernetes.io/metadata.name": name, **(labels_of(body) if body is not None else {})}


def _in_block(address: str, block: Body) -> bool:
    try:
        parsed = ip_address(address)
        inside = parsed in ip_network(str(block.get("cidr")), strict=False)
        return inside and not any(parsed in ip_network(str(net), strict=False) for net in field(block, "except", []))
    except ValueError:
        return False


def presented(link: Link, block: Blocked, client: str, where: str, state: State = State.FAULT) -> Finding:
    """What keeps a client from a place, as a finding."""
    way = "egress" if block.direction == "Egress" else "ingress"
    says = f"{block.names} ({way}): no rule lets {client} reach {where}" + (f": {block.nearly}" if block.nearly else "")
    return Finding(
        link,
        state,
        says,
        "E17",
        block.evidence,
        f"kubectl -n {key_of(block.pod).namespace} get networkpolicies -o yaml",
    )
