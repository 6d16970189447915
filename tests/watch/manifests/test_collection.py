"""Files together are one cluster: each object once, derived where something is missing, picked as the API would."""

from collections.abc import Sequence

import pytest
from msgspec.structs import replace

from kdns.base.errors import ConfigError
from kdns.base.objects import SERVING, TERMINATING, DerivedFrom, EndpointSlice, Service
from kdns.watch.follower import proxy_wants
from kdns.watch.manifests.collection import collect
from kdns.watch.manifests.reading import parse_manifests
from kdns.watch.manifests.selection import Selection
from kdns.watch.source import Want
from tests.build import State, proxied, states_slice, tcp

WEB = """
kind: Service
metadata: {name: web, namespace: shop, labels: {team: blue}}
spec: {clusterIP: 10.96.0.9, selector: {app: web}, ports: [{port: 80}]}
---
kind: Pod
metadata: {name: web-0, namespace: shop, labels: {app: web}}
spec: {nodeName: node-1}
status: {phase: Running, podIP: 10.244.0.5, conditions: [{type: Ready, status: "True"}]}
---
kind: Pod
metadata: {name: job-0, namespace: shop}
status: {phase: Succeeded, podIP: 10.244.0.6}
"""
SLICE = """
kind: EndpointSlice
metadata: {name: web-x, namespace: NAMESPACE, labels: {kubernetes.io/service-name: web}}
addressType: IPv4
endpoints: [{addresses: [10.244.0.7]}]
"""
ALL = (Want("Service"), Want("EndpointSlice"), Want("Namespace"), Want("Pod"))


def names(files: dict[str, str], wants: Sequence[Want] = ALL) -> list[str]:
    """What is picked, as ``Kind namespace/name``."""
    collection = collect({name: parse_manifests(text.encode(), name) for name, text in files.items()})
    return [str(key) for objects in Selection(wants).pick(collection).values() for key in objects]


def test_slices_and_namespaces_are_derived() -> None:
    """A Service without slices gets one of its Pods, and each namespace that something is in exists."""
    assert names({"a": WEB}) == [
        "Service shop/web",
        "EndpointSlice shop/web-derived-ipv4-0",
        "Namespace shop",
        "Pod shop/job-0",
        "Pod shop/web-0",
    ]


def test_slices_of_the_source_are_enough() -> None:
    """A Service that any file has a slice of gets no derived one; a slice of another namespace is not its own."""
    sliced = [Want("EndpointSlice")]
    assert names({"a": WEB, "b": SLICE.replace("NAMESPACE", "shop")}, sliced) == ["EndpointSlice shop/web-x"]
    assert names({"a": WEB, "b": SLICE.replace("NAMESPACE", "data")}, sliced) == [
        "EndpointSlice data/web-x",
        "EndpointSlice shop/web-derived-ipv4-0",
    ]


def test_namespaces_beside_those_that_are_written_out() -> None:
    """Namespaces that the files have keep their labels; the others that objects are in exist too, with their names."""
    files = {"a": WEB, "b": "kind: Namespace\nmetadata: {name: data, labels: {env: prod}}"}
    assert names(files, [Want("Namespace")]) == ["Namespace data", "Namespace shop"]
    assert names(files, [Want("Namespace", label_selector="env=prod")]) == ["Namespace data"]
    labelled = [Want("Namespace", label_selector="kubernetes.io/metadata.name in (data, shop)")]
    assert names(files, labelled) == ["Namespace data", "Namespace shop"]


@pytest.mark.parametrize(
    ("want", "picked"),
    [
        (Want("Service", label_selector="team=blue"), ["Service shop/web"]),
        (Want("Service", label_selector="team!=blue"), []),
        (Want("EndpointSlice", label_selector="team=blue"), ["EndpointSlice shop/web-derived-ipv4-0"]),
        (Want("EndpointSlice", label_selector="service.kubernetes.io/headless"), []),
        (Want("Pod", field_selector="status.phase!=Succeeded,status.phase!=Failed"), ["Pod shop/web-0"]),
        (Want("Pod", field_selector="spec.nodeName=node-1"), ["Pod shop/web-0"]),
        (Want("Pod", field_selector="metadata.name=job-0"), ["Pod shop/job-0"]),
        (Want("Service", field_selector="spec.clusterIP!=None"), ["Service shop/web"]),
    ],
)
def test_selectors(want: Want, picked: list[str]) -> None:
    """Objects are picked by labels and fields, derived ones by those that their controller gives them."""
    assert names({"a": WEB}, [want]) == picked


