"""One resolver that we ask: its transports, and whether it is well.

Health is found out by asking: a failed exchange starts a loop of probes, which ends with the first answer of any
rcode. Each failed probe counts; with more of them in a row than ``max_fails`` the upstream is down.
"""

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any, Final

from msgspec import Struct
from prometheus_client import Counter

from kdns.base.clock import Clock
from kdns.base.errors import UpstreamError
from kdns.dns.upstream.exchange import Transport, address_of
from kdns.dns.upstream.https import Https, Method
from kdns.dns.upstream.received import Received
from kdns.dns.upstream.stream import Keep, Stream, Tls
from kdns.dns.upstream.udp import Udp, UdpAttempt
from kdns.dns.upstream.upstream_address import UpstreamAddress
from kdns.metrics.cells import Cell, Cells, DurationCells
from kdns.metrics.dns import OTHER
from kdns.metrics.families import Durations
from kdns.wire.message import UpstreamQuery
from kdns.wire.numbers import FORMERR, NS, TC
from kdns.wire.query import UDP_LIMIT
from kdns.wire.rcodes import RCODE_TEXT

PROXY: Final = "forward"
"""The label ``proxy_name`` of the metrics."""
PROBE_TIMEOUT: Final = 1.0
"""Seconds that a probe's answer may take."""
SHORTEST_PAUSE: Final = 0.05
"""Seconds between probes at least, whatever a Corefile says."""
_LABELS: Final = {number: RCODE_TEXT.get(number, str(number)) for number in range(24)}
"""CoreDNS has the number for those without a name; here all above the last name are one."""


class Settings(Struct, frozen=True, kw_only=True):
    """What all upstreams of one ``forward`` line have in common; seconds."""

    keep: Keep = Keep()
    read_timeout: float = 2.0
    """For one exchange, dialling included."""
    max_fails: int = 2
    """Failed probes that are borne; 0: never down, and never probed."""
    probe_every: float = 0.5
    probe_timeout: float = PROBE_TIMEOUT
    probe: UpstreamQuery = UpstreamQuery(b"\0", NS)
    probe_tcp: bool = False
    doh_method: Method = "POST"
    source: str = ""


class Meters(Struct, frozen=True):
    """What is counted for each upstream, by the names of CoreDNS."""

    duration: DurationCells
    """proxy_name, to, rcode"""
    probe_failures: Counter
    """proxy_name, to"""
    kept: Cells
    """proxy_name, to, proto: queries on a connection that was kept."""
    dialled: Cells
    """proxy_name, to, proto: all others."""


Spawn = Callable[[Coroutine[Any, Any, None], str], None]


