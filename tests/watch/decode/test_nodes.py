"""Nodes and ServiceCIDRs, from the API's spelling."""

from typing import Any, NamedTuple

import msgspec
import pytest

from kdns.base.objects import Kind, Node, Object, ServiceCIDR
from kdns.watch.decode import packing, schema
from tests.build import node, service_cidr


def kept(body: dict[str, Any], said: list[str]) -> Object | None:
    """Decode as a watch line, and pack."""
    kind: Kind = body["kind"]
    event = schema.watch_decoder(kind).decode(msgspec.json.encode({"type": "ADDED", "object": body}))
    assert isinstance(event, schema.Added)
    return packing.keeper(kind)(event.object, said.append)


class Case(NamedTuple):
    """An object's fields, and what is kept of it."""

    title: str
    fields: dict[str, Any]
    kept: Node | ServiceCIDR
    warnings: tuple[str, ...] = ()
    metadata: dict[str, Any] | None = None


def at(type_: str, address: str | None) -> dict[str, Any]:
    """An address of a Node."""
    return {"type": type_, "address": address}


NODES = (
    Case("a name and nothing else", {}, node("node1")),
    Case("null everywhere", {"spec": None, "status": None}, node("node1"), metadata={"labels": None}),
    Case(
        "addresses: internal before external, names of hosts not at all",
        {
            "status": {
                "addresses": [
                    at("Hostname", "node1"),
                    at("ExternalIP", "203.0.113.2"),
                    None,
                    at("InternalIP", "172.18.0.2"),
                    at("InternalIP", "fc00::2"),
                    at("InternalIP", None),
                ]
            }
        },
        node("node1", ["172.18.0.2", "fc00::2", "203.0.113.2"]),
    ),
    Case(
        "an address that is none",
        {"status": {"addresses": [at("InternalIP", "node1"), at("InternalIP", "172.18.0.2")]}},
        node("node1", ["172.18.0.2"]),
        ("address 'node1' left out: not an address",),
    ),
    Case("its zone", {}, node("node1", zone="a"), metadata={"labels": {"topology.kubernetes.io/zone": "a"}}),
    Case(
        "ranges of Pods",
        {"spec": {"podCIDR": "10.244.0.0/24", "podCIDRs": ["10.244.0.0/24", "fd00:10:244::/64"]}},
        node("node1", pod_cidrs=["10.244.0.0/24", "fd00:10:244::/64"]),
    ),
    Case("podCIDR alone", {"spec": {"podCIDR": "10.244.0.0/24"}}, node("node1", pod_cidrs=["10.244.0.0/24"])),
    Case(
        "a range that is none",
        {"spec": {"podCIDRs": ["10.244.0.0"]}},
        node("node1"),
        ("pod CIDR '10.244.0.0' left out: not a range such as 10.0.0.0/8",),
    ),
    Case(
        "about to be deleted by the autoscaler",
        {"spec": {"taints": [None, {"key": "ToBeDeletedByClusterAutoscaler", "effect": "PreferNoSchedule"}]}},
        node("node1", eligible=False),
    ),
    Case("another taint is none of our business", {"spec": {"taints": [{"key": "a"}]}}, node("node1")),
    Case("being deleted", {}, node("node1", eligible=False), metadata={"deletionTimestamp": "2026-01-01T00:00:00Z"}),
)
CIDRS = (
    Case("no ranges yet", {}, service_cidr("kubernetes")),
    Case("null", {"spec": {"cidrs": None}}, service_cidr("kubernetes")),
    Case(
        "two",
        {"spec": {"cidrs": ["10.96.0.0/16", None, "fd00:10:96::/112"]}},
        service_cidr("kubernetes", "10.96.0.0/16", "fd00:10:96::/112"),
    ),
    Case(
        "one that is none",
        {"spec": {"cidrs": ["10.96.0.0/16", "all"]}},
        service_cidr("kubernetes", "10.96.0.0/16"),
        ("range 'all' left out: not a range such as 10.0.0.0/8",),
    ),
)


@pytest.mark.parametrize("case", [*NODES, *CIDRS], ids=lambda case: case.title)
def test_nodes_and_cidrs(case: Case) -> None:
    """What the proxy reads of them is kept, without a namespace."""
    said: list[str] = []
    body = {
        "kind": case.kept.key.kind,
        "metadata": {"name": case.kept.key.name, **(case.metadata or {})},
        **case.fields,
    }
    assert kept(body, said) == case.kept
    assert tuple(said) == case.warnings
    assert str(case.kept.key) in {"Node node1", "ServiceCIDR kubernetes"}


@pytest.mark.parametrize("kind", ["Node", "ServiceCIDR"])
def test_without_a_name(kind: str) -> None:
    """They are refused."""
    with pytest.raises(ValueError, match="it has no name"):
        kept({"kind": kind, "metadata": {}}, [])
