"""The fixed iptables rules around IPVS, and everything of the mode as text to read. Pure.

The rules look into sets only, so they depend on the node and not on its Services::

    mangle   PREROUTING, OUTPUT (new flows) -> KUBE-PROXY-FIREWALL    source ranges of load balancer IPs
                                            -> KUBE-TRAFFIC-POLICY    short circuits, and silence where Local has none
    nat      PREROUTING, OUTPUT             -> KUBE-SERVICES          who is to be masqueraded
             POSTROUTING                    -> KUBE-POSTROUTING       masquerades
    filter   INPUT    -> KUBE-IPVS-FILTER, KUBE-NODE-PORT             other ports of service addresses; health checks
             OUTPUT   -> KUBE-IPVS-OUT-FILTER
             FORWARD  -> KUBE-FORWARD
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple

from kdns.base.objects import Network, address_text
from kdns.proxy.model import Family, LocalDetector, NodeRules, RuleSet, ServicePortName
from kdns.proxy.render.ipvs.virtual_servers import (
    DUMMY,
    PERSISTENT,
    SETS,
    Here,
    Member,
    PortState,
    mark_match,
    set_name,
    states,
)


class Jump(NamedTuple):
    """From a chain that is everybody's to one of ours; put first."""

    chain: str
    match: str
    target: str

    def __str__(self) -> str:
        return f"{self.chain} {self.match} -j {self.target}"


class Table(NamedTuple):
    """What is ours in one table."""

    chains: Mapping[str, Sequence[str]]
    """Rules by chain, without the ``-A CHAIN``."""
    jumps: Sequence[Jump]


SERVICE_PORTALS: Final = '-m comment --comment "kubernetes service portals"'
FOREIGN_CHAINS: Final[Mapping[str, Sequence[str]]] = {
    "filter": ("KUBE-PROXY-FIREWALL", "KUBE-SOURCE-RANGES-FIREWALL"),
}
"""Kube-proxy has these in table filter; removed by a cleanup."""


def tables(node: NodeRules) -> Mapping[str, Table]:
    """The rules of a node, by table."""
    return {"mangle": _mangle(node), "nat": _nat(node), "filter": _filter(node)}


def _in(family: Family, name: str, directions: str = "dst,dst") -> str:
    return f"-m set --match-set {set_name(name, family)} {directions}"


def _pod(detector: LocalDetector, negated: bool = False) -> str:
    no = "! " if negated else ""
    match detector.kind:
        case "CIDR":
            return f"{no}-s {detector.network}"
        case "bridge":
            return f"{no}-i {detector.interface}"
        case "prefix":
            return f"{no}-i {detector.interface}+"


def _mangle(node: NodeRules) -> Table:
    family = node.family
    short = _in(family, "KUBE-SHORT-CIRCUIT")
    mark = f"-j SET --map-set {set_name('KUBE-SHORT-CIRCUIT', family)} dst,dst --map-mark"
    policy = [f"-m addrtype --src-type LOCAL {short} {mark}"]
    if node.detector is not None:
        policy.insert(0, f"{_pod(node.detector)} {short} {mark}")
    policy.append(f"-m mark ! --mark {mark_match(node)} {_in(family, 'KUBE-NO-LOCAL')} -j DROP")
    new = "-m conntrack --ctstate NEW -m comment --comment"
    return Table(
        {
            "KUBE-PROXY-FIREWALL": (f"{_in(family, 'KUBE-LOAD-BALANCER-FW')} -j KUBE-SOURCE-RANGES-FIREWALL",),
            "KUBE-SOURCE-RANGES-FIREWALL": (
                f"{_in(family, 'KUBE-LOAD-BALANCER-SOURCE-CIDR', 'dst,dst,src')} -j RETURN",
                "-j DROP",
            ),
            "KUBE-TRAFFIC-POLICY": policy,
        },
        [
            Jump(chain, f'{new} "{why}"', target)
            for chain in ("PREROUTING", "OUTPUT")
            # What is put first comes last: the firewall is to be asked before the policy.
            for target, why in (
                ("KUBE-TRAFFIC-POLICY", "kubernetes traffic policy"),
                ("KUBE-PROXY-FIREWALL", "kubernetes load balancer firewall"),
            )
        ],
    )


