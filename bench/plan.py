"""Names and addresses of the test cluster: who is who in every figure."""

import json
from collections.abc import Iterator
from ipaddress import IPv4Address
from pathlib import Path

ZONE = "cluster.local."
NAMESPACES = 100
SERVICES = 10_000
HEADLESS = {"hundred": 100, "sixty": 60}
"""Headless Services in namespace `many` and how many endpoints each has.

A hundred address records do not fit the 1232 octets that all three servers send over UDP, sixty do.
"""

_CLUSTER_IPS = int(IPv4Address("10.97.0.0"))
_POD_IPS = int(IPv4Address("10.128.0.0"))


def service_name(number: int) -> str:
    """``svc-N``."""
    return f"svc-{number}"


def namespace_name(number: int) -> str:
    """The namespace of service N: ``ns-M``."""
    return f"ns-{number % NAMESPACES}"


def service_owner(number: int) -> str:
    """The whole name of service N, with the final dot."""
    return f"{service_name(number)}.{namespace_name(number)}.svc.{ZONE}"


def cluster_ip(number: int) -> str:
    """The address of service N."""
    return str(IPv4Address(_CLUSTER_IPS + number))


def pod_ip(number: int) -> str:
    """The address of Pod N."""
    return str(IPv4Address(_POD_IPS + number))


def zone_lines() -> Iterator[str]:
    """The zone as a master file, for the peers: the records that kdns derives from `objects`."""
    yield f"$ORIGIN {ZONE}"
    yield "$TTL 5"
    yield "@ SOA ns.dns hostmaster 1 7200 1800 86400 5"
    yield "@ NS ns.dns"
    yield "ns.dns A 127.0.0.1"
    for number in range(SERVICES):
        owner = service_owner(number)
        yield f"{owner} A {cluster_ip(number)}"
        yield f"_http._tcp.{owner} SRV 0 100 80 {owner}"
    for name, count in HEADLESS.items():
        for row in range(count):
            yield f"{name}.many.svc.{ZONE} A {pod_ip(row)}"


def write_zone(path: Path) -> None:
    """Write `zone_lines` to a file."""
    path.write_text("\n".join(zone_lines()) + "\n")


def write_manifests(path: Path) -> None:
    """Write `objects` as one JSON list, for ``--source PATH``."""
    path.write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": list(objects())}))


def objects() -> Iterator[dict[str, object]]:
    """The same cluster as Kubernetes objects."""
    for name in ("default", "many", *map(namespace_name, range(NAMESPACES))):
        yield {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
    for number in range(SERVICES):
        yield _service(service_name(number), namespace_name(number), cluster_ip(number))
    for name, count in HEADLESS.items():
        yield _service(name, "many", "None")
        yield {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {
                "name": f"{name}-1",
                "namespace": "many",
                "labels": {"kubernetes.io/service-name": name},
            },
            "addressType": "IPv4",
            "endpoints": [{"addresses": [pod_ip(row)], "conditions": {"ready": True}} for row in range(count)],
            "ports": [{"name": "http", "protocol": "TCP", "port": 8080}],
        }


def _service(name: str, namespace: str, address: str) -> dict[str, object]:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "type": "ClusterIP",
            "clusterIP": address,
            "clusterIPs": [address],
            "ports": [{"name": "http", "protocol": "TCP", "port": 80}],
        },
    }
