"""What the kernel of a node does with the packets of a question, beside what the proxy's policy asks for. Pure.

The rules that are there decide which mode is compared; what the proxy's configuration does not say, because it is not
in the evidence, is taken from the rules as well: which sources are Pods, and which addresses take node ports.
"""

import re
from collections.abc import Iterator, Mapping
from ipaddress import ip_network
from typing import Final, NamedTuple, cast

from msgspec.structs import replace

from kdns.base.objects import Network, Node, ObjectKey, ServiceView
from kdns.config.kubeproxy.settings import NodePortAddresses, ProxySettings
from kdns.explain.case import Case
from kdns.explain.kernel.difference import Difference, differences
from kdns.explain.kernel.ipvs import assumed_sets
from kdns.explain.kernel.model import Line, Table
from kdns.explain.kernel.node import NodeKernel, service_tables
from kdns.explain.kernel.outcome import Result
from kdns.explain.kernel.packet import Packet, Place
from kdns.explain.packets import Sent
from kdns.proxy.decisions import decided
from kdns.proxy.model import Family, Mode, RuleSet
from kdns.proxy.node_policy import node_policy
from kdns.proxy.render.ipvs.virtual_servers import here, states
from kdns.proxy.trace import Outcome, trace
from kdns.proxy.trace import Packet as Traced

NOT_POD: Final = re.compile(
    r"(?:! -s (\S+) .*-j KUBE-MARK-MASQ)|(?:ip6? saddr != ([0-9a-f.:]+/\d+) .*jump mark-for-masquerade)"
)
"""How both proxies spell that a source is not a Pod, if Pods are recognised by their addresses."""


MASKING: Final = re.compile(r"KUBE-SV[CL]-|KUBE-SERVICES$|service-|spread/|internal-|local-")
"""Chains that have such rules, of all releases."""
ENOUGH: Final = 200
"""Chains, and rules of each, that are looked at for it."""


class Compared(NamedTuple):
    """A packet, what should become of it, and what does."""

    sent: Sent
    mode: Mode
    wanted: Outcome
    result: Result | None
    """None: the evidence has no rules of this node and family that can be relied on."""
    differences: tuple[Difference, ...] = ()


class Comparison:
    """Rules that the objects ask for on a node, and those that it has."""

    def __init__(self, case: Case, service: ObjectKey | None = None) -> None:
        """Of all Services if none is named."""
        self.case = case
        views = case.cluster.views
        self._views: Mapping[ObjectKey, ServiceView] = (
            views if service is None else {service: views[service]} if service in views else {}
        )
        self._rules: dict[tuple[str, Family], RuleSet] = {}

    @property
    def proxied(self) -> bool:
        """The proxy serves it at all: it is not headless, and not another proxy's."""
        return bool(self._views)

    def kernel(self, node: str) -> NodeKernel:
        """What the evidence has of a node."""
        return self.case.kernel(node)

    def mode(self, node: str) -> Mode:
        """By the rules that are there; else by what the proxy says, and its configuration."""
        kernel = self.kernel(node)
        told = (kernel.text("proxy-mode.txt") or "").strip()
        present = modes_present(kernel)
        if len(present) == 1:
            return present[0]
        if told in ("iptables", "nftables", "ipvs"):
            return cast(Mode, told)
        return self.case.proxy_settings.mode

    def settings(self, node: str) -> ProxySettings:
        """The proxy's, as far as the evidence says; else what its rules show."""
        kernel, settings = self.kernel(node), replace(self.case.proxy_settings, mode=self.mode(node))
        if not self.case.proxy_problem:
            return settings
        settings = replace(settings, cluster_cidrs=tuple(_cluster_cidrs(kernel)))
        taken = tuple(_node_port_networks(kernel)) if settings.mode == "nftables" else ()
        return replace(settings, node_port_addresses=NodePortAddresses(networks=taken)) if taken else settings

    def addresses(self, node: str) -> frozenset[bytes]:
        """All of a node, as far as they are known; without those that IPVS puts on its dummy link."""
        listed = {one.address for one in self.kernel(node).addresses if one.interface != "kube-ipvs0"}
        known = self._node(node)
        return frozenset(listed or (known.addresses if known else ()))

    def _node(self, node: str) -> Node | None:
        return self.case.cluster.node(node) if node else None

    def rules(self, node: str, family: Family) -> RuleSet:
        """What the objects ask for on a node."""
        key = node, family
        if key not in self._rules:
            cidrs = tuple(self.case.cluster.service_cidrs)
            policy = node_policy(
                self.settings(node), family, self._node(node), node, self.addresses(node), cidrs,
            )  # fmt: skip
            self._rules[key] = decided(self._views, policy).rule_set()
        return self._rules[key]

    def compare(self, sent: Sent) -> Compared:
        """One packet."""
        rules, mode, kernel = self.rules(sent.node, sent.family), self.mode(sent.node), self.kernel(sent.node)
        addresses = self.addresses(sent.node)
        detector = rules.node.detector
        interface = detector.interface if detector and detector.interface and sent.inside else "eth0"
        if sent.inside and detector and detector.kind == "prefix":
            interface += "0"
        traced = Traced(
            sent.protocol, sent.source, sent.destination, sent.port, "" if sent.own else interface
        )  # fmt: skip
        wanted = trace(rules, traced, mode, addresses)
        read = kernel.rules(sent.family)
        if not read.files or read.problems or (mode == "ipvs" and kernel.virtual_servers is None):
            return Compared(sent, mode, wanted, None)
        if mode == "ipvs" and kernel.ipsets is None:
            kernel.assume(assumed_sets(states(rules, here(rules.node, addresses), "rr"), sent.family))
        way: str | None = ""
        if not sent.own:
            known = kernel.routing.out(sent.source)
            way = known or (interface if sent.inside and detector and detector.interface else None)
        packet = Packet(sent.protocol.lower(), sent.source, sent.destination, sent.port, way)
        result = kernel.walk(packet, Place(addresses, bool(kernel.addresses)))
        found = tuple(differences(wanted, result, packet, read.tables, mode))
        if not found and len(_writers(kernel, sent.family)) > 1:  # which of them is asked first is not in any listing
            result = kernel.walk(packet, Place(addresses, bool(kernel.addresses)), backwards=True)
            found = tuple(differences(wanted, result, packet, read.tables, mode))
        return Compared(sent, mode, wanted, result, found)


