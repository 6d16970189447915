"""Which addresses a Service could have."""

import pytest

from kdns.explain.objects import Objects
from kdns.explain.service_range import in_service_range

SERVICE = {
    "kind": "Service",
    "metadata": {"name": "a", "namespace": "b"},
    "spec": {"clusterIPs": ["10.96.0.10", "fd00:96::a"]},
}
OTHER = {"kind": "Service", "metadata": {"name": "c", "namespace": "b"}, "spec": {"clusterIP": "10.43.0.10"}}
CIDR = {"kind": "ServiceCIDR", "metadata": {"name": "k"}, "spec": {"cidrs": ["10.96.0.0/24"]}}


@pytest.mark.parametrize(
    ("bodies", "address", "expected"),
    [
        ([SERVICE], "10.96.0.11", True),
        ([SERVICE], "10.100.0.10", True),  # kubeadm's range is 10.96.0.0/12
        ([SERVICE], "8.8.8.8", False),
        ([SERVICE], "fd00:96::b", True),
        ([SERVICE], "fd00:97::b", False),
        ([OTHER], "10.43.7.7", True),
        ([OTHER], "10.44.0.10", False),
        ([SERVICE, CIDR], "10.96.0.11", True),
        ([SERVICE, CIDR], "10.100.0.10", False),
        ([], "10.96.0.10", False),
        ([SERVICE], "localhost", False),
    ],
)
def test_range(bodies: list[dict[str, object]], address: str, expected: bool) -> None:
    """ServiceCIDRs count; without them the networks that installers use around the addresses there are."""
    assert in_service_range(address, Objects(bodies)) is expected
