"""One service port as rules of iptables.

What is decided by the packet's destination ("dispatch") goes into chains that all service ports share; the rest is in
chains of its own, which only this service port's changes touch::

    nat KUBE-SERVICES ──cluster IP──────────────────> SVC or SVL ──> SEP of each backend ──> DNAT
        KUBE-SERVICES ──external IP──────────> EXT ──> SVC or SVL
        KUBE-SERVICES ──load balancer IP─> FW ─> EXT    FW only with source ranges; what it does not send on
        KUBE-NODEPORTS ──node port───────────> EXT      is dropped in filter KUBE-PROXY-FIREWALL
    filter KUBE-SERVICES, KUBE-EXTERNAL-SERVICES: what is refused or dropped, having met no DNAT before
"""

from collections.abc import Iterator, Mapping
from typing import Final, Literal, NamedTuple

from kdns.base.objects import address_text
from kdns.proxy.model import Backend, Entry, Family, NodeRules, Path, ServicePortName, ServicePortRules
from kdns.proxy.render.iptables.matches import comment, counted, pod, source
from kdns.proxy.render.iptables.names import (
    CLUSTER,
    EXTERNAL,
    EXTERNAL_SERVICES,
    FIREWALL,
    LOCAL,
    LOCALHOST_ACCEPTED,
    MARK_MASQUERADE,
    NODE_PORTS,
    PROXY_FIREWALL,
    SERVICES,
    endpoint_chain,
    service_hash,
)

Table = Literal["filter", "nat"]

HOST: Final = "-m addrtype --src-type LOCAL"
"""Matches sources that are addresses of this node."""
WAYS: Final = {"cluster IP": "cluster IP", "external IP": "external IP", "load balancer IP": "loadbalancer IP"}
"""How kube-proxy's comments call the ways that have an address."""
REFUSALS: Final = {"reject": ("has no endpoints", "REJECT"), "drop": ("has no local endpoints", "DROP")}


class Dispatch(NamedTuple):
    """A rule in a chain that service ports share; ``str()`` is how it is appended."""

    table: Table
    chain: str
    body: str
    first: bool = False
    """Cluster IPs: an external IP that another user's Service claims must not come before them."""

    def __str__(self) -> str:
        return f"-A {self.chain} {self.body}"


class Conflict(ValueError):
    """Frontends that share a chain ask for different things; `name` is the service port they belong to."""

    def __init__(self, name: ServicePortName, problem: str) -> None:
        super().__init__(f"{name}: {problem}")
        self.name = name


class _Names:
    """How the rules of one service port call things."""

    def __init__(self, port: ServicePortRules) -> None:
        self.name, self.text = port.name, str(port.name)
        end = service_hash(port.name)
        self.cluster, self.local, self.external, self.firewall = (
            CLUSTER + end,
            LOCAL + end,
            EXTERNAL + end,
            FIREWALL + end,
        )
        protocol = port.name.protocol.lower()
        self.protocol = f"-m {protocol} -p {protocol}"

    def match(self, entry: Entry) -> str:
        """What matches the packets of a frontend."""
        way, address, number = entry.frontend
        if way == "node port":
            return f"{self.protocol} --dport {number}"
        return f"{self.protocol} -d {address_text(address)} --dport {number}"

    def target(self, path: Path) -> str:
        return self.local if path.verdict == "local" else self.cluster


def own_chains(port: ServicePortRules, node: NodeRules, *, terse: bool = False) -> dict[str, tuple[str, ...]]:
    """A service port's own chains, all in nat, and the rules in each as they are appended.

    Chains lead only to later ones. `terse` leaves out the comments on endpoints, which large clusters do without.
    Raises Conflict where frontends that share a chain ask for different things; the policy never makes such.
    """
    names = _Names(port)
    served = [entry for entry in port.entries if entry.frontend.way != "cluster IP" and _leads(entry)]
    if len({entry.paths for entry in served}) > 1:
        raise Conflict(port.name, "its frontends for traffic from outside have different paths")
    guarded = [entry for entry in served if entry.sources is not None]
    if len({entry.sources for entry in guarded}) > 1:
        raise Conflict(port.name, "its load balancer addresses have different source ranges")

    chains = {}
    if guarded:
        chains[names.firewall] = tuple(_firewall(guarded[0], names))
    if served:
        chains[names.external] = tuple(_external(served[0].paths, node, names))
    endpoints = {backend: endpoint_chain(port.name, backend) for backend in port.reachable}
    for chain, backends in ((names.cluster, port.cluster), (names.local, port.local)):
        if backends:
            jumps = {backend: endpoints[backend] for backend in backends}
            chains[chain] = (
                *_cluster_ips(chain, port, node, names),
                *_balance(chain, jumps, port.affinity, names, terse),
            )
    for backend, chain in endpoints.items():
        chains[chain] = tuple(_endpoint(chain, backend, port.affinity, names, terse))
    return chains


def _leads(entry: Entry) -> bool:
    """Some of the frontend's traffic goes to backends."""
    return any(path.verdict in ("cluster", "local") for path in entry.paths)


def dispatch(port: ServicePortRules, node: NodeRules) -> tuple[Dispatch, ...]:
    """A service port's rules in chains that all share. Raises Conflict as `own_chains` does."""
    return tuple(_dispatch(port, node, _Names(port)))


