"""From the API's spelling to the objects that are kept."""

import copy
from typing import Any, NamedTuple

import msgspec
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from kdns.base.objects import EndpointPort, EndpointSlice, Kind, Namespace, Object, ObjectKey, Pod, Service, ServicePort
from kdns.watch.decode import packing, schema
from tests.fakes.objects import endpoint, endpoint_slice, namespace, node, pod, service, service_cidr

WEB = ObjectKey("Service", "shop", "web")
WEB_1 = ObjectKey("EndpointSlice", "shop", "web-1")


def kept(body: dict[str, Any], warnings: list[str] | None = None, **columns: bool) -> Object | None:
    """Decode as a watch line, and pack; `columns` as for `packing.keeper`."""
    line = msgspec.json.encode({"type": "ADDED", "object": body})
    event = schema.watch_decoder(body["kind"], routing=columns.get("routing", False)).decode(line)
    assert isinstance(event, schema.Added)
    said = warnings if warnings is not None else []
    return packing.keeper(body["kind"], **columns)(event.object, said.append)


class ServiceCase(NamedTuple):
    """A Service's spec, and what is kept of it."""

    title: str
    spec: dict[str, Any]
    kept: Service


PORTS = (ServicePort("http", "TCP", 80),)
SERVICE_CASES = (
    ServiceCase("a cluster IP", {}, Service(WEB, (b"\x0a\x60\x00\x09",), ports=PORTS, selected=True)),
    ServiceCase(
        "both families, in their order",
        {"clusterIPs": ["fd00:10:96::9", "10.96.0.9"]},
        Service(
            WEB, (bytes.fromhex("fd000010009600000000000000000009"), b"\x0a\x60\x00\x09"), ports=PORTS, selected=True
        ),
    ),
    ServiceCase(
        "clusterIP alone (older objects)",
        {"clusterIPs": None},
        Service(WEB, (b"\x0a\x60\x00\x09",), ports=PORTS, selected=True),
    ),
    ServiceCase(
        "headless",
        {"clusterIP": "None", "clusterIPs": ["None"]},
        Service(WEB, headless=True, ports=PORTS, selected=True),
    ),
    ServiceCase(
        "headless by clusterIP alone",
        {"clusterIP": "None", "clusterIPs": []},
        Service(WEB, headless=True, ports=PORTS, selected=True),
    ),
    ServiceCase(
        "an external name, whatever else is there",
        {"type": "ExternalName", "externalName": "my.database.example.com"},
        Service(WEB, external_name="my.database.example.com", ports=PORTS),
    ),
    ServiceCase(
        "an external name without the name", {"type": "ExternalName"}, Service(WEB, external_name="", ports=PORTS)
    ),
    ServiceCase("no address yet", {"clusterIP": "", "clusterIPs": None}, Service(WEB, ports=PORTS, selected=True)),
    ServiceCase("null ports", {"ports": None}, Service(WEB, (b"\x0a\x60\x00\x09",), selected=True)),
    ServiceCase(
        "a port without name and protocol",
        {"ports": [{"port": 53}, None, {"port": 53, "protocol": "UDP", "name": "dns"}]},
        Service(
            WEB,
            (b"\x0a\x60\x00\x09",),
            ports=(ServicePort("", "TCP", 53), ServicePort("dns", "UDP", 53)),
            selected=True,
        ),
    ),
    ServiceCase("without selector", {"selector": None}, Service(WEB, (b"\x0a\x60\x00\x09",), ports=PORTS)),
    ServiceCase("an empty selector is none", {"selector": {}}, Service(WEB, (b"\x0a\x60\x00\x09",), ports=PORTS)),
)


@pytest.mark.parametrize("case", SERVICE_CASES, ids=lambda case: case.title)
def test_services(case: ServiceCase) -> None:
    """What DNS needs of a Service is kept, from JSON and from YAML alike."""
    body = service("shop", "web", "10.96.0.9")
    body["spec"] |= case.spec
    assert kept(body) == case.kept
    assert packing.keep_service(msgspec.convert(yaml.safe_load(yaml.safe_dump(body)), schema.ApiService)) == case.kept


class SliceCase(NamedTuple):
    """Fields of a slice, what is kept of it, and the warnings on the way."""

    title: str
    fields: dict[str, Any]
    kept: EndpointSlice | None
    warnings: tuple[str, ...] = ()
    pod_names: bool = False


