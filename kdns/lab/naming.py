"""Parts of a lab by the words that people say: a name, the beginning of one, or a workload. Pure."""

from collections.abc import Collection, Iterable
from difflib import get_close_matches
from typing import Any, Final

from kdns.base.errors import ConfigError

Json = dict[str, Any]
KINDS: Final = {
    "deploy": "Deployment", "deployment": "Deployment", "deployments": "Deployment",
    "sts": "StatefulSet", "statefulset": "StatefulSet", "statefulsets": "StatefulSet",
    "ds": "DaemonSet", "daemonset": "DaemonSet", "daemonsets": "DaemonSet",
    "rs": "ReplicaSet", "replicaset": "ReplicaSet", "replicasets": "ReplicaSet",
    "rc": "ReplicationController", "replicationcontroller": "ReplicationController",
    "job": "Job", "jobs": "Job",
}  # fmt: skip
"""Kinds with Pods, by the words that kubectl takes for them."""
SHOWN: Final = 12


def find_part(lab: str, reference: str, parts: Collection[str], pods: Iterable[Json]) -> str:
    """The part that is meant. ConfigError with what is near if there is none, or more than one.

    ``pods`` are asked only for ``deploy/NAME`` and the like, which is the first ready Pod of that workload.
    """
    word, slash, name = reference.partition("/")
    if slash and word in KINDS:
        return _of_workload(lab, reference, KINDS[word], name, parts, pods)
    wanted = name if slash and word in ("pod", "pods", "node", "nodes") else reference
    if wanted in parts:
        return wanted
    begin = sorted(part for part in parts if part.startswith(wanted)) if wanted else []
    if len(begin) == 1:
        return begin[0]
    if begin:
        raise ConfigError(f"lab {lab} has {len(begin)} parts that begin with {wanted!r}", hint=_listed(begin))
    near = get_close_matches(wanted, parts, 3)
    hint = f"did you mean {' or '.join(near)}?" if near else f"it has: {_listed(sorted(parts))}"
    raise ConfigError(f"lab {lab} has no {reference!r}", hint=hint)


def part_of(pod: Json, parts: Collection[str]) -> str:
    """A Pod's part: its name, with its namespace where another Pod had the name first."""
    name, namespace = str(pod["metadata"]["name"]), str(pod["metadata"]["namespace"])
    return f"{name}.{namespace}" if f"{name}.{namespace}" in parts else name


def _of_workload(lab: str, reference: str, kind: str, name: str, parts: Collection[str], pods: Iterable[Json]) -> str:
    owned: dict[str, list[Json]] = {}
    for pod in pods:
        for owner in pod["metadata"].get("ownerReferences") or ():
            if owner.get("kind") == kind and part_of(pod, parts) in parts:
                owned.setdefault(str(owner.get("name")), []).append(pod)
    names = [name] if name in owned else [known for known in sorted(owned) if name and known.startswith(name)]
    if len(names) != 1:
        near = names or get_close_matches(name, owned, 3) or sorted(owned)
        hint = f"there are {_listed(near)}" if near else f"no {kind} has Pods"
        raise ConfigError(f"lab {lab} has no {reference!r}", hint=hint)
    ready = [pod for pod in owned[names[0]] if _is_ready(pod)]
    return part_of(min(ready or owned[names[0]], key=lambda pod: str(pod["metadata"]["name"])), parts)


def _is_ready(pod: Json) -> bool:
    conditions = (pod.get("status") or {}).get("conditions") or ()
    return any(condition["type"] == "Ready" and condition["status"] == "True" for condition in conditions)


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more
