"""A folder of manifests as people write them is a lab: what it can run, and lines about the rest."""

from pathlib import Path

import pytest

from kdns.base.errors import ConfigError
from kdns.base.objects import Service, address_text
from kdns.lab.folder import brings_dns, read_folder
from kdns.lab.kind import Kind
from kdns.lab.plan import PLAN
from kdns.lab.slices import mirrored
from kdns.lab.standard import wanted_objects
from kdns.lab.workloads import completed, wanted_pods
from kdns.watch.manifests.files import FileSource

SERVICE = (
    "apiVersion: v1\nkind: Service\nmetadata: {name: %s}\nspec: {selector: {app: web}, ports: [{port: 80}]}\n---\n"
)
DEPLOYMENT = (
    "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\n"
    "spec: {replicas: 2, template: {metadata: {labels: {app: web}}, spec: {containers: [{name: c, image: x}]}}}\n---\n"
)
OTHERS = "".join(
    f"apiVersion: {version}\nkind: {kind}\nmetadata: {{name: x}}\n---\n"
    for version, kind in (
        ("v1", "ServiceAccount"), ("apiextensions.k8s.io/v1", "CustomResourceDefinition"), ("v1", "Node"),
        ("rbac.authorization.k8s.io/v1", "Role"), ("v1", "Secret"),
    )
)  # fmt: skip


def written(folder: Path, **files: str) -> Path:
    for name, text in files.items():
        path = folder / f"{name.replace('__', '/')}.yaml"
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    return folder


def names(folder: Path) -> list[str]:
    return [f"{body['kind']} {body['metadata']['name']}" for body in read_folder(folder, PLAN).objects]


def test_kinds_and_subfolders(tmp_path: Path) -> None:
    """What a lab has no use for is one line; everything else comes, from every folder below."""
    workloads = DEPLOYMENT + DEPLOYMENT.replace("Deployment", "StatefulSet").replace("name: web", "name: db")
    folder = written(
        tmp_path, a=OTHERS + workloads, deep__b=SERVICE % "web", deep__c="kind: ConfigMap\nmetadata: {name: m}\n"
    )
    assert sorted(names(folder)) == ["ConfigMap m", "Deployment web", "Service web", "StatefulSet db"]
    assert read_folder(folder, PLAN).lines == (
        "passed over: 5 objects that no record comes from: "
        "1 CustomResourceDefinition, 1 Node, 1 Role, 1 Secret, 1 ServiceAccount",
    )


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("kind: Service\nmetadata: {name: x}\nspec: {ports: [{port: '80'}]}\n",
         '{}:3:23: spec.ports[0].port: expected int, got "80"; Service x is left out'),
        (DEPLOYMENT.replace("app: web", "version: 1").replace("name: web", "name: x"),
         "Deployment default/x in {}:1: skipped: metadata.labels.version: expected text, got 1"),
        ("kind: Service\nmetadata: {name: {{ .Values.name }}}\n",
         "{}: looks like a Helm template: helm template . | kdns records --source -"),
    ],
)  # fmt: skip
def test_what_makes_no_sense(tmp_path: Path, text: str, line: str) -> None:
    """It is left out with a line; the rest is a lab."""
    folder = written(tmp_path, a=text, b=SERVICE % "web")
    assert names(folder) == ["Service web"]
    assert read_folder(folder, PLAN).lines == (line.format(folder / "a.yaml"),)


def test_an_empty_folder_is_told(tmp_path: Path) -> None:
    """Files that hold nothing for a lab make one line more."""
    lines = read_folder(written(tmp_path, a=OTHERS), PLAN).lines
    assert lines[-1] == f"{tmp_path} has no object that a lab can run: Pods, workloads, Services"
    (tmp_path / "a.yaml").write_text("kind: [")
    with pytest.raises(ConfigError, match=r"a\.yaml:2:1: expected YAML"):
        read_folder(tmp_path, PLAN)
    with pytest.raises(ConfigError, match="does not exist"):
        read_folder(tmp_path / "nowhere", PLAN)


