"""Deletes stale UDP flows, beside everything else: in a thread of its own, at a measured pace.

`FlowCleaner.submit` only notes what to do. The thread asks the kernel for the flows to one frontend, looks where their
replies come from, and deletes by the hundred with pauses between. With many frontends at once one listing of all UDP
flows is cheaper than a walk for each.
"""

import logging
import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import Final, NamedTuple

from pyroute2.netlink import NETLINK_NETFILTER

from kdns.base.errors import KernelError
from kdns.kernel.conntrack import Flow, delete_flows, handle_of, list_flows
from kdns.kernel.interfaces import local_addresses
from kdns.kernel.netlink import Netlink
from kdns.proxy.apply.applier import AF
from kdns.proxy.model import Family
from kdns.proxy.stale_flows import StaleFlows

LOG: Final = logging.getLogger("kdns.proxy.flows")

RATE: Final = 50_000
"""Flows deleted per second at most; each costs the kernel some microseconds with a lock of the table held."""
BATCH: Final = 200
"""Flows deleted in one go."""
LEAST_PAUSE: Final = 0.01
"""Seconds: a kernel may round each pause up to its next tick, so that many short ones take several times as long."""
ONE_BY_ONE: Final = 8
"""So many frontends are asked for singly; for more, all UDP flows are listed once."""
LIMIT: Final = 65_536
"""Frontends that may wait; more than there are UDP ports in any cluster we know of."""
RETRY: Final = 5.0
"""Seconds until what failed is tried again."""


class Cleaned(NamedTuple):
    """What one round did in one family."""

    family: Family
    deleted: int
    seconds: float


Find = Callable[[Netlink, Family, Collection[StaleFlows]], Iterator[bytes]]


class FlowCleaner:
    """Deletes stale flows in a thread that lives from `start` to `close`; the thread's network namespace is meant."""

    def __init__(
        self,
        cleaned: Callable[[Cleaned], None] = lambda _: None,
        rate: int = RATE,
        retry: float = RETRY,
        *,
        limit: int = LIMIT,
        find: Find | None = None,
    ) -> None:
        """`cleaned` is called in the thread after each round; `rate` in flows per second, `retry` in seconds.

        `limit`: frontends that may wait; `find` gives the handles of what is stale.
        """
        self._limit, self._find = limit, find or stale_handles
        self._cleaned, self._rate, self._retry = cleaned, rate, retry
        self._pending: dict[tuple[Family, bytes | None, int], StaleFlows] = {}
        self._changed = threading.Condition()
        self._busy = False
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None
        self.deleted = 0
        """Flows since the start."""
        self.failures = 0
        self.left_out = 0
        """Frontends that were not looked at since too many waited."""

    def start(self) -> None:
        """Begin; in the namespace of the calling thread."""
        self._thread = threading.Thread(target=self._run, name="flows", daemon=True)
        self._thread.start()

    def submit(self, flows: Iterable[StaleFlows]) -> None:
        """Note what is to be deleted; never waits. What is newer replaces what waits for the same frontend."""
        with self._changed:
            for stale in flows:
                key = (stale.family, stale.address, stale.port)
                if key not in self._pending and len(self._pending) >= self._limit:
                    self.left_out += 1
                    continue
                self._pending[key] = stale
            self._changed.notify_all()

    def idle(self, patience: float) -> bool:
        """Wait until nothing is left to do, at most `patience` seconds; whether that is so."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._pending and not self._busy, patience)

    def close(self) -> None:
        """End after the batch at hand; what waits is not done. Waits for the thread."""
        self._closing.set()
        with self._changed:
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: bool(self._pending) or self._closing.is_set())
                if self._closing.is_set():
                    return
                work, self._pending, self._busy = self._pending, {}, True
            failed = False
            for family in Family:
                wanted = {key: stale for key, stale in work.items() if key[0] is family}
                if wanted and not self._survived(family, list(wanted.values())):
                    failed = True
                    with self._changed:
                        self._pending = {**wanted, **self._pending}  # what came meanwhile is newer
            with self._changed:
                self._busy = False
                self._changed.notify_all()
            if failed:
                self._closing.wait(self._retry)

    def _survived(self, family: Family, wanted: list[StaleFlows]) -> bool:
        """A round. A bug must not end the thread, after which flows would stay; it would only come again."""
        try:
            return self._round(family, wanted)
        except Exception:
            self.failures += 1
            LOG.exception("A bug met while stale %s flows were deleted; they are left to expire", family.value)
            return True

    def _round(self, family: Family, wanted: list[StaleFlows]) -> bool:
        started, deleted = time.monotonic(), self.deleted
        pace = Pace(self._rate, started)
        try:
            with (
                Netlink(NETLINK_NETFILTER, "conntrack") as listing,
                Netlink(NETLINK_NETFILTER, "conntrack") as deleting,
            ):
                for handles in _batches(self._find(listing, family, wanted), BATCH):
                    self.deleted += delete_flows(deleting, AF[family], handles)
                    if pause := pace.pause(len(handles), time.monotonic()):
                        self._closing.wait(pause)
                    if self._closing.is_set():
                        return True
        except (KernelError, OSError) as error:
            self.failures += 1
            LOG.warning("Stale %s flows were not deleted, to be tried again: %s", family.value, error)
            return False
        self._cleaned(Cleaned(family, self.deleted - deleted, time.monotonic() - started))
        return True


class Pace:
    """Keeps to a rate, with few pauses."""

    def __init__(self, rate: float, now: float) -> None:
        """``rate`` a second; ``now`` in seconds of some clock."""
        self._rate, self._due = rate, now

    def pause(self, done: int, now: float) -> float:
        """Seconds to wait after so many more; 0: go on at once. No more than one pause that was too long is made up
        for."""
        self._due = max(self._due + done / self._rate, now - LEAST_PAUSE)
        return self._due - now if self._due - now >= LEAST_PAUSE else 0.0


def stale_handles(link: Netlink, family: Family, wanted: Collection[StaleFlows]) -> Iterator[bytes]:
    """The handles of all flows in the kernel that are stale."""
    if len(wanted) <= ONE_BY_ONE:
        for stale in wanted:
            yield from _stale(list_flows(link, AF[family], stale.address, stale.port), (stale,), family)
    else:
        yield from _stale(list_flows(link, AF[family]), wanted, family)


def _stale(flows: Iterable[Flow], wanted: Collection[StaleFlows], family: Family) -> Iterator[bytes]:
    keep: Mapping[tuple[bytes | None, int], frozenset[bytes]] = {
        (stale.address, stale.port): stale.keep for stale in wanted
    }
    local = local_addresses(AF[family]) if any(stale.address is None for stale in wanted) else frozenset()
    for flow in flows:
        kept = keep.get((flow.destination, flow.port))
        if kept is None and (flow.destination in local or _loopback(flow.destination)):
            kept = keep.get((None, flow.port))
        if kept is not None and flow.replies_from not in kept:
            yield handle_of(flow)


def _loopback(address: bytes) -> bool:
    return len(address) == 4 and address[0] == 127


def _batches(items: Iterable[bytes], size: int) -> Iterator[list[bytes]]:
    batch: list[bytes] = []
    for item in items:
        batch.append(item)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch
