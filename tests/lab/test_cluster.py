"""A whole cluster in a lab, without a proxy: Pods run, slices follow, and kdns answers from the lab's API server."""

import os
from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path
from signal import SIGKILL

import pytest

from kdns.base.errors import ConfigError
from kdns.lab.asking import Arrived, Refused
from kdns.lab.cluster import Cluster
from kdns.lab.plan import SERVICES
from kdns.lab.standard import DIRECT, UPSTREAM, objects, start_upstream
from kdns.lab.workloads import Json

pytestmark = [pytest.mark.kernel, pytest.mark.e2e]

UNHURRIED = 40.0
"""Seconds: Python starts slowly on a busy machine."""


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """The standard cluster with its DNS Pods, and the upstream outside."""
    if os.geteuid():
        pytest.skip("no network namespaces without root")
    with Cluster(objects(), environ=DIRECT, upstream=[UPSTREAM]) as made:
        start_upstream(made)
        made.wait_until_ready(UNHURRIED)
        yield made


def conditions(cluster: Cluster, service: str) -> dict[str, tuple[bool, bool, bool]]:
    """Ready, serving and terminating of each endpoint of a Service, by its IPv4 address."""
    label = "kubernetes.io/service-name"
    slices = [one for one in cluster.objects("EndpointSlice") if one["metadata"]["labels"][label] == service]
    return {
        endpoint["addresses"][0]: tuple(endpoint["conditions"][word] for word in ("ready", "serving", "terminating"))
        for one in slices
        if one["addressType"] == "IPv4"
        for endpoint in one["endpoints"]
    }


def address(pod: Json) -> str:
    """A Pod's IPv4 address."""
    found = pod["status"]["podIP"]
    assert isinstance(found, str)
    return found


def lookup(cluster: Cluster, part: str, *names: str) -> list[str]:
    """What `dig +short` prints, asked of a DNS Pod."""
    server = address(cluster.pods("kube-system")[0])
    done = cluster.network.run(part, ["dig", "+short", "+time=5", f"@{server}", *names])
    assert done.returncode == 0, done
    return done.stdout.split()


def test_kdns_answers_in_its_pods(cluster: Cluster) -> None:
    """Through the service account, from the API server: cluster names, Pods' names, and an outside name."""
    assert len(cluster.pods("kube-system")) == 2
    assert lookup(cluster, "busybox", "hostnames.default.svc.cluster.local") == ["10.96.80.80"]
    member = lookup(cluster, "busybox-2", "busybox-1.default-subdomain.default.svc.cluster.local")
    assert member == [address(pod) for pod in cluster.pods() if pod["metadata"]["name"] == "busybox-1"]
    assert lookup(cluster, "node-1", "cart.shop.svc.cluster.local", "AAAA") == ["fd00:10:96::7070"]
    assert lookup(cluster, "busybox", "www.example.com") == ["198.18.0.80"]


def test_busybox_asks_as_the_guide_does(cluster: Cluster) -> None:
    """`nslookup kubernetes.default` from a busybox that ignores the search list."""
    server = address(cluster.pods("kube-system")[0])
    done = cluster.network.run("busybox", ["busybox", "nslookup", "kubernetes.default", server])
    assert "Address: 10.96.0.1\n" in done.stdout, done


def test_each_pod_has_its_resolv_conf(cluster: Cluster) -> None:
    """A Pod with dnsPolicy ClusterFirst, and the DNS Pod with its node's."""
    shown = cluster.network.run("busybox", ["cat", "/etc/resolv.conf"]).stdout
    assert shown == (
        "search default.svc.cluster.local svc.cluster.local cluster.local\nnameserver 10.96.0.10\noptions ndots:5\n"
    )
    dns = cluster.pods("kube-system")[0]["metadata"]["name"]
    assert cluster.network.run(dns, ["cat", "/etc/resolv.conf"]).stdout == f"nameserver {UPSTREAM}\n"


async def test_a_pod_that_is_not_ready_leaves_and_returns(cluster: Cluster) -> None:
    """Marked not ready, it stays in its slice as what it is, and comes back."""
    pod = cluster.pods(app="hostnames")[0]
    name = pod["metadata"]["name"]
    cluster.set_ready("default", name, False)
    assert conditions(cluster, "hostnames")[address(pod)] == (False, False, False)
    assert isinstance(await cluster.network.probe("busybox", "TCP", address(pod), 9376), Arrived)
    cluster.set_ready("default", name, True)
    assert set(conditions(cluster, "hostnames").values()) == {(True, True, False)}


async def test_scaled_to_zero_and_back(cluster: Cluster) -> None:
    """Pods terminate (and serve meanwhile), are gone, and others come."""
    pods = cluster.pods(app="hostnames")
    cluster.scale("default", "hostnames", 0)
    assert conditions(cluster, "hostnames") == {address(pod): (False, True, True) for pod in pods}
    outcome = await cluster.network.probe("busybox", "TCP", address(pods[0]), 9376)
    assert isinstance(outcome, Arrived)
    assert outcome.name == pods[0]["metadata"]["name"]
    cluster.wait_for(lambda: not cluster.pods(app="hostnames"), UNHURRIED)
    # the slices and the network follow the Pods a moment later
    cluster.wait_for(lambda: conditions(cluster, "hostnames") == {}, UNHURRIED)
    cluster.wait_for(lambda: pods[0]["metadata"]["name"] not in cluster.network.parts, UNHURRIED)
    cluster.scale("default", "hostnames", 3)
    cluster.wait_until_ready(UNHURRIED)
    assert len(conditions(cluster, "hostnames")) == 3


