"""NetworkPolicies between the client and port 53 of the DNS Pods (E17). Pure."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from kdns.explain.model import Finding, Link, State
from kdns.explain.netpol import Blocked, Peer, blocked, presented
from kdns.explain.objects import Body, maps
from kdns.explain.rows import is_ready, picked, target_port

if TYPE_CHECKING:
    from kdns.explain.case import Case


def findings(case: "Case", service: Body) -> Iterator[Finding]:
    """UDP is a fault; where only TCP is kept, large answers do not arrive (E13 says so where one is)."""
    if case.client.pod is None:
        return
    for protocol, state in (("UDP", State.FAULT), ("TCP", State.WARNING)):
        block = kept(case, service, protocol)
        if block is not None:
            where = f"DNS at port 53/{protocol}"
            yield presented(Link.DNS_PATH, block, str(case.question.client), where, state)
            return


def kept(case: "Case", service: Body, protocol: str) -> Blocked | None:
    """What keeps the client from every DNS Pod over a protocol."""
    if case.client.pod is None:
        return None
    source = Peer.of(case.client.pod)
    pods = [pod for pod in picked(case.objects, service) if is_ready(pod)]
    targets = [Peer.of(pod) for pod in pods] or [Peer(known=False)]
    pairs = [
        (target, target_port(port, target.pod) if target.pod is not None else 53)
        for port in maps(service, "spec.ports") for target in targets
        if port.get("port") == 53 and (port.get("protocol") or "TCP") == protocol
    ]  # fmt: skip
    blocks = [blocked(case.objects, source, target, number or 53, protocol) for target, number in pairs]
    return blocks[0] if blocks and all(blocks) else None
