"""The way to DNS in the kernel of the client's node: rules, flows, and what connection tracking lost. Pure.

For the link dns-path: the same comparison as for the Service that is asked for, of the nameserver's Service.
"""

from collections.abc import Iterator

from kdns.base.objects import ObjectKey
from kdns.explain.case import Case
from kdns.explain.compared import Comparison
from kdns.explain.flow_findings import flow_findings
from kdns.explain.kernel.node import NodeKernel
from kdns.explain.model import Finding, Item, Link, State
from kdns.explain.objects import Body, key_of
from kdns.explain.packets import packets
from kdns.explain.rule_findings import judged, no_rules, writers_found
from kdns.explain.sysctls import sysctl_findings

DNS_PORT = 53
MANY_LOST = 100
"""Packets that connection tracking could not keep, from which on it is more than A and AAAA that met once."""
NEARLY_FULL = 0.98
COUNT, LIMIT = "net.netfilter.nf_conntrack_count", "net.netfilter.nf_conntrack_max"


def dns_kernel_findings(case: Case, service: Body) -> list[Finding]:
    """Findings of the link dns-path for the Service of the nameserver, on each node that decides for the client."""
    key = key_of(service)
    comparison = Comparison(case, ObjectKey("Service", key.namespace, key.name))
    if not comparison.proxied:
        return []
    findings: list[Finding] = []
    sent = [one for one in packets(case, service, case.question.client) if one.port == DNS_PORT]
    for node in dict.fromkeys(one.node for one in sent):
        here = [one for one in sent if one.node == node]
        kernel = comparison.kernel(node)
        rows = [comparison.compare(one) for one in here]
        findings += writers_found(Link.DNS_PATH, node, kernel, any(row.differences for row in rows))
        absent = no_rules(case, Link.DNS_PATH, node, kernel, rows)
        findings += absent or [
            *judged(case, Link.DNS_PATH, node, kernel, rows),
            *sysctl_findings(case, Link.DNS_PATH, node, kernel, rows),
        ]
        findings += losses(kernel)
        flows = flow_findings(case, Link.DNS_PATH, "E19", kernel, service, here)
        findings += [finding for finding in flows if finding.link is Link.DNS_PATH]
    return findings


def losses(kernel: NodeKernel) -> Iterator[Finding]:
    """Packets that connection tracking dropped (E18), and a table that is full."""
    count, limit = kernel.sysctls.get(COUNT), kernel.sysctls.get(LIMIT)
    if count and limit and count[0].isdigit() and limit[0].isdigit() and int(limit[0]) > 0:
        used = int(count[0]) / int(limit[0])
        if used >= NEARLY_FULL:
            path = kernel.path("sysctl.txt")
            shown = (
                Item(file=path, line=count[1], text=f"{COUNT} = {count[0]}"),
                Item(file=path, line=limit[1], text=f"{LIMIT} = {limit[0]}"),
            )
            says = f"node {kernel.name}: the table of connection tracking is full ({used:.0%}): new flows are dropped"
            yield Finding(Link.DNS_PATH, State.FAULT, says, "E18", shown, f"sysctl -w {LIMIT}={int(limit[0]) * 2}")
    lost = {key: kernel.losses.get(key, 0) for key in ("insert_failed", "drop")} if kernel.losses else {}
    if any(lost.values()):
        counts = ", ".join(f"{key}={value}" for key, value in lost.items() if value)
        state = State.FAULT if max(lost.values()) >= MANY_LOST else State.WARNING
        why = "clients that send A and AAAA at once from one port lose one of them" if lost["insert_failed"] else "lost"
        says = f"node {kernel.name}: connection tracking dropped packets ({counts}): {why}"
        yield Finding(
            Link.DNS_PATH, state, says, "E18", tuple(_lines(kernel)), "conntrack -S; and again a minute later"
        )


def _lines(kernel: NodeKernel) -> Iterator[Item]:
    """The processors that lost most."""
    text = kernel.text("conntrack-stats.txt") or ""
    for number, line in enumerate(text.splitlines(), 1):
        if "insert_failed=0 drop=0 " not in f"{line} " and "=" in line:
            yield Item(file=kernel.path("conntrack-stats.txt"), line=number, text=line.strip())
            return
