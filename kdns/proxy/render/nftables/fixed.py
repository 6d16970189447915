"""What every table of nftables mode holds, however many Services there are: sets, maps and the chains between them.

::

    prerouting, output  -110   firewall-check            firewall-ips: whom a load balancer IP lets in
                        -100   services                  service-ips, service-nodeports -> spread/N, or its own chain
    input, forward, out    0   service-endpoints-check   no-endpoint-services: reject or drop (nodeport-... likewise)
                               cluster-ips-check         known cluster IP, unknown port: reject; unused: drop
    postrouting          100   masquerading              what is marked, and who reached itself (hairpin)

Names, hooks and priorities are kube-proxy's, and so are the types of the sets that it has, too: it can take over a
node as we left it, and finds our chains stale, since their names contain a slash. The maps of backends are ours: they
hold the endpoints of every frontend by number, so that one chain for each number of endpoints serves all Services that
have so many.

There is one such map for each protocol, because of nft 1.0.6: a rule that refers to a map it has read back from the
kernel is refused if the map's values are ``ip daddr . th dport``, and if they are ``ip daddr . tcp dport``, the rule
is silently made one for TCP alone.
"""

from typing import Final

from kdns.proxy.model import LOOPBACK, Family, LocalDetector, NodeRules, Protocol
from kdns.proxy.render.nftables.command import Chain, Command, Container, Verb, WholeTable
from kdns.proxy.render.nftables.text import network, word

TABLE: Final = "kube-proxy"
LAYOUT: Final = "kdns/layout-1"
"""An empty chain by which we know a table that was written by this layout. Any change of types, of names, or of
what base chains hook into needs another number."""

CLUSTER_IPS: Final = "cluster-ips"
NODE_PORT_IPS: Final = "nodeport-ips"
HAIRPIN: Final = "hairpin"
SERVICE_IPS: Final = "service-ips"
SERVICE_NODE_PORTS: Final = "service-nodeports"
FIREWALL_IPS: Final = "firewall-ips"
NO_ENDPOINT_SERVICES: Final = "no-endpoint-services"
NO_ENDPOINT_NODE_PORTS: Final = "no-endpoint-nodeports"
BACKENDS: Final = "backends"
LOCAL_BACKENDS: Final = "local-backends"
NODE_PORT_BACKENDS: Final = "nodeport-backends"
LOCAL_NODE_PORT_BACKENDS: Final = "local-nodeport-backends"
"""These four end with the protocol: `backends_map`."""
PROTOCOLS: Final[tuple[Protocol, ...]] = ("TCP", "UDP", "SCTP")


def backends_map(protocol: Protocol, *, local: bool, node_port: bool) -> str:
    """The map that holds these backends: ``local-nodeport-backends-tcp``."""
    kind = (BACKENDS, LOCAL_BACKENDS, NODE_PORT_BACKENDS, LOCAL_NODE_PORT_BACKENDS)[local + 2 * node_port]
    return f"{kind}-{protocol.lower()}"


SETS: Final = (CLUSTER_IPS, NODE_PORT_IPS, HAIRPIN)
MAPS: Final = (
    SERVICE_IPS,
    SERVICE_NODE_PORTS,
    FIREWALL_IPS,
    NO_ENDPOINT_SERVICES,
    NO_ENDPOINT_NODE_PORTS,
    *(
        backends_map(protocol, local=local, node_port=node_port)
        for protocol in PROTOCOLS
        for local in (False, True)
        for node_port in (False, True)
    ),
)
TO_VERDICTS: Final = frozenset(
    (SERVICE_IPS, SERVICE_NODE_PORTS, FIREWALL_IPS, NO_ENDPOINT_SERVICES, NO_ENDPOINT_NODE_PORTS)
)
"""Maps that say where a packet goes; the others hold backends."""
CONTAINERS: Final = (*MAPS, *SETS)
"""In the order in which elements may go: first what leads somewhere, then what is led to."""

REJECT: Final = "goto reject-chain"
DROP: Final = "drop"
MARK: Final = "jump mark-for-masquerade"

Chains = dict[str, tuple[str, ...]]
"""Rules by chain."""


