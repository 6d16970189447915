"""Manifests as people write them, and the zone that a cluster would serve for them.

The names come from the DNS specification of Kubernetes, names of Pods from the controllers (Deployment, StatefulSet,
Job...), addresses from kubeadm's ranges; which address of a range an object gets is its own business, so the tables
say ``CLUSTER`` and ``POD`` for any of them.
"""

import io
import re
from ipaddress import ip_address
from pathlib import Path
from typing import NamedTuple

import pytest

from kdns.base.objects import READY, SERVING, EndpointPort, EndpointSlice, ObjectKey, Pod, Service
from kdns.cli.print_records import print_records
from kdns.config.settings import KubernetesOptions
from kdns.watch.manifests.addresses import PODS, SERVICES
from kdns.watch.manifests.collection import Collection, collect
from kdns.watch.manifests.reading import parse_manifests
from kdns.watch.manifests.workloads import LIMIT

DASHED = re.compile(r"(_[a-z]+\._[a-z]+\.)?[0-9]+(-[0-9]+){3}\.")
"""Owners that are an address: endpoints without a hostname."""


def collected(**files: str) -> Collection:
    """The files together; ``a__b`` is called ``a/b``."""
    texts = {f"{name.replace('__', '/')}.yaml": text for name, text in files.items()}
    return collect({name: parse_manifests(text.encode(), name) for name, text in texts.items()})


class Case(NamedTuple):
    title: str
    text: str
    zone: str
    """Owners below cluster.local, types and data: addresses of names, and SRV records of named ports."""


def deployment(name: str, more: str = "", labels: str = "app: web", kind: str = "Deployment") -> str:
    version = "v1" if kind == "ReplicationController" else "batch/v1" if kind == "Job" else "apps/v1"
    port = "{name: http, containerPort: 8080}"
    return f"""
apiVersion: {version}
kind: {kind}
metadata: {{name: {name}}}
spec: {{{more}template: {{metadata: {{labels: {{{labels}}}}}, spec: {{containers: [{{name: c, ports: [{port}]}}]}}}}}}
---
"""


def service(name: str, spec: str, metadata: str = "") -> str:
    return f"apiVersion: v1\nkind: Service\nmetadata: {{name: {name}{metadata}}}\nspec: {{{spec}}}\n---\n"


def headless(name: str, selector: str) -> str:
    return service(name, f"clusterIP: None, selector: {{{selector}}}, ports: [{{port: 1}}]")


