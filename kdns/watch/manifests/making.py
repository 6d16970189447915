"""What a cluster adds to the objects that people write: addresses, Pods, slices, Namespaces. Pure.

Objects of a live dump get nothing: what the cluster made of them is in the dump, or was not asked for. So Deployments
of a dump get Pods only if the dump has neither Pods nor slices.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

from msgspec import convert
from msgspec.structs import replace

from kdns.base.errors import ConfigError
from kdns.base.objects import DerivedFrom, EndpointSlice, Namespace, Node, ObjectKey, Service, address_text
from kdns.watch.decode.packing import keeper
from kdns.watch.manifests.addresses import PODS, SERVICES, WELL_KNOWN, Addresses
from kdns.watch.manifests.defaults import FAMILIES, cluster_ips, completed_service
from kdns.watch.manifests.manifest import Json, Manifest, Played
from kdns.watch.manifests.mirror import SourceEndpoints, is_mirrored, mirrored_slices
from kdns.watch.manifests.reading import ENDPOINTS, manifest_of
from kdns.watch.manifests.slices import SourcePod, SourceService, derive_slices
from kdns.watch.manifests.workloads import LIMIT, WORKLOADS, controllers_of, wanted_count, wanted_pods

HOST: Final = ("172.18.0.2", "fc00:f853:ccd:e793::2")
"""Addresses of Pods in their node's network, where no file has Nodes: those of kind's first node."""
NODES: Final = ("node",)
"""Names of the nodes, where no file has any."""


class Making:
    """Adds to the objects of files, in the order of its methods."""

    def __init__(
        self, objects: dict[ObjectKey, Manifest], played: Sequence[Played], *, keep_bodies: bool = False
    ) -> None:
        self.warnings: list[str] = []
        self.addresses = 0
        """Services that got a cluster IP."""
        self.pods: Counter[str] = Counter()
        """Pods that were made, by the kind that asked for them; Pod for those that were written without an address."""
        self.mirrored = 0
        self._objects, self._played, self._keep = objects, played, keep_bodies
        self._written = [text for manifest in objects.values() for text in _pod_ips(manifest)]
        self._placed: dict[str, list[Mapping[str, str]]] = {}
        """The labels of Pods that were written with an address, by namespace."""
        for manifest in objects.values():
            if any(_pod_ips(manifest)):
                self._placed.setdefault(manifest.key.namespace, []).append(manifest.labels)
        self._dual = any(":" in text for text in self._written)
        """Some Pod has an IPv6 address: headless Services that do not say their families have both."""

    def complete_services(self) -> None:
        """Cluster IPs, families and node ports for Services that were written without."""
        unfinished = sorted(
            (key, manifest)
            for key, manifest in self._objects.items()
            if key.kind == "Service" and manifest.body is not None and not manifest.live
        )
        if not unfinished:
            return
        services = [manifest.object for manifest in self._objects.values() if isinstance(manifest.object, Service)]
        taken = (address_text(address) for service in services for address in service.cluster_ips)
        addresses = Addresses(SERVICES, taken, WELL_KNOWN)
        node_ports = {port.node_port for service in services for port in service.ports if port.node_port}
        for key, manifest in unfinished:
            assert manifest.body is not None
            spec = manifest.body.get("spec") or {}
            if cluster_ips(spec)[:1] == ["None"] and self._dual and not isinstance(spec.get("ipFamilyPolicy"), str):
                continue
            try:
                body = completed_service(_named(manifest), addresses, node_ports)
            except ValueError as error:
                self.warnings.append(f"{key} in {manifest.at}: {error}")
                continue
            self._objects[key] = manifest_of(body, manifest.at, keep_body=self._keep)
            self.addresses += not cluster_ips(spec)
            self._dual = self._dual or "IPv6" in body["spec"].get("ipFamilies", ())

    def make_pods(self) -> None:
        """Pods of workloads, and addresses for Pods that were written without; all of them run and are ready."""
        addresses = Addresses(PODS, self._written)
        families = FAMILIES if self._dual else FAMILIES[:1]
        nodes = [manifest.object for manifest in self._objects.values() if isinstance(manifest.object, Node)]
        hosts = {node.key.name: [address_text(address) for address in node.addresses] for node in nodes}
        for owner, bodies in [*self._unplaced_pods(), *self._workload_pods(tuple(sorted(hosts)) or NODES)]:
            try:
                for body in bodies:
                    self._place(owner, body, addresses, families, hosts)
            except ConfigError as error:
                self.warnings.append(f"{owner} in {owner.at}: no Pods: {error.problem}")
            except ValueError as error:
                self.warnings.append(f"{owner} in {owner.at}: no Pods: {error}")

    def _place(
        self,
        owner: Played,
        body: Json,
        addresses: Addresses,
        families: Sequence[str],
        hosts: Mapping[str, Sequence[str]],
    ) -> None:
        metadata, spec = body["metadata"], body.get("spec") or {}
        key = ObjectKey("Pod", metadata["namespace"], metadata["name"])
        if owner.kind != "Pod" and key in self._objects:
            return
        if spec.get("hostNetwork") is True:
            anywhere = next(iter(hosts.values()), HOST[: len(families)])
            ips = hosts.get(str(spec.get("nodeName")), anywhere) or HOST[: len(families)]
        else:
            ips = [addresses.take(f"{key.namespace}/{key.name}", family) for family in families]
        self._objects[key] = manifest_of({**body, "status": running_status(ips)}, owner.at, keep_body=self._keep)
        self.pods[owner.kind] += 1

    def derive_slices(self) -> None:
        """Slices for the Services that no file has any slice of: of Endpoints, or of the Pods they select."""
        served = {
            (manifest.key.namespace, manifest.object.service)
            for manifest in self._objects.values()
            if isinstance(manifest.object, EndpointSlice)
        }
        services = {
            (key.namespace, key.name): manifest
            for key, manifest in self._objects.items()
            if isinstance(manifest.source, SourceService) and (key.namespace, key.name) not in served
        }
        self._mirror(services, served)
        pods = [manifest.source for manifest in self._objects.values() if isinstance(manifest.source, SourcePod)]
        keep = keeper("EndpointSlice", pod_names=True, routing=True)
        sources = (manifest.source for manifest in services.values())
        for wire, labels in derive_slices((source for source in sources if isinstance(source, SourceService)), pods):
            kept = keep(wire, lambda problem: None)  # it was warned about addresses when the Pods were read
            if isinstance(kept, EndpointSlice):
                at = services[kept.key.namespace, kept.service].at
                fields = {"metadata.name": kept.key.name, "metadata.namespace": kept.key.namespace}
                derived = replace(kept, derived_from=DerivedFrom("Service", kept.key.namespace, kept.service))
                self._objects.setdefault(kept.key, Manifest(derived, labels, fields, at))

    def add_namespaces(self) -> None:
        """A Namespace for each that some object is in: folders of manifests rarely have them all."""
        places: dict[str, str] = {}
        for key, manifest in self._objects.items():
            if key.namespace:
                places.setdefault(key.namespace, manifest.at)
        for played in self._played:
            places.setdefault(played.namespace, played.at)
        for name, at in places.items():
            key = ObjectKey("Namespace", "", name)
            fields = {"metadata.name": name, "metadata.namespace": "", "status.phase": "Active"}
            self._objects.setdefault(key, Manifest(Namespace(key), {}, fields, at))

    def _unplaced_pods(self) -> Iterator[tuple[Played, Iterable[Json]]]:
        for key, manifest in sorted((key, made) for key, made in self._objects.items() if made.body is not None):
            body = manifest.body
            if key.kind == "Pod" and body is not None and not manifest.live and not body.get("status"):
                yield Played("Pod", key.namespace, key.name, body, manifest.at), (_named(manifest),)

    def _workload_pods(self, nodes: Sequence[str]) -> Iterator[tuple[Played, Iterable[Json]]]:
        """The Pods of each workload that is not itself made by another one, and whose Pods the files do not have."""
        have = (manifest for manifest in self._objects.values() if manifest.live)
        dumped = any(manifest.key.kind in ("Pod", "EndpointSlice") for manifest in have)
        written = {(object_.kind, object_.namespace, object_.name) for object_ in self._played}
        for workload in sorted(self._played, key=lambda played: (played.namespace, played.name, played.kind)):
            made_by = ((kind, workload.namespace, name) for kind, name in controllers_of(workload.body))
            if (
                workload.kind not in WORKLOADS
                or (workload.live and dumped)
                or any(owner in written or owner[0] == "CronJob" for owner in made_by)
            ):
                continue
            body = {**workload.body, "metadata": {**workload.body["metadata"], "namespace": workload.namespace}}
            try:
                pods = wanted_pods(body, nodes)
                if self._has_pods(workload):
                    continue
                if (wanted := wanted_count(body)) > LIMIT:
                    self.warnings.append(f"{workload} in {workload.at}: only {LIMIT:,} of its {wanted:,} Pods are made")
                yield workload, pods
            except ValueError as error:
                self.warnings.append(f"{workload} in {workload.at}: no Pods: {error}")

    def _has_pods(self, workload: Played) -> bool:
        """Whether a file has a Pod with an address and the labels of this workload's template."""
        labels = (workload.body["spec"]["template"].get("metadata") or {}).get("labels") or {}
        return any(labels.items() <= pod.items() for pod in self._placed.get(workload.namespace, ()) if labels)

    def _mirror(self, services: dict[tuple[str, str], Manifest], served: set[tuple[str, str]]) -> None:
        for played in self._played:
            if played.kind != ENDPOINTS or (played.namespace, played.name) in served:
                continue
            endpoints = convert(played.body, SourceEndpoints)
            if endpoints.metadata is None or not is_mirrored(endpoints):
                continue
            endpoints.metadata.namespace = played.namespace
            service = services.get((played.namespace, played.name))
            if service is None:
                self.warnings.append(f"{played} in {played.at}: not mirrored: there is no Service of that name")
            elif not (
                isinstance(service.source, SourceService) and service.source.spec and service.source.spec.selector
            ):
                self.mirrored += 1
                for body in mirrored_slices(endpoints):
                    manifest = manifest_of(body, played.at, keep_body=self._keep)
                    assert isinstance(manifest.object, EndpointSlice)
                    mirrored = replace(
                        manifest.object, derived_from=DerivedFrom("Endpoints", played.namespace, played.name)
                    )
                    self._objects.setdefault(manifest.key, replace(manifest, object=mirrored))


def running_status(addresses: Iterable[str]) -> Json:
    """The status of a Pod that runs and is ready."""
    texts = list(addresses)
    return {
        "phase": "Running",
        "podIP": texts[0],
        "podIPs": [{"ip": text} for text in texts],
        "conditions": [{"type": "Ready", "status": "True"}],
    }


def _pod_ips(manifest: Manifest) -> Iterator[str]:
    if isinstance(manifest.source, SourcePod) and (status := manifest.source.status) is not None:
        yield from (entry.ip for entry in status.pod_ips or () if entry is not None and entry.ip)
        if status.pod_ip:
            yield status.pod_ip


def _named(manifest: Manifest) -> Json:
    """The body of an object, with its namespace."""
    assert manifest.body is not None
    return {**manifest.body, "metadata": {**manifest.body["metadata"], "namespace": manifest.key.namespace}}
