"""Manifests become objects; what makes no sense is told once, what cannot be read is an error with its place."""

import json
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from kdns.base.errors import ConfigError
from kdns.base.objects import (
    READY,
    SERVING,
    EndpointPort,
    EndpointSlice,
    EndpointStates,
    Namespace,
    ObjectKey,
    Pod,
    Routing,
    Service,
    ServicePort,
)
from kdns.watch.manifests.reading import parse_manifests
from tests.build import node, service_cidr

SERVICE = """\
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop, labels: {app: web}}
spec:
  clusterIP: 10.96.0.9
  clusterIPs: [10.96.0.9]
  ports:
  - {name: http, port: 80}
"""
WEB = Service(
    ObjectKey("Service", "shop", "web"), (b"\n`\0\t",), ports=(ServicePort("http", "TCP", 80),), routing=Routing()
)


def parsed(text: str, source: str = "demo.yaml") -> tuple[list[Any], list[str]]:
    """The objects as kdns keeps them, and the warnings."""
    manifests = parse_manifests(text.encode(), source)
    if manifests.problems:
        raise manifests.problems[0].error
    return [manifest.object for manifest in manifests.objects], list(manifests.warnings)


def test_a_service() -> None:
    """An object comes out packed, with its labels, its fields for selectors, and its place."""
    manifests = parse_manifests(("---\n" + SERVICE).encode(), "demo.yaml")
    (manifest,) = manifests.objects
    assert (manifest.object, manifests.warnings) == (WEB, ())
    assert manifest.labels == {"app": "web"}
    assert manifest.at == "demo.yaml:2"
    assert manifest.fields == {
        "metadata.name": "web", "metadata.namespace": "shop", "spec.clusterIP": "10.96.0.9", "spec.type": ""
    }  # fmt: skip


@pytest.mark.parametrize("name", ["www.example.com.", "", "a..b", "192.0.2.7", "x" * 300])
def test_an_external_name_is_kept_as_it_is(name: str) -> None:
    """The Service exists whatever its externalName is, as it does when an API server says so: the zone judges it."""
    kept = Service(ObjectKey("Service", "shop", "web"), external_name=name)
    assert parsed(service(f'type: ExternalName, externalName: "{name}"')) == ([kept], [])


def test_what_kubectl_prints() -> None:
    """Lists in YAML and JSON, with items that say their kind or typed lists whose items do not."""
    indented = "- " + SERVICE.rstrip().replace("\n", "\n  ") + "\n"
    as_json = (
        '{"apiVersion":"v1","metadata":{"name":"web","namespace":"shop"},'
        '"spec":{"clusterIP":"10.96.0.9","ports":[{"name":"http","port":80}]}'
    )
    for text, source in (
        ("apiVersion: v1\nkind: List\nitems:\n" + indented, "demo.yaml"),
        ("apiVersion: v1\nkind: ServiceList\nitems:\n" + indented.replace("  kind: Service\n", ""), "demo.yaml"),
        ('{"kind":"List","items":[' + as_json + ',"kind":"Service"}]}', "demo.json"),
        ('{"kind":"ServiceList","apiVersion":"v1","items":[' + as_json + "}]}", "-"),
    ):
        assert parsed(text, source) == ([WEB], [])


def test_service_imports() -> None:
    """With their slices; labels that can be no part of a name are told."""
    text = """
apiVersion: multicluster.x-k8s.io/v1alpha1
kind: ServiceImport
metadata: {name: web, namespace: shop}
spec: {type: ClusterSetIP, ips: [10.112.0.9], ports: [{name: http, port: 80}, {name: A_B, port: 81}]}
---
apiVersion: multicluster.x-k8s.io/v1alpha1
kind: ServiceImport
metadata: {name: db, namespace: shop}
spec: {type: Headless}
---
apiVersion: multicluster.example.org/v1
kind: ServiceImport
metadata: {name: other, namespace: shop}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata:
  name: web-east
  namespace: shop
  labels: {multicluster.kubernetes.io/service-name: web, multicluster.kubernetes.io/source-cluster: east}
addressType: IPv4
endpoints: [{addresses: [10.1.0.4]}]
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata:
  name: web-bad
  namespace: shop
  labels: {multicluster.kubernetes.io/service-name: web, multicluster.kubernetes.io/source-cluster: a.b}
addressType: IPv4
"""
    web, db = (ObjectKey("ServiceImport", "shop", name) for name in ("web", "db"))
    east = ObjectKey("EndpointSlice", "shop", "web-east")
    objects, warnings = parsed(text)
    assert ([*objects[:2], replace(objects[2], states=None)], warnings) == (
        [
            Service(web, (b"\np\0\t",), ports=(ServicePort("http", "TCP", 80),)),
            Service(db, headless=True),
            EndpointSlice(east, "", 4, b"\n\1\0\4", imported="web", cluster="east"),
        ],
        [
            'ServiceImport shop/web in demo.yaml:2: port "A_B" left out: no valid name of a port',
            "EndpointSlice shop/web-bad in demo.yaml:25: skipped: its label multicluster.kubernetes.io/source-cluster "
            'is "a.b", no valid name of a cluster',
        ],
    )


