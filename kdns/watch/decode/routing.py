"""How traffic for a Service is to go, as the API server writes it. Pure."""

import sys
from typing import Final

from msgspec import UNSET

from kdns.base.objects import UNKNOWN_AGE, Age, Routing
from kdns.watch.decode.schema import ApiService, ApiServiceSpec
from kdns.watch.decode.spelling import Warn, keep_addresses, quoted, read_networks

AFFINITY_SECONDS: Final = 10800
"""The default of sessionAffinityConfig.clientIP.timeoutSeconds."""
AFFINITY_LIMIT: Final = 86400
"""The longest that the API server accepts."""


def keep_routing(wire: ApiService, spec: ApiServiceSpec, warn: Warn | None = None) -> Routing:
    """What only the proxy reads of a Service. Invalid values are left out and reported to `warn`."""
    labels = wire.metadata.labels if wire.metadata else None
    balancer = wire.status.load_balancer if wire.status else None
    ways = (balancer.ingress if balancer else None) or ()
    ranges, unreadable = read_networks(spec.load_balancer_source_ranges or (), "source range", warn)
    return Routing(
        sys.intern(spec.type or "ClusterIP"),
        keep_addresses(spec.external_ips or (), "external IP", warn),
        keep_addresses(
            (way.ip for way in ways if way is not None and way.ip_mode in {None, "", "VIP"}), "load balancer IP", warn
        ),
        ranges,
        spec.external_traffic_policy == "Local",
        spec.internal_traffic_policy == "Local",
        _affinity(spec, warn) if spec.session_affinity == "ClientIP" else 0,
        keep_node_port(spec.health_check_node_port, "healthCheckNodePort", warn),
        labels is not None and labels.proxy_name is not UNSET,
        unreadable,
    )


def keep_age(wire: ApiService) -> Age:
    """When a Service was created; files often do not say."""
    metadata = wire.metadata
    if metadata is None or not (metadata.creation_timestamp or metadata.uid):
        return UNKNOWN_AGE
    return Age(metadata.creation_timestamp or UNKNOWN_AGE.created, metadata.uid or "")


def keep_node_port(number: int | None, called: str, warn: Warn | None = None) -> int:
    """A port of the node, 0 for none; an invalid one is reported to `warn`, and counts as none."""
    if number is None or 0 <= number < 65536:
        return number or 0
    if warn is not None:
        warn(f"{called} {quoted(number)} left out: not 1 to 65535")
    return 0


def _affinity(spec: ApiServiceSpec, warn: Warn | None) -> int:
    config = spec.session_affinity_config
    seconds = config.client_ip.timeout_seconds if config and config.client_ip else None
    if seconds is None:
        return AFFINITY_SECONDS
    if not 0 < seconds <= AFFINITY_LIMIT:
        if warn is not None:
            warn(f"timeoutSeconds {quoted(seconds)} is not 1 to {AFFINITY_LIMIT}: {AFFINITY_SECONDS} is taken")
        return AFFINITY_SECONDS
    return seconds
