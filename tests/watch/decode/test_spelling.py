"""Addresses as API servers store them: whatever the spelling, the object kept is the same."""

from typing import Any

import pytest

from kdns.base.objects import EndpointSlice
from tests.fakes.objects import endpoint_slice, node, pod, service, service_cidr
from tests.watch.decode.test_packing import kept

FOUR = ("010.244.000.009", "::ffff:10.244.0.9", "0:0:0:0:0:FFFF:0af4:0009", " 10.244.0.9 ", "10.244.0.9")
SIX = ("fd00:244::09", "FD00:0244:0:0::0009", "fd00:244::0.0.0.9", " fd00:244::9", "fd00:244::9")
RANGES = ("010.244.0.0/16", "10.244.9.9/16", "::ffff:10.244.0.0/112", " 10.244.0.0/16\n", "10.244.0.0/16")


def lb(address: str) -> dict[str, Any]:
    """The status of a Service behind a load balancer."""
    return {"loadBalancer": {"ingress": [{"ip": address}]}}


@pytest.mark.parametrize("texts", [FOUR, SIX], ids=["IPv4", "IPv6"])
def test_a_service_in_any_spelling(texts: tuple[str, ...]) -> None:
    """Cluster IPs, external IPs and load balancer IPs, for DNS and for the proxy."""
    *spellings, canonical = texts

    def body(text: str) -> dict[str, Any]:
        found = service("shop", "web", text)
        found["spec"] |= {"clusterIPs": [text], "externalIPs": [text]}
        return found | {"status": lb(text)}

    for text in spellings:
        warnings: list[str] = []
        expected = kept(body(canonical), None, routing=True, external=True)
        assert kept(body(text), warnings, routing=True, external=True) == expected
        assert warnings == []


@pytest.mark.parametrize(("texts", "family"), [(FOUR, "IPv4"), (SIX, "IPv6")], ids=["IPv4", "IPv6"])
@pytest.mark.parametrize("columns", [{}, {"routing": True, "named": False}, {"routing": True}])
def test_endpoints_in_any_spelling(texts: tuple[str, ...], family: str, columns: dict[str, bool]) -> None:
    """For DNS, for the proxy and for both; an IPv6 endpoint's name is made of its own text, as in CoreDNS."""
    *spellings, canonical = texts
    expected = kept(endpoint_slice("shop", "web-1", "web", [canonical], addressType=family), None, **columns)
    assert isinstance(expected, EndpointSlice)
    for text in spellings:
        warnings: list[str] = []
        slice_ = kept(endpoint_slice("shop", "web-1", "web", [text], addressType=family), warnings, **columns)
        assert isinstance(slice_, EndpointSlice)
        assert (slice_.addresses, slice_.states) == (expected.addresses, expected.states)
        assert slice_.texts == ((text.strip(),) if family == "IPv6" and columns.get("named", True)
                                and text.strip() != canonical else ())  # fmt: skip
        assert warnings == []


@pytest.mark.parametrize(
    ("family", "text"), [("IPv6", "::ffff:10.244.0.9"), ("IPv6", "10.244.0.9"), ("IPv4", "fd00::9"), ("IPv4", "nope")]
)
def test_an_endpoint_of_another_family_is_left_out(family: str, text: str) -> None:
    """An IPv4-mapped address is an IPv4 address, also in a slice of IPv6 ones."""
    for columns in ({}, {"routing": True, "named": False}):
        warnings: list[str] = []
        slice_ = kept(endpoint_slice("shop", "web-1", "web", [text], addressType=family), warnings, **columns)
        assert isinstance(slice_, EndpointSlice)
        assert not slice_.addresses
        assert slice_.states is None or not slice_.states.addresses
        assert warnings == [f"address '{text}' left out: not {family}"]


def test_nodes_and_ranges_in_any_spelling() -> None:
    """Addresses and podCIDRs of Nodes, and ServiceCIDRs."""
    for address in FOUR:
        assert kept(node("a", address)) == kept(node("a", "10.244.0.9"))
    for text in RANGES:
        assert kept(node("a", "10.0.0.1", pod_cidrs=[text])) == kept(node("a", "10.0.0.1", pod_cidrs=["10.244.0.0/16"]))
        assert kept(service_cidr("a", text)) == kept(service_cidr("a", "10.244.0.0/16"))


def test_pods_in_any_spelling() -> None:
    """An IPv4 address is canonical, so that a Pod's name finds it; IPv6 as the object spells it (as in CoreDNS)."""
    for text in FOUR:
        assert kept(pod("shop", "web-1", text)) == kept(pod("shop", "web-1", "10.244.0.9"))
    assert getattr(kept(pod("shop", "web-1", "fd00::0.0.0.9")), "address", "") == "fd00::0.0.0.9"
    assert getattr(kept(pod("shop", "web-1", "nope")), "address", "") == "nope"