def test_our_kinds_and_no_others() -> None:
    """Namespaces, Pods, EndpointSlices, Nodes and ServiceCIDRs; whatever else a folder holds is not for us."""
    text = """
kind: Namespace
metadata: {name: shop}
---
apiVersion: v1
kind: Pod
metadata: {name: web-0}
status: {podIP: 10.244.0.5, phase: Running}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: web-x, namespace: shop, labels: {kubernetes.io/service-name: web}}
addressType: IPv4
ports: [{name: http, port: 8080}]
endpoints:
- {addresses: [10.244.0.5], targetRef: {kind: Pod, name: web-0}, hostname: alpha, nodeName: node1}
- {addresses: [10.244.0.6], conditions: {ready: false}}
---
apiVersion: v1
kind: Node
metadata: {name: node1, labels: {topology.kubernetes.io/zone: a}}
status: {addresses: [{type: Hostname, address: node1}, {type: InternalIP, address: 172.18.0.2}]}
---
apiVersion: networking.k8s.io/v1beta1
kind: ServiceCIDR
metadata: {name: kubernetes}
spec: {cidrs: [10.96.0.0/16]}
---
apiVersion: serving.knative.dev/v1
kind: Service
metadata: {name: other}
spec: {ports: 5}
---
apiVersion: v1
kind: ConfigMap
metadata: 5
---
image: {tag: "1"}
---
kind: [Service]
"""
    sliced = EndpointSlice(
        ObjectKey("EndpointSlice", "shop", "web-x"), "web", 4, b"\n\xf4\0\5", (EndpointPort("http", "TCP", 8080),),
        ("alpha",), ("web-0",),
        states=EndpointStates(b"\n\xf4\0\5\n\xf4\0\6", bytes((READY | SERVING, SERVING)), ("node1", "")),
    )  # fmt: skip
    namespace, pod = ObjectKey("Namespace", "", "shop"), ObjectKey("Pod", "default", "web-0")
    ours = [Namespace(namespace), Pod(pod, "10.244.0.5"), sliced, node("node1", ["172.18.0.2"], zone="a")]
    assert parsed(text) == ([*ours, service_cidr("kubernetes", "10.96.0.0/16")], [])


class Odd(NamedTuple):
    title: str
    text: str
    kept: int
    """How many objects are left."""
    warning: str


def service(spec: str, metadata: str = "name: web, namespace: shop") -> str:
    return f"kind: Service\nmetadata: {{{metadata}}}\nspec: {{{spec}}}\n"


def slice_of(more: str, metadata: str = "name: web-x, namespace: shop") -> str:
    return f"\nkind: EndpointSlice\nmetadata: {{{metadata}}}\n{more}\n"


def pod_of(more: str) -> str:
    return f"kind: Pod\nmetadata: {{name: web-0, namespace: shop}}\n{more}\n"


