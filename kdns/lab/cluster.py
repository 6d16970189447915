"""A whole cluster in a lab: manifests in, Pods running, slices written, and an API server that tells everybody.

::

    with Cluster(folder=Path("manifests")) as cluster:
        cluster.wait_until_ready()
        cluster.patch("Service", "default", "hostnames", {"spec": {"externalTrafficPolicy": "Local"}})
        cluster.scale("default", "hostnames", 0)

One thread plays the scheduler, the kubelets and the controllers: after each change, and some times a second, it makes
what runs into what the objects say. Methods may be called from any other thread.
"""

import logging
import secrets
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self, TypeVar

from kdns.base.errors import ConfigError
from kdns.config.resolv_conf import Resolver, resolver
from kdns.lab import namespaces as kernel
from kdns.lab.api import ApiServer
from kdns.lab.credentials import certificate, kubeconfig
from kdns.lab.folder import Folder, read_folder
from kdns.lab.kubelet import Kubelet, runs_programs
from kdns.lab.network import Network
from kdns.lab.plan import PLAN, SERVICES, Pair, Plan, Pod
from kdns.lab.processes import Process
from kdns.lab.slices import build_slices, mirrored
from kdns.lab.tools import KDNS
from kdns.lab.workloads import (
    READY_ANNOTATION,
    Json,
    cluster_objects,
    completed,
    is_ready,
    key_of,
    owner_of,
    pod_status,
    wanted_pods,
)
from kdns.watch.manifests.defaults import cluster_ips
from kdns.watch.manifests.mirror import MIRRORED_BY
from kdns.watch.manifests.workloads import WORKLOADS

LOG = logging.getLogger(__name__)

API_PORT: Final = 6443
HERE: Final = "127.0.0.1"
CLUSTER_DNS: Final = (str(SERVICES[0][10]),)
"""The kubelets' clusterDNS: 10.96.0.10."""
FEWER: Final = "a lab has room for some 500 Pods; give it a part of the manifests (--folder), or fewer replicas"
LOOK: Final = 0.2
"""Seconds between two looks at what runs."""
DERIVED: Final = "kdns"
"""Who manages the slices that are written here (endpointslice.kubernetes.io/managed-by)."""
T = TypeVar("T")