EXTERNAL = "clusterIP: None, ports: [{name: sql, port: 5432}]"
CASES = (
    Case("a Service without a clusterIP", service("a", "ports: [{port: 80}]"), "a.default.svc A CLUSTER"),
    Case("a named port", service("a", "ports: [{name: http, port: 80}]"), """
        a.default.svc A CLUSTER
        _http._tcp.a.default.svc SRV 0 100 80 a.default.svc.cluster.local."""),
    Case("both families", service("a", "ipFamilyPolicy: PreferDualStack, ports: [{port: 80}]"), """
        a.default.svc A CLUSTER
        a.default.svc AAAA CLUSTER6"""),
    Case("IPv6 alone", service("a", "ipFamilies: [IPv6], ports: [{port: 80}]"), "a.default.svc AAAA CLUSTER6"),
    Case("an ExternalName", service("a", "type: ExternalName, externalName: example.com"),
         "a.default.svc CNAME example.com."),
    Case("the two well-known ones", service("kubernetes", "ports: [{port: 443}]")
         + service("kube-dns", "ports: [{port: 53, protocol: UDP}]", ", namespace: kube-system"), """
        kubernetes.default.svc A 10.96.0.1
        kube-dns.kube-system.svc A 10.96.0.10"""),
    Case("a headless Service and a StatefulSet", headless("db", "app: db")
         + deployment("db", "serviceName: db, replicas: 2, ", "app: db", "StatefulSet"), """
        db.default.svc A POD
        db.default.svc A POD
        db-0.db.default.svc A POD
        db-1.db.default.svc A POD"""),
    Case("a StatefulSet that counts from 3", headless("db", "app: db")
         + deployment("db", "serviceName: db, ordinals: {start: 3}, ", "app: db", "StatefulSet"), """
        db.default.svc A POD
        db-3.db.default.svc A POD"""),
    Case("v1 Endpoints of an external database", service("db", EXTERNAL) + """
apiVersion: v1
kind: Endpoints
metadata: {name: db}
subsets: [{addresses: [{ip: 192.0.2.7, hostname: a}], notReadyAddresses: [{ip: 192.0.2.8}],
    ports: [{name: sql, port: 5432}]}]
""", """
        db.default.svc A 192.0.2.7
        a.db.default.svc A 192.0.2.7
        _sql._tcp.db.default.svc SRV 0 100 5432 a.db.default.svc.cluster.local."""),
    Case("a bare Pod with a name of its own", headless("sub", "app: p") + """
apiVersion: v1
kind: Pod
metadata: {name: p, labels: {app: p}}
spec: {hostname: p, subdomain: sub, containers: []}
""", """
        sub.default.svc A POD
        p.sub.default.svc A POD"""),
    Case("a Pod in its node's network", headless("host", "app: p") + """
apiVersion: v1
kind: Pod
metadata: {name: p, labels: {app: p}}
spec: {hostname: p, subdomain: host, hostNetwork: true, containers: []}
""", """
        host.default.svc A 172.18.0.2
        p.host.default.svc A 172.18.0.2"""),
    Case("a bad object leaves out itself", "kind: Service\nmetadata: {name: x}\nspec: {ports: [{port: '80'}]}\n---\n"
         "kind: Service\nmetadata: {name: y\n---\n" + service("a", "ports: [{port: 80}]"), "a.default.svc A CLUSTER"),
    Case("anchors and merges", "kind: Service\nmetadata: {name: a}\nspec: &spec {ports: [{port: 80}]}\n---\n"
         "kind: Service\nmetadata: {name: b}\nspec: &b\n  ports: &p [{port: 80}]\n", """
        a.default.svc A CLUSTER
        b.default.svc A CLUSTER"""),
)  # fmt: skip


def shown(data: str, family: str) -> str:
    """An address as the tables write it, if it is one that was made up."""
    address = ip_address(data)
    if address in SERVICES[family == "AAAA"] and data not in ("10.96.0.1", "10.96.0.10"):
        return "CLUSTER6" if family == "AAAA" else "CLUSTER"
    return "POD" if address in PODS[0] or address in PODS[1] else data


async def zone_of(path: Path) -> list[str]:
    """What `kdns records` prints of a source, in the form of the tables."""
    out = io.StringIO()
    assert await print_records(str(path), KubernetesOptions(), form="zone", name_text="svc.cluster.local", out=out) == 0
    found = []
    for line in out.getvalue().splitlines():
        owner, _, _, rtype, *data = line.partition(" ; ")[0].split() if not line.startswith(";") else ("", "", "", "")
        wanted = ("SRV",) if owner.startswith("_") else ("A", "AAAA", "CNAME")
        if rtype in wanted and not DASHED.match(owner):
            text = shown(data[0], rtype) if rtype in ("A", "AAAA") else " ".join(data)
            found.append(f"{owner.removesuffix('.cluster.local.')} {rtype} {text}")
    return sorted(found)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.title)
async def test_the_zone_of_what_people_write(tmp_path: Path, case: Case) -> None:
    """The records are those that a cluster would have made of these objects."""
    (tmp_path / "a.yaml").write_text(case.text)
    assert await zone_of(tmp_path) == sorted(line.strip() for line in case.zone.splitlines() if line.strip())


