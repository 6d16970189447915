"""flow: entries of connection tracking for this client and Service (E19, E40; E27 and E30 without an answer)."""

from collections.abc import Iterator, Sequence

from kdns.explain.case import Case
from kdns.explain.flow_findings import flow_findings
from kdns.explain.model import Finding, Link, State
from kdns.explain.objects import field
from kdns.explain.packets import Sent, packets


def check(case: Case) -> list[Finding]:
    """What connection tracking holds of the question's packets, on each node that decides."""
    service = case.service
    if service is None or field(service, "spec.clusterIP", "") in ("None", ""):
        return []
    if not any(port.get("protocol", "TCP") == case.question.target.protocol for port in case.service_ports):
        return [Finding(Link.FLOW, State.UNCHECKED, "the Service has no such port, so there are no flows of it")]
    sent = packets(case, service, case.question.client)
    by_node: dict[str, list[Sent]] = {}
    for one in sent:
        by_node.setdefault(one.node, []).append(one)
    return [finding for node, rows in by_node.items() for finding in _node(case, node, rows)]


def _node(case: Case, node: str, rows: Sequence[Sent]) -> Iterator[Finding]:
    kernel = case.kernel(node)
    if kernel.flows is None:
        says = f"connection tracking of node {node} is not in the evidence" if node else "no node's flows are here"
        needs = f"node/{node or 'NODE'}/conntrack.txt: conntrack -L -o extended, on that node"
        yield Finding(Link.FLOW, State.UNCHECKED, says, needs=needs)
        return
    service = case.service
    assert service is not None
    findings = list(flow_findings(case, Link.FLOW, "E40", kernel, service, rows))
    yield from findings
    if not any(finding.link is Link.FLOW for finding in findings):
        yield Finding(Link.FLOW, State.OK, f"node {node}: no flow leads to an endpoint that is gone")
