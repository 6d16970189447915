"""The first page: how much is asked and how it is answered, what is not ready and why, the age of what is known."""

import time
from collections.abc import Callable, Iterator
from math import isinf
from typing import Final

from msgspec import Struct

from kdns import __version__
from kdns.base.objects import PLURALS
from kdns.dns.server.app import App
from kdns.proxy.app import ProxyApp
from kdns.status.chains import places
from kdns.status.numbers import Numbers, Rate
from kdns.status.parts import Parts
from kdns.status.services import ServiceIndex

DURATION: Final = "coredns_dns_request_duration_seconds"


class Count(Struct, frozen=True):
    """One line of a small table."""

    label: str
    value: float


class Known(Struct, frozen=True):
    """One kind of objects."""

    kind: str
    objects: int
    age: float | None
    """Seconds since the API server was last heard on it; None: it does not come from one."""
    problem: str
    """Why it is not followed just now; empty: it is."""


class Changed(Struct, frozen=True):
    """A change of a Service."""

    namespace: str
    name: str
    ago: float
    """Seconds."""
    gone: bool
    took: float | None
    """Seconds until it was answered; None: not known."""
    since: str
    """``trigger``: since the cluster began it; ``arrival``: since we could know of it."""


class DnsPart(Struct, frozen=True):
    """What a server does."""

    listening: tuple[str, ...]
    total: int
    rate: float
    """Questions a second."""
    rcodes: tuple[Count, ...]
    types: tuple[Count, ...]
    median: float | None
    """Seconds within which half of the replies left, as a bound of a bucket; None: nothing was asked yet."""
    slowest: float | None
    """The same for 99 of 100."""
    cache_hits: int
    cache_misses: int
    panics: int


class ProxyPart(Struct, frozen=True):
    """What a proxy does."""

    node: str
    mode: str
    service_ports: int
    pending: bool
    """The kernel was not given all that is known."""
    synced: float | None
    """Seconds since the last sync that was a success; None: there was none."""
    failures: int
    took: float | None
    """Seconds within which half of the changes were in force since the cluster began them; None: none was measured."""


class Overview(Struct, frozen=True):
    """All of it."""

    version: str
    unready: tuple[str, ...]
    remarks: tuple[str, ...]
    services: int
    faulty: int
    known: tuple[Known, ...]
    changes: tuple[Changed, ...]
    dns: DnsPart | None
    proxy: ProxyPart | None


class Overviews:
    """Makes the page; it keeps what the next rate is compared with."""

    def __init__(
        self,
        parts: Parts,
        index: ServiceIndex,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._parts, self._index, self._now = parts, index, now
        self._rate = Rate(clock)

    def live(self) -> dict[str, float]:
        """The numbers that follow by themselves while the page is open: cheap, and nothing else."""
        if self._parts.dns is None:
            return {}
        total = Numbers(self._parts.dns.metrics.collect()).total("coredns_dns_requests_total")
        return {"dns.total": total, "dns.rate": self._rate.read(total)}

    async def overview(self) -> Overview:
        """As things are now."""
        parts = self._parts
        dns, proxy = parts.dns, parts.proxy
        services, faulty = await self._index.faulty()
        return Overview(
            __version__,
            tuple(_unready(parts)),
            tuple(dns.clusters.remarks()) if dns is not None else (),
            services,
            faulty,
            tuple(_known(parts)),
            tuple(self._changes(dns)) if dns is not None else (),
            self._dns(dns) if dns is not None else None,
            self._proxy(proxy) if proxy is not None and proxy.families else None,
        )

    def _dns(self, app: App) -> DnsPart:
        numbers = Numbers(app.context.registry.collect())
        total = numbers.total("coredns_dns_requests_total")
        return DnsPart(
            tuple(dict.fromkeys(place for live in app.serving.blocks for place in places(app, live))),
            int(total),
            self._rate.read(total),
            _counts(numbers.by("coredns_dns_responses_total", "rcode")),
            _counts(numbers.by("coredns_dns_requests_total", "type")),
            _bound(numbers.quantile(DURATION, 0.5)),
            _bound(numbers.quantile(DURATION, 0.99)),
            int(numbers.total("coredns_cache_hits_total")),
            int(numbers.total("coredns_cache_misses_total")),
            int(numbers.total("coredns_panics_total")),
        )

    def _changes(self, app: App) -> Iterator[Changed]:
        """The newest first."""
        now = self._now()
        for follower in app.clusters.followers[:1]:
            for recent in reversed(follower.recent):
                yield Changed(
                    recent.key.namespace, recent.key.name, max(0.0, now - recent.at), recent.gone, recent.seconds,
                    recent.since or "",
                )  # fmt: skip

    def _proxy(self, app: ProxyApp) -> ProxyPart:
        numbers = Numbers(app.metrics.collect())
        family = app.families[0].family.value
        last = numbers.total("kubeproxy_sync_proxy_rules_last_timestamp_seconds", ip_family=family)
        failures = sum(
            numbers.total(f"kubeproxy_sync_proxy_rules_{name}_total")
            for name in ("nftables_sync_failures", "iptables_restore_failures")
        )
        return ProxyPart(
            app.node_name,
            app.settings.mode,
            sum(len(rules.ports) for one in app.families for rules in one.proxier.services.values()),
            any(one.proxier.pending for one in app.families),
            max(0.0, self._now() - last) if last else None,
            int(failures),
            _bound(numbers.quantile("kubeproxy_network_programming_duration_seconds", 0.5)),
        )


def _unready(parts: Parts) -> Iterator[str]:
    if parts.dns is not None:
        yield from parts.dns.unready()
    if parts.proxy is not None and not parts.proxy.synced:
        yield "proxy: the cluster is not listed yet; no rule is written"


def _known(parts: Parts) -> Iterator[Known]:
    if parts.dns is not None:
        app = parts.dns
        ages = Numbers(app.metrics.cluster.collect())
        for follower in app.clusters.followers[:1]:
            yield from (
                Known(
                    PLURALS[want.kind],
                    follower.store.count(want.kind),
                    ages.by("kdns_watch_data_age_seconds", "kind").get(want.kind),
                    follower.readiness.lost.get(want.kind) or follower.readiness.skipped.get(want.kind) or "",
                )
                for want in follower.wanted
            )


def _counts(values: dict[str, float]) -> tuple[Count, ...]:
    return tuple(Count(label, value) for label, value in values.items())


def _bound(seconds: float | None) -> float | None:
    """JSON has no infinity: what took longer than the last bound is shown as that."""
    return 8.192 if seconds is not None and isinf(seconds) else seconds
