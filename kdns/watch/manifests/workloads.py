"""The Pods that a cluster's controllers would make of workloads. Pure; JSON in, JSON out.

::

    Deployment, ReplicaSet, ReplicationController     replicas of them, names that end in five letters
    StatefulSet                                       name-0, name-1...: hostname is the name, subdomain serviceName
    DaemonSet                                         one on each node
    Job                                               as many as run side by side; with hostnames if it is indexed

Names are made of hashes, so that a workload always gets the same ones.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

Json = dict[str, Any]

WORKLOADS: Final[Mapping[str, tuple[str, ...]]] = {
    "Deployment": ("apps/", "extensions/"),
    "StatefulSet": ("apps/",),
    "DaemonSet": ("apps/", "extensions/"),
    "ReplicaSet": ("apps/", "extensions/"),
    "ReplicationController": ("v1",),
    "Job": ("batch/",),
}
"""Kinds that make Pods, and how their apiVersion begins: other groups have kinds of the same names."""
LIMIT: Final = 5_000
"""Pods of one workload at most; Kubernetes is tested up to 5,000 nodes, and manifests may say any number."""
LETTERS: Final = "bcdfghjklmnpqrstvwxz2456789"
"""Those of generated names (k8s.io/apimachinery util/rand): no vowels, no words."""
GENERATED_BASE: Final = 58
"""Characters of a generated name before its five letters (k8s.io/apiserver storage/names)."""


def wanted_pods(owner: Json, nodes: Sequence[str]) -> Iterator[Json]:
    """The Pods of a workload, none of which has a status yet; nodes by name.

    ValueError, at once, for a workload that an API server would not take.
    """
    spec = _mapping(owner.get("spec"), "spec")
    template = _mapping(spec.get("template"), "spec.template")
    _mapping(template.get("spec"), "spec.template.spec")
    metadata = template.get("metadata")
    if metadata is not None:
        labels = _mapping(metadata, "spec.template.metadata").get("labels")
        if labels is not None:
            _mapping(labels, "spec.template.metadata.labels")
    return _pods(owner, spec, nodes, _count(owner["kind"], spec))


def wanted_count(owner: Json) -> int:
    """How many Pods a workload asks for, whatever the limit; a DaemonSet one for each node, which is 1 here."""
    return _count(owner["kind"], _mapping(owner.get("spec"), "spec"))


def controllers_of(pod: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Kind and name of what controls an object (its ownerReferences)."""
    metadata = pod.get("metadata")
    owners = metadata.get("ownerReferences") if isinstance(metadata, dict) else None
    for owner in owners if isinstance(owners, list) else ():
        if isinstance(owner, dict) and owner.get("controller"):
            yield str(owner.get("kind")), str(owner.get("name"))


def generated(text: str, count: int) -> str:
    """As many letters as asked for, at most 32, always the same for a text."""
    digest = hashlib.sha256(text.encode()).digest()
    return "".join(LETTERS[octet % len(LETTERS)] for octet in digest[:count])


def _mapping(value: Any, field: str) -> Json:
    if not isinstance(value, dict):
        raise ValueError(f"it has no {field}" if value is None else f"its {field} is not a mapping")
    return value


def _count(kind: str, spec: Json) -> int:
    if kind == "DaemonSet":
        return 1
    if kind != "Job":
        return _number(spec, "replicas", 1)
    if spec.get("suspend") is True:
        return 0
    parallel = _number(spec, "parallelism", 1)
    return min(parallel, _number(spec, "completions", parallel))


def _number(spec: Json, field: str, default: int) -> int:
    value = spec.get(field)
    if value is None:
        return default
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise ValueError(f"its spec.{field} is not a number from 0 on")
    return value


def _pods(owner: Json, spec: Json, nodes: Sequence[str], count: int) -> Iterator[Json]:
    name = owner["metadata"]["name"]
    count = min(count, LIMIT)
    match owner["kind"]:
        case "DaemonSet":
            for node in nodes:
                yield _pod(owner, f"{name}-{generated(node, 5)}", node)
        case "StatefulSet":
            ordinals = spec.get("ordinals")
            first = _number(ordinals, "start", 0) if isinstance(ordinals, dict) else 0
            for number in range(first, first + count):
                yield _ordinal_pod(owner, spec, f"{name}-{number}", number)
        case "Job":
            yield from _job_pods(owner, spec, name, count)
        case kind:
            base = f"{name}-{generated(_key(owner), 9)}" if kind == "Deployment" else name
            for made in _names(base, _key(owner), count):
                yield _pod(owner, made)


def _key(owner: Json) -> str:
    return f"{owner['metadata'].get('namespace') or 'default'}/{owner['metadata']['name']}"


def _names(base: str, key: str, count: int) -> Iterable[str]:
    """Different names, the same ones for a smaller count."""
    seed = generated(key, 9)
    names: dict[str, None] = {}
    number = 0
    while len(names) < count:
        names[f"{f'{base}-'[:GENERATED_BASE]}{generated(f'{seed}{number}', 5)}"] = None
        number += 1
    return names


def _ordinal_pod(owner: Json, spec: Json, name: str, number: int) -> Json:
    labels = {"statefulset.kubernetes.io/pod-name": name, "apps.kubernetes.io/pod-index": str(number)}
    pod = _pod(owner, name, labels=labels)
    pod["spec"]["hostname"] = name
    if isinstance(spec.get("serviceName"), str):
        pod["spec"]["subdomain"] = spec["serviceName"]
    return pod


def _job_pods(owner: Json, spec: Json, name: str, count: int) -> Iterator[Json]:
    indexed = spec.get("completionMode") == "Indexed"
    for number, letters in enumerate(_names("", _key(owner), count)):
        made = f"{name}-{number}{letters}" if indexed else f"{name}{letters}"
        pod = _pod(owner, made, labels={"batch.kubernetes.io/job-name": name, "job-name": name})
        if indexed:
            pod["spec"]["hostname"] = f"{name}-{number}"
        yield pod


def _pod(owner: Json, name: str, node: str = "", labels: Mapping[str, str] | None = None) -> Json:
    template = owner["spec"]["template"]
    metadata = template.get("metadata") or {}
    spec = {**template["spec"]}
    if node:
        spec["nodeName"] = node
    controller = {
        "apiVersion": owner.get("apiVersion", ""),
        "kind": owner["kind"],
        "name": owner["metadata"]["name"],
        "controller": True,
    }
    made: Json = {
        "labels": {**(metadata.get("labels") or {}), **(labels or {})},
        "name": name,
        "namespace": owner["metadata"].get("namespace") or "default",
        "ownerReferences": [controller],
    }
    if metadata.get("annotations"):
        made["annotations"] = metadata["annotations"]
    return {"apiVersion": "v1", "kind": "Pod", "metadata": made, "spec": spec}
