"""The server's own chain, built from a Corefile and the objects of the evidence, and asked without any upstream.

What it says is what a kdns server with this Corefile would say: the same router, plans, plugins and answers.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from prometheus_client import CollectorRegistry

from kdns.base.errors import ConfigError, UpstreamError
from kdns.config.settings import KubernetesOptions
from kdns.dns.api.handler import Client, Request, Response
from kdns.dns.query.responder import compose_reply
from kdns.dns.query.router import DROPPED, Router
from kdns.dns.server.block import RunningServerBlock, routers
from kdns.dns.server.clusters import Clusters
from kdns.dns.server.context import Listener, ServerContext
from kdns.dns.upstream.forward_directive import ForwardDirective
from kdns.explain.dns.corefile import PlannedBlock
from kdns.explain.dns.watched import Diary, NotAsked, Visit, Watched
from kdns.metrics.dns import Metrics
from kdns.records.answers import Answers
from kdns.watch.source import Source
from kdns.wire.name import parse_name
from kdns.wire.numbers import IN, RD
from kdns.wire.query import TCP_LIMIT, Edns, Query

UNKNOWN_CLIENT: Final = "0.0.0.0"


class Asked(NamedTuple):
    """One question, and what became of it."""

    name: str
    rtype: int
    response: Response | None = None
    """None: an upstream would have been asked, see ``upstreams``."""
    block: PlannedBlock | None = None
    """The server block that took it; None: none did."""
    visits: Sequence[Visit] = ()
    upstreams: Sequence[tuple[Query, ForwardDirective]] = ()
    size: int = 0
    """Octets of the whole answer in a message with EDNS, as it is over TCP; 0 without one."""
    bug: str = ""
    """What a plugin of ours raised by mistake."""

    @property
    def last(self) -> str:
        """The plugin that decided; empty for the end of the chain."""
        if self.response is not None and self.response.plugin:
            return self.response.plugin
        return next((visit.plugin for visit in reversed(self.visits) if not visit.level and not visit.onward), "")

    @property
    def unclaimed(self) -> bool:
        """No plugin answered: the end of the chain did."""
        return self.response is not None and not any(visit.answered for visit in self.visits if not visit.level)

    @property
    def steps(self) -> list[str]:
        """What each plugin did that did more than pass the question on."""
        return [text for visit in self.visits if (text := visit.says())]


class _EvidenceClusters(Clusters):
    """Clusters of which everything is known already."""

    def __init__(self, answers: Callable[[KubernetesOptions], Answers], metrics: Metrics) -> None:
        super().__init__(_no_source, metrics)
        self._known: dict[KubernetesOptions, Answers] = {}
        self._make = answers

    def answers(self, options: KubernetesOptions) -> Answers:
        """The names of the evidence's cluster, whatever API server the options name."""
        if options not in self._known:
            self._known[options] = self._make(options)
        return self._known[options]


async def _no_source(_: KubernetesOptions) -> Source:
    raise ConfigError("an explanation opens no source")


class DryRun:
    """All server blocks of a Corefile."""

    def __init__(self, blocks: Sequence[PlannedBlock], answers: Callable[[KubernetesOptions], Answers]) -> None:
        """``answers`` makes a cluster's names for the options of a ``kubernetes`` plugin."""
        metrics = Metrics("", "")
        self.bugs: list[str] = []
        self._diary = Diary()
        self._context = ServerContext(
            metrics, CollectorRegistry(), _EvidenceClusters(answers, metrics), self.bugs.append
        )
        self.problems: list[tuple[PlannedBlock, ConfigError]] = []
        """Blocks that cannot be built."""
        self._blocks: list[tuple[PlannedBlock, RunningServerBlock]] = []
        for block in blocks:
            steps = tuple(step._replace(module=Watched(step.module, self._diary)) for step in block.plan.steps)
            try:
                self._blocks.append((block, RunningServerBlock(block.plan._replace(steps=steps), self._context)))
            except ConfigError as error:
                self.problems.append((block, error))
        self._routers = routers([running for _, running in self._blocks])
        for listener, router in self._routers.items():
            self._context.routers[self._context.label(listener)] = router
        self._started = False

    @property
    def ports(self) -> set[int]:
        """Where it listens."""
        return {listener.port for listener in self._routers}

    def ask(
        self, name: str, rtype: int, *, client: str = "", local: str = "", port: int = 53, proto: str = "udp"
    ) -> Asked:
        """Ask for a name, as a client with an address would at ``local`` and ``port``. Not from within a loop."""
        listener = self._listener(local, port)
        if listener is None:
            return Asked(name, rtype)
        folded = parse_name(name)
        question = folded + rtype.to_bytes(2, "big") + IN.to_bytes(2, "big")
        query = Query(0, RD, question, folded, rtype, IN)
        who = Client(client or UNKNOWN_CLIENT, 40000, local, proto, 2 if ":" in client else 1)
        request = Request(query, who, len(question) + 12, self._context.label(listener), {})
        return asyncio.run(self._asked(name, request, self._routers[listener]))

    async def _asked(self, name: str, request: Request, router: Router) -> Asked:
        if not self._started:
            self._started = True
            for _, running in self._blocks:
                await running.start()
        self._diary.clear()
        self.bugs.clear()
        response: Response | None
        zone = ""
        try:
            chosen = router.block(request)
            response, zone = await router.handle(request)
        except NotAsked:
            chosen, response = router.block(request), None
        except UpstreamError as error:
            response = Response(error.rcode, plugin="")
        taken = None if zone == DROPPED or chosen is None else chosen[0].handler
        block = next((block for block, running in self._blocks if running.handler is taken), None) if taken else None
        visits, upstreams = tuple(self._diary.visits), tuple(self._diary.upstreams)
        whole = request.query._replace(edns=Edns(TCP_LIMIT, 0, False))
        size = len(compose_reply(whole, response, "tcp")) if response is not None else 0
        return Asked(name, request.query.rtype, response, block, visits, upstreams, size, "; ".join(self.bugs))

    def _listener(self, local: str, port: int) -> Listener | None:
        """Where a question arrives: the address that is asked, or every address; the port, or the only one."""
        routers = sorted(self._routers, key=lambda one: (one.port != port, one.address not in {local, ""}, one.address))
        return routers[0] if routers else None
