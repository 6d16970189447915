"""A server with status pages in this process, and what is asked of it."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
from multidict import CIMultiDictProxy

from kdns.cli.status import dns_site, explained
from kdns.config.settings import ServeSettings
from kdns.dns.server.app import App, Running
from kdns.ops.shutdown import Stop

ANY = "127.0.0.1:0"
CLUSTER = """
apiVersion: v1
kind: Namespace
metadata: {name: shop}
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec:
  type: NodePort
  clusterIPs: [10.96.0.9]
  clusterIP: 10.96.0.9
  ports: [{name: http, port: 80, protocol: TCP, nodePort: 30080}]
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: web-1, namespace: shop, labels: {kubernetes.io/service-name: web}}
addressType: IPv4
ports: [{name: http, port: 8080, protocol: TCP}]
endpoints:
- {addresses: [10.244.0.5], nodeName: node-a, conditions: {ready: true}}
- {addresses: [10.244.1.5], nodeName: node-b, conditions: {ready: true}}
- {addresses: [10.244.1.6], nodeName: node-b, conditions: {ready: false, serving: true, terminating: true}}
---
apiVersion: v1
kind: Service
metadata: {name: broken, namespace: shop}
spec: {clusterIP: 10.96.0.10, clusterIPs: [10.96.0.10], ports: [{name: http, port: 80, protocol: TCP}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: broken-1, namespace: shop, labels: {kubernetes.io/service-name: broken}}
addressType: IPv4
ports: [{name: http, port: 8080, protocol: TCP}]
endpoints: [{addresses: [10.244.0.7], nodeName: node-a, conditions: {ready: false, serving: false}}]
---
apiVersion: v1
kind: Service
metadata: {name: empty, namespace: shop}
spec: {clusterIP: 10.96.0.11, clusterIPs: [10.96.0.11], ports: [{port: 80, protocol: TCP}]}
---
apiVersion: v1
kind: Service
metadata: {name: peers, namespace: shop}
spec: {clusterIP: None, clusterIPs: [None], ports: [{name: peer, port: 7000, protocol: TCP}]}
---
apiVersion: v1
kind: Service
metadata: {name: elsewhere, namespace: shop}
spec: {type: ExternalName, externalName: db.example.com}
"""
"""A Service that is well, one whose endpoint is not ready, two without any, and an alias."""


def cluster(path: Path, text: str = CLUSTER) -> str:
    """A folder with the manifests."""
    (path / "cluster.yaml").write_text(text)
    return str(path)


class Served:
    """A running server, and its pages."""

    def __init__(self, app: App, url: str) -> None:
        self.app, self.url = app, url.rstrip("/")

    async def get(
        self, path: str, *, method: str = "GET", headers: Mapping[str, str] | None = None
    ) -> tuple[int, str, CIMultiDictProxy[str]]:
        """Status, text and headers of a page."""
        async with (
            aiohttp.ClientSession() as session,
            session.request(method, self.url + path, headers=headers) as response,
        ):
            return response.status, await response.text(), response.headers

    async def json(self, path: str) -> Any:
        """The values of a page."""
        async with aiohttp.ClientSession() as session, session.get(self.url + path) as response:
            assert response.content_type == "application/json"
            return await response.json()


@asynccontextmanager
async def served(source: str, *, corefile: str = "", small: bool = False, apart: bool = False) -> AsyncIterator[Served]:
    """`kdns serve --status` for a source, or what a Corefile says.

    ``apart``: explain is a process, as in production; starting one takes longer than all else here.
    """
    settings = ServeSettings(
        source=source, corefile=corefile, listen=("127.0.0.1",), port=0, health="", ready="", metrics="", status=ANY,
        quiet=True,
    )  # fmt: skip
    app = App(settings, dns_site("kdns serve", explained(settings, apart=apart, nice=0), small=small))
    ready: asyncio.Future[Running] = asyncio.get_running_loop().create_future()

    async def started(running: Running) -> None:
        ready.set_result(running)

    stop = Stop()
    task = asyncio.create_task(app.run(stop, started))
    try:
        await asyncio.wait((task, ready), return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            task.result()
        yield Served(app, ready.result().urls["/"])
    finally:
        stop.asked.set()
        await task
