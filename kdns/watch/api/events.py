"""Events: what people should see with ``kubectl describe``, written into the cluster; the only thing that is written.

Who has something to say calls `EventRecorder.event`, which only takes note; `run` writes, at its own pace. The same
thing again raises the count of one Event's series. Nothing waits for an Event, and none is worth an error: what
cannot be written is dropped, and why is logged once.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from secrets import token_hex
from typing import Any, Final, Literal, NamedTuple

import msgspec

from kdns.base.clock import Backoff, Clock
from kdns.base.errors import ApiError, Denied, Throttled
from kdns.base.objects import ObjectKey
from kdns.watch.api.client import RESOURCES, Api
from kdns.watch.api.failures import reason_of
from kdns.watch.api.pace import Pace

LOG: Final = logging.getLogger("kdns.watch")
CONTROLLER: Final = "kube-proxy"
"""Who reports, as kube-proxy's own Events say: alerts and filters know it."""
SERIES_SECONDS: Final = 300.0
"""An Event that goes on is written again at most this often, with its count."""
SERIES_LIMIT: Final = 512
"""Different Events remembered; the one whose last occurrence is oldest is forgotten first."""
WAITING_LIMIT: Final = 128
"""Different Events that wait to be written; what comes beyond that is dropped."""
ATTEMPTS: Final = 4
"""How often an Event is tried."""
FORBIDDEN_SECONDS: Final = 300.0
"""After a 403 nothing is tried for so long: the right may be given meanwhile."""
NOTE_LIMIT: Final = 1024
NAME_LIMIT: Final = 128
"""Characters of what we are called, of reasons and actions."""


class EventKey(NamedTuple):
    """What two Events have in common if one repeats the other."""

    regarding: ObjectKey
    kind: Literal["Normal", "Warning"]
    reason: str
    message: str
    action: str


class _Series:
    """One Event and its repetitions."""

    def __init__(self) -> None:
        self.count = 0
        self.last = 0.0
        """Unix seconds."""
        self.name = ""
        """Of the Event in the cluster; empty if it was not written yet."""
        self.next_at = 0.0
        """By the clock: not to be written before."""


