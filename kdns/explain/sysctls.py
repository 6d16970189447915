"""Sysctls of a node that keep packets of Services from arriving (E34). Pure."""

from collections.abc import Iterator, Sequence

from kdns.explain.case import Case
from kdns.explain.compared import Compared
from kdns.explain.kernel.machine import BRIDGES
from kdns.explain.kernel.node import NodeKernel
from kdns.explain.model import Finding, Item, Link, State
from kdns.explain.objects import field
from kdns.explain.packets import pod_addresses
from kdns.proxy.model import LOOPBACK, Family

BRIDGED = {Family.IPV4: "net.bridge.bridge-nf-call-iptables", Family.IPV6: "net.bridge.bridge-nf-call-ip6tables"}
FORWARDING = {Family.IPV4: "net.ipv4.ip_forward", Family.IPV6: "net.ipv6.conf.all.forwarding"}


def sysctl_findings(
    case: Case, link: Link, node: str, kernel: NodeKernel, rows: Sequence[Compared]
) -> Iterator[Finding]:
    """One for each that matters to a packet of the question and has the wrong value."""
    told: set[str] = set()
    for row in rows:
        if row.wanted.verdict != "dnat":
            continue
        for name, says in _wrong(case, node, kernel, row):
            if name not in told:
                told.add(name)
                value, line = kernel.sysctls[name]
                shown = Item(file=kernel.path("sysctl.txt"), line=line, text=f"{name} = {value}")
                yield Finding(link, State.FAULT, f"node {node}: {name} is {value}: {says}", "E34", (shown,),
                              f"sysctl -w {name}={'2' if name.endswith('rp_filter') else '1'}")  # fmt: skip


def _wrong(case: Case, node: str, kernel: NodeKernel, row: Compared) -> Iterator[tuple[str, str]]:
    family, here = row.sent.family, _pods_on(case, node)
    local = {backend for backend in row.wanted.backends if backend.address in here}
    known = case.cluster.node(node) if node else None
    own = {one.address for one in kernel.addresses} | set(known.addresses if known else ())
    remote = [one for one in row.wanted.backends if one not in local and one.address not in own]
    leaves = remote and not row.sent.own
    if leaves and _value(kernel, FORWARDING[family]) == "0":
        yield FORWARDING[family], "packets for endpoints on other nodes are not forwarded"
    if row.sent.inside and local and _bridged(kernel, row) and _value(kernel, BRIDGED[family]) == "0":
        yield BRIDGED[family], "what passes between Pods of one bridge meets no rules on its way back"
    loopback = row.sent.destination in LOOPBACK[family]
    if loopback and family is Family.IPV4 and _value(kernel, "net.ipv4.conf.all.route_localnet") == "0":
        yield "net.ipv4.conf.all.route_localnet", "node ports on 127.0.0.1 need it"
    device = kernel.routing.out(row.sent.source) if not row.sent.own else None
    strict = device and "1" in {_value(kernel, f"net.ipv4.conf.{name}.rp_filter") for name in ("all", device)}
    loose = device and "2" in {_value(kernel, f"net.ipv4.conf.{name}.rp_filter") for name in ("all", device)}
    if strict and not loose and family is Family.IPV4 and _asymmetric(kernel, row):
        name = next(
            f"net.ipv4.conf.{one}.rp_filter"
            for one in ("all", device)
            if _value(kernel, f"net.ipv4.conf.{one}.rp_filter") == "1"
        )
        yield name, "packets are dropped that come in by another interface than answers leave by"


def _asymmetric(kernel: NodeKernel, row: Compared) -> bool:
    """Answers leave by another interface than the client's packets come in by: they arrive at an address of one
    interface, and the way to the client is by another."""
    arrives = next((one.interface for one in kernel.addresses if one.address == row.sent.destination), None)
    leaves = kernel.routing.out(row.sent.source)
    return (
        arrives is not None
        and leaves is not None
        and arrives not in (leaves, "lo", "kube-ipvs0")
        and not row.sent.inside
    )


def _bridged(kernel: NodeKernel, row: Compared) -> bool:
    """Client and endpoint are on one bridge: the node reaches both by one interface, and no host route leads there."""
    client = kernel.routing.find(row.sent.source)
    if client is None:  # then by the names of interfaces; without any of them, Pods are on a bridge as they usually are
        return not kernel.addresses or any(one.interface.startswith(BRIDGES) for one in kernel.addresses)
    return client.network.num_addresses > 1 and any(
        kernel.routing.out(backend.address) == client.interface for backend in row.wanted.backends
    )


def _pods_on(case: Case, node: str) -> set[bytes]:
    return {
        packed
        for pod in case.objects.all("Pod")
        if field(pod, "spec.nodeName", "") == node and field(pod, "spec.hostNetwork", False) is not True
        for packed in pod_addresses(pod)
    }


def _value(kernel: NodeKernel, name: str) -> str | None:
    row = kernel.sysctls.get(name)
    return row[0] if row else None
