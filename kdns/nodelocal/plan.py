"""What the cluster says of its DNS: the addresses to answer on, and who answers when this node does not. Pure.

Source: the Service kube-dns of kubeadm, and KEP-1024 (NodeLocal DNSCache), which leaves a single answer without one.
"""

from collections.abc import Collection, Iterable
from typing import Final, NamedTuple

from kdns.base.objects import READY, ServiceView, address_text

PORT: Final = 53
DEFAULT_SERVICE: Final = "kube-system/kube-dns"


class ClusterDns(NamedTuple):
    """The Service of the cluster's DNS."""

    addresses: tuple[bytes, ...] = ()
    """Its cluster IPs, packed, both families."""
    endpoints: frozenset[bytes] = frozenset()
    """The ready ones, packed."""


def cluster_dns(view: ServiceView | None) -> ClusterDns:
    """The addresses and the ready endpoints of a Service; nothing where there is none."""
    if view is None or view.service is None:
        return ClusterDns()
    return ClusterDns(view.service.cluster_ips, frozenset(_ready(view)))


def _ready(view: ServiceView) -> Iterable[bytes]:
    for endpoint_slice in view.slices:
        width, states = endpoint_slice.width, endpoint_slice.states
        packed = states.addresses if states is not None else endpoint_slice.addresses
        for row in range(len(packed) // width):
            if states is None or states.conditions[row] & READY:
                yield packed[row * width : (row + 1) * width]


class Fallback(NamedTuple):
    """Who answers when this node's DNS does not."""

    elsewhere: frozenset[bytes]
    """Endpoints that are not addresses of this node."""
    refusal: str = ""
    """Why the node must not answer for the cluster's addresses; empty: it may."""
    warning: str = ""
    """What is missing though it may."""
    taken: bool = False
    """An interface of this node has one of the addresses, so that not even a socket may be opened."""


def fallback(dns: ClusterDns, addresses: Iterable[bytes], own: Collection[bytes]) -> Fallback:
    """Whether this node may answer.

    ``addresses`` are those to be answered on, ``own`` those that this node's interfaces have.
    """
    elsewhere = frozenset(dns.endpoints - frozenset(own))
    taken = [address_text(address) for address in addresses if address in own]
    if taken:
        return Fallback(
            elsewhere,
            f"{', '.join(taken)} is an address of an interface of this node already: another DNS cache runs here, such "
            "as NodeLocal DNSCache; remove it first",
            taken=True,
        )
    if dns.endpoints and not elsewhere:
        return Fallback(
            elsewhere,
            "every endpoint of the cluster DNS is this node itself, so there is nothing to fail over to; keep a "
            "Deployment of two for it",
        )
    if not dns.endpoints:
        return Fallback(elsewhere, warning="the cluster DNS has no ready endpoint: nothing answers if this node fails")
    return Fallback(elsewhere)
