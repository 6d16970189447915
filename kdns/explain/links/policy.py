"""policy: NetworkPolicies that select the client (egress) or the Pod (ingress) (E17)."""

from collections.abc import Iterator

from kdns.explain.case import Case
from kdns.explain.model import Finding, Link, State
from kdns.explain.netpol import Blocked, Peer, blocked
from kdns.explain.objects import Body, key_of, maps
from kdns.explain.rows import is_ready, picked, target_port

SAMPLE = 20
"""Pods of a Service that are tried; those of one workload have the same labels."""


def check(case: Case) -> list[Finding]:
    """Both ways that the client needs: to DNS, if it asks for a name, and to the Pods."""
    findings = list(_to_dns(case)) if Link.DNS_PATH in case.way else []
    if Link.POLICY not in case.way or case.service is None:
        return findings
    pods = [pod for pod in picked(case.objects, case.service) if is_ready(pod)][:SAMPLE]
    if not pods:
        return [*findings, Finding(Link.POLICY, State.UNCHECKED, "the Service has no ready Pod in the evidence")]
    source = _source(case)
    if source is None:
        says = "no client was named"
        return [*findings, Finding(Link.POLICY, State.UNCHECKED, says, needs="--from NS/POD")]
    if not any(case.objects.all("NetworkPolicy")):
        if "NetworkPolicy" in case.evidence.listed:
            return [*findings, Finding(Link.POLICY, State.OK, "there is no NetworkPolicy")]
        needs = "kubectl get networkpolicies -A -o yaml"
        return [*findings, Finding(Link.POLICY, State.UNCHECKED, "no NetworkPolicy is in the evidence", needs=needs)]
    return [*findings, *_to_pods(case, case.service, source, pods)]


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
            if found := blocked(case.objects, source, Peer.of(pod), number, protocol):
                kept.append((found, pod, number, protocol))
    if not kept:
        says = "NetworkPolicies let the client reach the Pods" if tried else "the Service has no port"
        yield Finding(Link.POLICY, State.OK, says)
        return
    found, pod, number, protocol = kept[0]
    state = State.FAULT if len(kept) == tried or case.question.target.port is not None else State.WARNING
    yield _finding(
        Link.POLICY, found, f"{case.question.client}", f"Pod {key_of(pod).name} at port {number}/{protocol}", state
    )


def _finding(link: Link, found: Blocked, client: str, where: str, state: State = State.FAULT) -> Finding:
    way = "egress" if found.direction == "Egress" else "ingress"
    says = f"{found.names} ({way}): no rule lets {client} reach {where}"
    return Finding(
        link,
        state,
        says,
        "E17",
        found.evidence,
        f"kubectl -n {key_of(found.pod).namespace} get networkpolicies -o yaml",
    )


def _to_dns(case: Case) -> Iterator[Finding]:
    """From the client to port 53 of the DNS Pods, or of the nameserver's address where there are none."""
    if case.client.pod is None or not case.dns_services:
        return
    source, service = Peer.of(case.client.pod), case.dns_services[0]
    pods = [pod for pod in picked(case.objects, service) if is_ready(pod)]
    for protocol in ("UDP", "TCP"):
        targets = [Peer.of(pod) for pod in pods] or [Peer(known=False)]
        pairs = [
            (target, target_port(port, target.pod) if target.pod is not None else 53)
            for port in maps(service, "spec.ports") for target in targets
            if port.get("port") == 53 and port.get("protocol", "TCP") == protocol
        ]  # fmt: skip
        kept = [blocked(case.objects, source, target, number or 53, protocol) for target, number in pairs]
        if kept and (first := kept[0]) is not None and all(kept):
            state = State.FAULT if protocol == "UDP" else State.WARNING
            yield _finding(Link.DNS_PATH, first, str(case.question.client), f"DNS at port 53/{protocol}", state)
            return
