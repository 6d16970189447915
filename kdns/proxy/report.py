"""What follows from a round of the proxier beside the rules: health, metrics, UDP flows, health checks, Events."""

import asyncio
import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final

from prometheus_client import Metric

from kdns.base.clock import TimeSlice
from kdns.base.objects import ObjectKey
from kdns.kernel.nfacct import packets
from kdns.metrics.dns import Metrics
from kdns.metrics.families import counter
from kdns.metrics.proxy import INVALID_DROPPED, LOCALHOST_ACCEPTED, Policy, ProxyMetrics
from kdns.proxy.apply.flow_cleaner import Cleaned, FlowCleaner
from kdns.proxy.healthcheck.proxy_health import ProxyHealth
from kdns.proxy.healthcheck.service_checks import HealthCheck
from kdns.proxy.left_out import LeftOut
from kdns.proxy.model import Family, ServicePortName, ServicePortRules
from kdns.proxy.proxier import Proxier, Round
from kdns.proxy.render.iptables import names as iptables_names
from kdns.proxy.rules import ServiceRules
from kdns.proxy.stale_flows import FlowMemory

LOG: Final = logging.getLogger("kdns.proxy")


class Reports:
    """Of one family."""

    def __init__(self, family: Family, metrics: ProxyMetrics, health: ProxyHealth, cleaner: FlowCleaner) -> None:
        self._family, self._name = family, family.value
        self._metrics, self._health, self._cleaner = metrics, health, cleaner
        self._flows = FlowMemory(family)
        self._started = time.time()
        self._lonely: dict[Policy, set[ServicePortName]] = {"internal": set(), "external": set()}
        self.checks: dict[tuple[str, str], HealthCheck] = {}
        """Health checks that Services ask for."""

    async def take(self, done: Round, proxier: Proxier) -> bool:
        """Pass on what a round came to, with rests, as it may be thousands; True if `checks` is another now."""
        if done.applied is None:
            self._metrics.failed(self._name, full=done.full)
            self._metrics.observe_sync(self._name, done.seconds, full=done.full)
            return False
        now = time.time()
        self._health.updated(self._name, done.known)
        self._metrics.synced(self._name, now)
        if done.seconds:
            self._metrics.observe_sync(self._name, done.seconds, full=done.full)
        for triggered in done.triggered:
            if triggered >= self._started:  # what was there before is not about us
                self._metrics.programmed(self._name, now - triggered)
        written = dict(done.applied.written)
        for table, total in done.applied.totals:
            self._metrics.rules(self._name, table, total, written.get(table, 0))
        turn = TimeSlice()
        for name, flows in done.udp.items():
            if stale := self._flows.update(name, flows.rules, flows.serving):
                self._cleaner.submit(stale)
            if turn.over():
                await turn.rest()
        for change in done.changes:
            self._count_lonely(change.name, change.after)
            if turn.over():
                await turn.rest()
        for policy, names in self._lonely.items():
            self._metrics.no_local_endpoints(self._name, policy, len(names))
        return await self._note_checks(done.decided, proxier.services)

    def _count_lonely(self, name: ServicePortName, rules: ServicePortRules | None) -> None:
        """Service ports that should stay on the node, with endpoints elsewhere only."""
        dropped = {
            "internal" if entry.frontend.way == "cluster IP" else "external"
            for entry in (rules.entries if rules else ())
            if entry.paths[-1].verdict == "drop"
        }
        for policy, names in self._lonely.items():
            if policy in dropped:
                names.add(name)
            else:
                names.discard(name)

    async def _note_checks(self, services: Iterable[ObjectKey], known: Mapping[ObjectKey, ServiceRules]) -> bool:
        before = dict(self.checks)
        turn = TimeSlice()
        for key in services:
            if turn.over():
                await turn.rest()
            rules = known.get(key)
            port = (
                next(
                    (
                        service_port.health_check_node_port
                        for service_port in rules.ports
                        if service_port.health_check_node_port
                    ),
                    0,
                )
                if rules
                else 0
            )
            if rules is not None and port:
                self.checks[key.namespace, key.name] = HealthCheck(port, rules.local_ready)
            else:
                self.checks.pop((key.namespace, key.name), None)
        return before != self.checks


def log_left_out(service: ObjectKey, left_out: LeftOut) -> None:
    """The line of a thing that is not programmed."""
    LOG.warning("%s: %s", service, left_out.message)


def counted_packets() -> dict[str, int]:
    """What the kernel has counted for mode iptables, by the name of the metric; without what it does not count."""
    counts = packets(iptables_names.COUNTERS)
    metrics = (
        (INVALID_DROPPED, iptables_names.INVALID_DROPPED),
        (LOCALHOST_ACCEPTED, iptables_names.LOCALHOST_ACCEPTED),
    )
    return {metric: counts[counter] for metric, counter in metrics if counter in counts}


class Watches:
    """About the API server, on the proxy's page: requests as every program of Kubernetes counts them, and what
    kdns alone says of its watches, and of bugs."""

    def __init__(self, watching: Metrics) -> None:
        self._watching = watching

    def collect(self) -> Iterator[Metric]:
        """Families for a scrape."""
        yield from self._watching.cluster.collect_requests("rest_client")
        yield from (family for family in self._watching.cluster.collect() if family.name.startswith("kdns_watch_"))
        text = "Bugs met and survived; each is logged with its cause."
        yield counter("kdns_proxy_bugs", text, (), {(): self._watching.panics})


def cleaned_in(loop: asyncio.AbstractEventLoop, metrics: ProxyMetrics) -> Callable[[Cleaned], None]:
    """What a `FlowCleaner` tells in its thread, counted in the loop's."""

    def count(cleaned: Cleaned) -> None:
        metrics.flows_cleaned(cleaned.family.value, cleaned.seconds, cleaned.deleted)

    def cleaned(what: Cleaned) -> None:
        if not loop.is_closed():
            loop.call_soon_threadsafe(count, what)

    return cleaned
