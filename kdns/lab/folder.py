"""A folder of manifests as the objects of a lab: the same reading as `kdns records --source`, then what a lab can run.

What a cluster made of the objects of a live dump (Pods of Deployments, slices, Nodes) is left out: the lab makes its
own. Kinds that a lab has no use for are counted.
"""

import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from ipaddress import ip_address
from pathlib import Path
from typing import Final, NamedTuple

from kdns.base.errors import ConfigError
from kdns.lab.cluster_state import BY_KIND, Json
from kdns.lab.plan import PLAN, Plan
from kdns.watch.manifests.collection import Gathered, gather
from kdns.watch.manifests.folder import content, scan, shown_path, unreadable_error
from kdns.watch.manifests.making import running_status
from kdns.watch.manifests.manifest import Manifest, Played
from kdns.watch.manifests.reading import manifest_of, parse_manifests
from kdns.watch.manifests.slices import MANAGED_BY
from kdns.watch.manifests.summary import Summary
from kdns.watch.manifests.workloads import WORKLOADS, controllers_of, wanted_pods

MADE_BY_THE_LAB: Final = frozenset({"Node", "ServiceCIDR", "Event"})
ALSO: Final = frozenset(BY_KIND) - MADE_BY_THE_LAB
"""Kinds that are kept beside those that kdns itself reads."""
CONTROLLERS: Final = ("endpointslice-controller.k8s.io", "endpointslicemirroring-controller.k8s.io")
"""Who writes slices that a lab writes itself."""
WARNINGS_SHOWN: Final = 20


class Folder(NamedTuple):
    """What a folder says."""

    objects: tuple[Json, ...] = ()
    lines: tuple[str, ...] = ()
    """For people: what was left out, and why."""


def read_folder(path: Path, plan: Plan) -> Folder:
    """The objects of every manifest below a folder, or of one file.

    ConfigError for what may not be read,
    and where there are only mistakes.
    """
    if not path.exists():
        raise ConfigError(f"{path} does not exist", hint="give a folder of manifests, or a file")
    scanned = scan(path)
    for name, why in scanned.unreadable.items():
        raise unreadable_error(name, why)
    octets = {name: content(name) for name in scanned.files}
    gathered = gather(
        {name: parse_manifests(data, shown_path(name), also=ALSO) for name, data in octets.items() if data is not None}
    )
    warnings: list[str] = []
    passed_over: Counter[str] = Counter(gathered.passed_over)
    objects = tuple(_objects(gathered, plan, warnings, passed_over))
    if gathered.problems and not objects:
        raise gathered.problems[0].error
    return Folder(objects, tuple(_lines(gathered, warnings, passed_over, str(path), bool(objects))))


def tell_folder(path: str) -> None:
    """Print to stderr what of a folder is left out; nothing for the empty path. ConfigError if it cannot be read."""
    if path:
        for line in read_folder(Path(path), PLAN).lines:
            print(line, file=sys.stderr)


def brings_dns(objects: tuple[Json, ...]) -> bool:
    """Whether there is a Service for the cluster DNS among them: the name or the label that kubeadm gives it."""
    return any(
        body["kind"] == "Service"
        and (
            (body["metadata"].get("namespace"), body["metadata"]["name"]) == ("kube-system", "kube-dns")
            or (body["metadata"].get("labels") or {}).get("k8s-app") == "kube-dns"
        )
        for body in objects
    )


def _objects(gathered: Gathered, plan: Plan, warnings: list[str], passed_over: Counter[str]) -> Iterator[Json]:
    entries: list[Manifest | Played] = [*gathered.objects.values(), *gathered.played.values()]
    for entry in entries:
        kind = entry.key.kind if isinstance(entry, Manifest) else entry.kind
        assert entry.body is not None
        if kind in MADE_BY_THE_LAB:
            passed_over[kind] += 1
            continue
        if entry.live and _is_made(kind, entry.body, gathered):
            continue
        namespace = entry.key.namespace if isinstance(entry, Manifest) else entry.namespace
        body = _stripped(entry.body, namespace)
        if kind in WORKLOADS and (problem := _workload_problem(body, entry.at)):
            warnings.append(f"{entry} in {entry.at}: skipped: {problem}")
            continue
        yield _pod_here(body, plan) if kind == "Pod" else body


def _is_made(kind: str, body: Json, gathered: Gathered) -> bool:
    """Whether a controller made this object of a dump, of others that are there."""
    if kind == "EndpointSlice":
        return (body["metadata"].get("labels") or {}).get(MANAGED_BY) in CONTROLLERS
    namespace = body["metadata"].get("namespace") or "default"
    owners = [(owner, namespace, name) for owner, name in controllers_of(body)]
    return any(owner in gathered.played or owner[0] in ("CronJob", "Node") for owner in owners)


def _stripped(body: Json, namespace: str) -> Json:
    """Without what another API server has written."""
    dropped = ("uid", "resourceVersion", "managedFields", "ownerReferences", "deletionTimestamp")
    metadata = {key: value for key, value in body["metadata"].items() if key not in dropped}
    if body["kind"] != "Namespace":
        metadata["namespace"] = namespace
    return {**body, "metadata": metadata}


def _workload_problem(body: Json, at: str) -> str:
    """What keeps a workload from having Pods; empty for nothing."""
    try:
        for pod in wanted_pods(body, ["node"]):
            manifest_of({**pod, "status": running_status(["10.244.0.5"])}, at)
            break
    except ConfigError as error:
        return error.problem
    except ValueError as error:
        return str(error)
    return ""


def _pod_here(body: Json, plan: Plan) -> Json:
    """A Pod with the node and the address that it says only where this lab has them."""
    spec, status = body.get("spec") or {}, body.get("status") or {}
    nodes = [node.name for node in plan.nodes]
    made = {**body, "spec": {key: value for key, value in spec.items() if key != "nodeName" or value in nodes}}
    address = status.get("podIP")
    if not address or not _is_of(str(address), plan, spec.get("nodeName")):
        made.pop("status", None)
    return made


def _is_of(text: str, plan: Plan, node: str | None) -> bool:
    try:
        address = ip_address(text)
        there = plan.node_of(address)
    except ValueError:
        return False
    return there is not None and node in (None, there.name) and 2 <= address.packed[-1] <= 254 and address.version == 4


def _lines(
    gathered: Gathered, warnings: list[str], passed_over: Mapping[str, int], path: str, some: bool
) -> Iterator[str]:
    problems = []
    for problem in gathered.problems:
        at = problem.error.at
        place = f"{at.source}:{at.line}:{at.column}: " if at else ""
        problems.append(f"{place}{problem.error.problem}; {problem.about or 'this document'} is left out")
    summary = Summary(passed_over=passed_over, templates=gathered.templates, unapplied=gathered.unapplied)
    lines = [*problems, *gathered.warnings, *warnings, *summary.warnings()]
    yield from lines[:WARNINGS_SHOWN]
    if len(lines) > WARNINGS_SHOWN:
        yield f"... and {len(lines) - WARNINGS_SHOWN} more warnings like these"
    yield from summary.lines()
    if not some:
        yield f"{path} has no object that a lab can run: Pods, workloads, Services"
