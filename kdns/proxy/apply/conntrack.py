"""Deletes stale UDP flows, beside everything else: in a thread of its own, at a measured pace.

`FlowCleaner.submit` only notes what to do. The thread asks the kernel for the flows to one frontend (CTA_FILTER, Linux
5.8 and later: the kernel compares, and a table of a million flows is walked in some tenths of a second without a word
to us), looks where their replies come from, and deletes by the hundred with pauses between. An older kernel ignores the
filter and lists all; the answer is the same, only slower. With many frontends at once one listing of all UDP flows is
cheaper than a walk for each.

A flow is deleted by its tuple and its id, so a new flow that happens to have the same tuple is not hit.
"""

import logging
import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from socket import AF_INET, AF_INET6, IPPROTO_UDP
from struct import Struct
from typing import Final, NamedTuple

from pyroute2.netlink import NETLINK_NETFILTER, NETLINK_ROUTE
from pyroute2.netlink.nfnetlink import NFNL_SUBSYS_CTNETLINK
from pyroute2.netlink.nfnetlink.nfctsocket import (
    FILTER_FLAG_CTA_IP_DST,
    FILTER_FLAG_CTA_PROTO_DST_PORT,
    FILTER_FLAG_CTA_PROTO_NUM,
    IPCTNL_MSG_CT_DELETE,
    IPCTNL_MSG_CT_GET,
)
from pyroute2.netlink.rtnl import RTM_GETADDR

from kdns.base.errors import KernelError
from kdns.kernel.netlink import ATTRIBUTE, NESTED, Netlink, attribute, attributes, nested, u32
from kdns.proxy.model import Family
from kdns.proxy.stale_flows import StaleFlows

log = logging.getLogger(__name__)

RATE: Final = 20_000
"""Flows deleted per second at most; each costs the kernel some microseconds with a lock of the table held."""
BATCH: Final = 200
"""Flows deleted in one go."""
ONE_BY_ONE: Final = 8
"""So many frontends are asked for singly; for more, all UDP flows are listed once."""
LIMIT: Final = 65_536
"""Frontends that may wait; more than there are UDP ports in any cluster we know of."""
RETRY: Final = 5.0
"""Seconds until what failed is tried again."""

AF: Final = {Family.IPV4: AF_INET, Family.IPV6: AF_INET6}

_GET: Final = NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_GET
_DELETE: Final = NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_DELETE
# linux/netfilter/nfnetlink_conntrack.h
_TUPLE_ORIG, _TUPLE_REPLY, _ID, _ZONE, _FILTER = 1, 2, 12, 18, 25
_TUPLE_IP, _TUPLE_PROTO = 1, 2
_PROTO_NUM, _PROTO_DST_PORT = 1, 3
_SOURCE: Final = {Family.IPV4: 1, Family.IPV6: 3}
_DESTINATION: Final = {Family.IPV4: 2, Family.IPV6: 4}
# A tuple as the kernel writes it: IP {source, destination}, PROTO {number, source port, destination port}. Almost every
# flow looks so, and to read it as a whole takes a fifth of the time.
_LAYOUT: Final = {
    Family.IPV4: Struct("=8x 4x4s 4x4s 4x 4xB3x 4x2s2x 4x2s2x"),
    Family.IPV6: Struct("=8x 4x16s 4x16s 4x 4xB3x 4x2s2x 4x2s2x"),
}
_ORIGINAL: Final = {family: ATTRIBUTE.pack(layout.size, _TUPLE_ORIG | NESTED) for family, layout in _LAYOUT.items()}
_REPLY: Final = {family: ATTRIBUTE.pack(layout.size, _TUPLE_REPLY | NESTED) for family, layout in _LAYOUT.items()}
_ENOENT: Final = 2


class Cleaned(NamedTuple):
    """What one round did in one family."""

    family: Family
    deleted: int
    seconds: float


class Flow(NamedTuple):
    """A UDP flow as the kernel lists it."""

    destination: bytes
    """Where its first packet was sent to."""
    port: int
    replies_from: bytes
    answer: bytes
    """The kernel's message, of which the handle is made if it is to be deleted."""


class FlowCleaner:
    """Deletes stale flows in a thread that lives from `start` to `close`; the thread's network namespace is meant."""

    def __init__(
        self,
        cleaned: Callable[[Cleaned], None] = lambda _: None,
        rate: int = RATE,
        retry: float = RETRY,
    ) -> None:
        """`cleaned` is called in the thread after each round; `rate` in flows per second, `retry` in seconds."""
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
                if key not in self._pending and len(self._pending) >= LIMIT:
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
        """A round. A bug must not end the thread, after which nobody would delete flows; it would only come again."""
        try:
            return self._round(family, wanted)
        except Exception:
            self.failures += 1
            log.exception("A bug met while stale %s flows were deleted; they are left to expire", family.value)
            return True

    def _round(self, family: Family, wanted: list[StaleFlows]) -> bool:
        started, deleted = time.monotonic(), self.deleted
        try:
            with (
                Netlink(NETLINK_NETFILTER, "conntrack") as listing,
                Netlink(NETLINK_NETFILTER, "conntrack") as deleting,
            ):
                for handles in _batches(stale_handles(listing, family, wanted), BATCH):
                    self._delete(deleting, family, handles)
                    if self._closing.is_set():
                        return True
        except (KernelError, OSError) as error:
            self.failures += 1
            log.warning("Stale %s flows were not deleted, to be tried again: %s", family.value, error)
            return False
        self._cleaned(Cleaned(family, self.deleted - deleted, time.monotonic() - started))
        return True

    def _delete(self, link: Netlink, family: Family, handles: list[bytes]) -> None:
        started = time.monotonic()
        head = _head(family)
        for code in link.ask(_DELETE, 0, [head + handle for handle in handles]):
            if not code:
                self.deleted += 1
            elif code != _ENOENT:  # it has ended by itself
                raise link.error(code)
        if pause := len(handles) / self._rate - (time.monotonic() - started):
            self._closing.wait(max(pause, 0))


