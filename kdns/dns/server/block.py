"""Server blocks, built: chains that answer, from `start` to `close`; and what ``kdns check`` says of them."""

import asyncio
import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final

from kdns.base.errors import ConfigError, KdnsError
from kdns.dns.api.handler import Request, chain
from kdns.dns.api.plugin import Built, sees_nothing
from kdns.dns.plugins import ORDER, acl
from kdns.dns.query.forward_path import forward_path
from kdns.dns.query.gate import gate, gate_step
from kdns.dns.query.guard import guarded
from kdns.dns.query.router import RoutedBlock, Router
from kdns.dns.server.context import Listener, RunningBlockContext, ServerContext
from kdns.dns.server.plan import ServerBlockPlan, Step
from kdns.wire.name import parse_name

LOG: Final = logging.getLogger("kdns.dns.server.block")


class RunningServerBlock:
    """One server block. Its plugins are built once, and shared by all its zones and sockets."""

    def __init__(self, plan: ServerBlockPlan, context: ServerContext) -> None:
        """Builds, but opens nothing. Raises ConfigError."""
        self.plan = plan
        self.parts = RunningBlockContext(context, plan.place, plan.listeners)
        self.built: list[Built] = []
        self.parts.offer("plugins", tuple(step.name for step in plan.steps))
        for step in plan.steps:  # kubernetes keeps more of the cluster where some plugins stand in front of it
            self.parts.offer(f"options/{step.name}", step.options)
        try:
            for step in reversed(plan.steps):  # kubernetes offers what autopath, in front of it, asks for
                self.built.insert(0, self._build(step, context))
        except KdnsError as error:
            if isinstance(error, ConfigError):
                raise
            raise ConfigError(str(error)) from error
        own = self.parts.sibling(acl.NAME)
        self.policy = own if isinstance(own, acl.Acl) else None
        """Its acl."""
        plugins = [built.plugin for built in self.built]
        plugins.insert(_gate_at([step.name for step in plan.steps]), gate(context.routers.get, self.policy))
        self.handler = chain([plugin for plugin in plugins if plugin is not None])
        self._routers = context.routers
        self.was_ready: set[str] = set()
        """Plugins that were ready once."""
        self._started: list[tuple[str, Built]] = []
        self._accepts = [built.accepts for built in self.built if built.accepts is not None]

    def _build(self, step: Step, context: ServerContext) -> Built:
        try:
            built = step.module.build(step.options, self.parts)
            if not isinstance(built, Built):
                raise TypeError(f"{type(built).__name__} is no Built")
        except KdnsError:
            raise
        except (Exception, SystemExit) as error:
            if not step.origin:
                raise
            problem = f"plugin {step.name} cannot be built: {type(error).__name__}: {error}"
            raise ConfigError(problem, self.plan.keys[0].at, f"it is {step.origin}") from error
        return guarded(step.name, built, context, foreign=bool(step.origin))

    @property
    def warnings(self) -> tuple[ConfigError, ...]:
        """What is allowed in the Corefile, and probably not meant."""
        return (*self.plan.warnings, *self.parts.warnings)

    async def start(self) -> None:
        """Begin what waits or opens. Raises ConfigError, with nothing left running."""
        for step, built in zip(self.plan.steps, self.built, strict=True):
            if built.start is not None:
                try:
                    await built.start()
                except ConfigError:
                    await self.close()
                    raise
                except (Exception, SystemExit) as error:
                    await self.close()
                    problem = f"plugin {step.name} cannot start: {type(error).__name__}: {error}"
                    raise ConfigError(problem, self.plan.keys[0].at) from error
            self._started.append((step.name, built))

    async def close(self) -> None:
        """End it; the queries that it owed are answered."""
        while self._started:
            name, built = self._started.pop()
            try:
                if built.close is not None:
                    await built.close()
            except (Exception, SystemExit):
                LOG.exception("plugin %s has a bug in its close", name)
        await self.parts.close()

    @property
    def monitored(self) -> list[str]:
        """The plugins that can say why clients should not be sent here."""
        pairs = zip(self.plan.steps, self.built, strict=True)
        return [step.name for step, built in pairs if built.ready is not None]

    def reasons(self, skipped: Iterable[str] = ()) -> Iterator[tuple[str, str]]:
        """Why clients should not be sent here yet, with the plugin that says so; those skipped are not asked."""
        for step, built in zip(self.plan.steps, self.built, strict=True):
            if built.ready is not None and step.name not in skipped:
                for reason in built.ready():
                    yield step.name, reason

    def block(self, listener: Listener) -> RoutedBlock:
        """What it serves in one place."""
        zones = {
            parse_name(key.zone): key.zone
            for key in self.plan.keys
            if (key.scheme, key.port) == (listener.scheme, listener.port)
        }
        # what makes no difference to ready answers is not asked about them
        consulted = [
            built
            for built in self.built
            if built.precompiled is not None or built.classes or built.needs_task or built.must_see is not sees_nothing
        ]
        return RoutedBlock(
            zones=zones,
            handler=self.handler,
            built=tuple(consulted),
            policy=self.policy,
            accepts=_all(self._accepts),
            forward_path=forward_path(self.built, gate_step(self._routers)),
            collect=next((built.collect for built in self.built if built.collect is not None), None),
        )


