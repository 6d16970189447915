"""Flows that lead nowhere, as findings, for the links flow, pod and dns-path. Pure."""

from collections.abc import Iterator, Sequence
from typing import Final

from kdns.base.objects import ObjectKey, address_text
from kdns.explain.case import Case
from kdns.explain.kernel.flows import Flow
from kdns.explain.kernel.node import NodeKernel
from kdns.explain.model import Finding, Item, Link, State
from kdns.explain.objects import Body, field, key_of
from kdns.explain.packets import Sent
from kdns.proxy.endpoints import endpoints
from kdns.proxy.model import Backend, Family

SYN_SENT: Final = 120
"""Seconds that the kernel keeps a TCP flow without an answer (nf_conntrack_tcp_timeout_syn_sent)."""
UNREPLIED: Final = 30
"""The same for UDP (nf_conntrack_udp_timeout)."""
WAITS: Final = 3
"""Seconds without an answer after which it is not merely on its way."""
MOST_SHOWN: Final = 5


def flow_findings(
    case: Case, link: Link, code: str, kernel: NodeKernel, service: Body, rows: Sequence[Sent]
) -> Iterator[Finding]:
    """Flows of these packets to an endpoint that is gone (``code``), and those without an answer (E27, or E30)."""
    alive = _endpoints(case, service)
    stale: list[Flow] = []
    silent: dict[Backend, list[Flow]] = {}
    for flow in kernel.flows or ():
        if not any(_is_of(flow, sent) for sent in rows):
            continue
        backend = Backend(flow.reply_source, flow.reply_port)
        if _leads_nowhere(flow, backend, alive):
            stale.append(flow)
        elif backend in alive and _waits(flow):
            silent.setdefault(backend, []).append(flow)
    if stale:
        yield _stale(link, code, kernel, stale)
    for backend, flows in silent.items():
        yield _silent(kernel, service, backend, flows, len(alive))


def _endpoints(case: Case, service: Body) -> set[Backend]:
    """Every endpoint that may answer, ready or not, but for those that have stopped serving."""
    key = key_of(service)
    view = case.cluster.views.get(ObjectKey("Service", key.namespace, key.name))
    live: set[Backend] = set()
    for family in Family:
        by_port = endpoints(view.slices, family, "").by_port if view else {}
        live |= {one.backend for rows in by_port.values() for one in rows if one.ready or one.serving}
    return live


def _is_of(flow: Flow, sent: Sent) -> bool:
    """The client's own, or, where the client is only an example, any client's to the same frontend."""
    asked = (flow.protocol, flow.destination, flow.port) == (sent.protocol.lower(), sent.destination, sent.port)
    return asked and (sent.example or flow.source == sent.source)


def _leads_nowhere(flow: Flow, backend: Backend, alive: set[Backend]) -> bool:
    """To an endpoint that is gone; or not translated at all, although the Service has endpoints."""
    if not alive:
        return False
    if flow.translated:
        return backend.address not in {one.address for one in alive} and flow.state not in ("TIME_WAIT", "CLOSE")
    return flow.protocol == "udp"


def _waits(flow: Flow) -> bool:
    """No answer for some seconds."""
    if flow.protocol == "tcp":
        return flow.state == "SYN_SENT" and flow.timeout <= SYN_SENT - WAITS
    return flow.protocol == "udp" and flow.unreplied and 0 < flow.timeout <= UNREPLIED - WAITS


def _stale(link: Link, code: str, kernel: NodeKernel, flows: Sequence[Flow]) -> Finding:
    first = flows[0]
    to = Backend(first.reply_source, first.reply_port)
    what = (
        f"to {to}, which is not an endpoint (any more)" if first.translated else "that is not translated to an endpoint"
    )
    count = "a flow" if len(flows) == 1 else f"{len(flows)} flows"
    says = f"node {kernel.name}: connection tracking keeps {count} {what}"
    address = address_text(first.destination)
    command = f"conntrack -D -p {first.protocol} --orig-dst {address} --orig-port-dst {first.port}"
    return Finding(link, State.FAULT, says, code, tuple(_items(kernel, flows)), command)


def _silent(kernel: NodeKernel, service: Body, backend: Backend, flows: Sequence[Flow], count: int) -> Finding:
    """An endpoint that is there and does not answer."""
    sticky = field(service, "spec.sessionAffinity", "None") == "ClientIP" and count > 1
    says = f"node {kernel.name}: endpoint {backend} does not answer: {len(flows)} flow(s) wait for it"
    command = f"kubectl get pods -A -o wide | grep -w {address_text(backend.address)}"
    evidence = tuple(_items(kernel, flows))
    if sticky:
        says += ", and session affinity holds the client there"
        return Finding(Link.RULES, State.FAULT, says, "E30", evidence, command)
    return Finding(Link.POD, State.FAULT, says, "E27", evidence, command)


def _items(kernel: NodeKernel, flows: Sequence[Flow]) -> Iterator[Item]:
    for flow in flows[:MOST_SHOWN]:
        yield Item(file=kernel.path("conntrack.txt"), line=flow.line, text=flow.text)
