"""What the cluster says of its DNS, and which set-ups are refused."""

import pytest

from kdns.base.objects import EndpointSlice, EndpointStates, ObjectKey, Service, ServiceView
from kdns.nodelocal.plan import ClusterDns, Fallback, cluster_dns, fallback
from tests.build import packed

V4, V6 = packed("10.96.0.10"), packed("fd00:10:96::a")
NODE, POD, OTHER = packed("172.18.0.2"), packed("10.244.0.9"), packed("10.244.1.9")
KEY = ObjectKey("Service", "kube-system", "kube-dns")


def test_addresses_and_ready_endpoints() -> None:
    """The cluster IPs of both families, and of the endpoints those that are ready (EndpointSlice conditions)."""
    states = EndpointStates(POD + OTHER + NODE, bytes((3, 2, 7)))
    view = ServiceView(Service(KEY, (V4, V6)), (EndpointSlice(KEY, "kube-dns", 4, states=states),))
    assert cluster_dns(view) == ClusterDns((V4, V6), frozenset({POD, NODE}))


def test_endpoints_without_conditions() -> None:
    """Where a slice has only its ready endpoints, they are all of them."""
    view = ServiceView(Service(KEY, (V4,)), (EndpointSlice(KEY, "kube-dns", 4, POD + OTHER),))
    assert cluster_dns(view).endpoints == {POD, OTHER}


@pytest.mark.parametrize("view", [None, ServiceView(None), ServiceView(Service(KEY, headless=True))])
def test_no_address(view: ServiceView | None) -> None:
    """A Service that is not there, or has no cluster IP, has no address to answer on."""
    assert cluster_dns(view).addresses == ()


@pytest.mark.parametrize(
    ("endpoints", "own", "says"),
    [
        ({OTHER}, {NODE}, ""),
        ({NODE, OTHER}, {NODE}, ""),
        ({POD}, {NODE}, ""),  # a Pod of this node is another process
        ({NODE}, {NODE}, "refusal: nothing to fail over to"),
        ({OTHER}, {NODE, V4}, "refusal: another DNS cache runs here"),
        (set(), {NODE}, "warning: no ready endpoint"),
    ],
)
def test_refused_and_warned(endpoints: set[bytes], own: set[bytes], says: str) -> None:
    """An instance that is its own and only endpoint is refused, and an address that another cache has."""
    judged = fallback(ClusterDns((V4, V6), frozenset(endpoints)), (V4, V6), own)
    assert judged.elsewhere == endpoints - own
    kind, _, text = says.partition(": ")
    assert bool(judged.refusal) == (kind == "refusal")
    assert bool(judged.warning) == (kind == "warning")
    assert text in judged.refusal + judged.warning


def test_only_an_address_of_an_interface_keeps_sockets_away() -> None:
    """NodeLocal DNSCache has its socket there; every other refusal only keeps the heartbeat away."""
    assert fallback(ClusterDns((V4,), frozenset({OTHER})), (V4,), {V4}).taken
    assert not fallback(ClusterDns((V4,), frozenset({NODE})), (V4,), {NODE}).taken
    assert not fallback(ClusterDns((V4,), frozenset({OTHER})), (V4,), {packed("169.254.20.10")}).taken
    assert Fallback(frozenset()).taken is False
