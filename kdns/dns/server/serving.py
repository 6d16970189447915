"""What is served now, and the exchange of it for something else without losing a query.

::

    plans ──> blocks: those that say the same are kept, others are built ──> start ──> listeners that are new open
          ──> each socket's router is swapped ──> listeners that are gone close ──> old blocks close, with nothing owed
"""

import asyncio
import logging
from collections.abc import Sequence
from typing import Final

from prometheus_client import Counter

from kdns.dns.plugins import tls
from kdns.dns.plugins.timeouts import Options as Timeouts
from kdns.dns.query.responder import Responder
from kdns.dns.query.router import Router
from kdns.dns.server.block import RunningServerBlock, close_all, routers
from kdns.dns.server.context import Listener, ServerContext
from kdns.dns.server.plan import ServerBlockPlan, process_settings
from kdns.dns.transport.listeners import Bound, Secure, Server
from kdns.dns.transport.tcp_limits import TcpLimits
from kdns.metrics.dns import Enabled, Metrics

LOG: Final = logging.getLogger("kdns.dns.server.serving")
DRAIN: Final = 5.0
"""Seconds that replies under way may take at the end."""


class ListenAddress:
    """One listener: its sockets, and who answers for them."""

    def __init__(self, server: Server, responder: Responder, secure: Secure | None) -> None:
        self.server, self.responder, self.secure = server, responder, secure


