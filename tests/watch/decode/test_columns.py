"""Fields that only some settings use: kept if they are wanted, and no trace of them if not."""

from typing import Any

import msgspec
import pytest

from kdns.base.objects import EndpointSlice, Kind, Outside, Service
from kdns.watch.decode import packing, schema
from kdns.watch.manifests.collection import collect
from kdns.watch.manifests.reading import parse_manifests
from kdns.watch.manifests.selection import Selection
from kdns.watch.source import Want
from tests.build import packed
from tests.fakes.objects import endpoint, endpoint_slice, service

WAYS = [{"ip": "203.0.113.2"}, {"ip": "203.0.113.9", "hostname": "both.example.com"}, {"hostname": "lb.example.com"}]


def decoded(body: dict[str, Any]) -> Any:
    """As it is read from a watch."""
    kind: Kind = body["kind"]
    event = schema.watch_decoder(kind).decode(msgspec.json.encode({"type": "ADDED", "object": body}))
    assert isinstance(event, schema.Added)
    return event.object


@pytest.mark.parametrize(
    ("spec", "status", "outside", "told"),
    [
        ({}, None, ((), ()), ""),
        ({"externalIPs": ["203.0.113.1", None, "2001:db8::1"]}, None, (("203.0.113.1", "2001:db8::1"), ()), ""),
        ({"externalIPs": ["203.0.113.2"]}, WAYS, (("203.0.113.2", "203.0.113.9"), ("lb.example.com",)), ""),
        ({"type": "LoadBalancer", "clusterIP": "None"}, WAYS[2:], ((), ("lb.example.com",)), ""),
        ({"type": "ExternalName", "externalName": "a.b"}, WAYS[:1], (("203.0.113.2",), ()), ""),
        ({"externalIPs": ["nope"]}, [None], ((), ()), "external address 'nope' left out: not an address"),
    ],
)
def test_ways_from_outside(spec: dict[str, Any], status: object, outside: tuple[Any, Any], told: str) -> None:
    """spec.externalIPs come first, then the load balancer's addresses, and its names where it has no address."""
    body = service("shop", "web", "10.96.0.9", **spec)
    if status is not None:
        body["status"] = {"loadBalancer": {"ingress": status}}
    said: list[str] = []
    one = packing.keeper("Service", external=True)(decoded(body), said.append)
    assert isinstance(one, Service)
    assert one.outside == Outside(tuple(map(packed, outside[0])), outside[1])
    assert said == [told] * bool(told)
    other = packing.keeper("Service")(decoded(body), said.append)
    assert isinstance(other, Service)
    assert other.outside == Outside()


def test_zones_of_endpoints() -> None:
    """Folded, one for each row; no column where nobody has a zone or nobody wants it."""
    rows = [endpoint("10.0.0.1") | {"zone": "EU-1a"}, endpoint("10.0.0.2")]
    body = endpoint_slice("shop", "db-1", "db", ("10.0.0.1",), endpoints=rows)
    found = [packing.keeper("EndpointSlice", zones=zones)(decoded(body), print) for zones in (True, False)]
    assert [one.zones for one in found if isinstance(one, EndpointSlice)] == [("eu-1a", ""), ()]


def test_columns_of_files() -> None:
    """Files are read once for all, so that what is not wanted is taken off when objects are picked."""
    text = """
kind: Service
metadata: {name: web, namespace: shop}
spec: {clusterIP: 10.96.0.9, externalIPs: [203.0.113.1], ports: [{port: 80}]}
---
kind: EndpointSlice
metadata: {name: web-1, namespace: shop, labels: {kubernetes.io/service-name: web}}
addressType: IPv4
endpoints: [{addresses: [10.0.0.1], zone: a}]
"""
    collection = collect({"a": parse_manifests(text.encode(), "a")})
    for wanted in (True, False):
        wants = [Want("Service", external=wanted), Want("EndpointSlice", zones=wanted)]
        picked = Selection(wants).pick(collection)
        (web,), (part,) = picked["Service"].values(), picked["EndpointSlice"].values()
        assert isinstance(web, Service)
        assert isinstance(part, EndpointSlice)
        assert (bool(web.outside.addresses), bool(part.zones)) == (wanted, wanted)