ONE = "clusterIP: 10.96.0.9"
PORTS = "ports: [{port: 80}]"
LONG = "a" * 300
ODD = (
    Odd("no ports", service(ONE), 1,
        "Service shop/web in demo.yaml:1: it has no ports: only its addresses are served"),
    Odd("no spec", "kind: Service\nmetadata: {name: web}\n", 0,
        "Service default/web in demo.yaml:1: skipped: it has no spec"),
    Odd("no metadata", "kind: Service\nspec: {}\n", 0,
        "Service default/(no name) in demo.yaml:1: skipped: it has no name"),
    Odd("a null name", service(PORTS, "name: null"), 0,
        "Service default/(no name) in demo.yaml:1: skipped: it has no name"),
    Odd("no cluster IP, in a live dump", service(PORTS, "name: web, namespace: shop, uid: 1-2"), 1,
        "Service shop/web in demo.yaml:1: it has no clusterIP, which the API server would have given it: no address"),
    Odd("a cluster IP that is none", service(f"clusterIP: 10.96.0.900, {PORTS}"), 0,
        "Service shop/web in demo.yaml:1: skipped: its cluster IP '10.96.0.900' is not an address"),
    Odd("cluster IPs that disagree", service(f"clusterIP: 10.96.0.8, clusterIPs: [10.96.0.9], {PORTS}"), 1,
        'Service shop/web in demo.yaml:1: clusterIP "10.96.0.8" is not the first of clusterIPs, "10.96.0.9",'
        " which is taken"),
    Odd("a port out of range", service(f"{ONE}, ports: [{{port: 65536}}]"), 0,
        "Service shop/web in demo.yaml:1: skipped: its port 65536 is not 1 to 65535"),
    Odd("a port name that is none", service(f"{ONE}, ports: [{{port: 80}}, {{name: A_B, port: 81}}]"), 1,
        'Service shop/web in demo.yaml:1: port "A_B" left out: no valid name of a port'),
    Odd("a name of 300 characters", service(f"{ONE}, {PORTS}", f"name: {LONG}, namespace: shop"), 0,
        f"Service shop/{LONG[:60]}... in demo.yaml:1: skipped: its name \"{LONG[:59]}...\" is no valid name of a"
        " Service"),
    Odd("a namespace of 300 characters", service(f"{ONE}, {PORTS}", f"name: web, namespace: {LONG}"), 0,
        f"Service {LONG[:60]}.../web in demo.yaml:1: skipped: its namespace \"{LONG[:59]}...\" is no valid name of a"
        " Namespace"),
    Odd("null endpoints", slice_of("addressType: IPv4\nendpoints: null"), 1,
        "EndpointSlice shop/web-x in demo.yaml:2: endpoints is null: it has none"),
    Odd("a null endpoint", slice_of("addressType: IPv4\nendpoints: [null, {addresses: [10.244.0.5]}]"), 1,
        "EndpointSlice shop/web-x in demo.yaml:2: an endpoint is null: left out"),
    Odd("a slice of names", slice_of("addressType: FQDN\nendpoints: [{addresses: [a.example.com]}]"), 0,
        "EndpointSlice shop/web-x in demo.yaml:2: skipped: its addressType FQDN is not used by DNS"),
    Odd("no address type", slice_of("endpoints: []"), 0,
        "EndpointSlice shop/web-x in demo.yaml:2: skipped: its addressType is None, not IPv4, IPv6 or FQDN"),
    Odd("an address that is none", slice_of("addressType: IPv4\nendpoints: [{addresses: [10.244.0.5, fd00::1]}]"), 1,
        "EndpointSlice shop/web-x in demo.yaml:2: address 'fd00::1' left out: not IPv4"),
    Odd("a hostname of 300 characters",
        slice_of(f"addressType: IPv4\nendpoints: [{{addresses: [10.244.0.5], hostname: {LONG}}}]"), 1,
        f"EndpointSlice shop/web-x in demo.yaml:2: hostname \"{LONG[:59]}...\" left out: no valid name of a host"),
    Odd("a slice of a Service whose name is none", slice_of("addressType: IPv4\nendpoints: []",
        "name: web-x, namespace: shop, labels: {kubernetes.io/service-name: a.b}"), 0,
        'EndpointSlice shop/web-x in demo.yaml:2: skipped: its label kubernetes.io/service-name is "a.b", no valid'
        " name of a Service"),
    Odd("a Pod's address that is none", pod_of("status: {podIPs: [{ip: 10.244.0.999}]}"), 1,
        'Pod shop/web-0 in demo.yaml:1: podIP "10.244.0.999" left out: not an address'),
    Odd("a Pod's addresses that disagree", pod_of("status: {podIP: 10.244.0.8, podIPs: [{ip: 10.244.0.9}]}"), 1,
        'Pod shop/web-0 in demo.yaml:1: podIP "10.244.0.8" is not the first of podIPs, "10.244.0.9", which is taken'),
    Odd("a Pod's hostname that is none", pod_of("spec: {hostname: a b, subdomain: web}"), 1,
        'Pod shop/web-0 in demo.yaml:1: hostname "a b" left out: no valid name of a host'),
)  # fmt: skip