class Upstream:
    """One resolver."""

    def __init__(
        self,
        target: UpstreamAddress,
        settings: Settings,
        meters: Meters,
        clock: Clock,
        spawn: Spawn,
        tls: Tls | None = None,
    ) -> None:
        """``tls`` is needed for targets over TLS and HTTPS."""
        self.target, self.text = target, target.text
        self.fails = 0
        """Probes that failed, one after the other."""
        self._settings, self._meters, self._clock, self._spawn = settings, meters, clock, spawn
        self._probing = self._ended = False
        address = address_of(target, settings.source)
        self._udp: Udp | None = None
        self._durations: dict[int, Durations] = {}
        self._sent = self._counter("udp")
        self._datagrams: Cell | None = None
        """What `begin` counts in; None before the first query."""
        self._stream: Transport
        if target.transport == "dns":
            self._udp = Udp(address)
            self._stream = Stream(address, clock, settings.keep, connected=self._counter("tcp"))
        elif target.transport == "tls":
            self._stream = Stream(address, clock, settings.keep, tls, connected=self._counter("tcp-tls"))
        else:
            assert tls is not None
            self._stream = Https(address, settings.keep, tls, settings.doh_method)

    def _counter(self, proto: str) -> Callable[[bool], None]:
        """Counts queries on kept (True) and on new connections; there is no series before there is something in it."""
        series: dict[bool, Cell] = {}

        def count(kept: bool) -> None:
            if kept not in series:
                counter = self._meters.kept if kept else self._meters.dialled
                series[kept] = counter.labels(PROXY, self.text, proto)
            series[kept].inc()

        return count

    @property
    def down(self) -> bool:
        """Too many probes have failed."""
        return 0 < self._settings.max_fails < self.fails

    def begin(self, attempt: UdpAttempt, seconds: float) -> bool:
        """Ask over UDP: what comes of it comes to the attempt. False: there is no UDP."""
        if self._udp is None:
            return False
        sent = self._datagrams
        if sent is None:
            sent = self._datagrams = self._meters.dialled.labels(PROXY, self.text, "udp")
        sent.value += 1
        self._udp.begin(attempt, min(seconds, self._settings.read_timeout))
        return True

    def complete(self, received: Received) -> bool:
        """The response that `begin` has got is all that there is to get, see `exchange`."""
        if received.facts is not None:
            return received.rcode != FORMERR or received.facts.options is not None
        if received.flags & TC and received.whole:
            return False
        return received.rcode != FORMERR or received.message.options is not None

    async def exchange(
        self, ask: UpstreamQuery, tcp: bool, seconds: float, first: Received | None = None, began: float | None = None
    ) -> Received:
        """The answer; raises UpstreamError. ``seconds``: for all attempts to get it.

        If a whole one is wanted, a truncated one is asked for again over TCP; if that fails, the truncated one has to
        do. An upstream that does not know EDNS is asked without (RFC 6891 section 6.2.2). ``first`` is what `begin`
        has got, ``began`` when that was.
        """
        now = self._clock()
        began = now if began is None else began
        until = now + seconds
        received = await self._understood(ask, tcp, until, first)
        if received.flags & TC and ask.whole and self._udp is not None and not tcp:
            with suppress(UpstreamError):
                received = await self._understood(ask, True, until)
        self.observe(received.rcode, began)
        return received

    def observe(self, rcode: int, began: float) -> None:
        """Note how long it took until an answer was there."""
        series = self._durations.get(rcode)
        if series is None:
            label = _LABELS.get(rcode, OTHER)
            series = self._durations[rcode] = self._meters.duration.labels(PROXY, self.text, label)
        series.observe(max(0.0, self._clock() - began))

    async def _understood(self, ask: UpstreamQuery, tcp: bool, until: float, first: Received | None = None) -> Received:
        received = first if first is not None else await self._once(ask, tcp, until, UDP_LIMIT)
        if received.rcode == FORMERR and received.message.options is None:
            return await self._once(ask, tcp, until, None)
        return received

    async def _once(self, ask: UpstreamQuery, tcp: bool, until: float, payload: int | None) -> Received:
        seconds = min(max(0.0, until - self._clock()), self._settings.read_timeout)
        if self._udp is None or tcp:
            return await self._stream.exchange(ask, seconds, payload)
        self._sent(False)
        return await self._udp.exchange(ask, seconds, payload)

    def suspect(self) -> None:
        """An exchange has failed: probe until one answer comes."""
        if self._settings.max_fails and not (self._probing or self._ended):
            self._probing = True
            self._spawn(self._probe(), f"probe {self.text}")

    async def _probe(self) -> None:
        try:
            while not (await self._alive() or self._ended):
                self.fails += 1
                self._meters.probe_failures.labels(PROXY, self.text).inc()
                await asyncio.sleep(max(self._settings.probe_every, SHORTEST_PAUSE))
            self.fails = 0
        finally:
            self._probing = False

    async def _alive(self) -> bool:
        settings = self._settings
        transport = self._stream if self._udp is None or settings.probe_tcp else self._udp
        try:
            await transport.exchange(settings.probe, settings.probe_timeout, None)
        except UpstreamError:
            return False
        return True

    async def close(self) -> None:
        """Close its sockets and connections; a probe under way is the last one."""
        self._ended = True
        if self._udp is not None:
            await self._udp.close()
        await self._stream.close()