class EventRecorder:
    """Writes Events of one instance of kube-proxy. `event` never waits and never raises; `run` is an endless task."""

    def __init__(
        self,
        api: Callable[[], Api],
        instance: str,
        *,
        clock: Clock = time.monotonic,
        now: Callable[[], float] = time.time,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
        pace: Pace | None = None,
    ) -> None:
        """`api` is asked for when the first Event is written; `now` is Unix seconds.

        `instance` is what reports: kube-proxy's own is ``kube-proxy-HOSTNAME``.
        """
        self._api, self._instance = api, instance[:NAME_LIMIT]
        self._clock, self._now, self._sleep = clock, now, sleep
        self._pace = pace or Pace(qps=1.0, burst=10, clock=clock, sleep=sleep)
        self._series: dict[EventKey, _Series] = {}
        """The latest one is at the end."""
        self._waiting: dict[EventKey, None] = {}
        self._wake = asyncio.Event()
        self._forbidden_until = 0.0
        self._warned: set[str] = set()
        self.dropped = 0
        """Events that were not written, for whatever reason."""

    def event(
        self,
        regarding: ObjectKey,
        kind: Literal["Normal", "Warning"],
        reason: str,
        message: str,
        action: str = "",
    ) -> None:
        """Say something about an object: `reason` in CamelCase for machines, `message` for people, and `action` (if it
        is not the reason) what was tried. Repeated, it is counted."""
        event_key = EventKey(
            regarding, kind, reason[:NAME_LIMIT], message[:NOTE_LIMIT], (action or reason)[:NAME_LIMIT]
        )
        series = self._series.pop(event_key, None) or _Series()
        self._series[event_key] = series
        series.count, series.last = series.count + 1, self._now()
        if len(self._series) > SERIES_LIMIT:
            forgotten = next(iter(self._series))
            del self._series[forgotten]
            self._waiting.pop(forgotten, None)
        if event_key in self._waiting:
            return
        if len(self._waiting) >= WAITING_LIMIT or self._clock() < self._forbidden_until:
            self.dropped += 1
            return
        self._waiting[event_key] = None
        self._wake.set()

    async def run(self) -> None:
        """Write what was reported, for ever. Raises nothing that a server or a network can cause."""
        while True:
            self._wake.clear()
            at = self._clock()
            due = next((event_key for event_key in self._waiting if self._series[event_key].next_at <= at), None)
            if due is not None:
                del self._waiting[due]
                try:
                    await self._write(due, self._series[due])
                except Exception:
                    LOG.exception("a bug met while writing an Event about %s", due.regarding)
                    self.dropped += 1
                continue
            soonest = min((self._series[event_key].next_at for event_key in self._waiting), default=None)
            await self._rest(None if soonest is None else soonest - at)

    async def _rest(self, seconds: float | None) -> None:
        """Until there is something new, or for so long."""
        waking = asyncio.ensure_future(self._wake.wait())
        resting = [waking] if seconds is None else [waking, asyncio.ensure_future(self._sleep(seconds))]
        try:
            await asyncio.wait(resting, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for series in resting:
                series.cancel()
            await asyncio.gather(*resting, return_exceptions=True)

    async def _write(self, event_key: EventKey, series: _Series) -> None:
        backoff = Backoff(clock=self._clock, sleep=self._sleep)
        for attempt in range(1, ATTEMPTS + 1):
            try:
                async with self._pace.turn():
                    await self._try(event_key, series)
                series.next_at = self._clock() + (SERIES_SECONDS if series.count > 1 else 0.0)
                return
            except ApiError as error:
                self._warn_once(error)
                if isinstance(error, Denied):
                    self._forbidden_until = self._clock() + FORBIDDEN_SECONDS
                    self.dropped += 1 + len(self._waiting)
                    self._waiting.clear()
                    return
                if 400 <= error.code < 500 and not isinstance(error, Throttled):
                    break  # it would be refused again
                if attempt < ATTEMPTS:
                    await backoff.pause(error.after if isinstance(error, Throttled) else 0.0)
        self.dropped += 1
        series.next_at = self._clock() + SERIES_SECONDS

    async def _try(self, event_key: EventKey, series: _Series) -> None:
        api, namespace = self._api(), event_key.regarding.namespace or "default"
        if series.name:
            try:
                changes = msgspec.json.encode({"series": _count(series)})
                await api.patch_event(namespace, series.name, changes)
            except ApiError as error:
                if error.code != 404:
                    raise
                series.name = ""  # Events are forgotten after an hour
            else:
                return
        name = f"{event_key.regarding.name[:200].rstrip('-.')}.{token_hex(8)}"  # every node may say this now
        about = _reference(event_key, await api.uid_of(event_key.regarding))
        await api.create_event(namespace, msgspec.json.encode(_event(event_key, series, name, self._instance, about)))
        series.name = name

    def _warn_once(self, error: ApiError) -> None:
        """Each kind of failure is logged once in the life of this process, and never for each Event."""
        reason = reason_of(error)
        kind = f"{error.code} {error.reason}"
        if kind not in self._warned and len(self._warned) < SERIES_LIMIT:
            self._warned.add(kind)
            LOG.warning("an Event could not be written: %s; further ones like this are not logged", reason)


def _event(event_key: EventKey, series: _Series, name: str, instance: str, about: dict[str, str]) -> dict[str, Any]:
    """events.k8s.io/v1"""
    event = {
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "metadata": {"name": name, "namespace": event_key.regarding.namespace or "default"},
        "eventTime": _micro_time(series.last),
        "reportingController": CONTROLLER,
        "reportingInstance": instance,
        "regarding": about,
        "action": event_key.action,
        "reason": event_key.reason,
        "type": event_key.kind,
        "note": event_key.message,
    }
    return event | ({"series": _count(series)} if series.count > 1 else {})


def _count(series: _Series) -> dict[str, Any]:
    return {"count": series.count, "lastObservedTime": _micro_time(series.last)}


def _reference(event_key: EventKey, uid: str) -> dict[str, str]:
    """``kubectl describe`` finds an Event by the uid too; Namespaces and Nodes are in no namespace."""
    resource, key = RESOURCES[event_key.regarding.kind], event_key.regarding
    version = f"{resource.group}/{resource.version}" if resource.group else resource.version
    reference = {"apiVersion": version, "kind": key.kind, "namespace": key.namespace, "name": key.name, "uid": uid}
    return {name: value for name, value in reference.items() if value}


def _micro_time(seconds: float) -> str:
    """Kubernetes' MicroTime: RFC 3339 with six digits, in UTC."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