def test_a_selector_that_is_none() -> None:
    """A field that nobody keeps is an error before anything is picked."""
    with pytest.raises(ConfigError, match=r"expected one of .*status\.phase"):
        Selection([Want("Pod", field_selector="spec.colour=red")])


def test_an_object_in_two_files() -> None:
    """The first file in the order of names has it; the other one is told, once."""
    other = WEB.replace("10.96.0.9", "10.96.0.8").split("---", maxsplit=1)[0]
    collection = collect({name: parse_manifests(text.encode(), name) for name, text in {"b": other, "a": WEB}.items()})
    assert collection.warnings == ("Service shop/web in b:2: skipped: it is in a:2 already",)
    (service,) = Selection([Want("Service", field_selector="spec.clusterIP=10.96.0.9")]).pick(collection)["Service"]
    assert service.name == "web"


def test_pod_names_are_kept_only_if_wanted() -> None:
    """The column of Pod names is there when a setting uses it, and costs nothing when none does."""
    collection = collect({"a": parse_manifests(WEB.encode(), "a")})
    for wanted in (True, False):
        (kept,) = Selection([Want("EndpointSlice", pod_names=wanted)]).pick(collection)["EndpointSlice"].values()
        assert isinstance(kept, EndpointSlice)
        assert kept.pods == (("web-0",) if wanted else ())


PROXY = """
kind: Service
metadata: {name: web, namespace: shop}
spec: {type: NodePort, clusterIP: 10.96.0.9, selector: {app: web}, ports: [{port: 80, nodePort: 30080}]}
---
kind: Pod
metadata: {name: web-0, namespace: shop, labels: {app: web}, deletionTimestamp: "2026-01-01T00:00:00Z"}
spec: {nodeName: node1, hostname: web-0, subdomain: web}
status: {phase: Running, podIP: 10.244.0.5, conditions: [{type: Ready, status: "True"}]}
---
kind: Service
metadata: {name: db, namespace: shop}
spec: {clusterIP: None, selector: {app: web}, ports: [{port: 80}], ipFamilies: [IPv4]}
---
kind: Service
metadata: {name: other, namespace: shop, labels: {service.kubernetes.io/service-proxy-name: mesh}}
spec: {clusterIP: 10.96.0.8, selector: {app: web}, ports: [{port: 80}]}
"""


def test_what_the_proxy_wants_of_files() -> None:
    """The Services and derived slices that it serves, as it has them: nothing headless, nothing of another proxy."""
    collection = collect({"a": parse_manifests(PROXY.encode(), "a")})
    picked = Selection(proxy_wants("node1")).pick(collection)
    web = replace(proxied("shop/web", ["10.96.0.9"], [tcp(80, "", 30080)]), selected=True)
    rows = [State("10.244.0.5", "node1", SERVING | TERMINATING)]
    assert list(picked["Service"].values()) == [web]
    derived = states_slice("shop/web-derived-ipv4-0", rows, [tcp(80)], service="web")
    assert list(picked["EndpointSlice"].values()) == [
        replace(derived, derived_from=DerivedFrom("Service", "shop", "web"))
    ]
    assert (picked["Node"], picked["ServiceCIDR"]) == ({}, {})


def test_what_dns_and_the_proxy_want_of_files() -> None:
    """Together they get everything, and tell by what is kept what is for whom."""
    wanted = [Want("Service", routing=True), Want("EndpointSlice", routing=True)]
    picked = Selection(wanted).pick(collect({"a": parse_manifests(PROXY.encode(), "a")}))
    routed = [one for one in picked["Service"].values() if isinstance(one, Service) and one.routing]
    assert [(one.key.name, one.headless, one.routing and one.routing.elsewhere) for one in routed] == [
        ("db", True, False),
        ("other", False, True),
        ("web", False, False),
    ]
    slices = [one for one in picked["EndpointSlice"].values() if isinstance(one, EndpointSlice)]
    assert [(one.service, one.states is not None) for one in slices] == [("db", False), ("other", True), ("web", True)]


def test_dns_keeps_nothing_of_the_proxy() -> None:
    """What only the proxy reads of files is no part of what DNS holds."""
    collection = collect({"a": parse_manifests(PROXY.encode(), "a")})
    picked = Selection([Want("Service"), Want("EndpointSlice")]).pick(collection)
    for one in (*picked["Service"].values(), *picked["EndpointSlice"].values()):
        if isinstance(one, Service):
            assert one.routing is None
            assert all(port.node_port == 0 for port in one.ports)
        else:
            assert isinstance(one, EndpointSlice)
            assert one.states is None