async def test_a_program_that_dies_is_started_again(cluster: Cluster) -> None:
    """kill -9 of a DNS Pod's program: its Pod is not ready, then it is again."""
    key = "kube-system", cluster.pods("kube-system")[1]["metadata"]["name"]
    pod = cluster.pods("kube-system")[1]
    program = cluster.program(*key)
    program.stop(SIGKILL)
    cluster.wait_for(lambda: conditions(cluster, "kube-dns")[address(pod)][0] is False, UNHURRIED)
    assert await cluster.network.probe("busybox", "TCP", address(pod), 53) == Refused()
    cluster.wait_until_ready(UNHURRIED)
    assert cluster.program(*key).pid != program.pid


def test_zones_and_hints(cluster: Cluster) -> None:
    """Endpoints have the zones of their nodes, and hints where the Service wants them."""
    cluster.patch("Service", "shop", "cart", {"spec": {"trafficDistribution": "PreferClose"}})
    (one,) = [each for each in cluster.objects("EndpointSlice") if each["metadata"]["name"] == "cart-derived-ipv6-0"]
    assert {(endpoint["nodeName"], endpoint["zone"]) for endpoint in one["endpoints"]} == {
        ("node-0", "zone-a"),
        ("node-1", "zone-b"),
    }
    assert all(endpoint["hints"] == {"forZones": [{"name": endpoint["zone"]}]} for endpoint in one["endpoints"])
    cluster.patch("Service", "shop", "cart", {"spec": {"trafficDistribution": None}})


def test_a_new_service_gets_an_address(cluster: Cluster) -> None:
    """Who names no cluster IP is given one, and the slices follow at once."""
    spec = {"selector": {"app": "cart"}, "ports": [{"port": 80, "targetPort": "http"}]}
    cluster.put({"kind": "Service", "metadata": {"name": "late", "namespace": "shop"}, "spec": spec})
    (made,) = [one for one in cluster.objects("Service") if one["metadata"]["name"] == "late"]
    assert ip_address(made["spec"]["clusterIP"]) in SERVICES[0]
    assert len(conditions(cluster, "late")) == 2
    cluster.delete("Service", "shop", "late")
    assert conditions(cluster, "late") == {}


def test_what_does_not_get_ready_says_why() -> None:
    """The last words of a program that will not start are in the error."""
    if os.geteuid():
        pytest.skip("no network namespaces without root")
    probe = {"httpGet": {"path": "/", "port": 8080}}
    container = {"name": "kdns", "image": "example/kdns:1", "args": ["surely-no-command"], "readinessProbe": probe}
    pod: Json = {"kind": "Pod", "metadata": {"name": "broken"}, "spec": {"containers": [container]}}
    with Cluster([pod]) as cluster, pytest.raises(ConfigError, match="not ready") as raised:
        cluster.wait_until_ready(4.0)
    assert "surely-no-command" in str(raised.value)


def test_the_folder_must_be_there(tmp_path: Path) -> None:
    """A manifests folder that does not exist is said, and nothing stays."""
    if os.geteuid():
        pytest.skip("no network namespaces without root")
    with pytest.raises(ConfigError, match="does not exist"):
        Cluster(folder=tmp_path / "nowhere")


AS_PEOPLE_WRITE = """
apiVersion: v1
kind: ServiceAccount
metadata: {name: db}
---
apiVersion: v1
kind: Service
metadata: {name: db}
spec: {clusterIP: None, selector: {app: db}, ports: [{port: 5432, targetPort: sql}]}
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: db}
spec:
  serviceName: db
  replicas: 2
  selector: {matchLabels: {app: db}}
  template:
    metadata: {labels: {app: db}}
    spec:
      initContainers: [{name: init, image: busybox}]
      volumes: [{name: config, configMap: {name: missing}}, {name: data, emptyDir: {}}]
      containers:
        - name: db
          image: postgres:17
          env: [{name: PASSWORD, valueFrom: {secretKeyRef: {name: x, key: y}}}]
          ports: [{name: sql, containerPort: 5432}, {containerPort: 5432, protocol: TCP}]
          readinessProbe: {httpGet: {path: /, port: sql}}
          volumeMounts: [{name: config, mountPath: /etc/db}, {name: data, mountPath: /var/lib/db}]
        - {name: again, image: exporter, ports: [{containerPort: 5432}]}
---
apiVersion: v1
kind: Service
metadata: {name: outside}
spec: {ports: [{port: 80}]}
---
apiVersion: v1
kind: Endpoints
metadata: {name: outside}
subsets: [{addresses: [{ip: 198.18.0.80}], ports: [{port: 80}]}]
"""


async def test_a_folder_as_people_write_it(tmp_path: Path) -> None:
    """Kinds of every sort in subfolders: Pods run with their ordinals, slices follow, Endpoints are mirrored."""
    if os.geteuid():
        pytest.skip("no network namespaces without root")
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "all.yaml").write_text(AS_PEOPLE_WRITE)
    with Cluster(folder=tmp_path) as cluster:
        cluster.wait_until_ready(UNHURRIED)
        assert [pod["metadata"]["name"] for pod in cluster.pods(app="db")] == ["db-0", "db-1"]
        slices = {one["metadata"]["name"]: one for one in cluster.objects("EndpointSlice")}
        derived = slices["db-derived-ipv4-0"]
        assert [endpoint["hostname"] for endpoint in derived["endpoints"]] == ["db-0", "db-1"]
        assert [port["port"] for port in derived["ports"]] == [5432]
        assert slices["outside-mirrored-ipv4-0"]["endpoints"][0]["addresses"] == ["198.18.0.80"]
        answered = await cluster.network.probe("db-0", "TCP", derived["endpoints"][1]["addresses"][0], 5432)
        assert isinstance(answered, Arrived)
        assert answered.name == "db-1"
