"""Manifests as the objects kdns keeps: bytes in; objects with their places, warnings, or ConfigError out. Pure.

What does not parse, or has a value of the wrong type in a field we read, is a ConfigError for the whole file. What
parses but makes no sense is left out, object by object, or field by field, and is told once, naming the object.
Objects of other kinds, and mappings without a kind, are none of our business.
"""

import json
import re
from collections.abc import Iterator, Mapping
from ipaddress import ip_address
from typing import Any, NamedTuple, TypeVar

import msgspec
from msgspec import Struct

from kdns.base.errors import ConfigError
from kdns.base.objects import Kind, Object, ObjectKey, Service
from kdns.config.yaml_values import Path
from kdns.watch.decode import schema
from kdns.watch.decode.packing import keeper
from kdns.watch.decode.status import Wire
from kdns.watch.manifests.documents import Document, read_documents
from kdns.watch.manifests.slices import SourceMetadata, SourcePod, SourceService

T = TypeVar("T")

GROUPS: Mapping[Kind, str] = {
    "Service": "v1",
    "Namespace": "v1",
    "Pod": "v1",
    "EndpointSlice": "discovery.k8s.io/v1",
    "Node": "v1",
    "ServiceCIDR": "networking.k8s.io/v1",
    "ServiceImport": "multicluster.x-k8s.io/v1alpha1",
}
"""apiVersion begins with this: other groups have kinds of the same names (serving.knative.dev has a Service)."""
LABEL = re.compile(r"[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?")
"""A DNS label as Kubernetes wants it (RFC 1123 section 2.1): Services, Namespaces, hostnames, ports."""
SUBDOMAIN = re.compile(r"(?=.{1,253}$)[a-z0-9](?:[-.a-z0-9]*[a-z0-9])?")
"""Names of Pods, EndpointSlices, Nodes and ServiceCIDRs."""
FIELDS: Mapping[Kind, tuple[tuple[str, str], ...]] = {
    "Service": (("spec", "clusterIP"), ("spec", "type")),
    "Pod": tuple(("spec", name) for name in ("nodeName", "restartPolicy", "schedulerName", "serviceAccountName"))
    + tuple(("status", name) for name in ("phase", "podIP", "nominatedNodeName")),
    "EndpointSlice": (),
    "Namespace": (("status", "phase"),),
    "Node": (),
    "ServiceCIDR": (),
    "ServiceImport": (),
}
"""What field selectors may name, beside metadata.name and metadata.namespace."""


class Manifest(Struct, frozen=True):
    """One object as a file has it."""

    object: Object
    """EndpointSlices keep their Pods' names."""
    labels: Mapping[str, str]
    fields: Mapping[str, str]
    """What field selectors ask for, by name: ``status.phase``."""
    at: str
    """``FILE:LINE``"""
    source: SourceService | SourcePod | None = None
    """Of Services and Pods, what EndpointSlices are derived from."""

    @property
    def key(self) -> ObjectKey:
        """Which object this is."""
        return self.object.key


class Manifests(NamedTuple):
    """All that one file says."""

    objects: tuple[Manifest, ...] = ()
    warnings: tuple[str, ...] = ()
    """At most one an object, each naming it and its place."""


def parse_manifests(data: bytes, source: str) -> Manifests:
    """The objects of a file that `source` names; ConfigError with the place if it cannot be read."""
    objects, warnings = [], []
    for document in read_documents(data, source):
        kind = _kind(document.value)
        if kind is None:
            continue
        notes: list[str] = []
        at = f"{source}:{document.line}"
        metadata = _converted(document, _Named).metadata or SourceMetadata()
        if kind not in schema.CLUSTER_WIDE and not metadata.namespace:
            metadata.namespace = "default"
        try:
            manifest = _manifest(document, kind, metadata, at, notes)
        except ValueError as error:
            notes = [f"skipped: {error}"]
        else:
            objects.append(manifest)
        if notes:
            warnings.append(f"{_called(kind, metadata)} in {at}: {'; '.join(notes)}")
    return Manifests(tuple(objects), tuple(warnings))


class _Named(Wire):
    metadata: SourceMetadata | None = None