class Cluster:
    """See the module. ``network`` is its ground, ``kubeconfig`` a file that leads to its API server from the nodes."""

    def __init__(
        self,
        objects: Iterable[Json] = (),
        *,
        folder: Path | None = None,
        plan: Plan = PLAN,
        environ: Mapping[str, str] | None = None,
        upstream: Sequence[str] = (),
        programs: Iterable[str] = (),
        iptables: str = "",
        name: str = "",
        kept: bool = False,
    ) -> None:
        """Objects from a manifests folder, and others, which come later and win.

        ``environ`` is for programs in Pods; ``upstream`` are the name servers of the nodes' own resolv.conf.
        ``iptables``: the variant that the nodes' kubelets use (``nft``, ``legacy``), if it matters.
        ConfigError for what the operator must fix.
        """
        self.plan = plan
        self.network = Network(plan, name, ("openssl", *programs), kept)
        self._lock = threading.RLock()
        self._wake, self._stop = threading.Event(), False
        self._settled = False
        """Whether the nodes' own programs, such as the proxy, were ready once."""
        self._thread: threading.Thread | None = None
        self.problem: Exception | None = None
        """What ended the thread before its time; every method raises it."""
        try:
            read = read_folder(folder, plan) if folder else Folder()
            for line in read.lines:
                LOG.warning("%s", line)
            self._build([*read.objects, *objects], dict(environ or {}), upstream, iptables)
        except BaseException:
            self.close()
            raise

    def _build(
        self, objects: Sequence[Json], environ: Mapping[str, str], upstream: Sequence[str], iptables: str
    ) -> None:
        network, token = self.network, secrets.token_urlsafe(16)
        first = self.plan.nodes[0].addresses[0]
        cert, key = certificate(network.folder, (str(first), str(SERVICES[0][1]), HERE))
        self.kubeconfig = network.folder / "kubeconfig"
        self.kubeconfig.write_text(kubeconfig(f"https://{first}:{API_PORT}", cert, token))
        self._kubeconfig = partial(kubeconfig, ca=cert, token=token)
        self._node_resolver = Resolver(tuple(upstream))
        variables = {"KUBERNETES_SERVICE_HOST": str(SERVICES[0][1]), "KUBERNETES_SERVICE_PORT": "443"}
        account = {"token": token.encode(), "ca.crt": cert.read_bytes(), "namespace": b"default"}
        self._kubelet = Kubelet(network, variables | dict(environ), account)
        self._api = ApiServer(token, self._wake.set)
        self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._tls.load_cert_chain(cert, key)
        listening = kernel.bound(network.parts[self.plan.nodes[0].name].network, str(first), API_PORT)
        self.network.background.wait_for(self._api.serve(listening, self._tls))
        for node in self.plan.nodes:
            (network.folder / node.name / "resolv.conf").write_text(self._node_resolver.present())
            if iptables:
                self._kubelet.hint(node.name, iptables)
        self.put(*cluster_objects(self.plan, API_PORT), *objects)
        self._thread = threading.Thread(target=self._go_on, name="lab-kubelet", daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End everything."""
        self._stop = True
        self._wake.set()
        if self._thread is not None:
            self._thread.join()
            self.network.background.wait_for(self._api.close())
        self.network.close()

    def kubeconfig_here(self) -> Path:
        """Serve the API on this machine's loopback, too; a file that leads there."""
        listening = socket.create_server((HERE, 0))
        listening.setblocking(False)
        self.network.background.wait_for(self._api.serve(listening, self._tls))
        file = self.network.folder / "kubeconfig-here"
        file.write_text(self._kubeconfig(f"https://{HERE}:{listening.getsockname()[1]}"))
        return file

    # -- objects ------------------------------------------------------------------------------------------------------

    def put(self, *bodies: Json) -> None:
        """Create or replace objects, completed as the API server does; what follows from them has happened on return.

        (Programs take their time to start: `wait_until_ready`.)
        """
        with self._lock:
            for body in sorted(bodies, key=_has_address, reverse=True):
                made = completed(body, self.objects("Service") if body["kind"] == "Service" else ())
                if made["kind"] == "Pod":
                    made.setdefault("status", {"phase": "Pending"})
                self._at_api(self._api.put, made)
            self._reconcile()

    def patch(self, kind: str, namespace: str, name: str, changes: Json) -> None:
        """Merge changes into an object (null removes a field); KeyError if there is none."""
        with self._lock:
            self._at_api(self._api.patch, kind, namespace, name, changes)
            self._reconcile()

    def delete(self, kind: str, namespace: str, name: str) -> None:
        """Delete an object; a Pod begins to terminate."""
        with self._lock:
            if kind == "Pod":
                self._at_api(self._api.patch, kind, namespace, name, {"metadata": {"deletionTimestamp": _now()}})
            else:
                self._at_api(self._api.delete, kind, namespace, name)
            self._reconcile()

    def objects(self, kind: str) -> list[Json]:
        """Every object of a kind."""
        return self._at_api(self._api.objects, kind)

    @property
    def events(self) -> list[Json]:
        """The Events that were written so far."""
        return list(self._api.events)

    def set_ready(self, namespace: str, name: str, ready: bool) -> None:
        """Make a Pod not ready, whatever it does, or let it be ready again."""
        annotation = {READY_ANNOTATION: None if ready else "false"}
        self.patch("Pod", namespace, name, {"metadata": {"annotations": annotation}})

    def scale(self, namespace: str, name: str, replicas: int) -> None:
        """Change how many Pods a Deployment has."""
        self.patch("Deployment", namespace, name, {"spec": {"replicas": replicas}})

    def pods(self, namespace: str = "default", **labels: str) -> list[Json]:
        """The Pods of a namespace with these labels, in the order of names."""
        pods = [
            pod
            for pod in self.objects("Pod")
            if pod["metadata"]["namespace"] == namespace
            and labels.items() <= (pod["metadata"].get("labels") or {}).items()
        ]
        return sorted(pods, key=key_of)

    def program(self, namespace: str, name: str) -> Process:
        """The first program of a Pod, as it runs now; KeyError if there is none."""
        with self._lock:
            return next(iter(self._kubelet.running[namespace, name].programs.values()))

    def command(self, *arguments: str) -> tuple[str, ...]:
        """kdns as a command for a part."""
        return (*KDNS, *arguments)

    def wait_until_ready(self, patience: float = 20.0) -> None:
        """Wait until every Pod is ready. ConfigError with what those say that are not, when it takes too long."""
        self.wait_for(lambda: all(is_ready(pod) for pod in self.objects("Pod")), patience)

    def wait_for(
        self, condition: Callable[[], bool], patience: float = 20.0, problem: str = "the lab is not ready"
    ) -> None:
        """Wait until something is so. ConfigError with the ``problem`` when it takes too long."""
        until = time.monotonic() + patience
        while time.monotonic() < until:
            if self.problem is not None:
                raise self.problem
            if condition():
                return
            time.sleep(0.02)
        late = [pod for pod in self.objects("Pod") if not is_ready(pod)]
        words = [f"{key_of(pod)[1]}: {self._last_words(pod)}" for pod in late]
        raise ConfigError(f"{problem} after {patience:g} s", hint="\n  ".join(words))

    # -- what follows from them ---------------------------------------------------------------------------------------

    def _at_api(self, work: Callable[..., T], *args: Any) -> T:
        async def there() -> T:
            return work(*args)

        return self.network.background.wait_for(there())

    def _go_on(self) -> None:
        """The thread: look again and again."""
        try:
            while not self._stop:
                self._wake.clear()
                self._kubelet.probe()
                with self._lock:
                    self._kubelet.look()
                    self._reconcile()
                self._wake.wait(LOOK)
        except Exception as problem:
            LOG.error("the lab's kubelet ended", exc_info=problem)
            self.problem = problem

    def _reconcile(self) -> None:
        self._own()
        for pod in self.objects("Pod"):
            started = key_of(pod) in self._kubelet.running
            if not started and "deletionTimestamp" not in pod["metadata"] and self._may_start(pod):
                self._start(pod)
        for pod in self.objects("Pod"):
            self._report(pod)
        self._write_slices()

    def _may_start(self, pod: Json) -> bool:
        """Whether it is a Pod's turn: in the beginning, programs of Pods wait for those of the nodes.

        What asks for a Service before there are rules would wait for its time-out, and be late by that much.
        """
        if not self._settled:
            first = [body for body in self.objects("Pod") if body["spec"].get("hostNetwork")]
            self._settled = all(is_ready(body) for body in first)
        return self._settled or bool(pod["spec"].get("hostNetwork")) or not runs_programs(pod)

    def _own(self) -> None:
        """Workloads: make missing Pods, end those that are too many."""
        wanted: dict[tuple[str, str], Json] = {}
        for kind in WORKLOADS:
            for owner in self.objects(kind):
                wanted |= {key_of(pod): pod for pod in wanted_pods(owner, self.plan.nodes)}
        there = {key_of(pod): pod for pod in self.objects("Pod")}
        for key in (key for key in wanted if key not in there):
            self._at_api(self._api.put, {**wanted[key], "status": {"phase": "Pending"}})
        for key, pod in there.items():
            if key not in wanted and owner_of(pod) and "deletionTimestamp" not in pod["metadata"]:
                self._at_api(self._api.patch, "Pod", *key, {"metadata": {"deletionTimestamp": _now()}})

    def _start(self, pod: Json) -> None:
        namespace, name = key_of(pod)
        spec = pod["spec"]
        node = spec.get("nodeName") or self._least_loaded(owner_of(pod))
        part = name if name not in self.network.parts else f"{name}.{namespace}"
        addresses: Pair
        if spec.get("hostNetwork"):
            self.network.add_guest(part, node)
            addresses = self.plan.node(node).addresses
        else:
            addresses = self._free_addresses(pod, node)
            self.network.add_pod(Pod(part, node, addresses))
        asks = resolver(spec, namespace, self._node_resolver, CLUSTER_DNS)
        status = pod_status(pod, self.plan.node(node), map(str, addresses), False, _now())
        self._at_api(self._api.patch, "Pod", namespace, name, {"spec": {"nodeName": node}, "status": status})
        placed = next(body for body in self.objects("Pod") if key_of(body) == (namespace, name))
        self._kubelet.start(placed, part, addresses, asks.present(), self._volumes(pod))

    def _free_addresses(self, pod: Json, node: str) -> Pair:
        """The address that the manifest says (status.podIP), else the next free one of the node, from .5 on."""
        if said := pod.get("status", {}).get("podIP"):
            return self.plan.pod("", said).addresses
        taken = {planned.addresses for planned in self.network.pods.values()}
        wanted = (self.plan.node(node).pod_addresses(number) for number in range(5, 255))
        if (free := next((pair for pair in wanted if pair not in taken), None)) is None:
            raise ConfigError(f"no address is free for Pod {key_of(pod)[1]}: {node} has {len(taken)} Pods", hint=FEWER)
        return free

    def _least_loaded(self, owner: tuple[str, str, str] | None) -> str:
        """The node with the fewest Pods of this owner, and of those the one with the fewest Pods."""
        counts = {node.name: (0, 0) for node in self.plan.nodes}
        for running in self._kubelet.running.values():
            node = running.pod["spec"]["nodeName"]
            kin, all_of_them = counts[node]
            counts[node] = (kin + (owner is not None and owner_of(running.pod) == owner), all_of_them + 1)
        return min(counts, key=lambda name: counts[name])

    def _volumes(self, pod: Json) -> dict[str, Mapping[str, str]]:
        maps = {key_of(config_map): config_map.get("data") or {} for config_map in self.objects("ConfigMap")}
        named = ((volume["name"], volume.get("configMap")) for volume in pod["spec"].get("volumes") or ())
        namespace = pod["metadata"]["namespace"]
        return {name: maps.get((namespace, source.get("name", "")), {}) for name, source in named if source}

    def _report(self, pod: Json) -> None:
        """Write a Pod's readiness, or take it away when it has terminated."""
        key = key_of(pod)
        if "deletionTimestamp" in pod["metadata"] and (key not in self._kubelet.running or self._ended(pod)):
            self._at_api(self._api.delete, "Pod", *key)
            return
        if key not in self._kubelet.running:
            return  # it waits for its turn
        ready = self._kubelet.is_ready(pod)
        if ready != is_ready(pod):
            running = self._kubelet.running[key]
            node = self.plan.node(pod["spec"]["nodeName"])
            status = pod_status(pod, node, map(str, running.addresses), ready, _now())
            self._at_api(self._api.patch, "Pod", *key, {"status": status})

    def _ended(self, pod: Json) -> bool:
        part = self._kubelet.running[key_of(pod)].part
        if not self._kubelet.end(pod):
            return False
        self.network.remove(part)
        return True

    def _write_slices(self) -> None:
        zones = {node.name: node.zone for node in self.plan.nodes}
        services = self.objects("Service")
        wanted = {key_of(slice_): slice_ for slice_ in build_slices(services, self.objects("Pod"), zones)}
        wanted |= {key_of(slice_): slice_ for slice_ in mirrored(services, self.objects("Endpoints"))}
        there = {key_of(slice_): slice_ for slice_ in self.objects("EndpointSlice")}
        for key, slice_ in wanted.items():
            if any(there.get(key, {}).get(field) != slice_[field] for field in ("endpoints", "ports", "addressType")):
                self._at_api(self._api.put, slice_)
        for key, slice_ in there.items():
            managed = (slice_["metadata"].get("labels") or {}).get("endpointslice.kubernetes.io/managed-by")
            if key not in wanted and managed in (DERIVED, MIRRORED_BY):
                self._at_api(self._api.delete, "EndpointSlice", *key)

    def _last_words(self, pod: Json) -> str:
        running = self._kubelet.running.get(key_of(pod))
        logs = [program.output().splitlines()[-5:] for program in running.programs.values()] if running else []
        return "\n    ".join(line for log in logs for line in log) or "not started"


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _has_address(body: Json) -> bool:
    """Whether a Service says its cluster IP: these come first, so that no other one is given the same."""
    return body["kind"] == "Service" and bool(cluster_ips(body.get("spec") or {}))
