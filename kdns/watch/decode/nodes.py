"""Nodes and the ranges of cluster IPs, packed. Pure."""

from collections.abc import Iterator
from typing import Final

from kdns.base.objects import Node, ServiceCIDR
from kdns.watch.decode.schema import ApiNode, ApiServiceCIDR, key_of
from kdns.watch.decode.spelling import Warn, keep_addresses, keep_networks

TO_BE_DELETED_TAINT: Final = "ToBeDeletedByClusterAutoscaler"
"""The key of the taint on a Node that the cluster autoscaler is about to delete, whatever its effect."""


def keep_node(wire: ApiNode, warn: Warn | None = None) -> Node:
    """Pack a Node; ValueError for one without a valid name. Invalid addresses and ranges are reported to `warn`."""
    key = key_of("Node", wire.metadata)
    spec, labels = wire.spec, wire.metadata.labels if wire.metadata else None
    ranges = (spec.pod_cidrs or (spec.pod_cidr,)) if spec else ()
    taints = (spec.taints if spec else None) or ()
    doomed = any(taint is not None and taint.key == TO_BE_DELETED_TAINT for taint in taints)
    deleting = bool(wire.metadata and wire.metadata.deletion_timestamp)
    return Node(
        key,
        keep_addresses(_addresses(wire), "address", warn),
        (labels.zone if labels else None) or "",
        keep_networks(ranges, "pod CIDR", warn),
        not doomed and not deleting,
    )


def _addresses(wire: ApiNode) -> Iterator[str | None]:
    """Those of type InternalIP, then those of type ExternalIP; host names are left out."""
    entries = [entry for entry in (wire.status.addresses if wire.status else None) or () if entry is not None]
    for wanted in ("InternalIP", "ExternalIP"):
        yield from (entry.address for entry in entries if entry.type == wanted)


def keep_service_cidr(wire: ApiServiceCIDR, warn: Warn | None = None) -> ServiceCIDR:
    """Pack a ServiceCIDR; ValueError for one without a valid name. Invalid ranges are reported to `warn`."""
    ranges = (wire.spec.cidrs if wire.spec else None) or ()
    return ServiceCIDR(key_of("ServiceCIDR", wire.metadata), keep_networks(ranges, "range", warn))