WORKLOADS: tuple[tuple[str, str, list[str]], ...] = (
    ("a Deployment has one Pod unless it says more", deployment("web"), [r"web-[a-z0-9]{9}-[a-z0-9]{5}"]),
    ("a Deployment with replicas", deployment("web", "replicas: 2, "), [r"web-[a-z0-9]{9}-[a-z0-9]{5}"] * 2),
    ("a Deployment of nothing", deployment("web", "replicas: 0, "), []),
    ("a ReplicaSet", deployment("web", "replicas: 2, ", kind="ReplicaSet"), ["web-[a-z0-9]{5}"] * 2),
    ("a ReplicationController", deployment("web", kind="ReplicationController"), ["web-[a-z0-9]{5}"]),
    ("a StatefulSet", deployment("web", "replicas: 3, ", kind="StatefulSet"), ["web-0", "web-1", "web-2"]),
    ("a DaemonSet, on the only node", deployment("web", kind="DaemonSet"), ["web-[a-z0-9]{5}"]),
    ("a Job", deployment("web", "parallelism: 3, completions: 2, ", kind="Job"), ["web-[a-z0-9]{5}"] * 2),
    ("an indexed Job", deployment("web", "completionMode: Indexed, ", kind="Job"), ["web-0-[a-z0-9]{5}"]),
    ("a Job that is suspended", deployment("web", "suspend: true, ", kind="Job"), []),
    ("a workload of another group", deployment("web").replace("apps/v1", "apps.example.com/v1"), []),
    ("a DaemonSet, on two nodes", deployment("web", kind="DaemonSet")
     + "kind: Node\nmetadata: {name: a}\n---\nkind: Node\nmetadata: {name: b}\n", ["web-[a-z0-9]{5}"] * 2),
    ("a long name is cut for the letters", deployment("w" * 80, kind="ReplicaSet"), ["w" * 58 + "[a-z0-9]{5}"]),
)  # fmt: skip


@pytest.mark.parametrize(("text", "names"), [case[1:] for case in WORKLOADS], ids=[case[0] for case in WORKLOADS])
def test_pods_of_workloads(text: str, names: list[str]) -> None:
    """Each controller makes its Pods, with names as it gives them, always the same, at own addresses."""
    collection = collected(a=text)
    pods = [one.object for one in collection.objects.values() if isinstance(one.object, Pod)]
    assert (len(pods), collection.warnings, collection.problems) == (len(names), (), ())
    for pod, pattern in zip(sorted(pods, key=lambda pod: pod.key), names, strict=True):
        assert re.fullmatch(pattern, pod.key.name)
    assert len({pod.address for pod in pods}) == len(pods)
    assert collected(a=text).objects.keys() == collection.objects.keys()


def test_slices_are_what_the_controller_writes() -> None:
    """Ready endpoints with the number of the named port, in a slice of the Service's first family (KEP-752)."""
    text = service("web", "selector: {app: web}, ports: [{name: http, port: 80, targetPort: http}]")
    collection = collected(a=text + deployment("web", "replicas: 2, "))
    (slice_,) = (one.object for one in collection.objects.values() if isinstance(one.object, EndpointSlice))
    addresses = sorted(
        ip_address(one.object.address).packed for one in collection.objects.values() if isinstance(one.object, Pod)
    )
    assert slice_.states is not None
    rows = [slice_.states.addresses[i : i + 4] for i in range(0, 8, 4)]
    assert (slice_.service, slice_.width, sorted(rows)) == ("web", 4, addresses)
    assert slice_.states.conditions == bytes([READY | SERVING] * 2)
    assert slice_.ports == (EndpointPort("http", "TCP", 8080),)


def address_of(collection: Collection, name: str, namespace: str = "default") -> str:
    kept = collection.objects[ObjectKey("Service", namespace, name)].object
    assert isinstance(kept, Service)
    return str(ip_address(kept.cluster_ips[0]))


def test_an_address_depends_on_the_name_alone() -> None:
    """Other objects, files and the order do not move it; a written address is never given twice."""
    web, db = service("web", "ports: [{port: 80}]"), service("db", "ports: [{port: 80}]")
    alone = address_of(collected(a=web), "web")
    assert alone == address_of(collected(a=db, b=web), "web") == address_of(collected(a=web, b=db), "web")
    assert alone != address_of(collected(a=web), "web") or ip_address(alone) in SERVICES[0]
    other = collected(a=web, b=service("thief", f"clusterIP: {alone}, ports: [{{port: 80}}]"))
    assert address_of(other, "thief") == alone != address_of(other, "web")
    assert address_of(other, "web") == address_of(other, "web")


def test_node_ports_are_given_as_cluster_ips_are() -> None:
    """A NodePort and a LoadBalancer get a port of 30000-32767 for each port; TCP and UDP of one port share it."""
    ports = "ports: [{name: t, port: 53}, {name: u, port: 53, protocol: UDP}, {name: w, port: 80}]"
    for kind in ("NodePort", "LoadBalancer"):
        kept = collected(a=service("dns", f"type: {kind}, {ports}")).objects[ObjectKey("Service", "default", "dns")]
        assert isinstance(kept.object, Service)
        tcp, udp, web = (port.node_port for port in kept.object.ports)
        assert tcp == udp != web
        assert {tcp, web} <= set(range(30000, 32768))