def _nat(node: NodeRules) -> Table:
    family, masq = node.family, f"{node.masquerade_mark:#x}"
    cluster, mark = _in(family, "KUBE-CLUSTER-IP"), "-j KUBE-MARK-MASQ"
    if node.masquerade_all:
        cluster_rule = f"{cluster} {mark}"
    elif node.detector is not None:
        cluster_rule = f"{_pod(node.detector, negated=True)} {cluster} {mark}"
    else:
        # Only the node itself comes from a service address: its own, on the dummy link.
        cluster_rule = f"{_in(family, 'KUBE-CLUSTER-IP', 'src,dst')} {mark}"
    external, balancer = _in(family, "KUBE-EXTERNAL-IP"), _in(family, "KUBE-LOAD-BALANCER")
    node_port = []
    for protocol in ("TCP", "UDP", "SCTP"):
        suffix, directions = (protocol, "dst") if protocol != "SCTP" else ("SCTP-HASH", "dst,dst")
        match = f"-p {protocol.lower()}"
        node_port.append(f"{match} {_in(family, f'KUBE-NODE-PORT-LOCAL-{suffix}', directions)} -j RETURN")
        node_port.append(f"{match} {_in(family, f'KUBE-NODE-PORT-{suffix}', directions)} {mark}")
    masquerade = "-j MASQUERADE --random-fully"
    return Table(
        {
            "KUBE-MARK-MASQ": (f"-j MARK --set-xmark {masq}/{masq}",),
            "KUBE-LOAD-BALANCER": (f"{_in(family, 'KUBE-LOAD-BALANCER-LOCAL')} -j RETURN", mark),
            "KUBE-NODE-PORT": node_port,
            "KUBE-SERVICES": (
                f"-s {'127.0.0.0/8' if family is Family.IPV4 else '::1/128'} -j RETURN",
                f"{balancer} -j KUBE-LOAD-BALANCER",
                cluster_rule,
                f"{external} {mark}",
                f"{external} -j ACCEPT",
                f"{_in(family, 'KUBE-EXTERNAL-IP-LOCAL')} -j ACCEPT",
                *(f"{where} -j KUBE-NODE-PORT" for where in _node_ports(node)),
                f"{cluster} -j ACCEPT",
                f"{balancer} -j ACCEPT",
            ),
            "KUBE-POSTROUTING": (
                f"-m mark --mark {mark_match(node)} -m addrtype --src-type LOCAL {masquerade}",
                f"{_in(family, 'KUBE-LOOP-BACK', 'dst,dst,src')} -j MASQUERADE",
                f"-m mark ! --mark {masq}/{masq} -j RETURN",
                f"-j MARK --set-xmark {masq}/0x0",
                masquerade,
            ),
        },
        [
            Jump("PREROUTING", SERVICE_PORTALS, "KUBE-SERVICES"),
            Jump("OUTPUT", SERVICE_PORTALS, "KUBE-SERVICES"),
            Jump("POSTROUTING", '-m comment --comment "kubernetes postrouting rules"', "KUBE-POSTROUTING"),
        ],
    )


def _node_ports(node: NodeRules) -> Iterable[str]:
    """Where node ports are; elsewhere on this node the same port is not ours."""
    if node.node_port_addresses is None:
        return ("-m addrtype --dst-type LOCAL",)
    return (f"-d {Network(address, len(address) * 8)}" for address in node.node_port_addresses)


def _filter(node: NodeRules) -> Table:
    family, masq = node.family, f"{node.masquerade_mark:#x}"
    icmp = "icmp" if family is Family.IPV4 else "ipv6-icmp"
    reject = f"-j REJECT --reject-with {'icmp' if family is Family.IPV4 else 'icmp6'}-port-unreachable"
    other_port = f"-m conntrack --ctstate NEW {_in(family, 'KUBE-IPVS-IPS', 'dst')} {reject}"
    known = ("KUBE-LOAD-BALANCER", "KUBE-CLUSTER-IP", "KUBE-EXTERNAL-IP", "KUBE-EXTERNAL-IP-LOCAL")
    health = _in(family, "KUBE-HEALTH-CHECK-NODE-PORT", "dst")
    forward = [
        f"-m mark --mark {masq}/{masq} -j ACCEPT",
        "-m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
    ]
    if node.drop_invalid:
        forward.insert(0, "-m conntrack --ctstate INVALID -j DROP")
    return Table(
        {
            "KUBE-FORWARD": forward,
            "KUBE-NODE-PORT": (f"-p tcp {health} -j ACCEPT",),
            "KUBE-IPVS-FILTER": (
                *(f"{_in(family, name)} -j RETURN" for name in known),
                f"-p {icmp} -j RETURN",
                f"-p tcp {health} -j RETURN",
                other_port,
            ),
            "KUBE-IPVS-OUT-FILTER": (f"-p {icmp} -j RETURN", other_port),
        },
        [
            Jump("INPUT", '-m comment --comment "kubernetes ipvs access filter"', "KUBE-IPVS-FILTER"),
            Jump("INPUT", '-m comment --comment "kubernetes health check service ports"', "KUBE-NODE-PORT"),
            Jump("OUTPUT", '-m comment --comment "kubernetes ipvs access filter"', "KUBE-IPVS-OUT-FILTER"),
            Jump("FORWARD", '-m comment --comment "kubernetes forwarding rules"', "KUBE-FORWARD"),
        ],
    )


