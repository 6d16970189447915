"""What is the same for all Services in iptables: the fixed chains, and the jumps from the built-in chains to them."""

from collections.abc import Iterator
from typing import Final, NamedTuple

from kdns.base.objects import address_text
from kdns.proxy.model import Family, NodeRules
from kdns.proxy.render.iptables.matches import comment, counted
from kdns.proxy.render.iptables.names import (
    EXTERNAL_SERVICES,
    FORWARD,
    INVALID_DROPPED,
    MARK_MASQUERADE,
    NODE_PORTS,
    POSTROUTING,
    PROXY_FIREWALL,
    SERVICES,
    SHARED_FIREWALL,
)
from kdns.proxy.render.iptables.service import Table


class Jump(NamedTuple):
    """A rule in a built-in chain that leads to one of ours."""

    table: Table
    chain: str
    target: str
    words: str
    new: bool = False
    """Only for the first packet of a connection."""

    @property
    def body(self) -> str:
        """The rule without ``-I CHAIN``; iptables-save prints it the same."""
        first = "-m conntrack --ctstate NEW " if self.new else ""
        return f"{first}{comment(self.words) + ' ' if self.words else ''}-j {self.target}"


JUMPS: Final = (
    *(Jump("filter", chain, EXTERNAL_SERVICES, "kubernetes externally-visible service portals", True)
      for chain in ("INPUT", "FORWARD")),
    Jump("filter", "INPUT", NODE_PORTS, "kubernetes health check service ports"),
    *(Jump("filter", chain, SERVICES, "kubernetes service portals", True) for chain in ("FORWARD", "OUTPUT")),
    Jump("filter", "FORWARD", FORWARD, "kubernetes forwarding rules"),
    *(Jump("filter", chain, PROXY_FIREWALL, "kubernetes load balancer firewall", True)
      for chain in ("INPUT", "OUTPUT", "FORWARD")),
    *(Jump("nat", chain, SERVICES, "kubernetes service portals") for chain in ("OUTPUT", "PREROUTING")),
    Jump("nat", "POSTROUTING", POSTROUTING, "kubernetes postrouting rules"),
)  # fmt: skip
"""Each is put at the top of its chain, in this order, so that the last is the first a packet meets."""

SHARED_JUMPS: Final = tuple(Jump("filter", chain, SHARED_FIREWALL, "") for chain in ("INPUT", "OUTPUT"))
"""To the chain that the kubelet uses, too."""

SHARED_CHAINS: Final = {
    "filter": (SERVICES, EXTERNAL_SERVICES, FORWARD, NODE_PORTS, PROXY_FIREWALL),
    "nat": (SERVICES, NODE_PORTS, POSTROUTING, MARK_MASQUERADE),
}
"""The fixed chains that are ours alone."""

MARTIANS: Final = (
    f"-d 127.0.0.0/8 ! -s 127.0.0.0/8 {comment('block incoming localnet connections')}"
    " -m conntrack ! --ctstate RELATED,ESTABLISHED,DNAT -j DROP"
)
"""Once 127/8 is routed for node ports, no other host may reach it."""


def martian_guard(node: NodeRules) -> str | None:
    """The rule that KUBE-FIREWALL must have, without ``-A KUBE-FIREWALL``; None if it needs none."""
    return MARTIANS if node.localhost_node_ports and node.family is Family.IPV4 else None


def forwarding(node: NodeRules) -> Iterator[str]:
    """What is in filter KUBE-FORWARD."""
    mark = f"{node.masquerade_mark:#010x}"
    if node.drop_invalid:
        count = f"{counted(INVALID_DROPPED)} " if node.packet_counters else ""
        yield f"-A {FORWARD} -m conntrack --ctstate INVALID {count}-j DROP"
    words = comment("kubernetes forwarding rules")
    yield f"-A {FORWARD} {words} -m mark --mark {mark}/{mark} -j ACCEPT"
    words = comment("kubernetes forwarding conntrack rule")
    yield f"-A {FORWARD} {words} -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT"


def masquerading(node: NodeRules, *, random_fully: bool) -> Iterator[str]:
    """What is in nat KUBE-POSTROUTING."""
    mark = f"{node.masquerade_mark:#010x}"
    yield f"-A {POSTROUTING} -m mark ! --mark {mark}/{mark} -j RETURN"
    # Without the mark, so that a packet that comes by again (through a tunnel) is not masqueraded twice.
    yield f"-A {POSTROUTING} -j MARK --xor-mark {mark}"
    words = comment("kubernetes service traffic requiring SNAT")
    yield f"-A {POSTROUTING} {words} -j MASQUERADE{' --random-fully' if random_fully else ''}"


def marking(node: NodeRules) -> Iterator[str]:
    """What is in nat KUBE-MARK-MASQ."""
    yield f"-A {MARK_MASQUERADE} -j MARK --or-mark {node.masquerade_mark:#010x}"


def tail(node: NodeRules) -> tuple[str, ...]:
    """What nat KUBE-SERVICES ends with, without ``-A KUBE-SERVICES``: the way to the node ports."""
    words = comment("kubernetes service nodeports; NOTE: this must be the last rule in this chain")
    if node.node_port_addresses is not None:
        return tuple(f"{words} -d {address_text(address)} -j {NODE_PORTS}" for address in node.node_port_addresses)
    loopback = ""
    if node.family is Family.IPV6:
        loopback = " ! -d ::1/128"
    elif not node.localhost_node_ports:
        loopback = " ! -d 127.0.0.0/8"
    return (f"{words} -m addrtype --dst-type LOCAL{loopback} -j {NODE_PORTS}",)