def _dispatch(port: ServicePortRules, node: NodeRules, names: _Names) -> Iterator[Dispatch]:
    for entry in port.entries:
        way = entry.frontend.way
        if way == "cluster IP" and len(entry.paths) != 1:
            raise Conflict(port.name, "a cluster IP takes one path for all sources")
        match = names.match(entry)
        if _leads(entry):
            if way == "cluster IP":
                target = names.target(entry.paths[0])
            else:
                target = names.external if entry.sources is None else names.firewall
            if way == "node port":
                if node.packet_counters and node.localhost_node_ports and node.family is Family.IPV4:
                    to_loopback = f"{match} -d 127.0.0.0/8 {counted(LOCALHOST_ACCEPTED)}"
                    yield Dispatch("nat", NODE_PORTS, f"{comment(names.text)} {to_loopback} -j {target}")
                yield Dispatch("nat", NODE_PORTS, f"{comment(names.text)} {match} -j {target}")
            else:
                words = comment(f"{names.text} {WAYS[way]}")
                yield Dispatch("nat", SERVICES, f"{words} {match} -j {target}", way == "cluster IP")
            if entry.sources is not None:
                words = comment(f"{names.text} traffic not accepted by {names.firewall}")
                yield Dispatch("filter", PROXY_FIREWALL, f"{words} {match} -j DROP")
        yield from _refusals(entry, match, node, names)
    if port.health_check_node_port:
        words = comment(f"{names.text} health check node port")
        match = f"-m tcp -p tcp --dport {port.health_check_node_port}"
        yield Dispatch("filter", NODE_PORTS, f"{words} {match} -j ACCEPT")


def _refusals(entry: Entry, match: str, node: NodeRules, names: _Names) -> Iterator[Dispatch]:
    """What a path refuses has met no DNAT, so its packets still have the frontend's address in the filter table."""
    way = entry.frontend.way
    chain = SERVICES if way == "cluster IP" else EXTERNAL_SERVICES
    if way == "node port":
        match = f"-m addrtype --dst-type LOCAL {match}"
    for path in entry.paths:
        refusal = REFUSALS.get(path.verdict)
        who = _who(path, node)
        if refusal is not None and who is not None:
            words, target = refusal
            yield Dispatch("filter", chain, f"{comment(f'{names.text} {words}')} {match}{who} -j {target}")


def _who(path: Path, node: NodeRules) -> str | None:
    """What matches the sources of a path, with a space before it; None if there are no such sources."""
    if path.source == "any":
        return ""
    match = HOST if path.source == "host" else pod(node.detector)
    return None if match is None else f" {match}"


def _masquerades(path: Path, node: NodeRules) -> str | None:
    """What more must match for the path to masquerade, with a space before it; None: it never does."""
    if path.masquerade == "never":
        return None
    if path.masquerade == "always":
        return ""
    match = pod(node.detector, inverted=True)
    return None if match is None else f" {match}"


def _cluster_ips(chain: str, port: ServicePortRules, node: NodeRules, names: _Names) -> Iterator[str]:
    """Who is masqueraded on the way to a cluster IP."""
    for entry in port.entries:
        if entry.frontend.way == "cluster IP" and _leads(entry) and names.target(entry.paths[0]) == chain:
            who = _masquerades(entry.paths[0], node)
            if who is not None:
                words = comment(f"{names.text} cluster IP")
                yield f"-A {chain} {words} {names.match(entry)}{who} -j {MARK_MASQUERADE}"


def _external(paths: tuple[Path, ...], node: NodeRules, names: _Names) -> Iterator[str]:
    for path in paths:
        who = _who(path, node)
        if who is None:
            continue
        chain = names.external
        if path.verdict not in ("cluster", "local"):
            if who:  # the filter table refuses them; a later path must not take them along
                yield f"-A {chain}{who} -j RETURN"
            continue
        kind = {"any": "", "host": "LOCAL ", "pod": "pod "}[path.source]
        marked = _masquerades(path, node)
        if marked is not None:
            words = comment(f"masquerade {kind}traffic for {names.text} external destinations")
            yield f"-A {chain} {words}{who}{marked} -j {MARK_MASQUERADE}"
        if path.source == "any":
            yield f"-A {chain} -j {names.target(path)}"
        else:
            verb = "route LOCAL" if path.source == "host" else "pod"
            words = comment(f"{verb} traffic for {names.text} external destinations")
            yield f"-A {chain} {words}{who} -j {names.target(path)}"


def _firewall(entry: Entry, names: _Names) -> Iterator[str]:
    words = comment(f"{names.text} loadbalancer IP")
    for network in entry.sources or ():
        yield f"-A {names.firewall} {words} {source(network)} -j {names.external}"
    yield f"-A {names.firewall} {comment(f'other traffic to {names.text} will be dropped by {PROXY_FIREWALL}')}"


def _balance(chain: str, endpoints: Mapping[Backend, str], affinity: int, names: _Names, terse: bool) -> Iterator[str]:
    """First those who were here before, then any: the i-th of n with probability 1/(n-i)."""
    heads = {
        jump: f"-A {chain} " + ("" if terse else comment(f"{names.text} -> {backend}") + " ")
        for backend, jump in endpoints.items()
    }
    if affinity:
        for jump, head in heads.items():
            yield f"{head}-m recent --name {jump} --rcheck --seconds {affinity} --reap -j {jump}"
    left = len(heads)
    for jump, head in heads.items():
        chance = f"-m statistic --mode random --probability {1 / left:.10f} " if left > 1 else ""
        yield f"{head}{chance}-j {jump}"
        left -= 1


def _endpoint(chain: str, backend: Backend, affinity: int, names: _Names, terse: bool) -> Iterator[str]:
    head = f"-A {chain} " + ("" if terse else comment(names.text) + " ")
    yield f"{head}-s {address_text(backend.address)} -j {MARK_MASQUERADE}"  # one that reaches itself
    remember = f"-m recent --name {chain} --set " if affinity else ""
    yield f"{head}{remember}{names.protocol} -j DNAT --to-destination {backend}"