def restore(wanted: Mapping[str, Table], jumps: Mapping[str, Sequence[Jump]]) -> str:
    """For ``iptables-restore --noflush``: our chains as they should be, and these jumps put first."""
    lines = []
    for name, table in wanted.items():
        lines.append(f"*{name}")
        lines += [f":{chain} - [0:0]" for chain in table.chains]
        lines += [f"-A {chain} {rule}" for chain, rules in table.chains.items() for rule in rules]
        lines += [f"-I {jump}" for jump in jumps.get(name, ())]
        lines.append("COMMIT")
    return "\n".join((*lines, ""))


def script(rules: RuleSet, here: Here, scheduler: str = "rr") -> str:
    """All that the mode writes for a rule set, in the manner of ``ipvsadm -ln``, ``ipset save`` and iptables-save."""
    spelled = states(rules, here, scheduler)
    wanted = tables(rules.node)
    parts = (
        _virtual_text(spelled),
        _address_text(spelled),
        _set_text(spelled, rules.node.family),
        restore(wanted, {name: table.jumps for name, table in wanted.items()}),
    )
    return "\n".join(parts)


def _virtual_text(spelled: Mapping[ServicePortName, PortState]) -> str:
    lines = ["Prot LocalAddress:Port Scheduler Flags", "  -> RemoteAddress:Port           Forward Weight"]
    for state in spelled.values():
        for at, virtual in state.virtuals.items():
            flags = f" persistent {virtual.timeout}" if virtual.flags & PERSISTENT else ""
            lines.append(f"{str(at).replace('TCP ', 'TCP  ').replace('UDP ', 'UDP  ')} {virtual.scheduler}{flags}")
            lines += [f"  -> {backend!s:<28} Masq    1" for backend in virtual.backends]
    return "\n".join((*lines, ""))


def _address_text(spelled: Mapping[ServicePortName, PortState]) -> str:
    addresses = {address for state in spelled.values() for address in state.addresses}
    lines = [f"ip address add {address_text(a)}/{len(a) * 8} dev {DUMMY}" for a in sorted(addresses)]
    return "\n".join((f"ip link add {DUMMY} type dummy", *lines, ""))


def _set_text(spelled: Mapping[ServicePortName, PortState], family: Family) -> str:
    members: dict[str, list[str]] = {name: [] for name in SETS}
    for state in spelled.values():
        for (name, member), mark in state.members.items():
            text = member_text(member) + (f" skbmark {mark:#x}" if mark else "")
            if text not in members[name]:
                members[name].append(text)
    inet = "inet" if family is Family.IPV4 else "inet6"
    lines = []
    for name, kind in SETS.items():
        options = "range 0-65535" if kind.kind == "bitmap:port" else f"family {inet}"
        lines.append(f"create {set_name(name, family)} {kind.kind} {options}{' skbinfo' if kind.marks else ''}")
        lines += [f"add {set_name(name, family)} {text}" for text in sorted(members[name])]
    return "\n".join((*lines, ""))


def member_text(member: Member) -> str:
    """As the ipset program writes it: ``10.96.0.10,udp:53,10.0.0.0/8``."""
    parts = [address_text(member.address)] if member.address else []
    if member.port:
        parts.append(f"{member.protocol.lower()}:{member.port}" if member.protocol else str(member.port))
    if member.other:
        parts.append(str(Network(member.other, member.length)) if member.length else address_text(member.other))
    return ",".join(parts)