def _writers(kernel: NodeKernel, family: Family) -> list[str]:
    """What wrote service rules on a node: iptables, iptables-legacy, nftables, ipvs."""
    found = list(service_tables(kernel.rules(family).tables))
    servers = kernel.virtual_servers.servers if kernel.virtual_servers else ()
    return [*found, "ipvs"] if any(len(server.address) in (0, family.width) for server in servers) else found


def writers(kernel: NodeKernel) -> list[str]:
    """The same, of both families."""
    return list(dict.fromkeys(writer for family in Family for writer in _writers(kernel, family)))


def modes_present(kernel: NodeKernel) -> list[Mode]:
    """Modes of which a node has service rules, in either family."""
    return list(dict.fromkeys(cast(Mode, writer.removesuffix("-legacy")) for writer in writers(kernel)))


def _cluster_cidrs(kernel: NodeKernel) -> Iterator[Network]:
    """The networks whose sources are not masqueraded: at most one of each family, that most rules name."""
    for family in Family:
        counts: dict[str, int] = {}
        for table in kernel.rules(family).tables:
            if table.name not in ("nat", "kube-proxy"):
                continue
            for line in _some_lines(table):
                match = NOT_POD.search(line.text)
                if match:
                    text = match[1] or match[2]
                    counts[text] = counts.get(text, 0) + 1
        if counts:
            network = ip_network(max(counts, key=lambda text: counts[text]), strict=False)
            if network.version == (4 if family is Family.IPV4 else 6):
                yield Network(network.network_address.packed, network.prefixlen)


def _some_lines(table: Table) -> Iterator[Line]:
    """Rules that may spell which sources are not Pods; of a large table, some of them."""
    names = [name for name in table.chains if MASKING.match(name)]
    for name in names[:: max(len(names) // ENOUGH, 1)]:
        yield from table.chains[name].lines[:ENOUGH]


def _node_port_networks(kernel: NodeKernel) -> Iterator[Network]:
    """The addresses in kube-proxy's set of those that take node ports."""
    for family in Family:
        for table in kernel.rules(family).tables:
            kept = table.sets.get("nodeport-ips") if table.name == "kube-proxy" else None
            for element in kept.elements.all if kept else ():
                address = element.key[0].low
                if isinstance(address, bytes):
                    yield Network(address, len(address) * 8)
