"""Why a Pod is not ready, or does not run: condition, container, probe, last state, since when. Pure."""

from typing import Final

from msgspec import Struct

from kdns.explain.model import Item
from kdns.explain.objects import Body, field, item, key_of, maps

FAILING: Final = frozenset({
    "CrashLoopBackOff", "ImagePullBackOff", "ErrImagePull", "InvalidImageName", "CreateContainerConfigError",
    "CreateContainerError", "RunContainerError", "ErrImageNeverPull", "ImageInspectError", "PostStartHookError",
})  # fmt: skip
"""Reasons of a container that waits and will not come up by itself."""
MANY_RESTARTS: Final = 3
"""Restarts from which on a Pod that is not ready counts as one that crashes."""


class Trouble(Struct, frozen=True):
    """What keeps a Pod from being an endpoint."""

    code: str
    """E25: it runs and is not ready; E26: it does not run."""
    says: str
    evidence: tuple[Item, ...]
    next: str


def trouble_of(pod: Body, node: Body | None = None) -> Trouble:
    """Why a Pod that is not ready is not. ``node``: the Node that it is on, if that is known."""
    if node is not None and (lost := _lost_node(pod, node)):
        return lost
    key = key_of(pod)
    describe = f"kubectl -n {key.namespace} describe pod {key.name}"
    phase = field(pod, "status.phase", "")
    for kind in ("initContainerStatuses", "containerStatuses"):
        for number, status in enumerate(maps(pod, f"status.{kind}")):
            if trouble := _container(pod, f"status.{kind}[{number}]", status):
                return trouble
    if phase == "Failed":
        reason = field(pod, "status.reason", "") or "its containers ended"
        return Trouble(
            "E26",
            f"{key.name} has failed: {reason}",
            (item(pod, "status.phase"), item(pod, "status.message")),
            describe,
        )
    for number, condition in enumerate(maps(pod, "status.conditions")):
        if condition.get("type") == "PodScheduled" and condition.get("status") == "False":
            why = condition.get("message") or condition.get("reason") or "no node takes it"
            path = f"status.conditions[{number}].message"
            return Trouble("E26", f"{key.name} is not scheduled: {why}", (item(pod, path),), describe)
    if phase in {"Pending", ""}:
        if waits := _initialising(pod):
            return waits
        return Trouble("E26", f"{key.name} is pending", (item(pod, "status.phase"),), describe)
    return _not_ready(pod, describe)


def _lost_node(pod: Body, node: Body) -> Trouble | None:
    """The Pods of a node that does not report count as not ready, whatever their containers do."""
    for number, condition in enumerate(maps(node, "status.conditions")):
        if condition.get("type") == "Ready" and condition.get("status") in {"False", "Unknown"}:
            name, why = key_of(node).name, condition.get("message") or condition.get("reason") or "it does not report"
            shown = (item(node, f"status.conditions[{number}]"),)
            says = f"{key_of(pod).name} is on node {name}, which is not ready: {str(why).rstrip('.')}"
            return Trouble("E25", says, shown, f"kubectl describe node {name}")
    return None


def _initialising(pod: Body) -> Trouble | None:
    """Init containers run one after the other, and the others wait for them."""
    sidecars = {
        entry.get("name") for entry in maps(pod, "spec.initContainers") if entry.get("restartPolicy") == "Always"
    }
    for number, status in enumerate(maps(pod, "status.initContainerStatuses")):
        key, name = key_of(pod), status.get("name", "?")
        done = status.get("started") if name in sidecars else field(status, "state.terminated") is not None
        if not done:
            shown = (item(pod, f"status.initContainerStatuses[{number}].state"),)
            logs = f"kubectl -n {key.namespace} logs {key.name} -c {name}"
            return Trouble("E26", f"{key.name} is pending: its init container {name} has not finished", shown, logs)
    return None


