"""The first page: how much is asked and how it is answered, what is not ready and why, the age of what is known."""

import time
from collections.abc import Callable, Iterator, Sequence
from itertools import islice

from msgspec import Struct

from kdns import __version__
from kdns.base.objects import PLURALS
from kdns.dns.server.app import App
from kdns.metrics.scraped import Scraped
from kdns.proxy.app import ProxyApp
from kdns.status.chains import places
from kdns.status.changes import Changed, changes
from kdns.status.counted import QUESTIONS, DnsPart, Program, ProxyPart, dns_part, program, proxy_part
from kdns.status.numbers import Numbers, Rate
from kdns.status.parts import Parts
from kdns.status.services import ServiceIndex
from kdns.watch.recent import RECENT


class Known(Struct, frozen=True):
    """One kind of objects."""

    kind: str
    objects: int
    age: float | None
    """Seconds since the API server was last heard on it; None: it does not come from one."""
    problem: str
    """Why it is not followed just now; empty: it is."""


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
    programs: tuple[Program, ...]
    """Of a lab; of one process: none."""


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

    async def live(self) -> dict[str, float]:
        """The numbers that follow by themselves while the page is open: cheap, and nothing else."""
        if self._parts.dns is None:
            return {}
        total = self._numbers(self._parts.dns, await self._scraped()).total(QUESTIONS)
        return {"dns.total": total, "dns.rate": self._rate.read(total)}

    async def overview(self) -> Overview:
        """As things are now."""
        parts, now = self._parts, self._now()
        dns, proxy = parts.dns, parts.proxy
        services, faulty = await self._index.faulty()
        scraped = await self._scraped()
        programs = tuple(program(metrics, now) for metrics in scraped)
        away = (f"{made.name}: {made.problem}" for made in programs if made.problem)
        return Overview(
            __version__,
            (*_unready(parts), *away),
            tuple(dns.clusters.remarks()) if dns is not None else (),
            services,
            faulty,
            tuple(_known(parts)),
            tuple(islice(self._changes(now), RECENT)),
            self._dns(dns, scraped) if dns is not None else None,
            self._proxy(proxy, now) if proxy is not None and proxy.families else None,
            programs,
        )

    async def _scraped(self) -> Sequence[Scraped]:
        """The programs of a lab; of one process: none."""
        return await self._parts.scrape() if self._parts.scrape is not None else ()

    def _numbers(self, app: App, scraped: Sequence[Scraped]) -> Numbers:
        """What the server counts; in a lab, what its own servers count."""
        if self._parts.scrape is None:
            return Numbers(app.context.registry.collect())
        return Numbers(family for metrics in scraped for family in metrics.families)

    def _dns(self, app: App, scraped: Sequence[Scraped]) -> DnsPart:
        numbers = self._numbers(app, scraped)
        listening = tuple(dict.fromkeys(place for live in app.serving.blocks for place in places(app, live)))
        return dns_part(numbers, listening, self._rate.read(numbers.total(QUESTIONS)))

    def _changes(self, now: float) -> Iterator[Changed]:
        """The newest first."""
        dns, proxy = self._parts.dns, self._parts.proxy
        followers = dns.clusters.followers[:1] if dns is not None else []
        answered = [change for follower in followers for change in follower.recent]
        if proxy is None:
            return changes(answered, (), lambda _: None, now)
        return changes(answered, proxy.in_force.recent, proxy.in_force.seconds, now)

    def _proxy(self, app: ProxyApp, now: float) -> ProxyPart:
        proxiers = [of_family.proxier for of_family in app.families]
        return proxy_part(
            Numbers(app.metrics.collect()),
            app.node_name,
            app.settings.mode,
            now,
            pending=any(proxier.pending for proxier in proxiers),
            service_ports=sum(
                len(rules.ports) for of_family in app.families for rules in of_family.proxier.services.values()
            ),
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
