"""What is counted of the node's own DNS and of the way around it; prometheus_client's own objects."""

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge


class LocalDnsMetrics:
    """The numbers of one process."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._alive = Gauge(
            "kdns_local_dns_alive", "1 while the kernel sends questions here.", ("address",), registry=registry
        )
        self._age = Gauge(
            "kdns_local_dns_heartbeat_age_seconds",
            "Seconds since this server last answered its own question.",
            ("address",),
            registry=registry,
        )
        self._failovers = Counter(
            "kdns_local_dns_failovers",
            "How often the kernel went around this server because it did not answer.",
            ("address",),
            registry=registry,
        )
        self.fallbacks = Gauge(
            "kdns_local_dns_fallback_endpoints",
            "Ready endpoints of the cluster DNS that are not this node.",
            registry=registry,
        )
        self.repairs = Counter(
            "kdns_local_dns_repairs", "How often rules or routes were written again.", registry=registry
        )

    def serve(self, address: str, age: Callable[[], float]) -> None:
        """An address is one to answer on; ``age``: seconds since the last heartbeat."""
        self._alive.labels(address).set(0)
        self._age.labels(address).set_function(age)
        self._failovers.labels(address)

    def forget(self, address: str) -> None:
        """It is not any more."""
        for family in (self._alive, self._age):
            family.remove(address)

    def alive(self, address: str, alive: bool) -> None:
        """The kernel sends questions for it here, or does not."""
        self._alive.labels(address).set(alive)

    def failed_over(self, address: str) -> None:
        """It was alive, and was not answered for in time."""
        self._failovers.labels(address).inc()