def declarations(node: NodeRules) -> list[Command]:
    """The commands that make the table, its sets, its maps and its base chains, empty; again, they change nothing."""
    ip = word(node.family)
    addr = "ipv4_addr" if node.family is Family.IPV4 else "ipv6_addr"
    to_verdict = f"type {addr} . inet_proto . inet_service : verdict"
    node_port_to_verdict = "type inet_proto . inet_service : verdict"
    kinds = {
        CLUSTER_IPS: f"type {addr}",
        NODE_PORT_IPS: f"type {addr}",
        HAIRPIN: f"type {addr} . {addr}",
        SERVICE_IPS: to_verdict,
        SERVICE_NODE_PORTS: node_port_to_verdict,
        FIREWALL_IPS: to_verdict,
        NO_ENDPOINT_SERVICES: to_verdict,
        NO_ENDPOINT_NODE_PORTS: node_port_to_verdict,
    }
    for protocol in PROTOCOLS:
        port = f"{protocol.lower()} dport"
        for local in (False, True):
            for node_port in (False, True):
                name = backends_map(protocol, local=local, node_port=node_port)
                frontend = port if node_port else f"{ip} daddr . {port}"
                kinds[name] = f"typeof {frontend} . numgen random mod 2 : {ip} daddr . {port}"
    return [
        Command(Verb.ADD, WholeTable("rules for kube-proxy")),
        *(Command(Verb.ADD, Container("set" if name in SETS else "map", name, kind)) for name, kind in kinds.items()),
        *(
            Command(Verb.ADD, Chain(name, f"type {kind} hook {hook} priority {priority}"))
            for name, kind, hook, priority in BASE_CHAINS
        ),
    ]


BASE_CHAINS: Final = (
    ("filter-prerouting-pre-dnat", "filter", "prerouting", -110),
    ("filter-output-pre-dnat", "filter", "output", -110),
    ("nat-prerouting", "nat", "prerouting", -100),
    ("nat-output", "nat", "output", -100),
    ("filter-input", "filter", "input", 0),
    ("filter-forward", "filter", "forward", 0),
    ("filter-output", "filter", "output", 0),
    ("nat-postrouting", "nat", "postrouting", 100),
)
"""Name, type, hook, priority."""


def fixed_chains(node: NodeRules) -> Chains:
    """The chains that are always there, base chains among them.

    Rules are spelled as nft lists them, here and everywhere: so a former process's need not be written again.
    """
    ip = word(node.family)
    key = f"{ip} daddr . meta l4proto . th dport"
    here = _node_port_match(node)
    mark = f"0x{node.masquerade_mark:08x}"
    return {
        LAYOUT: (),
        "reject-chain": ("reject",),
        "mark-for-masquerade": (f"meta mark set meta mark | {mark}",),
        "masquerading": (
            f"ct status dnat {ip} saddr . {ip} daddr @{HAIRPIN} meta mark set meta mark | {mark}",
            f"meta mark & {mark} == 0x00000000 return",
            f"meta mark set meta mark ^ {mark}",
            "masquerade fully-random",
        ),
        "firewall-check": (f"{key} vmap @{FIREWALL_IPS}",),
        "services": (
            f"{key} vmap @{SERVICE_IPS}",
            f"{here} meta l4proto . th dport vmap @{SERVICE_NODE_PORTS}",
        ),
        "service-endpoints-check": (f"{key} vmap @{NO_ENDPOINT_SERVICES}",),
        "nodeport-endpoints-check": (f"{here} meta l4proto . th dport vmap @{NO_ENDPOINT_NODE_PORTS}",),
        "cluster-ips-check": (
            f"{ip} daddr @{CLUSTER_IPS} reject",
            *(f"{ip} daddr {network(cidr)} drop" for cidr in node.service_cidrs),
        ),
        "filter-prerouting-pre-dnat": ("ct state new jump firewall-check",),
        "filter-output-pre-dnat": ("ct state new jump firewall-check",),
        "nat-prerouting": ("jump services",),
        "nat-output": ("jump services",),
        "filter-input": ("ct state new jump nodeport-endpoints-check", "ct state new jump service-endpoints-check"),
        "filter-forward": ("ct state new jump service-endpoints-check", "ct state new jump cluster-ips-check"),
        "filter-output": ("ct state new jump service-endpoints-check", "ct state new jump cluster-ips-check"),
        "nat-postrouting": ("jump masquerading",),
    }


def _node_port_match(node: NodeRules) -> str:
    """What addresses of this node take node ports; never loopback, which would need route_localnet."""
    ip = word(node.family)
    if node.node_port_addresses is not None:
        return f"{ip} daddr @{NODE_PORT_IPS}"
    return f"fib daddr type local {ip} daddr != {'127.0.0.0/8' if ip == 'ip' else '::1'}"


def node_port_addresses(node: NodeRules) -> list[bytes]:
    """The elements of `NODE_PORT_IPS`."""
    return [packed for packed in node.node_port_addresses or () if packed not in LOOPBACK[node.family]]


def pod_match(node: NodeRules) -> str | None:
    """What matches packets from a pod; None where pods cannot be recognized."""
    return _detector_match(node.family, node.detector, "")


def not_pod_match(node: NodeRules) -> str | None:
    """The opposite; None again where there is no detector, for then no source is masqueraded for not being a pod."""
    return _detector_match(node.family, node.detector, "!= ")


def _detector_match(family: Family, detector: LocalDetector | None, unequal: str) -> str | None:
    if detector is None:
        return None
    if detector.network is not None:
        return f"{word(family)} saddr {unequal}{network(detector.network)}"
    star = "*" if detector.kind == "prefix" else ""
    return f'iifname {unequal}"{detector.interface}{star}"'
