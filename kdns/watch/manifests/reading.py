"""Manifests as the objects kdns keeps: bytes in; objects with their places, warnings and problems out. Pure.

A document that does not parse, or has a value of the wrong type in a field we read, is a problem with its place, and
the next document is read. What parses but makes no sense is left out, object by object, or field by field, with one
warning that names the object. Objects of other kinds, and mappings without a kind, are counted.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from msgspec.structs import replace

from kdns.base.addresses import parse_address
from kdns.base.errors import ConfigError
from kdns.base.objects import Kind, ObjectKey, Service
from kdns.watch.decode import schema
from kdns.watch.decode.packing import keeper
from kdns.watch.decode.status import Wire
from kdns.watch.manifests.defaults import is_incomplete, is_live
from kdns.watch.manifests.documents import Document, Text, read_documents
from kdns.watch.manifests.headers import Choose
from kdns.watch.manifests.kustomization import is_kustomization, patch_files, unapplied_fields
from kdns.watch.manifests.manifest import (
    FIELDS,
    GROUPS,
    LABEL,
    SUBDOMAIN,
    Json,
    Manifest,
    Manifests,
    Played,
    Problem,
    Skipped,
)
from kdns.watch.manifests.mirror import SourceEndpoints
from kdns.watch.manifests.misspelt import misspelt_fields
from kdns.watch.manifests.mistakes import converted, short
from kdns.watch.manifests.slices import SourceMetadata, SourcePod, SourceService
from kdns.watch.manifests.workloads import WORKLOADS

ENDPOINTS: Final = "Endpoints"
HELM: Final = re.compile(rb"\{\{-?\s*(?:[\w ]*\.(?:Values|Release|Chart|Capabilities|Template)\b|include )")
"""What templates of Helm hold, and templates that other programs keep in manifests (alerts, dashboards) do not."""


def parse_manifests(
    data: bytes,
    source: str,
    *,
    also: frozenset[str] = frozenset(),
    step: Callable[[], None] = lambda: None,
    choose: Choose | None = None,
) -> Manifests:
    """What a file says that `source` names. Nothing is raised: what cannot be read is among the problems.

    ``also``: more kinds to keep as `Played` objects, and every object keeps its body. ``step`` is called after each
    document. ``choose`` may leave out items of lists.
    """
    entries: list[Manifest | Played | Skipped] = []
    problems: list[Problem] = []
    passed_over: Counter[str] = Counter()
    patches: list[str] = []
    unapplied: list[str] = []
    for document in read_documents(data, source, lambda error: problems.append(Problem(error)), choose):
        step()
        if is_kustomization(document.value, source):
            patches += patch_files(document.value)
            unapplied += unapplied_fields(document.value)
            continue
        kind, played = _kind(document.value), _played_kind(document.value, also)
        if kind is None and played is None:
            passed_over[_foreign_kind(document.value)] += 1
            continue
        try:
            entries.append(_entry(document, kind, bool(also)) if kind else _played(document, played or ""))
        except ConfigError as error:
            problems.append(Problem(error, _rough_name(document.value)))
    if problems and HELM.search(data):
        return Manifests(problems=tuple(problems), template=True)
    return Manifests(tuple(entries), tuple(problems), passed_over, tuple(patches), tuple(unapplied))


def manifest_of(body: Json, at: str, *, keep_body: bool = False) -> Manifest:
    """An object that was made here, as if a file had it.

    ConfigError for a value of the wrong type, ValueError for what makes no sense: both come from what it was made of.
    """
    kind = _kind(body)
    assert kind is not None
    entry = _entry(Document(body, Text(at, b""), 1, 1), kind, keep_body)
    if isinstance(entry, Skipped):
        raise ValueError(entry.warning)
    return Manifest(entry.object, entry.labels, entry.fields, at, entry.source, body if keep_body else None)


class _Named(Wire):
    metadata: SourceMetadata | None = None


def _entry(document: Document, kind: Kind, keep_body: bool) -> Manifest | Skipped:
    """ConfigError for a value of the wrong type."""
    notes: list[str] = []
    at = f"{document.text.source}:{document.line}"
    metadata = converted(document, _Named).metadata or SourceMetadata()
    if kind not in schema.CLUSTER_WIDE and not metadata.namespace:
        metadata.namespace = "default"
    called = f"{_called(kind, metadata)} in {at}"
    try:
        manifest = _manifest(document, kind, metadata, at, notes, keep_body)
    except ValueError as error:
        return Skipped(f"{called}: skipped: {error}")
    return replace(manifest, warning=f"{called}: {'; '.join(notes)}") if notes else manifest


def _played(document: Document, kind: str) -> Played | Skipped:
    """ConfigError for a value of the wrong type."""
    body = document.value
    at = f"{document.text.source}:{document.line}"
    if kind == ENDPOINTS:
        converted(document, SourceEndpoints)
    metadata = converted(document, _Named).metadata or SourceMetadata()
    name, namespace = metadata.name or "", metadata.namespace or "default"
    if not SUBDOMAIN.fullmatch(name) or not LABEL.fullmatch(namespace):
        which = f"its name {short(name)}" if name else "it has no name"
        return Skipped(f"{kind} {_shown(namespace)}/{_shown(name) or '(no name)'} in {at}: skipped: {which}"
                       + (" is no valid name" if name else ""))  # fmt: skip
    return Played(kind, namespace, name, body, at, is_live(body))


def _kind(value: Any) -> Kind | None:
    """Which of our kinds a value is; None: none of them."""
    kind = value.get("kind")
    if not isinstance(kind, str) or kind not in GROUPS:
        return None
    version = value.get("apiVersion")
    known: Kind = kind  # type: ignore[assignment]
    return known if version is None or (isinstance(version, str) and version.startswith(GROUPS[known])) else None


def _played_kind(value: Any, also: frozenset[str]) -> str | None:
    """The kind of an object of which a cluster makes others, or that is wanted besides; None: neither."""
    kind, version = value.get("kind"), value.get("apiVersion")
    if not isinstance(kind, str):
        return None
    groups = ("v1",) if kind == ENDPOINTS else WORKLOADS.get(kind, ())
    if kind in also and kind not in WORKLOADS:
        return kind
    if version is None and groups:
        return kind
    return kind if isinstance(version, str) and version.startswith(groups) and groups else None


def _foreign_kind(value: Any) -> str:
    """What a document says it is, for counting; with its group where the kind alone would look like ours."""
    kind, version = value.get("kind"), value.get("apiVersion")
    if not isinstance(kind, str) or not kind:
        return ""
    if kind in GROUPS or kind in WORKLOADS or kind == ENDPOINTS:
        return f"{_shown(kind)} ({_shown(str(version))})"
    return _shown(kind)


def _rough_name(value: Any) -> str:
    """The kind and name of an object some of whose values have the wrong type."""
    metadata = value.get("metadata")
    name = metadata.get("name") if isinstance(metadata, dict) else None
    return f"{value['kind']} {_shown(name)}" if isinstance(name, str) and name else str(value["kind"])


def _shown(text: str) -> str:
    """Text of a file, short and on one line."""
    return text if len(text) <= 64 and text.isprintable() else ascii(text[:60])[1:-1] + "..."


def _called(kind: Kind, metadata: SourceMetadata) -> str:
    name, namespace = _shown(metadata.name or ""), _shown(metadata.namespace or "")
    return str(ObjectKey(kind, namespace if kind not in schema.CLUSTER_WIDE else "", name or "(no name)"))


def _manifest(
    document: Document, kind: Kind, metadata: SourceMetadata, at: str, notes: list[str], keep_body: bool
) -> Manifest:
    """ValueError: this object cannot be served."""
    wire = converted(document, schema.wire_type(kind, routing=True))
    if wire.metadata is not None:
        wire.metadata.namespace = metadata.namespace
    _check_names(kind, metadata)
    source = _trimmed(document, kind, metadata, wire, notes)
    kept = keeper(kind, pod_names=True, external=True, zones=True, routing=True, imports=True, labels=True)(
        wire, notes.append
    )
    if kept is None:
        raise ValueError(f"its addressType {wire.address_type} is not used by DNS")
    live, body = is_live(document.value), document.value
    if isinstance(kept, Service) and kind == "Service":
        notes.extend(misspelt_fields(body))
        notes.extend(_about_service(kept, live))
    labels = {key: value or "" for key, value in (metadata.labels or {}).items()}
    unfinished = (kind == "Service" and is_incomplete(body)) or (kind == "Pod" and not live and not body.get("status"))
    kept_body = body if unfinished or keep_body else None
    return Manifest(kept, labels, _fields(body, kind, kept.key), at, source, kept_body, live)


def _check_names(kind: Kind, metadata: SourceMetadata) -> None:
    if not metadata.name:
        raise ValueError("it has no name")
    if not (LABEL if kind in {"Service", "ServiceImport", "Namespace"} else SUBDOMAIN).fullmatch(metadata.name):
        raise ValueError(f"its name {short(metadata.name)} is no valid name of a {kind}")
    if kind not in schema.CLUSTER_WIDE and not LABEL.fullmatch(metadata.namespace or ""):
        raise ValueError(f"its namespace {short(metadata.namespace)} is no valid name of a Namespace")


def _trimmed(
    document: Document, kind: Kind, metadata: SourceMetadata, wire: Any, notes: list[str]
) -> SourceService | SourcePod | None:
    """Take what is absurd out of the wire struct, and return what EndpointSlices are derived from, trimmed alike."""
    match kind:
        case "Service":
            service = converted(document, SourceService)
            service.metadata = metadata
            if wire.spec is not None and wire.spec.ports:
                wire.spec.ports = list(_named_ports(wire.spec.ports, notes))
            if service.spec is not None:
                service.spec.ports = list(_named_ports(service.spec.ports or [], []))
                first = next(iter(service.spec.cluster_ips or ()), None)
                _compare("clusterIP", service.spec.cluster_ip, first, notes)
            return service
        case "Pod":
            pod = converted(document, SourcePod)
            pod.metadata = metadata
            _trim_pod(pod, notes)
            return pod
        case "EndpointSlice":
            _trim_slice(wire, notes)
        case "ServiceImport" if wire.spec is not None and wire.spec.ports:
            wire.spec.ports = list(_named_ports(wire.spec.ports, notes))
    return None


def _named_ports(ports: list[Any], notes: list[str]) -> Iterator[Any]:
    for port in ports:
        if port is not None and port.name and not LABEL.fullmatch(port.name):
            notes.append(f"port {short(port.name)} left out: no valid name of a port")
        else:
            yield port


def _compare(field: str, second: str | None, first: str | None, notes: list[str]) -> None:
    """The API server keeps both fields alike; a file edited by hand may have one only."""
    if second and first and second != first:
        notes.append(f"{field} {short(second)} is not the first of {field}s, {short(first)}, which is taken")


def _trim_slice(wire: schema.ApiEndpointSlice, notes: list[str]) -> None:
    labels = (wire.metadata.labels if wire.metadata else None) or schema.Labels()
    for name, value, what in (
        ("kubernetes.io/service-name", labels.service_name, "Service"),
        ("multicluster.kubernetes.io/service-name", labels.import_name, "ServiceImport"),
        ("multicluster.kubernetes.io/source-cluster", labels.source_cluster, "cluster"),
    ):
        if value and not LABEL.fullmatch(value):
            raise ValueError(f"its label {name} is {short(value)}, no valid name of a {what}")
    if wire.endpoints is None:
        notes.append("endpoints is null: it has none")
    wire.ports = list(_named_ports(wire.ports or [], notes))
    for endpoint in wire.endpoints or ():
        if endpoint is None:
            notes.append("an endpoint is null: left out")
        elif endpoint.hostname and not LABEL.fullmatch(endpoint.hostname):
            notes.append(f"hostname {short(endpoint.hostname)} left out: no valid name of a host")
            endpoint.hostname = None
    del notes[3:]  # one line, however many endpoints


def _trim_pod(pod: SourcePod, notes: list[str]) -> None:
    if pod.spec is not None and pod.spec.hostname and not LABEL.fullmatch(pod.spec.hostname):
        notes.append(f"hostname {short(pod.spec.hostname)} left out: no valid name of a host")
        pod.spec.hostname = None
    if pod.status is None:
        return
    first = next(iter(pod.status.pod_ips or ()), None)
    _compare("podIP", pod.status.pod_ip, first.ip if first else None, notes)
    for text in [pod.status.pod_ip, *(entry.ip for entry in pod.status.pod_ips or () if entry is not None)]:
        try:
            parse_address(text or "::")
        except ValueError:
            notes.append(f"podIP {short(text)} left out: not an address")
            return


def _about_service(service: Service, live: bool) -> Iterator[str]:
    if service.external_name is not None or service.headless:
        return  # whether an externalName is one, the zone says: it does so for all sources
    if not service.cluster_ips and live:
        yield "it has no clusterIP, which the API server would have given it: no address"
    if not service.ports:
        yield "it has no ports: only its addresses are served"


def _fields(value: Mapping[str, Any], kind: Kind, key: ObjectKey) -> Mapping[str, str]:
    fields = {"metadata.name": key.name, "metadata.namespace": key.namespace}
    for part, name in FIELDS[kind]:
        within = value.get(part)
        field = within.get(name) if isinstance(within, dict) else None
        fields[f"{part}.{name}"] = field if isinstance(field, str) else ""
    return fields