HTTP = (EndpointPort("http", "TCP", 8080),)
A, B = b"\x0a\xf4\x00\x04", b"\x0a\xf4\x00\x05"
SLICE_CASES = (
    SliceCase("ready endpoints", {}, EndpointSlice(WEB_1, "web", 4, A + B, HTTP)),
    SliceCase(
        "readiness: false is not, null is, none at all is",
        {
            "endpoints": [
                endpoint("10.244.0.3", ready=False),
                endpoint("10.244.0.4", ready=None),
                {"addresses": ["10.244.0.5"]},
                {"addresses": ["10.244.0.6"], "conditions": None},
            ]
        },
        EndpointSlice(WEB_1, "web", 4, A + B + b"\x0a\xf4\x00\x06", HTTP),
    ),
    SliceCase(
        "every address of an endpoint is a row, with its hostname",
        {"endpoints": [{"addresses": ["10.244.0.4", "10.244.0.5"], "hostname": "db-0"}, endpoint("10.244.0.4")]},
        EndpointSlice(WEB_1, "web", 4, A + B + A, HTTP, hostnames=("db-0", "db-0", "")),
    ),
    SliceCase(
        "Pod names where they are wanted, and only of Pods",
        {
            "endpoints": [
                endpoint("10.244.0.4", pod="web-1"),
                {"addresses": ["10.244.0.5"], "targetRef": {"kind": "Node", "name": "n"}},
            ]
        },
        EndpointSlice(WEB_1, "web", 4, A + B, HTTP, pods=("web-1", "")),
        pod_names=True,
    ),
    SliceCase(
        "Pod names are not kept where nobody wants them",
        {"endpoints": [endpoint("10.244.0.4", pod="web-1")]},
        EndpointSlice(WEB_1, "web", 4, A, HTTP),
    ),
    SliceCase("null everywhere", {"endpoints": None, "ports": None}, EndpointSlice(WEB_1, "web", 4)),
    SliceCase(
        "null inside",
        {"endpoints": [None, {"addresses": None}, {"addresses": []}], "ports": [None, {"name": "any", "port": None}]},
        EndpointSlice(WEB_1, "web", 4),
    ),
    SliceCase(
        "a bad address is left out, the others stay",
        {"endpoints": [endpoint("10.244.0.400"), endpoint("10.244.0.4"), endpoint("fd00::1"), {"addresses": [None]}]},
        EndpointSlice(WEB_1, "web", 4, A, HTTP),
        ("address '10.244.0.400' and 2 more left out: not IPv4",),
    ),
    SliceCase(
        "a port nobody can listen on",
        {"ports": [{"name": "http", "port": 70000}]},
        EndpointSlice(WEB_1, "web", 4, A + B),
        ("port 70000 left out: not 1 to 65535",),
    ),
    SliceCase(
        "canonical IPv6 needs no text",
        {"addressType": "IPv6", "endpoints": [endpoint("fd00::1")]},
        EndpointSlice(WEB_1, "web", 16, bytes.fromhex("fd" + "00" * 14 + "01"), HTTP),
    ),
    SliceCase(
        "another spelling of IPv6 is kept beside it",
        {"addressType": "IPv6", "endpoints": [endpoint("FD00::1"), endpoint("fd00::1")]},
        EndpointSlice(WEB_1, "web", 16, bytes.fromhex("fd" + "00" * 14 + "01") * 2, HTTP, texts=("FD00::1", "fd00::1")),
    ),
    SliceCase("a slice of names", {"addressType": "FQDN", "endpoints": [endpoint("example.com")]}, None),
)


@pytest.mark.parametrize("case", SLICE_CASES, ids=lambda case: case.title)
def test_slices(case: SliceCase) -> None:
    """The ready addresses of a slice are packed; nothing in it can make it useless as a whole."""
    body = endpoint_slice("shop", "web-1", "web", ["10.244.0.4", "10.244.0.5"]) | case.fields
    warnings: list[str] = []
    assert kept(body, warnings, pod_names=case.pod_names) == case.kept
    assert tuple(warnings) == case.warnings


def test_a_slice_without_the_label_belongs_to_nobody() -> None:
    """No label, null labels: it is kept, without a Service."""
    body = endpoint_slice("shop", "web-1", "", ["10.244.0.4"])
    for labels in ({}, None, {"kubernetes.io/service-name": None}):
        body["metadata"]["labels"] = labels
        packed = kept(body)
        assert isinstance(packed, EndpointSlice)
        assert packed.service == ""


def test_slices_share_what_is_equal() -> None:
    """Ten thousand slices with the same ports hold one tuple, and one text for each name of a namespace."""
    keep = packing.keeper("EndpointSlice")
    decode = schema.watch_decoder("EndpointSlice").decode
    first, second = (
        keep(
            decode(
                msgspec.json.encode({"type": "ADDED", "object": endpoint_slice("shop", name, "web", ["10.244.0.4"])})
            ).object,
            pytest.fail,
        )
        for name in ("web-1", "web-2")
    )
    assert isinstance(first, EndpointSlice)
    assert isinstance(second, EndpointSlice)
    assert first.ports is second.ports
    assert first.service is second.service
    assert first.key.namespace is second.key.namespace


class Absurd(NamedTuple):
    """An object nobody can serve, and why."""

    title: str
    body: dict[str, Any]
    problem: str


def _without(body: dict[str, Any], *path: str) -> dict[str, Any]:
    """The body with one field null."""
    body = copy.deepcopy(body)
    at = body
    for step in path[:-1]:
        at = at.setdefault(step, {}) if isinstance(at, dict) else at[step]
    at[path[-1]] = None
    return body