def test_a_live_dump(tmp_path: Path) -> None:
    """What controllers made of other objects is left out; Pods keep neither another cluster's node nor its address."""
    owned = "ownerReferences: [{kind: %s, name: %s, controller: true}]"
    dump = (
        DEPLOYMENT.replace("{name: web}", "{name: web, uid: a}")
        + DEPLOYMENT.replace("Deployment", "ReplicaSet").replace(
            "{name: web}", f"{{name: web-1, uid: b, {owned % ('Deployment', 'web')}}}"
        )
        + f"kind: Pod\nmetadata: {{name: web-1-x, uid: c, {owned % ('ReplicaSet', 'web-1')}}}\nspec: {{}}\n---\n"
        + "kind: Pod\nmetadata: {name: bare, uid: d}\nspec: {nodeName: ip-10-0-0-1}\nstatus: {podIP: 10.0.0.9}\n---\n"
        + "kind: EndpointSlice\nmetadata: {name: web-z, uid: e, labels: "
        "{endpointslice.kubernetes.io/managed-by: endpointslice-controller.k8s.io}}\naddressType: IPv4\nendpoints: []\n"
    )
    objects = read_folder(written(tmp_path, a=dump), PLAN).objects
    assert [body["metadata"]["name"] for body in objects] == ["bare", "web"]
    assert objects[0] == {"kind": "Pod", "metadata": {"name": "bare", "namespace": "default"}, "spec": {}}


DNS = SERVICE % "kube-dns, namespace: kube-system"


def test_dns_comes_with_a_folder_unless_it_has_it(tmp_path: Path) -> None:
    """The Deployment of the package is there beside the folder's objects; not beside a Service kube-dns of its own."""
    without, having = tmp_path / "without", tmp_path / "having"
    for folder, text in ((without, SERVICE % "web"), (having, DNS)):
        folder.mkdir()
        written(folder, a=text)
    assert brings_dns(read_folder(having, PLAN).objects)
    kinds = [f"{body['kind']} {body['metadata']['name']}" for body in wanted_objects(Kind(folder=str(without)))]
    assert kinds == ["Service web", "ConfigMap kdns", "Deployment kdns", "Service kube-dns"]
    assert len(wanted_objects(Kind(folder=str(having)))) == 1


def test_the_same_address_as_in_the_records(tmp_path: Path) -> None:
    """A lab and `--source` complete a Service with the same engine, from the same range."""
    (body,) = read_folder(written(tmp_path, a=SERVICE % "web"), PLAN).objects
    source = FileSource(tmp_path)._collection.objects.values()
    (service,) = (one.object for one in source if isinstance(one.object, Service))
    assert completed(body, ())["spec"]["clusterIP"] == address_text(service.cluster_ips[0])


def test_endpoints_become_slices() -> None:
    """Those of a Service without a selector, as the mirroring controller writes them."""
    endpoints = {"kind": "Endpoints", "metadata": {"name": "db", "namespace": "x"},
                 "subsets": [{"addresses": [{"ip": "192.0.2.7"}], "ports": [{"port": 5432}]}]}  # fmt: skip
    service = {"kind": "Service", "metadata": {"name": "db", "namespace": "x"}, "spec": {}}
    (made,) = mirrored([service], [endpoints])
    assert (made["endpoints"], made["ports"]) == (
        [{"addresses": ["192.0.2.7"], "conditions": {"ready": True}}],
        [{"name": "", "protocol": "TCP", "port": 5432}],
    )
    assert list(mirrored([{**service, "spec": {"selector": {"a": "b"}}}], [endpoints])) == []


def test_a_workload_that_lost_its_template() -> None:
    """It has no Pods, and the lab goes on: an API client may write anything."""
    assert (
        list(wanted_pods({"kind": "Deployment", "metadata": {"name": "x", "namespace": "y"}, "spec": {}}, PLAN.nodes))
        == []
    )