LIVE = ", uid: 7ad1, resourceVersion: '5'"


def test_a_live_dump_gets_nothing() -> None:
    """What an API server wrote is complete: no address, and no Pods beside those, or the slices, that it has."""
    pod = "kind: Pod\nmetadata: {name: web-x, uid: 1, labels: {app: web}}\nstatus: {podIP: 10.9.9.9}\n---\n"
    dump = (
        deployment("web", "replicas: 3, ").replace("{name: web}", f"{{name: web{LIVE}}}").replace("uid: 7ad1", "uid: a")
    )
    text = service("web", "selector: {app: web}, ports: [{port: 80}]", LIVE) + dump + pod.replace("uid: 1", "uid: b")
    collection = collected(a=text)
    assert [key.name for key in collection.objects if key.kind == "Pod"] == ["web-x"]
    assert collection.warnings == (
        "Service default/web in a.yaml:1: it has no clusterIP, which the API server would have given it: no address",
    )


def test_what_is_there_already_is_not_made_again() -> None:
    """No Pods beside written ones with the labels of the template, none for a ReplicaSet whose Deployment is there."""
    pod = "kind: Pod\nmetadata: {name: web-x, labels: {app: web, more: '1'}}\nstatus: {podIP: 10.9.9.9}\n---\n"
    assert [key.name for key in collected(a=deployment("web") + pod).objects if key.kind == "Pod"] == ["web-x"]
    owned = deployment("set", kind="ReplicaSet").replace(
        "{name: set}", "{name: set, ownerReferences: [{kind: Deployment, name: web, controller: true}]}"
    )
    pods = [key.name for key in collected(a=deployment("web") + owned).objects if key.kind == "Pod"]
    assert len(pods) == 1
    assert pods[0].startswith("web-")


SKIP, LEADER = "endpointslice.kubernetes.io/skip-mirror", "control-plane.alpha.kubernetes.io/leader"
ENDPOINTS = "apiVersion: v1\nkind: Endpoints\nmetadata: {name: db%s}\nsubsets: [{addresses: [{ip: 192.0.2.7}]}]\n---\n"


@pytest.mark.parametrize(
    ("text", "mirrored", "warning"),
    [
        (service("db", "ports: [{port: 1}]") + ENDPOINTS % "", 1, ""),
        (service("db", "ports: [{port: 1}]") + ENDPOINTS % f", labels: {{{SKIP}: 'true'}}", 0, ""),
        (service("db", "ports: [{port: 1}]") + ENDPOINTS % f", annotations: {{{LEADER}: x}}", 0, ""),
        (service("db", "selector: {a: b}, ports: [{port: 1}]") + ENDPOINTS % "", 0, ""),
        (ENDPOINTS % "", 0, "Endpoints default/db in a.yaml:1: not mirrored: there is no Service of that name"),
    ],
)  # fmt: skip
def test_which_endpoints_are_mirrored(text: str, mirrored: int, warning: str) -> None:
    """As the mirroring controller decides: a Service without a selector, no label skip-mirror, no leader lock."""
    collection = collected(a=text)
    assert sum(key.kind == "EndpointSlice" for key in collection.objects) == mirrored
    assert collection.warnings == ((warning,) if warning else ())


def test_a_slice_that_was_made_names_what_it_is_from() -> None:
    """Endpoints, or a Service with its Pods; one that a file has names nothing, for it is looked at itself."""
    text = (
        service("db", "ports: [{port: 1}]")
        + ENDPOINTS % ""
        + service("web", "selector: {app: web}, ports: [{port: 1}]")
    )
    sliced = (
        "kind: EndpointSlice\nmetadata: {name: x-1, labels: {kubernetes.io/service-name: x}}\naddressType: IPv4\n---\n"
    )
    objects = [manifest.object for manifest in collected(a=sliced + text + deployment("web")).objects.values()]
    sources = {part.service: str(part.source) for part in objects if isinstance(part, EndpointSlice)}
    assert sources == {
        "x": "EndpointSlice default/x-1",
        "db": "derived from Endpoints default/db",
        "web": "derived from Service default/web",
    }


