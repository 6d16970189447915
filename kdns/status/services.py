"""The list of Services: searched, and a page at a time, since there may be ten thousand."""

import asyncio
from collections.abc import Iterator, Sequence
from typing import Final, Literal, NamedTuple

from msgspec import Struct

from kdns.base.clock import TimeSlice
from kdns.base.objects import READY, EndpointSlice, Service, ServiceView, address_text
from kdns.status.parts import Parts

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


class Entry(NamedTuple):
    """One Service in the index."""

    namespace: str
    name: str
    text: str
    """What a search looks through, in lower case."""
    fault: str


class ServiceIndex:
    """All Services in order. Made when it is asked for and something has changed, a little at a time: whatever a page
    takes, no query waits for it longer than `TURN`."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._entries: list[Entry] = []
        self._version: object = None
        self._making = asyncio.Lock()

    async def entries(self) -> Sequence[Entry]:
        """Ordered by Namespace and name."""
        async with self._making:
            version = self._parts.version()
            if version is None or version != self._version:
                self._entries, self._version = await self._made(), version
            return self._entries

    async def _made(self) -> list[Entry]:
        entries: list[Entry] = []
        turn = TimeSlice(TURN)
        for key, view in self._parts.views():
            if view.service is not None:
                entries.append(Entry(key.namespace, key.name, _searched(view.service), fault_of(view)))
            if turn.over():
                await turn.rest()
        entries.sort()
        return entries

    async def faulty(self) -> tuple[int, int]:
        """How many Services there are, and how many of them have a fault that can be seen from here."""
        entries = await self.entries()
        return len(entries), sum(1 for entry in entries if entry.fault)

    async def listed(self, search: str = "", page: int = 1, state: str = "") -> Listed:
        """Those whose ``namespace/name``, cluster IP or port has the text, ordered by Namespace and name."""
        entries, text = await self.entries(), search.strip().lower()
        found = [entry for entry in entries if (state != "fault" or entry.fault) and text in entry.text]
        pages = max(1, -(-len(found) // PER_PAGE))
        page = min(max(page, 1), pages)
        shown = found[(page - 1) * PER_PAGE : page * PER_PAGE]
        views = (self._parts.view(entry.namespace, entry.name) for entry in shown)
        lines = tuple(_line(view) for view in views if view is not None)
        return Listed(search, state, len(found), len(entries), page, pages, lines, self._parts.synced())


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
