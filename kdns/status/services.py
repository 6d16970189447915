"""The list of Services: searched, and a page at a time, since there may be ten thousand."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Final, Literal, Protocol

from msgspec import Struct

from kdns.base.clock import TimeSlice
from kdns.base.objects import (
    READY,
    Change,
    EndpointSlice,
    ObjectKey,
    Service,
    ServiceChange,
    ServiceView,
    address_text,
)
from kdns.watch.follower import Follower

PER_PAGE: Final = 50
TURN: Final = 0.002
"""Seconds of work in one go, as of `kdns.watch.follower`."""


class Line(Struct, frozen=True):
    """One Service in the list."""

    namespace: str
    name: str
    type: str
    addresses: tuple[str, ...]
    ports: tuple[str, ...]
    """``80/TCP``"""
    ready: int | None
    """Addresses of ready endpoints, of the family with more of them; None where there are none to count."""
    fault: str
    """Empty: none that can be seen from here."""


class Listed(Struct, frozen=True):
    """A page of the list."""

    search: str
    state: str
    """``fault``: only those with a fault."""
    total: int
    """That were found, on all pages."""
    known: int
    """All Services."""
    page: int
    """Counted from 1."""
    pages: int
    services: tuple[Line, ...]
    synced: bool


class Entry:
    """One Service in the index."""

    __slots__ = ("_service", "_text", "fault")

    def __init__(self, service: Service, fault: str) -> None:
        self._service, self.fault = service, fault
        self._text = ""

    def has(self, text: str) -> bool:
        """A search finds the text in the name, Namespace, address or port; it is composed when it is first needed."""
        if not self._text:
            self._text = _searched(self._service)
        return text in self._text


class Known(Protocol):
    """What the index is about, see `kdns.status.parts.Parts`."""

    def follower(self) -> Follower | None:
        """What knows the Services."""

    def view(self, namespace: str, name: str) -> ServiceView | None:
        """One of them."""

    def synced(self) -> bool:
        """All are known."""


class ServiceIndex:
    """All Services in order. Made when it is first asked for; then only what has changed is looked at again. A little
    at a time: whatever a page takes, no query waits for it longer than `TURN`."""

    def __init__(self, known: Known) -> None:
        self._known = known
        self._follower: Follower | None = None
        self._entries: dict[ObjectKey, Entry] = {}
        self._order: list[ObjectKey] | None = None
        """The keys in order; None: some came or went since they were sorted."""
        self._faulty = 0
        self._stale: dict[ObjectKey, None] = {}
        """Services that have changed since they were looked at."""
        self._making = asyncio.Lock()

    async def _renew(self) -> list[ObjectKey]:
        """Look at what has changed since the last time; the keys in order."""
        async with self._making:
            follower = self._known.follower()
            if follower is not self._follower:
                self._follow(follower)
            turn = TimeSlice(TURN)
            while follower is not None and self._stale:
                key, _ = self._stale.popitem()
                view = follower.store.view(key)
                self._look(key, view)
                if turn.over():
                    await turn.rest()
            if self._order is None:
                self._order = sorted(self._entries)
            return self._order

    def _follow(self, follower: Follower | None) -> None:
        if self._follower is not None:
            self._follower.listeners.discard(self)
        self._follower, self._entries, self._order, self._faulty = follower, {}, None, 0
        self._stale = {}
        if follower is not None:
            self._stale = dict.fromkeys(follower.store.service_keys())
            follower.listeners.add(self)

    def note(self, change: Change) -> None:
        """Something has changed; it is looked at when a page is asked for."""
        if isinstance(change, ServiceChange) and change.key.kind == "Service":
            self._stale[change.key] = None

    def _look(self, key: ObjectKey, view: ServiceView | None) -> None:
        before = self._entries.get(key)
        service = view.service if view is not None else None
        if view is None or service is None:
            after = None
            self._entries.pop(key, None)
        else:
            self._entries[key] = after = Entry(service, fault_of(view))
        self._faulty += (after is not None and bool(after.fault)) - (before is not None and bool(before.fault))
        if (before is None) != (after is None):
            self._order = None

    async def faulty(self) -> tuple[int, int]:
        """How many Services there are, and how many of them have a fault that can be seen from here."""
        return len(await self._renew()), self._faulty

    async def listed(self, search: str = "", page: int = 1, state: str = "") -> Listed:
        """Those whose ``namespace/name``, cluster IP or port has the text, ordered by Namespace and name."""
        keys, text = await self._renew(), search.strip().lower()
        matching = [key async for key in self._matching(keys, text, state)] if text or state == "fault" else keys
        pages = max(1, -(-len(matching) // PER_PAGE))
        page = min(max(page, 1), pages)
        shown = matching[(page - 1) * PER_PAGE : page * PER_PAGE]
        views = (self._known.view(key.namespace, key.name) for key in shown)
        lines = tuple(_line(view) for view in views if view is not None)
        return Listed(search, state, len(matching), len(keys), page, pages, lines, self._known.synced())

    async def _matching(self, keys: Sequence[ObjectKey], text: str, state: str) -> AsyncIterator[ObjectKey]:
        turn = TimeSlice(TURN)
        for key in keys:
            entry = self._entries.get(key)  # it may be gone since
            if entry is not None and (state != "fault" or entry.fault) and (not text or entry.has(text)):
                yield key
            if turn.over():
                await turn.rest()


def fault_of(view: ServiceView) -> str:
    """What is wrong as far as the Service and its slices show; empty: nothing. Cheap: it is asked of each Service."""
    service = view.service
    if service is None or service.external_name is not None or any(map(_any_ready, view.slices)):
        return ""
    return "no ready endpoint"


def type_of(service: Service) -> Literal["ExternalName", "headless", "ClusterIP", "NodePort", "LoadBalancer"]:
    """As people call it."""
    if service.external_name is not None:
        return "ExternalName"
    if service.headless:
        return "headless"
    kind = service.routing.type if service.routing is not None else "ClusterIP"
    return "NodePort" if kind == "NodePort" else "LoadBalancer" if kind == "LoadBalancer" else "ClusterIP"


def _line(view: ServiceView) -> Line:
    service = view.service
    assert service is not None  # only such are listed
    ready: int | None = None
    if service.external_name is None:
        addresses = set(_ready(view))
        of_ipv4 = sum(len(address) == 4 for address in addresses)
        ready = max(of_ipv4, len(addresses) - of_ipv4)
    return Line(
        service.key.namespace,
        service.key.name,
        type_of(service),
        (service.external_name,) if service.external_name else tuple(map(address_text, service.cluster_ips)),
        tuple(f"{port.port}/{port.protocol}" for port in service.ports),
        ready,
        fault_of(view),
    )


def _any_ready(part: EndpointSlice) -> bool:
    return bool(part.rows) or (part.states is not None and any(state & READY for state in part.states.conditions))


def _ready(view: ServiceView) -> Iterator[bytes]:
    """Addresses of ready endpoints; the proxy keeps them among all endpoints only."""
    for part in view.slices:
        yield from (part.address(row) for row in range(part.rows))
        if part.states is not None:
            for row, state in enumerate(part.states.conditions):
                if state & READY:
                    yield part.states.addresses[row * part.width : (row + 1) * part.width]


def _searched(service: Service) -> str:
    """What the search looks through, in lower case."""
    addresses = " ".join(map(address_text, service.cluster_ips))
    ports = " ".join(f"{port.name} {port.port}" for port in service.ports)
    namespace, name = service.key.namespace, service.key.name
    return f"{namespace}/{name} {name}.{namespace} {addresses} {ports} {service.external_name or ''}".lower()