@pytest.mark.parametrize("odd", ODD, ids=lambda odd: odd.title)
def test_absurd_objects(odd: Odd) -> None:
    """An object that makes no sense is skipped or trimmed with one warning naming it; all others are served."""
    kept, warnings = parsed(odd.text + "---\n" + SERVICE.replace("name: web,", "name: beside,"))
    assert warnings == [odd.warning]
    assert len(kept) == odd.kept + 1
    assert kept[-1].key.name == "beside"


@pytest.mark.parametrize(
    ("text", "place", "problem"),
    [
        (SERVICE.replace("port: 80", "port: http"), (8, 24), 'spec.ports[0].port: expected int, got "http"'),
        (SERVICE.replace("name: http,", "name: 5,"), (8, 12), "spec.ports[0].name: expected text, got 5"),
        (SERVICE.replace("app: web", "app: web, version: 1"), (3, 68), "metadata.labels.version: expected text, got 1"),
        (SERVICE.replace("metadata: {", "metadata: [{").replace("web}}", "web}}]"), (3, 11),
         "metadata: expected mapping, got a list"),
        (service("selector: {app: {a: b}}"), (3, 24), "spec.selector.app: expected text, got a mapping"),
        (service("ports: [{port: 80, targetPort: 1.5}]"), (3, 39),
         "spec.ports[0].targetPort: expected int or text, got 1.5"),
        (slice_of("addressType: IPv4\nendpoints: [{addresses: 10.0.0.1}]"), (5, 25),
         'endpoints[0].addresses: expected list, got "10.0.0.1"'),
        (slice_of("addressType: IPv4\nendpoints: []", "name: a, labels: {kubernetes.io/service-name: 5}"), (3, 58),
         "metadata.labels.kubernetes.io/service-name: expected text, got 5"),
        ("kind: List\nitems:\n- kind: Namespace\n  metadata:\n    name: 5\n", (5, 11),
         "metadata.name: expected text, got 5"),
        ('{"kind": "List", "items": [\n {"kind": "Pod", "status":\n  {"podIP": true}}]}', (3, 13),
         "status.podIP: expected text, got true"),
    ],
)  # fmt: skip
def test_values_of_the_wrong_type(text: str, place: tuple[int, int], problem: str) -> None:
    """The error names the field, what it must be, what it is, and points at it."""
    with pytest.raises(ConfigError) as caught:
        parsed(text)
    assert caught.value.at is not None
    assert (caught.value.problem, caught.value.at[1:3]) == (problem, place)


NAMES = (
    "metadata", "name", "namespace", "labels", "spec", "status", "clusterIP", "clusterIPs", "ports", "port", "protocol",
    "targetPort", "type", "externalName", "selector", "ipFamilies", "addressType", "endpoints", "addresses", "ready",
    "conditions", "hostname", "subdomain", "targetRef", "containers", "podIP", "podIPs", "ip", "phase",
)  # fmt: skip
FIELDS = st.sampled_from(NAMES)
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=4)
    | st.sampled_from(["web", "None", "10.96.0.9", "fd00::1", "IPv4", "FQDN", "ExternalName", "a..b", LONG]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(FIELDS, inner, max_size=6),
    max_leaves=30,
)  # fmt: skip
PARTS = st.dictionaries(st.sampled_from(["metadata", "spec", "status", "endpoints", "addressType", "ports"]), VALUES)


@given(st.sampled_from(["Service", "EndpointSlice", "Namespace", "Pod", "List"]), PARTS, st.booleans())
def test_any_object_is_kept_skipped_or_a_config_error(kind: str, parts: dict[str, Any], named: bool) -> None:
    """Whatever stands in an object of ours, nothing is raised, and there is at most one warning or problem."""

    if named:
        parts = {**parts, "metadata": {"name": "web", "namespace": "shop"}}
    text = json.dumps({"kind": kind, **parts})
    for source in ("a.json", "a.yaml"):
        manifests = parse_manifests(text.encode(), source)
        assert len(manifests.warnings) + len(manifests.problems) <= 1


@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_any_octets_are_manifests_or_problems(data: bytes) -> None:
    """Nothing is ever raised."""
    assert parse_manifests(data, "demo.yaml").objects == ()
