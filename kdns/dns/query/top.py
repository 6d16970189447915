"""Who asks what: the most frequent Namespaces, Pods, names, rcodes and upstreams, and a ring of the last failures.

::

    fast path ──one of N messages──┐
                                   ├──> Top ──> /top as JSON, kdns_dns_top_questions
    chain ─────every response──────┘

Of the fast path a sample is counted, each message for those that were passed over before it, and their number follows
the rate: roughly `RATE` messages a second are looked at, however many come, so it costs a few percent of a query at a
low rate and less at a high one. Memory is
bounded by the sketches' sizes.
"""

import random
import socket
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

from msgspec import Struct
from prometheus_client import Metric
from prometheus_client.registry import Collector

from kdns.base.clock import Clock
from kdns.metrics.families import gauge
from kdns.metrics.sketch import Sketch
from kdns.metrics.windows import MINUTE, WINDOWS, Windows
from kdns.records.clients import ClientIndex, Unidentified
from kdns.wire.name import name_text, under
from kdns.wire.numbers import HEADER, NOERROR, NXDOMAIN
from kdns.wire.rcodes import rcode_text
from kdns.wire.types import type_text

RATE: Final = 500
"""Messages of the fast path that are looked at in a second, roughly."""
MOST_SKIPPED: Final = 255
"""Messages that one which is looked at stands for at most, beside itself, on average."""
FAILURES: Final = 200
SIZES: Final = {"namespace": 64, "pod": 128, "name": 128, "rcode": 16, "upstream": 32, "wasted": 64}
"""Counters of each kind; kept for ten minutes one by one, and for six times ten."""
UPSTREAM: Final = "forward/upstream"
"""Where the plugin forward says which upstream has answered, in a request's metadata."""
NOT_KNOWN: Final = ("", "")
HOST_NETWORK: Final = ("", "(host network)")

Key = str | bytes | int | tuple[str, str]
"""What is counted: text as it is, folded names, rcodes, and clients as Namespace and Pod or as ("", address)."""

Who = Callable[[str], tuple[str, str]]
"""The client's address -> Namespace and Pod, `NOT_KNOWN`, or `HOST_NETWORK` for a node's address."""


class Failure(Struct, frozen=True):
    """A question that got neither records nor a plain "no records", or a client that was refused.

    Then name, type and rcode are empty.
    """

    at: float
    """Unix seconds."""
    client: str
    """The address."""
    namespace: str
    pod: str
    name: str
    rtype: str
    rcode: str
    why: str
    """What the answer's maker says; empty if it says nothing."""
    seconds: float
    """How long the client waited; 0 for what was ready."""


