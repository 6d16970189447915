"""Isolates plugin bugs: an exception becomes SERVFAIL, and plugins that hold the loop too long are reported.

``KdnsError`` is not a bug and goes on to the plugins in front. Since each plugin of a chain has its own guard, what
reaches one was raised by its own plugin.
"""

import asyncio
import time
from collections.abc import Callable, Coroutine, Generator
from contextvars import ContextVar
from types import coroutine
from typing import Any, Final, Protocol

from msgspec.structs import replace

from kdns.base.clock import Clock
from kdns.base.errors import KdnsError
from kdns.dns.api.handler import Handler, Plugin, Request, Response
from kdns.dns.api.plugin import Built, FindPrecompiled, MustSee, PrecompiledAnswer
from kdns.wire.numbers import SERVFAIL
from kdns.wire.query import Query

SLOW: Final = 0.05
"""Seconds at a stretch, in which no other query was answered."""


class Incidents(Protocol):
    """Where bugs and slow plugins are reported."""

    def failed(self, name: str, error: BaseException, request: Request | None) -> None:
        """The plugin raised what it should not have; called from an ``except`` clause."""

    def slow(self, name: str, seconds: float) -> None:
        """The plugin held the loop for more than `SLOW` seconds."""


def guarded(name: str, built: Built, incidents: Incidents, *, foreign: bool, clock: Clock = time.perf_counter) -> Built:
    """The plugin with a guard around it; ``foreign`` ones are timed, too."""
    if built.plugin is None and not foreign:
        return built
    plugin = None if built.plugin is None else _caught(name, built.plugin, incidents, clock if foreign else None)
    if not foreign:
        return replace(built, plugin=plugin)
    find = None if built.precompiled is None else _safe_find(name, built.precompiled, incidents)
    must_see = _safe_sees(name, built.must_see, incidents)
    # third-party plugins see every query for the names that they must see: `ignores` is not asked
    return replace(
        built,
        plugin=plugin,
        precompiled=find,
        must_see=must_see,
        ignores=None,
        watch=None,
        needs_task=True,
        forward_step=None,
    )


def _caught(name: str, plugin: Plugin, incidents: Incidents, clock: Clock | None) -> Plugin:
    def around(following: Handler) -> Handler:
        timed = plugin if clock is None else _timed(name, plugin, incidents, clock)
        inner = timed(following)

        async def handle(request: Request) -> Response:
            try:
                response = await inner(request)
                if not isinstance(response, Response):
                    raise TypeError(f"{type(response).__name__} is not a Response")
                return response
            except KdnsError:
                raise
            except asyncio.CancelledError as error:
                task = asyncio.current_task()
                if task is not None and task.cancelling():
                    raise
                incidents.failed(name, error, request)  # nothing was cancelled: the plugin raised this by itself
            except (Exception, SystemExit) as error:  # noqa: BLE001 - a bug in a plugin costs one SERVFAIL, not the server
                incidents.failed(name, error, request)
            return Response(SERVFAIL, plugin=name)

        return handle

    return around


class _Stopwatch:
    """How long one call of a plugin has held the loop in this turn, without what stands behind it."""

    def __init__(self) -> None:
        self.running = False
        self.elsewhere = 0.0


def _timed(name: str, plugin: Plugin, incidents: Incidents, clock: Clock) -> Plugin:
    """The plugin, each of its turns timed."""

    def around(following: Handler) -> Handler:
        present: ContextVar[_Stopwatch] = ContextVar("stopwatch")

        async def onward(request: Request) -> Response:
            watch = present.get()

            def behind(took: float) -> None:
                if watch.running:
                    watch.elsewhere += took

            return await _stepped(_coroutine(following, request), clock, behind)

        inner = plugin(onward)

        async def handle(request: Request) -> Response:
            watch = _Stopwatch()

            def turn(took: float) -> None:
                own = took - watch.elsewhere
                if own > SLOW:
                    incidents.slow(name, own)

            token = present.set(watch)
            try:
                return await _stepped(_coroutine(inner, request), clock, turn, watch)
            finally:
                present.reset(token)

        return handle

    return around


async def _coroutine(handler: Handler, request: Request) -> Response:
    return await handler(request)


@coroutine
def _stepped(
    work: Coroutine[Any, Any, Response], clock: Clock, took: Callable[[float], None], watch: _Stopwatch | None = None
) -> Generator[Any, Any, Response]:
    """Run the work to its end and tell how many seconds each turn of it took."""
    value: Any = None
    error: BaseException | None = None
    while True:
        started = clock()
        if watch is not None:
            watch.running, watch.elsewhere = True, 0.0
        try:
            waits_for = work.send(value) if error is None else work.throw(error)
        except StopIteration as stop:
            response: Response = stop.value
            return response
        finally:
            if watch is not None:
                watch.running = False
            took(clock() - started)
        value, error = None, None
        try:
            value = yield waits_for
        except GeneratorExit:
            work.close()
            raise
        except BaseException as thrown:  # noqa: BLE001 - handed on to the work, as await does
            error = thrown


def _safe_find(name: str, find: FindPrecompiled, incidents: Incidents) -> FindPrecompiled:
    def safe(query: Query) -> PrecompiledAnswer | None:
        try:
            return find(query)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - reported, see above
            incidents.failed(name, error, None)
            return None

    return safe


def _safe_sees(name: str, must_see: MustSee, incidents: Incidents) -> MustSee:
    def safe(query_name: bytes, below: bool) -> bool:
        try:
            return must_see(query_name, below)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - reported, see above
            incidents.failed(name, error, None)
            return True

    return safe