def test_the_summary() -> None:
    """One line says what was made, and one counts what was passed over, with what a misspelt kind was meant to be."""
    other = "apiVersion: v1\nkind: %s\nmetadata: {name: x}\n---\n"
    text = service("web", "ports: [{port: 80}]") + deployment("web") + other % "ServiceAccount" + other % "Sevice"
    assert list(collected(a=text + "image: x\n").summary.lines()) == [
        "as a cluster would: 1 Service without a clusterIP got one of 10.96.0.0/12, by name, 1 Pod of Deployments",
        "passed over: 3 objects that no record comes from: "
        "1 Sevice (did you mean Service?), 1 without a kind, 1 ServiceAccount",
    ]


def test_a_kustomization_and_its_patches() -> None:
    """The files that it names as patches hold parts of objects: they are not read; what it changes is told."""
    kustomization = (
        "resources: [web.yaml]\nnamespace: shop\npatches: [{path: ports.yaml}]\n"
        "patchesJson6902: [{path: ../json.yaml, target: {kind: Service}}]\n"
    )
    collection = collected(
        base__kustomization=kustomization,
        base__ports=service("web", "type: NodePort"),
        json="- {op: add, path: /spec/x, value: 1}\n",
        web=service("web", "ports: [{port: 80}]"),
    )
    assert (collection.warnings, collection.problems) == ((), ())
    assert list(collection.summary.warnings()) == [
        "base/kustomization.yaml: namespace, patches, patchesJson6902 not applied: "
        "kubectl kustomize base | kdns records --source -"
    ]


def test_templates_of_helm() -> None:
    """Nothing of such a file is an object, and it is one line for all of them."""
    text = "apiVersion: v1\nkind: Service\nmetadata: {name: web}\nspec:\n  clusterIP: {{ .Values.ip }}\n"
    collection = collected(a=text, b=text, c=service("web", "ports: [{port: 80}]"))
    assert [str(key) for key in collection.objects if key.kind == "Service"] == ["Service default/web"]
    assert (collection.problems, list(collection.summary.warnings())) == (
        (),
        ["a.yaml and 1 more: looks like a Helm template: helm template . | kdns records --source -"],
    )


@pytest.mark.parametrize(
    ("text", "warning"),
    [
        (deployment("web", "replicas: -1, "), "its spec.replicas is not a number from 0 on"),
        (deployment("web", labels="version: 1"), "metadata.labels.version: expected text, got 1"),
        (deployment("web").replace("containerPort: 8080", "containerPort: x"),
         'spec.containers[0].ports[0].containerPort: expected int, got "x"'),
        ("apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\nspec: {replicas: 2}\n",
         "it has no spec.template"),
    ],
)  # fmt: skip
def test_workloads_that_make_no_sense(text: str, warning: str) -> None:
    """They get no Pods, with one warning; everything else is served."""
    collection = collected(a=text.lstrip(), b=service("db", "ports: [{port: 80}]"))
    assert collection.warnings == (f"Deployment default/web in a.yaml:1: no Pods: {warning}",)
    assert [str(key) for key in collection.objects if key.kind in ("Service", "Pod")] == ["Service default/db"]


def test_a_workload_of_a_million_pods() -> None:
    """The count is bounded, and it is said."""
    collection = collected(a=deployment("web", "replicas: 1000000, ").lstrip())
    assert sum(key.kind == "Pod" for key in collection.objects) == LIMIT
    assert collection.warnings == ("Deployment default/web in a.yaml:1: only 5,000 of its 1,000,000 Pods are made",)


def test_a_duplicate_is_warned_about_once() -> None:
    """What else may be wrong with the second one does not matter."""
    text = "kind: Service\nmetadata: {name: web}\nspec: {ports: [{name: A_B, port: 80}, {port: 81}]}\n"
    assert collected(a=text, b=text).warnings == (
        'Service default/web in a.yaml:1: port "A_B" left out: no valid name of a port',
        "Service default/web in b.yaml:1: skipped: it is in a.yaml:1 already",
    )