ABSURD = (
    Absurd("no metadata", _without(service("shop", "web", "10.96.0.9"), "metadata"), "it has no name"),
    Absurd("no name", _without(service("shop", "web", "10.96.0.9"), "metadata", "name"), "it has no name"),
    Absurd("no namespace", _without(service("shop", "web"), "metadata", "namespace"), "it has no namespace"),
    Absurd("no spec", _without(service("shop", "web"), "spec"), "it has no spec"),
    Absurd("no address", service("shop", "web", "10.96.0"), "its cluster IP '10.96.0' is not an address"),
    Absurd("an address with an octet 0", service("shop", "web", "1\0"), "its cluster IP '1\\x00' is not an address"),
    Absurd("port 0", service("shop", "web", "10.96.0.9", [("http", 0)]), "its port 0 is not 1 to 65535"),
    Absurd("no port", service("shop", "web", "10.96.0.9", ports=[("http", None)]), "its port None is not 1 to 65535"),  # type: ignore[list-item]
    Absurd(
        "no address type",
        endpoint_slice("shop", "web-1", "web", addressType=None),
        "its addressType is None, not IPv4, IPv6 or FQDN",
    ),
    Absurd("a Namespace without a name", namespace(""), "it has no name"),
    Absurd("a Pod without a name", pod("shop", "", "10.244.0.4"), "it has no name"),
)


@pytest.mark.parametrize("case", ABSURD, ids=lambda case: case.title)
def test_absurd_objects(case: Absurd) -> None:
    """They are refused in one line, which does not repeat the object's name."""
    with pytest.raises(ValueError, match=r"^it") as caught:
        kept(case.body)
    assert str(caught.value) == case.problem


def test_pods_and_namespaces() -> None:
    """A Pod is its address as the object spells it, empty before there is one; a Namespace is its name."""
    key = ObjectKey("Pod", "shop", "web-1")
    wire = pod("shop", "web-1", "10.244.0.4")
    assert kept(wire) == Pod(key, "10.244.0.4", node="node-1")
    assert kept(_without(wire, "spec")) == Pod(key, "10.244.0.4")
    assert kept(_without(wire, "status")) == Pod(key, "", node="node-1")
    wire["spec"]["hostNetwork"] = True
    assert kept(wire) == Pod(key, "10.244.0.4", node="node-1", host_network=True)
    assert kept(namespace("shop")) == Namespace(ObjectKey("Namespace", "", "shop"))


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
FIELDS = (
    (
        service("shop", "web", "10.96.0.9"),
        (
            ("spec",),
            ("spec", "ports"),
            ("spec", "clusterIPs"),
            ("metadata", "labels"),
            ("status",),
            ("spec", "type"),
            ("spec", "externalIPs"),
            ("spec", "loadBalancerSourceRanges"),
            ("spec", "sessionAffinityConfig"),
            ("spec", "healthCheckNodePort"),
            ("spec", "ports", 0, "nodePort"),
            ("metadata", "labels", "service.kubernetes.io/service-proxy-name"),
        ),
    ),
    (
        endpoint_slice("shop", "web-1", "web", ["10.244.0.4"]),
        (
            ("endpoints",),
            ("ports",),
            ("addressType",),
            ("metadata",),
            ("endpoints", 0, "conditions"),
            ("endpoints", 0, "hints"),
            ("endpoints", 0, "nodeName"),
            ("endpoints", 0, "addresses"),
        ),
    ),
    (pod("shop", "web-1", "10.244.0.4"), (("status",), ("status", "podIP"), ("metadata", "name"))),
    (namespace("shop"), (("metadata",), ("metadata", "name"))),
    (
        node("node1", "172.18.0.2", pod_cidrs=["10.244.0.0/24"]),
        (
            ("metadata", "labels"),
            ("spec", "podCIDRs"),
            ("spec", "podCIDR"),
            ("spec", "taints"),
            ("status",),
            ("status", "addresses"),
        ),
    ),
    (service_cidr("kubernetes", "10.96.0.0/16"), (("spec",), ("spec", "cidrs"))),
)


@given(st.sampled_from(FIELDS), st.data())
def test_anything_in_any_field(body_and_paths: Any, data: st.DataObject) -> None:
    """Whatever stands in a field: the object is kept, or refused with a ValueError, and never anything else."""
    body, paths = body_and_paths
    body = copy.deepcopy(body)
    path = data.draw(st.sampled_from(paths))
    at = body
    for step in path[:-1]:
        at = at.setdefault(step, {}) if isinstance(at, dict) else at[step]
    at[path[-1]] = data.draw(ANYTHING)
    kind: Kind = body["kind"]
    columns = {"routing": True, "named": data.draw(st.booleans())} if data.draw(st.booleans()) else {}
    try:
        packed = kept(body, None, **columns)
    except ValueError:
        return
    assert packed is None or packed.key.kind == kind
