"""What one file of manifests says, as values: objects that kdns keeps, others that it plays the cluster for. Pure."""

import re
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from msgspec import Struct

from kdns.base.errors import ConfigError
from kdns.base.objects import Kind, Object, ObjectKey
from kdns.watch.manifests.slices import SourcePod, SourceService

Json = dict[str, Any]

GROUPS: Final[Mapping[Kind, str]] = {
    "Service": "v1",
    "Namespace": "v1",
    "Pod": "v1",
    "EndpointSlice": "discovery.k8s.io/v1",
    "Node": "v1",
    "ServiceCIDR": "networking.k8s.io/v1",
    "ServiceImport": "multicluster.x-k8s.io/v1alpha1",
}
"""apiVersion begins with this: other groups have kinds of the same names (serving.knative.dev has a Service)."""
LABEL: Final = re.compile(r"[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?")
"""A DNS label as Kubernetes wants it (RFC 1123 section 2.1): Services, Namespaces, hostnames, ports."""
SUBDOMAIN: Final = re.compile(r"(?=.{1,253}$)[a-z0-9](?:[-.a-z0-9]*[a-z0-9])?")
"""Names of Pods, EndpointSlices, Nodes and ServiceCIDRs."""
FIELDS: Final[Mapping[Kind, tuple[tuple[str, str], ...]]] = {
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
    body: Json | None = None
    """The whole object, where something is still to be filled in, or where it was asked for."""
    live: bool = False
    """An API server has written it: nothing is filled in."""
    warning: str = ""
    """What is wrong with it, in a line that names it and its place."""

    @property
    def key(self) -> ObjectKey:
        """Which object this is."""
        return self.object.key


class Played(Struct, frozen=True):
    """An object that DNS and the proxy do not read, but of which a cluster makes objects that they do read."""

    kind: str
    """One of `workloads.WORKLOADS`, Endpoints, or whatever else was asked for."""
    namespace: str
    name: str
    body: Json
    at: str
    live: bool = False

    def __str__(self) -> str:
        return f"{self.kind} {self.namespace}/{self.name}"


class Skipped(Struct, frozen=True):
    """An object that parses and makes no sense."""

    warning: str


class Problem(NamedTuple):
    """A document that cannot be read: it is left out, the rest of its file is not."""

    error: ConfigError
    about: str = ""
    """The object, as far as it is known: ``Service shop/web``."""


class Manifests(NamedTuple):
    """All that one file says, in its order."""

    entries: tuple[Manifest | Played | Skipped, ...] = ()
    problems: tuple[Problem, ...] = ()
    passed_over: Mapping[str, int] = {}
    """How many objects of each kind that nothing here reads; the empty kind is for documents without one."""
    patches: tuple[str, ...] = ()
    """Of a kustomization: the files, relative to its own folder, that hold parts of objects."""
    unapplied: tuple[str, ...] = ()
    """Of a kustomization: its fields that change objects, which is not done here."""
    template: bool = False
    """It is a template of Helm: nothing in it is an object yet."""

    @property
    def objects(self) -> tuple[Manifest, ...]:
        """The objects that kdns keeps."""
        return tuple(entry for entry in self.entries if isinstance(entry, Manifest))

    @property
    def warnings(self) -> tuple[str, ...]:
        """At most one an object, each naming it and its place."""
        texts = (entry.warning for entry in self.entries if not isinstance(entry, Played))
        return tuple(text for text in texts if text)
