"""Sysctls of a node that keep packets of Services from arriving (E34). Pure."""

from collections.abc import Iterator, Sequence

from kdns.base.objects import address_text
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
    reported: set[str] = set()
    for row in rows:
        if row.wanted.verdict != "dnat":
            continue
        for name, says in _wrong(case, node, kernel, row):
            if name not in reported:
                reported.add(name)
                value, line = kernel.sysctls[name]
                shown = Item(file=kernel.path("sysctl.txt"), line=line, text=f"{name} = {value}")
                command = f"sysctl -w {name}={'2' if name.endswith('rp_filter') else '1'}"
                command = command if "no route" not in says else "ip route show table all"
                yield Finding(link, State.FAULT, f"node {node}: {name} is {value}: {says}", "E34", (shown,), command)


def _wrong(case: Case, node: str, kernel: NodeKernel, row: Compared) -> Iterator[tuple[str, str]]:
    family, here = row.sent.family, _pods_on(case, node)
    local = {backend for backend in row.wanted.backends if backend.address in here}
    known = case.cluster.node(node) if node else None
    own = {one.address for one in kernel.addresses} | set(known.addresses if known else ())
    remote = [one for one in row.wanted.backends if one not in local and one.address not in own]
    leaves = (remote or (local and not row.sent.inside)) and not row.sent.own
    comes_in = _comes_in(kernel, row)
    if leaves:
        whom = "packets for endpoints on other nodes" if remote else "packets for its Pods"
        if _value(kernel, FORWARDING[family]) == "0":
            yield FORWARDING[family], f"{whom} are not forwarded"
        elif family is Family.IPV4:  # each interface has a switch of its own, for what comes in by it
            links = (comes_in, *(kernel.routing.out(backend.address) for backend in remote))
            for device in dict.fromkeys(link for link in links if link):
                if _value(kernel, f"net.ipv4.conf.{device}.forwarding") == "0":
                    what = whom if device == comes_in else "answers of endpoints on other nodes"
                    yield f"net.ipv4.conf.{device}.forwarding", f"{what} that come in by {device} are not forwarded"
    if row.sent.inside and local and _bridged(kernel, row) and _value(kernel, BRIDGED[family]) == "0":
        yield BRIDGED[family], "what passes between Pods of one bridge meets no rules on its way back"
    loopback = row.sent.destination in LOOPBACK[family]
    if loopback and family is Family.IPV4 and _value(kernel, "net.ipv4.conf.all.route_localnet") == "0":
        yield "net.ipv4.conf.all.route_localnet", "node ports on 127.0.0.1 need it"
    if family is Family.IPV4 and comes_in is not None:
        yield from _reverse_path(kernel, row, comes_in)


def _comes_in(kernel: NodeKernel, row: Compared) -> str | None:
    """The interface that a packet comes in by, where that is known; None for what the node sends itself.

    From outside it is the one that has the address which was asked; else the one that leads to the client.
    """
    if row.sent.own:
        return None
    has = next((one.interface for one in kernel.addresses if one.address == row.sent.destination), None)
    if row.sent.inside or has in (None, "lo", "kube-ipvs0"):
        return kernel.routing.out(row.sent.source)
    return has


def _reverse_path(kernel: NodeKernel, row: Compared, comes_in: str) -> Iterator[tuple[str, str]]:
    """rp_filter of ip-sysctl.rst: of ``all`` and the interface the larger counts; 1 is strict, 2 loose (RFC 3704)."""
    names = [f"net.ipv4.conf.{one}.rp_filter" for one in ("all", comes_in)]
    values = {name: value for name in names if (value := _value(kernel, name)) in {"1", "2"}}
    if not values or not kernel.routing.routes:
        return
    name = max(values, key=lambda one: values[one])
    leaves = kernel.routing.out(row.sent.source)
    if leaves is None:
        yield name, f"no route leads back to {address_text(row.sent.source)}, so its packets are dropped"
    elif values[name] == "1" and leaves != comes_in:
        yield name, f"packets come in by {comes_in} and answers leave by {leaves}: such packets are dropped"


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