def _kind(value: Any) -> Kind | None:
    """Which of our kinds a value is; None: none of them."""
    for kind, group in GROUPS.items():
        if isinstance(value, dict) and value.get("kind") == kind:
            version = value.get("apiVersion")
            return kind if version is None or (isinstance(version, str) and version.startswith(group)) else None
    return None


def _called(kind: Kind, metadata: SourceMetadata) -> str:
    name = metadata.name or ""
    name = name if len(name) <= 64 and name.isprintable() else ascii(name[:60])[1:-1] + "..."
    namespace = metadata.namespace or ""
    namespace = namespace if len(namespace) <= 64 and namespace.isprintable() else ascii(namespace[:60])[1:-1] + "..."
    return str(ObjectKey(kind, namespace if kind not in schema.CLUSTER_WIDE else "", name or "(no name)"))


def _manifest(document: Document, kind: Kind, metadata: SourceMetadata, at: str, notes: list[str]) -> Manifest:
    """ValueError: nobody can serve this object."""
    wire = _converted(document, schema.wire_type(kind, routing=True))
    if wire.metadata is not None:
        wire.metadata.namespace = metadata.namespace
    _check_names(kind, metadata)
    source = _trimmed(document, kind, metadata, wire, notes)
    kept = keeper(kind, pod_names=True, external=True, zones=True, routing=True, imports=True, labels=True)(
        wire, notes.append
    )
    if kept is None:
        raise ValueError(f"its addressType {wire.address_type} is not used by DNS")
    if isinstance(kept, Service) and kind == "Service":
        notes.extend(_about_service(kept))
    labels = {key: value or "" for key, value in (metadata.labels or {}).items()}
    return Manifest(kept, labels, _fields(document.value, kind, kept.key), at, source)


def _check_names(kind: Kind, metadata: SourceMetadata) -> None:
    if not metadata.name:
        raise ValueError("it has no name")
    if not (LABEL if kind in {"Service", "ServiceImport", "Namespace"} else SUBDOMAIN).fullmatch(metadata.name):
        raise ValueError(f"its name {_short(metadata.name)} is no valid name of a {kind}")
    if kind not in schema.CLUSTER_WIDE and not LABEL.fullmatch(metadata.namespace or ""):
        raise ValueError(f"its namespace {_short(metadata.namespace)} is no valid name of a Namespace")


def _trimmed(
    document: Document, kind: Kind, metadata: SourceMetadata, wire: Any, notes: list[str]
) -> SourceService | SourcePod | None:
    """Take what is absurd out of the wire struct, and return what EndpointSlices are derived from, trimmed alike."""
    match kind:
        case "Service":
            service = _converted(document, SourceService)
            service.metadata = metadata
            if wire.spec is not None and wire.spec.ports:
                wire.spec.ports = list(_named_ports(wire.spec.ports, notes))
            if service.spec is not None:
                service.spec.ports = list(_named_ports(service.spec.ports or [], []))
                first = next(iter(service.spec.cluster_ips or ()), None)
                _compare("clusterIP", service.spec.cluster_ip, first, notes)
            return service
        case "Pod":
            pod = _converted(document, SourcePod)
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
            notes.append(f"port {_short(port.name)} left out: no valid name of a port")
        else:
            yield port


def _compare(field: str, one: str | None, first: str | None, notes: list[str]) -> None:
    """The API server keeps both fields alike; whoever edits a file by hand may see to one only."""
    if one and first and one != first:
        notes.append(f"{field} {_short(one)} is not the first of {field}s, {_short(first)}, which is taken")


def _trim_slice(wire: schema.ApiEndpointSlice, notes: list[str]) -> None:
    labels = (wire.metadata.labels if wire.metadata else None) or schema.Labels()
    for name, value, what in (
        ("kubernetes.io/service-name", labels.service_name, "Service"),
        ("multicluster.kubernetes.io/service-name", labels.import_name, "ServiceImport"),
        ("multicluster.kubernetes.io/source-cluster", labels.source_cluster, "cluster"),
    ):
        if value and not LABEL.fullmatch(value):
            raise ValueError(f"its label {name} is {_short(value)}, no valid name of a {what}")
    if wire.endpoints is None:
        notes.append("endpoints is null: it has none")
    wire.ports = list(_named_ports(wire.ports or [], notes))
    for endpoint in wire.endpoints or ():
        if endpoint is None:
            notes.append("an endpoint is null: left out")
        elif endpoint.hostname and not LABEL.fullmatch(endpoint.hostname):
            notes.append(f"hostname {_short(endpoint.hostname)} left out: no valid name of a host")
            endpoint.hostname = None
    del notes[3:]  # one line, however many endpoints


