"""Health checks of Services (healthCheckNodePort): a small HTTP server for each Service whose traffic stays local.

A load balancer asks the port on every node, and sends traffic only to those that have endpoints: 200 if there is a
ready one here and the proxy keeps up, else 503. Any path and method will do.

Each address family has its own, on its own addresses: an IPv6 load balancer must not send traffic to a node whose only
endpoint has an IPv4 address (kubernetes/kubernetes issue 114702).
"""

import asyncio
import json
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Final, Literal, NamedTuple

from aiohttp import web

from kdns.base.clock import TimeSlice
from kdns.base.errors import ConfigError
from kdns.base.listen_address import Address
from kdns.base.objects import ObjectKey, address_text
from kdns.ops.port import HttpPort, open_port
from kdns.proxy.model import Family

LOG: Final = logging.getLogger("kdns.proxy.http")
RETRY: Final = 5.0
"""Seconds until a port that could not be had is tried again."""
EVERYWHERE: Final = {Family.IPV4: "0.0.0.0", Family.IPV6: "::"}
FAILED: Final = "FailedToStartServiceHealthcheck"
"""Reason of the Event."""

Event = Callable[[ObjectKey, Literal["Warning"], str, str, str], None]
"""Writes an Event: what it is about, its type, reason, message and action
(`kdns.watch.api.events.EventRecorder.event`)."""


class HealthCheck(NamedTuple):
    """What a Service asks for."""

    port: int
    """spec.healthCheckNodePort."""
    local_endpoints: int
    """Different addresses of ready endpoints on this node."""


def hosts(family: Family, addresses: Sequence[bytes] | None) -> tuple[str, ...]:
    """Where to listen, given the packed addresses of a family that have node ports; None: all of the family."""
    return (EVERYWHERE[family],) if addresses is None else tuple(map(address_text, addresses))


class _Server:
    """The check of one Service, on one or several addresses."""

    def __init__(self, service: ObjectKey, port: int, healthy: Callable[[], bool]) -> None:
        self.service, self.port, self.endpoints = service, port, 0
        self.opened: dict[str, HttpPort] = {}
        self._healthy = healthy

    async def answer(self, _request: web.BaseRequest) -> web.StreamResponse:
        healthy = self._healthy()
        body = {
            "service": {"namespace": self.service.namespace, "name": self.service.name},
            "localEndpoints": self.endpoints,
            "serviceProxyHealthy": healthy,
        }
        return web.Response(
            body=json.dumps(body, indent="\t").encode(),
            status=200 if self.endpoints and healthy else 503,
            headers={
                "Content-Type": "application/json",
                "X-Content-Type-Options": "nosniff",
                "X-Load-Balancing-Endpoint-Weight": str(self.endpoints),
            },
        )

    async def close(self) -> None:
        opened, self.opened = self.opened, {}
        await asyncio.gather(*(port.close() for port in opened.values()))


class ServiceChecks:
    """All of one family on this node."""

    def __init__(
        self,
        healthy: Callable[[], bool],
        event: Event,
        *,
        hosts: Callable[[], Sequence[str]],
        node: str = "",
        retry: float = RETRY,
    ) -> None:
        """``healthy``: the family's proxy keeps up. ``hosts`` gives the addresses to listen on.

        ``node`` is our name in Events.
        """
        self._healthy, self._event, self._hosts, self._node, self._retry = healthy, event, hosts, node, retry
        self._servers: dict[tuple[str, str], _Server] = {}
        self._wanted: Mapping[tuple[str, str], HealthCheck] = {}
        self._told: dict[tuple[str, str], str] = {}
        """What is wrong with those that do not listen everywhere."""
        self._lock = asyncio.Lock()
        self._trying: asyncio.Task[None] | None = None

    async def sync(self, wanted: Mapping[tuple[str, str], HealthCheck]) -> None:
        """Have exactly these, by namespace and name of the Service; those that stay the same go on undisturbed.

        A port that cannot be opened is reported in an Event, and tried again until it can be.
        """
        async with self._lock:
            self._wanted = dict(wanted)
            for key, check in wanted.items():
                if (server := self._servers.get(key)) and server.port == check.port:
                    server.endpoints = check.local_endpoints
            await self._close({key for key, server in self._servers.items() if not self._keeps(key, server)})
            await self._open()
        if self._told and self._trying is None:
            self._trying = asyncio.create_task(self._try_again(), name="health checks of Services")

    async def close(self) -> None:
        """Stop listening."""
        if trying := self._trying:
            trying.cancel()
            await asyncio.gather(trying, return_exceptions=True)
        async with self._lock:
            self._wanted = {}
            await self._close(set(self._servers))

    def _keeps(self, key: tuple[str, str], server: _Server) -> bool:
        return key in self._wanted and self._wanted[key].port == server.port

    async def _close(self, keys: set[tuple[str, str]]) -> None:
        await asyncio.gather(*(self._servers.pop(key).close() for key in keys))
        for key in self._told.keys() - self._wanted.keys() | (self._told.keys() & keys):
            del self._told[key]

    async def _open(self) -> None:
        """Listen wherever it is still to be done, and nowhere else."""
        hosts = tuple(dict.fromkeys(self._hosts()))
        turn = TimeSlice()
        for key, check in self._wanted.items():
            server = self._servers.get(key)
            if server is None:
                server = self._servers[key] = _Server(ObjectKey("Service", *key), check.port, self._healthy)
                server.endpoints = check.local_endpoints
            for host in [host for host in server.opened if host not in hosts]:
                await server.opened.pop(host).close()
            try:
                for host in hosts:
                    if host not in server.opened:
                        server.opened[host] = await open_port(Address(host, server.port), server.answer)
            except ConfigError as error:
                self._tell(key, server, error.problem)
            else:
                self._told.pop(key, None)
            if turn.over():
                await turn.rest()

    def _tell(self, key: tuple[str, str], server: _Server, problem: str) -> None:
        if self._told.get(key) != problem:
            self._told[key] = problem
            on = f"node {self._node}: " if self._node else ""
            message = f"{on}no health check on port {server.port}: {problem}"
            LOG.warning("%s: %s", server.service, message)
            self._event(server.service, "Warning", FAILED, message, "Listen")

    async def _try_again(self) -> None:
        try:
            while self._told:
                await asyncio.sleep(self._retry)
                async with self._lock:
                    await self._open()
        finally:
            self._trying = None