class Top:
    """What was asked, over the last hour. It is on while something looks at it."""

    def __init__(
        self, clock: Clock = time.monotonic, wall: Clock = time.time, chance: random.Random | None = None
    ) -> None:
        """``chance`` draws the gaps between the messages that are looked at; seeded by the operating system if None."""
        self.on = False
        self.skipped = 0
        """Of the fast path, so many messages are passed over for each one that is looked at, on average."""
        self.who: Who = lambda _: NOT_KNOWN
        self.zones: tuple[bytes, ...] = ()
        """The cluster's forward zones: a name in them that does not exist was a search list's, mostly."""
        self.own = b""
        """The folded name of the server's own questions, which are not among those of clients."""
        self.failures: deque[Failure] = deque(maxlen=FAILURES)
        self._counts = {kind: Windows[Key](size) for kind, size in SIZES.items()}
        self._current: dict[str, Sketch[Key]] = {}
        self._minute = -1
        self._clock, self._wall, self._chance = clock, wall, chance or random.Random()
        self._second, self._seen = 0, 0

    def gap(self) -> int:
        """How many messages of the fast path are passed over before the next one is looked at.

        Any number up to twice the average: with a constant one, a client that asks A and AAAA in turn would be seen
        with one of them only. Each message stands for the gap before it, so the counts are right on average.
        """
        return int(self._chance.random() * (2 * self.skipped + 1))

    def sample(self, message: bytes, reply: bytes, address: str, weight: int) -> None:
        """A message that the fast path has answered; with those that were passed over it stands for ``weight``."""
        now = self._clock()
        self._adapt(int(now))
        question_end = HEADER
        while length := message[question_end]:  # the fast path has answered it, so its name is well formed
            question_end += length + 1
        question_end += 1
        name, rcode = message[HEADER:question_end].lower(), reply[3] & 0xF
        rtype = int.from_bytes(message[question_end : question_end + 2], "big")
        self._count(address, name, rtype, rcode, weight, now)

    def chain(self, address: str, name: bytes, rtype: int, rcode: int, why: str, upstream: str, seconds: float) -> None:
        """A question that went through the chain; ``seconds``: until it was answered."""
        if name == self.own:
            return
        now = self._clock()
        if upstream:
            self._sketches(now)["upstream"].add(upstream, 1)
        self._count(address, name, rtype, rcode, 1, now, why, seconds)

    def refused(self, address: str, why: str) -> None:
        """A client was refused before it asked anything; of several times on end the last one is kept."""
        namespace, pod = self.who(address)
        last = self.failures[-1] if self.failures else None
        if last is not None and (last.client, last.why, last.name) == (address, why, ""):
            self.failures.pop()
        self.failures.append(Failure(self._wall(), address, namespace, pod, "", "", "", why, 0.0))

    def _adapt(self, second: int) -> None:
        """A quarter as soon as there are too many, so that a flood costs little from its first second on; twice as
        many after a second with few."""
        if second != self._second:
            if self._seen < RATE // 2:
                self.skipped //= 2
            self._second, self._seen = second, 0
        self._seen += 1
        if self._seen > 2 * RATE and self.skipped < MOST_SKIPPED:
            self.skipped = 4 * self.skipped + 3
            self._seen = RATE

    def _count(
        self, address: str, name: bytes, rtype: int, rcode: int, weight: int, now: float, why: str = "",
        seconds: float = 0.0,
    ) -> None:  # fmt: skip
        namespace, pod = who = self.who(address)
        client = who if pod else ("", address)
        counts = self._sketches(now)
        counts["namespace"].add(namespace, weight)
        counts["pod"].add(client, weight)
        counts["name"].add(name, weight)
        counts["rcode"].add(rcode, weight)
        if rcode == NXDOMAIN and any(under(name, zone) for zone in self.zones):
            counts["wasted"].add(client, weight)
        if rcode not in {NOERROR, NXDOMAIN}:
            asked = name_text(name), type_text(rtype), rcode_text(rcode)
            self.failures.append(Failure(self._wall(), address, namespace, pod, *asked, why, seconds))

    def _sketches(self, now: float) -> dict[str, Sketch[Key]]:
        """Where to count by kind, looked up once a minute."""
        minute = int(now) // MINUTE
        if minute != self._minute:
            self._minute = minute
            self._current = {kind: counts.current(now) for kind, counts in self._counts.items()}
        return self._current

    def values(self, most: int = 20) -> dict[str, Any]:
        """Everything as plain values, for JSON."""
        now = self._clock()
        windows: dict[str, Any] = {}
        for window in WINDOWS:
            kinds = windows[window] = {}
            for kind, counts in self._counts.items():
                counted, total = counts.top(window, now, most)
                kinds[kind] = {"total": total, "top": [row._replace(key=_text(row.key))._asdict() for row in counted]}
        failures = [_values(failure) for failure in self.failures]
        return {"sampled": self.skipped + 1, "windows": windows, "failures": failures}

    def gauges(self, most: int) -> Iterable[tuple[str, str, int]]:
        """Kind, key and count over the last ten minutes, a bounded number of each kind."""
        now = self._clock()
        for kind, counts in self._counts.items():
            yield from ((kind, _text(row.key), row.questions) for row in counts.top("10m", now, most)[0])


def who_by(indexes: Sequence[ClientIndex]) -> Who:
    """Clients by the Pods that are followed."""

    def who(address: str) -> tuple[str, str]:
        try:  # a tenth of what `ip_address` costs; the scope of a link-local address says nothing of Pods
            packed = socket.inet_pton(socket.AF_INET6 if ":" in address else socket.AF_INET, address.partition("%")[0])
        except OSError:
            return NOT_KNOWN
        for index in indexes:
            pod = index.pod(packed)
            if pod is not None:
                return pod.key.namespace, pod.key.name
            if index.lookup(packed) is Unidentified.HOST_NETWORK:
                return HOST_NETWORK
        return NOT_KNOWN

    return who


class TopMetrics(Collector):
    """kdns_dns_top_questions: a bounded number of the most frequent of each kind, over the last ten minutes."""

    def __init__(self, top: Top) -> None:
        self.most = 0
        """Of each kind; 0: there is no such metric."""
        self._top = top

    def collect(self) -> Iterable[Metric]:
        """For prometheus_client."""
        if self.most:
            counts: dict[tuple[str, ...], float] = {
                (kind, key): count for kind, key, count in self._top.gauges(self.most)
            }
            text = "Questions in the last ten minutes, of the most frequent of each kind."
            yield gauge("kdns_dns_top_questions", text, ("kind", "key"), counts)


def _text(key: Key) -> str:
    """A key as people read it."""
    if isinstance(key, bytes):
        return name_text(key)
    if isinstance(key, int):
        return rcode_text(key)
    if isinstance(key, str):
        return key or "(unknown)"
    return "/".join(filter(None, key))


def _values(failure: Failure) -> dict[str, Any]:
    return {name: getattr(failure, name) for name in Failure.__struct_fields__}