def _trim_pod(pod: SourcePod, notes: list[str]) -> None:
    if pod.spec is not None and pod.spec.hostname and not LABEL.fullmatch(pod.spec.hostname):
        notes.append(f"hostname {_short(pod.spec.hostname)} left out: no valid name of a host")
        pod.spec.hostname = None
    if pod.status is None:
        return
    first = next(iter(pod.status.pod_ips or ()), None)
    _compare("podIP", pod.status.pod_ip, first.ip if first else None, notes)
    for text in [pod.status.pod_ip, *(entry.ip for entry in pod.status.pod_ips or () if entry is not None)]:
        try:
            ip_address(text or "::")
        except ValueError:
            notes.append(f"podIP {_short(text)} left out: not an address")
            return


def _about_service(service: Service) -> Iterator[str]:
    if service.external_name is not None or service.headless:
        return  # whether an externalName is one, the zone says: it does so for all sources
    if not service.cluster_ips:
        yield "it has no clusterIP, which the API server would have given it: no address"
    if not service.ports:
        yield "it has no ports: only its addresses are served"


def _fields(value: Mapping[str, Any], kind: Kind, key: ObjectKey) -> Mapping[str, str]:
    fields = {"metadata.name": key.name, "metadata.namespace": key.namespace}
    for part, name in FIELDS[kind]:
        within = value.get(part)
        found = within.get(name) if isinstance(within, dict) else None
        fields[f"{part}.{name}"] = found if isinstance(found, str) else ""
    return fields


# Values of the wrong type


def _converted(document: Document, wanted: type[T]) -> T:
    try:
        return msgspec.convert(document.value, wanted)
    except msgspec.ValidationError as error:
        raise _wrong_type(document, str(error)) from None


WRONG = re.compile(r"Expected `([^`]*)`, got `([^`]*)`(?: - at `\$\.?([^`]*)`)?")
PEOPLES_WORDS = {"array": "list", "object": "mapping", "str": "text"}


def _wrong_type(document: Document, message: str) -> ConfigError:
    """What msgspec found, with the field, its value and its line: ``spec.ports[0].port: expected int, got "http"``."""
    found = WRONG.match(message)
    if found is None:
        return ConfigError(message, document.span())
    expected = [PEOPLES_WORDS.get(word, word) for word in found[1].split(" | ") if word != "null"]
    path, value = _walk(document.value, found[3] or "", found[2])
    field = ".".join(f"[{step}]" if isinstance(step, int) else step for step in path).replace(".[", "[")
    shown = _sample(value)
    problem = f"expected {' or '.join(expected)}, got {shown}"
    return ConfigError(f"{field}: {problem}" if field else problem, document.span(path))


def _walk(value: Any, path: str, got: str) -> tuple[Path, Any]:
    """Follow msgspec's path: keys may hold dots, and ``[...]`` stands for some key of a mapping."""
    steps: list[str | int] = []
    while path:
        if path.startswith("[...]") and isinstance(value, dict):
            types = {"str": str, "int": int, "float": float, "bool": bool, "array": list, "object": dict}
            step: str | int = next((key for key, one in value.items() if type(one) is types.get(got)), "")
            path = path[5:]
        elif (index := re.match(r"\[(\d+)\]", path)) and isinstance(value, list):
            step, path = int(index[1]), path[index.end() :]
        elif isinstance(value, dict):
            fits = [key for key in value if path.startswith(key) and path[len(key) : len(key) + 1] in {"", ".", "["}]
            step = max(fits, key=len, default=path)
            path = path[len(step) :]
        else:
            break
        path = path.removeprefix(".")
        steps.append(step)
        try:
            value = value[step]
        except (KeyError, IndexError):
            break
    return tuple(steps), value


def _sample(value: Any) -> str:
    if isinstance(value, dict | list):
        return "a mapping" if isinstance(value, dict) else "a list"
    return _short(value)


def _short(value: object) -> str:
    """A value on one line, in JSON's spelling."""
    text = json.dumps(value, default=str)
    return text if len(text) <= 64 else text[:60] + '..."'
