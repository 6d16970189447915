"""pod: the port that its containers declare, and what the probes say (E22, E27)."""

from kdns.explain.case import Case
from kdns.explain.model import Finding, Item, Link, State
from kdns.explain.objects import Body, field, item, key_of, maps
from kdns.explain.rows import container_ports, is_ready, picked, target_port
from kdns.explain.target import find_pod


def check(case: Case) -> list[Finding]:
    """Whether the Pods listen on the target port, as far as that is known."""
    if Link.POD not in case.way and not (case.service is None and case.question.target.address):
        return []
    failed = _probed(case)
    if failed:
        return [failed]
    if case.service is None:
        return []
    if not field(case.service, "spec.selector", {}):
        says, needs = "whether the endpoints listen was not tried", "--probe, from a place that reaches them"
        return [Finding(Link.POD, State.UNCHECKED, says, needs=needs)]
    pods = [pod for pod in picked(case.objects, case.service) if is_ready(pod)]
    undeclared = _undeclared(case, pods)
    if undeclared:
        return [undeclared]
    if not pods:
        return [Finding(Link.POD, State.UNCHECKED, "the Service has no ready Pod in the evidence")]
    probed = [
        probe
        for probe in case.evidence.probes
        if probe.kind == "tcp" and probe.outcome == "ok" and _is_pods(case, probe.address)
    ]
    if probed:
        return [Finding(Link.POD, State.OK, f"{probed[0].address}:{probed[0].port} answers when asked directly")]
    return [
        Finding(
            Link.POD,
            State.UNCHECKED,
            "whether the Pods listen was not tried",
            needs="--probe, from a place that reaches Pods",
        )
    ]


def _is_pods(case: Case, address: str) -> bool:
    return find_pod(address, case.objects) is not None


def _probed(case: Case) -> Finding | None:
    """E27: a Pod that was asked directly."""
    for probe in case.evidence.probes:
        if probe.kind != "tcp" or probe.outcome == "ok":
            continue
        pod = find_pod(probe.address, case.objects)
        if pod is None:
            continue
        key = key_of(pod)
        says = f"{probe.address}:{probe.port} ({key.namespace}/{key.name}) was asked directly: {probe.outcome}"
        command = f"kubectl -n {key.namespace} exec {key.name} -- ss -ltn"
        return Finding(Link.POD, State.FAULT, says, "E27", (item(pod, "status.podIP"), Item(text=says)), command)
    return None


def _undeclared(case: Case, pods: list[Body]) -> Finding | None:
    """E22 by number: a hint only, since containerPort is informational, and many containers declare nothing."""
    assert case.service is not None
    for port in case.service_ports:
        for pod in pods:
            number, declared = target_port(port, pod), container_ports(pod)
            protocol = port.get("protocol", "TCP")
            if number is None or not declared:
                continue
            if any(
                entry.get("containerPort") == number and entry.get("protocol", "TCP") == protocol for entry in declared
            ):
                continue
            listed = ", ".join(f"{entry.get('containerPort')}/{entry.get('protocol', 'TCP')}" for entry in declared)
            key, path = key_of(pod), f"spec.ports[{maps(case.service, 'spec.ports').index(port)}].targetPort"
            says = f"target port {number}/{protocol} is not among those that Pod {key.name} declares: {listed}"
            shown = (item(case.service, path, number), item(pod, "spec.containers[0].ports"))
            command = f"kubectl -n {key.namespace} exec {key.name} -- ss -ltn"
            return Finding(Link.POD, State.WARNING, says, "E22", shown, command)
    return None