class Serving:
    """All server blocks and all sockets."""

    def __init__(self, context: ServerContext) -> None:
        self.blocks: list[RunningServerBlock] = []
        self.places: dict[Listener, ListenAddress] = {}
        self._coming: list[RunningServerBlock] = []
        """Built, and not served yet."""
        self._context = context
        self._ending: set[asyncio.Task[None]] = set()
        context.forget = self._forget

    @property
    def metrics(self) -> Metrics:
        """Where everything is counted."""
        return self._context.metrics

    @property
    def bound(self) -> tuple[Bound, ...]:
        """Every address that is served."""
        return tuple(bound for place in self.places.values() for bound in place.server.bound)

    def ports(self) -> dict[Listener, int]:
        """The real port of each listener."""
        return {listener: place.server.port for listener, place in self.places.items()}

    def build(self, plans: Sequence[ServerBlockPlan]) -> list[RunningServerBlock]:
        """Blocks for plans; those that say what a present one says are that one. Raises ConfigError."""
        kept = {id(live): live for live in self.blocks}
        blocks: list[RunningServerBlock] = []
        for plan in plans:
            same = next((live for live in kept.values() if live.plan.identity == plan.identity
                         and live.plan.addresses == plan.addresses), None)  # fmt: skip
            if same is not None:
                del kept[id(same)]
            blocks.append(same or RunningServerBlock(plan, self._context))
        self._coming = blocks
        return blocks

    async def abandon(self) -> None:
        """What was built last will not be served."""
        self._coming = []
        await self._let_go()

    async def _let_go(self) -> None:
        """Of the clusters that no block asks for any more."""
        blocks = (*self.blocks, *self._coming)
        await self._context.clusters.retain([answers for live in blocks for answers in live.parts.answers])

    async def install(self, blocks: Sequence[RunningServerBlock]) -> None:
        """Serve these from now on. Raises ConfigError, with everything as it was."""
        new = [live for live in blocks if live not in self.blocks]
        wanted = routers(blocks)
        limits = process_settings([live.plan for live in blocks]).limits
        secured = self._secured(blocks)
        started: list[RunningServerBlock] = []
        opened: dict[Listener, ListenAddress] = {}
        gone = {listener: place for listener, place in self.places.items() if listener not in wanted}
        in_the_way: list[Listener] = []
        try:
            for live in new:
                await live.start()
                started.append(live)
            in_the_way = await self._make_way(gone, wanted)
            for listener, router in wanted.items():
                if listener not in self.places:
                    opened[listener] = await self._open(
                        listener, router, limits.get(listener), opened, secured.get(listener)
                    )
        except BaseException:
            for place in opened.values():
                place.server.close()
            for listener in opened:
                self._unname(listener)
            await close_all(started)
            for listener in in_the_way:
                was = gone[listener]
                self.places[listener] = await self._open(listener, was.responder.site, None, {}, was.secure)
            raise
        old = [live for live in self.blocks if live not in blocks]
        self._swap(wanted, limits, secured)
        self.blocks, self._coming = list(blocks), []
        self.places = {listener: self.places.get(listener) or opened[listener] for listener in wanted}
        self._count()
        if old or gone:
            task = asyncio.get_running_loop().create_task(self._retire(old, gone), name="retire")
            self._ending.add(task)
            task.add_done_callback(self._ending.discard)

    async def _make_way(self, gone: dict[Listener, ListenAddress], wanted: dict[Listener, Router]) -> list[Listener]:
        """Close what goes and has a port that something new wants: every address and one of them exclude each other."""
        ports = {listener.port for listener in wanted if listener not in self.places and listener.port}
        listeners = [listener for listener in gone if listener.port in ports]
        for listener in listeners:
            await gone[listener].server.stop(DRAIN)
        return listeners

    def _secured(self, blocks: Sequence[RunningServerBlock]) -> dict[Listener, Secure]:
        """The certificates of the listeners that have one."""
        secured: dict[Listener, Secure] = {}
        for live in blocks:
            contexts = live.parts.sibling(tls.NAME)
            if isinstance(contexts, tls.Contexts):
                for listener in live.plan.listeners:
                    if listener.scheme == "tls":
                        secured[listener] = Secure("tls", contexts.tls, self._responded)
                    elif listener.scheme == "https":
                        secured[listener] = Secure("https", contexts.https, self._responded)
        return secured

    def _responded(self, server: str, status: int) -> None:
        name, text = "coredns_dns_https_responses", "Responses of DNS over HTTPS by status."
        counter = self._context.made(
            name, Counter, lambda: Counter(name, text, ("server", "status"), registry=self._context.registry)
        )
        counter.labels(server, str(status)).inc()

    async def _open(
        self,
        listener: Listener,
        router: Router,
        limits: Timeouts | None,
        opened: dict[Listener, ListenAddress],
        secure: Secure | None,
    ) -> ListenAddress:
        port = listener.port
        if not port:  # one port for all, as the system gives it to the first
            every = {**self.places, **opened}
            same = [place for other, place in every.items() if other[::2] == (listener.scheme, 0)]
            port = same[0].server.port if same else 0
        responder = Responder(router, top=self._context.top)
        server = Server(
            responder,
            (listener.address,),
            port,
            limits=_limits(limits),
            secure=secure,
            freebind=self._context.is_local(listener.address),
        )
        await server.start()
        for label in server.labels:
            self._context.labels[listener] = label
            self._context.routers[label] = router
        self.metrics.sockets += [socket_responder.counts for socket_responder in responder.sockets]
        return ListenAddress(server, responder, secure)

    def _swap(
        self, wanted: dict[Listener, Router], limits: dict[Listener, Timeouts], secured: dict[Listener, Secure]
    ) -> None:
        for listener, place in self.places.items():
            if listener in wanted:
                place.responder.site = wanted[listener]
                place.server.limit(_limits(limits.get(listener)))
                place.secure = secured.get(listener)
                if place.secure is not None:
                    place.server.renew(place.secure.context)
                self._context.routers[self._context.labels[listener]] = wanted[listener]

    def _unname(self, listener: Listener) -> None:
        label = self._context.labels.pop(listener, None)
        if label is not None:
            self._context.routers.pop(label, None)

    async def _retire(self, old: Sequence[RunningServerBlock], gone: dict[Listener, ListenAddress]) -> None:
        """Answer what is under way, then let go."""
        for place in gone.values():
            await place.server.stop(DRAIN)
        waiting = [place.responder for place in (*self.places.values(), *gone.values())]
        await asyncio.gather(*(responder.finish(DRAIN) for responder in waiting))
        for listener in gone:
            if listener not in self.places:
                self._unname(listener)
        await close_all(old)
        await self._let_go()

    def _count(self) -> None:
        """Which plugins are on, for the metrics."""
        self.metrics.enabled = tuple(
            dict.fromkeys(
                Enabled(label, key.zone, step.name)
                for live in self.blocks
                for key in live.plan.keys
                for label in live.parts.servers
                for step in live.plan.steps
            )
        )

    def _forget(self) -> None:
        for place in self.places.values():
            place.responder.forget()

    async def stop(self, limit: float) -> None:
        """Take no more queries, and wait so many seconds at most for those under way."""
        await asyncio.gather(*(place.server.stop(limit) for place in self.places.values()))
        await asyncio.gather(*(place.responder.drain(limit) for place in self.places.values()))

    async def close(self) -> None:
        """Let go of everything now."""
        for place in self.places.values():
            place.server.close()
        for task in tuple(self._ending):
            task.cancel()
        await asyncio.gather(*self._ending, return_exceptions=True)
        await close_all(self.blocks)


def _limits(options: Timeouts | None) -> TcpLimits:
    if options is None:
        return TcpLimits()
    return TcpLimits(read=options.read, write=options.write, idle=options.idle, queries=options.queries)
