"""From a Corefile, or from flags, to plans of server blocks: which plugins with which options, in order, and where.

::

    Corefile ──parse──┐
                      ├──> ServerBlockPlan, one for each server block ──> `kdns.dns.server.block` builds and serves them
    ServeSettings ────┘

Pure but for the interfaces that ``bind`` names, and the times of files of ``tls``.
All mistakes of a Corefile are reported at once.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final, NamedTuple

from kdns.base.errors import ConfigError, KdnsError, Span
from kdns.config.directive import Corefile, Directive, Key, ServerBlock
from kdns.config.reading import Mistakes
from kdns.config.settings import KubernetesOptions, ServeSettings
from kdns.dns.api.plugin import DirectiveContext, PluginModule
from kdns.dns.plugins import (
    LEFT_OUT,
    bind,
    debug,
    health,
    kubernetes,
    prometheus,
    ready,
    shortnames,
    status,
    timeouts,
    tls,
    top,
)
from kdns.dns.plugins.reload import Options as ReloadOptions
from kdns.dns.server.context import Listener
from kdns.dns.server.registry import LoadedPlugin, Registry
from kdns.records.schema import is_reverse
from kdns.watch.selectors import label_selector
from kdns.wire.name import name_text, parse_name
from kdns.wire.reverse import zone_names

TRANSPORTS: Final = frozenset({"dns", *tls.SCHEMES})
"""Schemes that are served."""


class Step(NamedTuple):
    """One plugin of a block, its options read."""

    name: str
    module: PluginModule
    options: Any
    origin: str = ""
    """Where its code came from; empty for a built-in."""


class ServerBlockPlan(NamedTuple):
    """One server block, read but not built."""

    keys: tuple[Key, ...]
    steps: tuple[Step, ...]
    """From the client inwards."""
    place: DirectiveContext
    addresses: tuple[str, ...]
    """What to bind; the empty text is everything."""
    identity: object
    """What the block says, for comparison: equal blocks are the same block after a reload."""
    warnings: tuple[ConfigError, ...] = ()
    """Directives that are left out, since no answer depends on them."""

    @property
    def listeners(self) -> tuple[Listener, ...]:
        """Where it is served."""
        return tuple(
            dict.fromkeys(Listener(key.scheme, address, key.port) for key in self.keys for address in self.addresses)
        )

    def options(self, name: str) -> Any:
        """Of one of its plugins; None if it does not have it."""
        return next((step.options for step in self.steps if step.name == name), None)


def plan_corefile(corefile: Corefile, registry: Registry, folder: str) -> tuple[ServerBlockPlan, ...]:
    """Raises ConfigError, or ConfigErrors with all that is wrong. ``folder`` is what relative paths start from."""
    mistakes = Mistakes()
    plans = [_plan(block, registry, folder, mistakes) for block in corefile.blocks]
    mistakes.settle()
    _check_places(plans, mistakes)
    _check_secure(plans, mistakes)
    mistakes.settle()
    return tuple(plans)


def _plan(block: ServerBlock, registry: Registry, folder: str, mistakes: Mistakes) -> ServerBlockPlan:
    place = DirectiveContext(tuple(dict.fromkeys(key.zone for key in block.keys)), block.keys[0].port, folder)
    for key in block.keys:
        if key.scheme not in TRANSPORTS:
            mistakes.add(
                ConfigError(f"{key.scheme}:// is not supported yet", key.at, "serve dns://, tls:// or https:// instead")
            )
    by_name: dict[str, list[Directive]] = {}
    for directive in block.directives:
        by_name.setdefault(directive.name.text, []).append(directive)
    steps: list[tuple[LoadedPlugin, Step]] = []
    addresses: tuple[str, ...] = ("",)
    warnings: list[ConfigError] = []
    for name, directives in by_name.items():
        if name in LEFT_OUT and name not in registry.names():
            warnings += [left_out.name.error(f"{name} is left out: {LEFT_OUT[name]}") for left_out in directives]
            continue
        with mistakes.noted():
            known = registry.load(directives[0].name)
            step = Step(name, known.module, _options(known, directives, place), known.origin)
            steps.append((known, step))
            if isinstance(step.options, bind.Options):
                addresses = bind.addresses(step.options)
    steps.sort(key=lambda pair: pair[0].rank)
    files = tuple(tls.stamp(step.options) for _, step in steps if isinstance(step.options, tls.Options))
    identity = tuple(key[:3] for key in block.keys), tuple(map(_words, block.directives)), folder, files
    return ServerBlockPlan(block.keys, tuple(step for _, step in steps), place, addresses, identity, tuple(warnings))


def _options(known: LoadedPlugin, directives: Sequence[Directive], place: DirectiveContext) -> Any:
    word = directives[0].name
    try:
        options = known.module.parse(directives, place)
    except KdnsError:
        raise
    except (Exception, SystemExit) as error:
        if not known.origin:
            raise
        problem = f"plugin {known.name} cannot read this: {type(error).__name__}: {error}"
        raise word.error(problem, f"its parse is in {known.origin}") from error
    if isinstance(options, KubernetesOptions):
        for selector in (options.labels, options.namespace_labels):
            try:
                label_selector(selector)
            except ConfigError as error:
                raise word.error(error.problem, error.hint) from error
    return options


def _words(directive: Directive) -> tuple[object, ...]:
    block = None if directive.block is None else tuple(map(_words, directive.block))
    return directive.name.text, tuple(word.text for word in directive.args), block


def _check_places(plans: Iterable[ServerBlockPlan], mistakes: Mistakes) -> None:
    """Nothing is served twice in one place, unless a view tells which; one port is bound by all, or by none."""
    seen: dict[tuple[Listener, str], tuple[Key, ServerBlockPlan]] = {}
    styles: dict[int, tuple[Key, bool]] = {}
    for plan in plans:
        viewed = any(step.name == "view" for step in plan.steps)
        for key in plan.keys:
            bound = plan.addresses != ("",)
            first_key, first_bound = styles.setdefault(key.port, (key, bound))
            if bound != first_bound and key.port:
                mistakes.add(ConfigError(f"port {key.port} is served with bind here, without it elsewhere", key.at,
                                         f"see line {first_key.at.line}; all blocks of a port must agree"))  # fmt: skip
                continue
            for address in plan.addresses:
                where = Listener(key.scheme, address, key.port), key.zone
                earlier, first = seen.setdefault(where, (key, plan))
                filtered = viewed or any(step.name == "view" for step in first.steps)
                if earlier is not key and not (filtered and first is not plan):
                    mistakes.add(ConfigError(f"{key.zone}:{key.port} is served twice", key.at,
                                             f"it is in line {earlier.at.line} already"))  # fmt: skip
                    break


def _check_secure(plans: Iterable[ServerBlockPlan], mistakes: Mistakes) -> None:
    """Who serves TLS has a certificate, one for each place; and no place is served in two ways."""
    schemes: dict[tuple[str, int], str] = {}
    shown: dict[Listener, tuple[Key, object]] = {}
    for plan in plans:
        options = plan.options(tls.NAME)
        for key in plan.keys:
            if key.scheme in tls.SCHEMES and options is None:
                mistakes.add(ConfigError(f"{key.scheme}:// needs a certificate", key.at,
                                         "tls CERT KEY in this server block"))  # fmt: skip
                continue
            for address in plan.addresses:
                listener = Listener(key.scheme, address, key.port)
                scheme = schemes.setdefault((address, key.port), key.scheme) if key.port else key.scheme
                if scheme != key.scheme:
                    mistakes.add(ConfigError(f"port {key.port} is served as {scheme}:// already", key.at,
                                             f"{key.scheme}:// needs a port of its own"))  # fmt: skip
                    break
                if options is not None and key.scheme in tls.SCHEMES:
                    first, meaning = shown.setdefault(listener, (key, options.meaning))
                    if meaning != options.meaning:
                        mistakes.add(ConfigError(f"port {key.port} has another certificate already", key.at,
                                                 f"see line {first.at.line}; a port has one for all"))  # fmt: skip
                        break


def secured_files(plans: Iterable[ServerBlockPlan]) -> str:
    """Changes when a certificate does; empty without any."""
    steps = [step.options for plan in plans for step in plan.steps if isinstance(step.options, tls.Options)]
    return repr([tls.stamp(options) for options in steps]) if steps else ""


def plan_settings(settings: ServeSettings) -> tuple[ServerBlockPlan, ...]:
    """The one server block of ``kdns serve`` without a Corefile."""
    options = settings.kubernetes
    at = Span("--zone", 1, 1)
    zones = [name_text(apex) for text in options.zones for apex in zone_names(text)]
    if settings.shortnames:
        zones.append(".")  # such names are in no zone of ours
    keys = tuple(Key("dns", zone, settings.port, at) for zone in dict.fromkeys(zones))
    steps: list[Step] = []
    if settings.ready:
        steps.append(Step("ready", ready, ready.Options(address=settings.ready)))
    if settings.health:
        steps.append(Step("health", health, health.Options(address=settings.health, lameduck=settings.lameduck)))
    if settings.metrics:
        steps.append(Step("prometheus", prometheus, prometheus.Options(address=settings.metrics)))
    if settings.status:
        steps.append(Step("status", status, status.Options(address=settings.status)))
    if settings.shortnames:
        forward = next(zone for zone in zones if not is_reverse(parse_name(zone)))
        steps.append(Step("shortnames", shortnames, shortnames.Options(forward)))
    steps.append(Step("kubernetes", kubernetes, options))
    place = DirectiveContext(tuple(key.zone for key in keys), settings.port, "")
    listen = tuple(dict.fromkeys(settings.listen))
    return (ServerBlockPlan(keys, tuple(steps), place, listen, settings),)


class ProcessSettings(NamedTuple):
    """What the blocks together ask of the server itself."""

    health: tuple[str, ...] = ()
    """ADDRESS:PORT of each page; so for the next three."""
    ready: tuple[str, ...] = ()
    metrics: tuple[str, ...] = ()
    status: tuple[str, ...] = ()
    lameduck: float = 0.0
    """Seconds: the longest that any block says."""
    continuously: bool = False
    """What was ready once may become unready again."""
    runtime_metrics: bool = False
    top: tuple[str, ...] = ()
    """ADDRESS:PORT of /top."""
    top_metrics: int = 0
    reload: ReloadOptions | None = None
    debug: bool = False
    limits: dict[Listener, timeouts.Options] = {}  # noqa: RUF012 - never written to


def process_settings(plans: Sequence[ServerBlockPlan]) -> ProcessSettings:
    """Those of all blocks."""
    every = [step.options for plan in plans for step in plan.steps]
    healths = [options for options in every if isinstance(options, health.Options)]
    readies = [options for options in every if isinstance(options, ready.Options)]
    pages = [options for options in every if isinstance(options, prometheus.Options)]
    tops = [options for options in every if isinstance(options, top.Options)]
    statuses = [options for options in every if isinstance(options, status.Options)]
    limits: dict[Listener, timeouts.Options] = {}
    for plan in plans:
        if (limit := plan.options("timeouts")) is not None:
            limits |= dict.fromkeys(plan.listeners, limit)
    return ProcessSettings(
        health=tuple(dict.fromkeys(options.address for options in healths)),
        ready=tuple(dict.fromkeys(options.address for options in readies)),
        metrics=tuple(dict.fromkeys(options.address for options in pages)),
        status=tuple(dict.fromkeys(options.address for options in statuses)),
        lameduck=max((options.lameduck for options in healths), default=0.0),
        continuously=any(options.continuously for options in readies),
        runtime_metrics=any(options.runtime_metrics for options in pages),
        top=tuple(dict.fromkeys(options.address for options in tops)),
        top_metrics=max((options.metrics for options in tops), default=0),
        reload=next((options for options in every if isinstance(options, ReloadOptions)), None),
        debug=any(isinstance(options, debug.Options) for options in every),
        limits=limits,
    )


def banner_lines(plans: Sequence[ServerBlockPlan], port_of: dict[Listener, int]) -> Iterator[str]:
    """One line for each zone and place, in CoreDNS's form: ``cluster.local.:53 on 10.0.0.1``."""
    for plan in plans:
        for key in plan.keys:
            for address in plan.addresses:
                listener = Listener(key.scheme, address, key.port)
                scheme = "" if key.scheme == "dns" else f"{key.scheme}://"
                yield f"{scheme}{key.zone}:{port_of.get(listener, key.port)}{f' on {address}' if address else ''}"
