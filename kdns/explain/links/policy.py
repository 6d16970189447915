"""policy: NetworkPolicies that select the client (egress) or the Pod (ingress) (E17)."""

from collections.abc import Iterator

from kdns.explain.case import Case
from kdns.explain.model import Finding, Link, State
from kdns.explain.netpol import Peer, blocked, presented
from kdns.explain.objects import Body, key_of
from kdns.explain.rows import is_ready, picked, target_port

SAMPLE = 20
"""Pods of a Service that are tried; those of one workload have the same labels."""


def check(case: Case) -> list[Finding]:
    """From the client to the Pods; the way to DNS is the matter of `dns_path`."""
    if Link.POLICY not in case.way or case.service is None:
        return []
    pods = [pod for pod in picked(case.objects, case.service) if is_ready(pod)][:SAMPLE]
    if not pods:
        return [Finding(Link.POLICY, State.UNCHECKED, "the Service has no ready Pod in the evidence")]
    source = _source(case)
    if source is None:
        says = "no client was named"
        return [Finding(Link.POLICY, State.UNCHECKED, says, needs="--from NS/POD")]
    if not case.objects.dumped("NetworkPolicy"):
        if "NetworkPolicy" in case.evidence.listed:
            return [Finding(Link.POLICY, State.OK, "there is no NetworkPolicy")]
        needs = "kubectl get networkpolicies -A -o yaml"
        return [Finding(Link.POLICY, State.UNCHECKED, "no NetworkPolicy is in the evidence", needs=needs)]
    return list(_to_pods(case, case.service, source, pods))


def _source(case: Case) -> Peer | None:
    who, pod = case.question.client, case.client.pod
    if pod is not None:
        return Peer.of(pod)
    return Peer(addresses=(who.address,)) if who.kind == "outside" and who.address else None


def _to_pods(case: Case, service: Body, source: Peer, pods: list[Body]) -> Iterator[Finding]:
    """Each Pod at each port that was asked for."""
    tried, kept = 0, []
    for port in case.service_ports:
        for pod in pods:
            number = target_port(port, pod)
            if number is None:
                continue
            tried += 1
            protocol = port.get("protocol", "TCP")
            if block := blocked(case.objects, source, Peer.of(pod), number, protocol):
                kept.append((block, pod, number, protocol))
    if not kept:
        says = "NetworkPolicies let the client reach the Pods" if tried else "the Service has no port"
        yield Finding(Link.POLICY, State.OK, says)
        return
    block, pod, number, protocol = kept[0]
    state = State.FAULT if len(kept) == tried or case.question.target.port is not None else State.WARNING
    yield presented(
        Link.POLICY, block, f"{case.question.client}", f"Pod {key_of(pod).name} at port {number}/{protocol}", state
    )
