"""The example cluster is valid Kubernetes, and has what the guides ask of it."""

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

import kdns.watch
from kdns.base.objects import EndpointSlice, Kind, Service
from kdns.watch.manifests.collection import collect
from kdns.watch.manifests.files import FileSource
from kdns.watch.manifests.reading import parse_manifests
from kdns.watch.manifests.selection import Selection
from kdns.watch.source import Want

DEMO = Path(kdns.watch.__file__).parent.parent / "demo"
FILES = sorted(DEMO.glob("*.yaml"))
KINDS: tuple[Kind, ...] = ("Namespace", "Service", "EndpointSlice", "Pod")
COLLECTION = collect({path.name: parse_manifests(path.read_bytes(), path.name) for path in FILES})
OBJECTS = Selection([Want(kind) for kind in KINDS]).pick(COLLECTION)


def documents() -> Iterator[Any]:
    """Every manifest, with its file's name."""
    for path in FILES:
        for document in yaml.safe_load_all(path.read_text()):
            yield pytest.param(document, id=f"{path.name}:{document['kind']}/{document['metadata']['name']}")


@pytest.mark.parametrize("document", list(documents()))
def test_manifests_are_valid(document: dict[str, Any]) -> None:
    """The API server would take each of them, and knows every field."""
    kubernetes_validate.validate(document, kubernetes_validate.latest_version(), strict=True)


def test_nothing_is_odd(caplog: pytest.LogCaptureFixture) -> None:
    """The example reads without a warning, in few files that begin with a comment."""
    FileSource(DEMO)
    assert (COLLECTION.warnings, caplog.records) == ((), [])
    assert 0 < len(FILES) < 10
    assert all(path.read_text().startswith("# ") for path in FILES)


def present(service: Service) -> str:
    """``ADDRESS ADDRESS NAME/PROTOCOL/PORT...``"""
    families = {4: socket.AF_INET, 16: socket.AF_INET6}
    addresses = [socket.inet_ntop(families[len(packed)], packed) for packed in service.cluster_ips]
    first = ["headless"] if service.headless else [service.external_name] if service.external_name else addresses
    return " ".join([*first, *(f"{port.name}/{port.protocol}/{port.port}" for port in service.ports)])


def test_the_services() -> None:
    """One of each form of Service, at the addresses that people know."""
    services = [one for one in OBJECTS["Service"].values() if isinstance(one, Service)]
    assert {f"{one.key.name}.{one.key.namespace}": present(one) for one in services} == {
        "kubernetes.default": "10.96.0.1 https/TCP/443",
        "kube-dns.kube-system": "10.96.0.10 dns/UDP/53 dns-tcp/TCP/53 metrics/TCP/9153",
        "hostnames.default": "10.96.80.80 default/TCP/80",
        "default-subdomain.default": "headless foo/TCP/1234",
        "my-service.default": "my.database.example.com",
        "web.shop": "10.96.20.1 http/TCP/80",
        "storefront.shop": "10.96.20.2 https/TCP/443",
        "cart.shop": "10.96.20.3 fd00:10:96::2003 grpc/TCP/50051",
        "payments.shop": "10.96.20.4 https/TCP/443",
        "db.data": "headless postgresql/TCP/5432 metrics/TCP/9187",
    }


def test_the_endpoints() -> None:
    """Slices that are written out and derived ones: ready endpoints, ports as the Pods listen, host names."""
    families = {4: socket.AF_INET, 16: socket.AF_INET6}
    found = {}
    for one in OBJECTS["EndpointSlice"].values():
        assert isinstance(one, EndpointSlice)
        addresses = [socket.inet_ntop(families[one.width], one.address(row)) for row in range(one.rows)]
        ports = [f"{port.name}:{port.port}" for port in one.ports]
        found[f"{one.service}.{one.key.namespace} {one.width}"] = " ".join([*ports, *addresses, *one.hostnames])
    assert found == {
        "kubernetes.default 4": "https:6443 172.18.0.2",
        "kube-dns.kube-system 4": "dns:53 dns-tcp:53 metrics:9153 10.244.0.3 10.244.1.3",
        "hostnames.default 4": "default:9376 10.244.0.5 10.244.0.6 10.244.1.5",
        "default-subdomain.default 4": "foo:1234 10.244.0.7 10.244.1.7 busybox-1 busybox-2",
        "web.shop 4": "http:8080 10.244.0.11 10.244.1.11",
        "storefront.shop 4": "https:8443 10.244.0.12 10.244.1.12",
        "cart.shop 4": "grpc:50051 10.244.0.13 10.244.1.13",
        "cart.shop 16": "grpc:50051 fd00:10:244::13 fd00:10:244:1::13",
        "payments.shop 4": "https:8443",
        "db.data 4": "postgresql:5432 metrics:9187 10.244.0.20 10.244.1.20 10.244.1.21 db-0 db-1 db-2",
    }


def test_namespaces_and_pods() -> None:
    """Four namespaces, and no address that two Pods share."""
    assert [key.name for key in OBJECTS["Namespace"]] == ["data", "default", "kube-system", "shop"]
    addresses = [getattr(pod, "address", "") for pod in OBJECTS["Pod"].values()]
    assert len(addresses) == len(set(addresses)) == 13
    assert all(address.startswith(("10.244.0.", "10.244.1.")) for address in addresses)


def test_the_other_ways_in() -> None:
    """A node port, and a load balancer with an address outside the cluster that keeps traffic on its node."""
    specs = {
        one.values[0]["metadata"]["name"]: one.values[0] for one in documents() if one.values[0]["kind"] == "Service"
    }
    assert specs["web"]["spec"]["type"] == "NodePort"
    assert specs["web"]["spec"]["ports"][0]["nodePort"] == 30080
    assert specs["storefront"]["spec"]["type"] == "LoadBalancer"
    assert specs["storefront"]["spec"]["externalTrafficPolicy"] == "Local"
    assert specs["storefront"]["status"]["loadBalancer"]["ingress"] == [{"ip": "192.0.2.20", "ipMode": "VIP"}]