def _container(pod: Body, path: str, status: Body) -> Trouble | None:
    key, name = key_of(pod), status.get("name", "?")
    reason = field(status, "state.waiting.reason", "")
    restarts = status.get("restartCount") or 0
    ended = field(status, "lastState.terminated", {})
    logs = f"kubectl -n {key.namespace} logs {key.name} -c {name} --previous"
    describe = f"kubectl -n {key.namespace} describe pod {key.name}"
    last = ""
    if ended:
        at = f" at {ended['finishedAt']}" if ended.get("finishedAt") else ""
        last = f", the last one ended with {ended.get('reason') or 'exit code'} ({ended.get('exitCode')}){at}"
    evidence = [item(pod, f"{path}.state")]
    if ended:
        evidence.append(item(pod, f"{path}.lastState.terminated"))
    if reason in FAILING:
        crashes = reason == "CrashLoopBackOff"
        says = f"{key.name}: container {name} is in {reason}" + (
            f", {restarts} restarts{last}" if crashes else _message(status)
        )
        return Trouble("E26", says, tuple(evidence), logs if crashes else describe)
    now = field(status, "state.terminated", {})
    if now and (now.get("exitCode") or "initContainer" not in path):
        says = f"{key.name}: container {name} has ended with exit code {now.get('exitCode')} ({now.get('reason')})"
        return Trouble("E26", says, tuple(evidence), logs.removesuffix(" --previous"))
    if status.get("ready") is False and restarts >= MANY_RESTARTS and ended:
        says = f"{key.name}: container {name} has been restarted {restarts} times{last}"
        return Trouble("E26", says, tuple(evidence), logs)
    return None


def _message(status: Body) -> str:
    message = field(status, "state.waiting.message", "")
    return f": {message}" if message else ""


def _not_ready(pod: Body, describe: str) -> Trouble:
    """It runs: which condition, which container's probe, since when."""
    key = key_of(pod)
    evidence: list[Item] = []
    since = ""
    for number, condition in enumerate(maps(pod, "status.conditions")):
        if condition.get("status") != "True" and condition.get("type") in {"Ready", "ContainersReady", *_gates(pod)}:
            shown = {name: condition[name] for name in ("type", "status", "reason", "message") if condition.get(name)}
            evidence.append(item(pod, f"status.conditions[{number}]", shown))
            since = since or str(condition.get("lastTransitionTime") or "")
    after = f" since {since}" if since else ""
    gates = [gate for gate in _gates(pod) if not _holds(pod, gate)]
    containers = [
        str(status.get("name")) for status in maps(pod, "status.containerStatuses") if status.get("ready") is False
    ]
    if containers:
        name = containers[0]
        probe, path = _probe(pod, name)
        if path:
            evidence.append(item(pod, path, probe))
        why = f"its container {name} is not ready" + (f": readiness probe {probe}" if probe else "")
    elif gates:
        why = f"its readiness gate {gates[0]} is not true"
    else:
        why = "its condition Ready is not true"
    return Trouble("E25", f"{key.name} is not ready{after}: {why}", tuple(evidence), describe)


def _gates(pod: Body) -> list[str]:
    return [str(gate.get("conditionType")) for gate in maps(pod, "spec.readinessGates")]


def _holds(pod: Body, kind: str) -> bool:
    return any(entry.get("type") == kind and entry.get("status") == "True" for entry in maps(pod, "status.conditions"))


def _probe(pod: Body, name: str) -> tuple[str, str]:
    """The readiness probe of a container in words, and its path."""
    for number, container in enumerate(maps(pod, "spec.containers")):
        probe = container.get("readinessProbe")
        if container.get("name") != name or not isinstance(probe, dict):
            continue
        path = f"spec.containers[{number}].readinessProbe"
        if get := field(probe, "httpGet", {}):
            return f"GET {get.get('path') or '/'} on port {get.get('port')}", path
        if tcp := field(probe, "tcpSocket", {}):
            return f"connect to port {tcp.get('port')}", path
        if grpc := field(probe, "grpc", {}):
            return f"gRPC on port {grpc.get('port')}", path
        return " ".join(map(str, field(probe, "exec.command", []))), path
    return "", ""