def _gate_at(names: Sequence[str]) -> int:
    """Where the gate stands in a chain: before the first built-in plugin that is not in front of acl."""
    behind = ORDER[ORDER.index(acl.NAME) :]
    return next((at for at, name in enumerate(names) if name in behind), len(names))


def _all(filters: Sequence[Callable[[Request], bool]]) -> Callable[[Request], bool] | None:
    """One filter from several; None if there is none."""
    if len(filters) < 2:
        return filters[0] if filters else None
    return lambda request: all(accepts(request) for accepts in filters)


def routers(blocks: Sequence[RunningServerBlock]) -> dict[Listener, Router]:
    """What is served in each place."""
    by_listener: dict[Listener, list[RoutedBlock]] = {}
    for live in blocks:
        for listener in live.plan.listeners:
            by_listener.setdefault(listener, []).append(live.block(listener))
    return {listener: Router(several) for listener, several in by_listener.items()}


def describe(blocks: Sequence[RunningServerBlock]) -> Iterator[str]:
    """For ``kdns check``: where each block is served, its chain in order, and what takes the fast path."""
    for live in blocks:
        plan = live.plan
        places = ", ".join(
            f"{key.scheme}://{key.zone}:{key.port}{f' on {address}' if address else ''}"
            for key in plan.keys
            for address in plan.addresses
        )
        yield places
        names = [step.name for step in plan.steps]
        yield f"  chain      {' > '.join(names) or 'nothing: every answer is SERVFAIL'}"
        for step in plan.steps:
            if step.origin:
                yield f"  {step.name} comes from {step.origin}"
        for line in _fast(live):
            yield f"  fast path  {line}"


def _fast(live: RunningServerBlock) -> Iterator[str]:
    """Which plugins' answers pass the chain by, and which plugin must see the rest."""
    steps = live.plan.steps
    finders = [number for number, built in enumerate(live.built) if built.precompiled is not None]
    if not finders:
        yield "nothing"
    for number in finders:
        options = steps[number].options
        zones: tuple[str, ...] = getattr(options, "zones", None) or live.plan.place.zones
        for zone in zones:
            apexes = [parse_name(zone)] if "/" not in zone else []
            ahead = range(number)
            watching = [
                (steps[at].name, live.built[at])
                for at in ahead
                if any(live.built[at].must_see(apex, True) for apex in apexes)
            ]
            strict = [name for name, built in watching if built.ignores is None and built.watch is None]
            if strict:
                yield f"{steps[number].name}: not in {zone}, where {', '.join(strict)} must see each question"
            elif watching:
                names = ", ".join(name for name, _ in watching)
                yield f"{steps[number].name}: {zone}, but for what {names} would change or note"
            else:
                yield f"{steps[number].name}: {zone}"


async def close_all(blocks: Iterable[RunningServerBlock]) -> None:
    """End several."""
    await asyncio.gather(*(live.close() for live in blocks))