def stale_handles(link: Netlink, family: Family, wanted: Collection[StaleFlows]) -> Iterator[bytes]:
    """The handles of all flows in the kernel that are stale."""
    if len(wanted) <= ONE_BY_ONE:
        for stale in wanted:
            yield from _stale(list_flows(link, family, stale.address, stale.port), (stale,), family)
    else:
        yield from _stale(list_flows(link, family), wanted, family)


def list_flows(link: Netlink, family: Family, address: bytes | None = None, port: int | None = None) -> Iterator[Flow]:
    """The UDP flows whose first packet went to this address and port (None: any)."""
    flags = FILTER_FLAG_CTA_PROTO_NUM
    protocol = [attribute(_PROTO_NUM, bytes((IPPROTO_UDP,)))]
    parts = []
    if port is not None:
        flags |= FILTER_FLAG_CTA_PROTO_DST_PORT
        protocol.append(attribute(_PROTO_DST_PORT, port.to_bytes(2, "big")))
    if address is not None and family is Family.IPV4:
        # For IPv6 the kernel (6.18 too) compares the wrong way round and lists all but the address asked for.
        flags |= FILTER_FLAG_CTA_IP_DST
        parts.append(nested(_TUPLE_IP, attribute(_DESTINATION[family], address)))
    parts.append(nested(_TUPLE_PROTO, *protocol))
    request = _head(family) + nested(_TUPLE_ORIG, *parts) + nested(_FILTER, u32(1, flags))
    for answer in link.dump(_GET, request):
        flow = _flow(answer, family)
        if flow is not None and (address is None or flow.destination == address) and port in (None, flow.port):
            yield flow


def local_addresses(family: Family) -> frozenset[bytes]:
    """The addresses of this node, packed."""
    with Netlink(NETLINK_ROUTE, "addresses") as link:
        listed = (attributes(answer, 8) for answer in link.dump(RTM_GETADDR, bytes((AF[family],)) + bytes(7)))
        # IFA_LOCAL is the own end of a point-to-point link; IPv6 knows IFA_ADDRESS only.
        return frozenset(found.get(2) or found[1] for found in listed)


def _stale(flows: Iterable[Flow], wanted: Collection[StaleFlows], family: Family) -> Iterator[bytes]:
    keep: Mapping[tuple[bytes | None, int], frozenset[bytes]] = {
        (stale.address, stale.port): stale.keep for stale in wanted
    }
    local = local_addresses(family) if any(stale.address is None for stale in wanted) else frozenset()
    for flow in flows:
        kept = keep.get((flow.destination, flow.port))
        if kept is None and (flow.destination in local or _loopback(flow.destination)):
            kept = keep.get((None, flow.port))
        if kept is not None and flow.replies_from not in kept:
            yield _handle(flow.answer)


def _loopback(address: bytes) -> bool:
    return len(address) == 4 and address[0] == 127


def _flow(answer: bytes, family: Family) -> Flow | None:
    layout = _LAYOUT[family]
    reply = 4 + layout.size
    if answer[4:8] == _ORIGINAL[family] and answer[reply : reply + 4] == _REPLY[family]:
        _, destination, protocol, _, port = layout.unpack_from(answer, 4)
        if protocol != IPPROTO_UDP:
            return None
        return Flow(destination, int.from_bytes(port, "big"), layout.unpack_from(answer, reply)[0], answer)
    return _unusual(answer, family)


def _unusual(answer: bytes, family: Family) -> Flow | None:
    """What is not laid out as usual: with a zone for one direction."""
    found = attributes(answer, 4)
    original = attributes(found[_TUPLE_ORIG])
    protocol = attributes(original[_TUPLE_PROTO])
    if protocol[_PROTO_NUM][0] != IPPROTO_UDP:
        return None
    return Flow(
        destination=attributes(original[_TUPLE_IP])[_DESTINATION[family]],
        port=int.from_bytes(protocol[_PROTO_DST_PORT], "big"),
        replies_from=attributes(attributes(found[_TUPLE_REPLY])[_TUPLE_IP])[_SOURCE[family]],
        answer=answer,
    )


def _handle(answer: bytes) -> bytes:
    """The attributes that name a flow: tuple, id and zone."""
    found = attributes(answer, 4)
    handle = nested(_TUPLE_ORIG, found[_TUPLE_ORIG]) + attribute(_ID, found[_ID])
    return handle + attribute(_ZONE, found[_ZONE]) if _ZONE in found else handle


def _head(family: Family) -> bytes:
    return bytes((AF[family], 0, 0, 0))  # struct nfgenmsg


def _batches(items: Iterable[bytes], size: int) -> Iterator[list[bytes]]:
    batch: list[bytes] = []
    for item in items:
        batch.append(item)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch
