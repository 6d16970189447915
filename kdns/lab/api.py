"""A small API server: the objects of a lab on a real socket, for kdns, `curl` and `kubectl`.

It lists, gets and watches (label and field selectors, bookmarks, streaming lists), creates, merges and deletes, and
takes Events. It has no faults and no RBAC: those are the fakes of the test suite. A list is never cut into pages.

All methods belong to the loop that serves.
"""

import asyncio
import contextlib
import json
import socket
import ssl
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Final

from aiohttp import web

from kdns.base.errors import ConfigError
from kdns.lab.cluster_state import BY_KIND, ClusterState, Collection, Json, Occurred, Resource, View
from kdns.lab.paths import discovery, find_resource, json_reply, refusal_reply
from kdns.lab.refusal import Refusal, too_large

BOOKMARKS: Final = 15.0
"""Seconds between bookmarks of a watch that asked for them."""
EVENTS_KEPT: Final = 1000


class ApiServer:
    """The server and what it knows. ``heard`` is called after each change by a client."""

    def __init__(self, token: str = "", heard: Callable[[], None] = lambda: None) -> None:
        """A token, if there is one, is asked of every client."""
        self.state = ClusterState()
        self.events: list[Json] = []
        """Events that clients wrote, the newest last."""
        self._token, self._heard = token, heard
        self._wakes: set[asyncio.Event] = set()
        self._runner: web.AppRunner | None = None

    async def serve(self, listening: socket.socket, tls: ssl.SSLContext | None = None) -> None:
        """Serve on a bound socket, too."""
        if self._runner is None:
            app = web.Application(client_max_size=1 << 24)
            app.router.add_route("*", "/{path:.*}", self._handle)
            self._runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.05, access_log=None)
            await self._runner.setup()
        await web.SockSite(self._runner, listening, ssl_context=tls).start()

    async def close(self) -> None:
        """Stop; what it knows stays."""
        if self._runner is not None:
            server = self._runner.server
            open_ones = (
                [connection.transport for connection in server.connections if connection.transport]
                if server is not None
                else []
            )
            await self._runner.cleanup()
            self._runner = None
            for transport in open_ones:
                transport.abort()  # closed properly, TLS waits for an answer of the other side, and none comes
            await asyncio.sleep(0)
            await asyncio.sleep(0)  # the transport below it is closed one turn later

    def put(self, *bodies: Json) -> None:
        """Create or replace objects."""
        for body in bodies:
            self.state.put(body)
        self._wake()

    def patch(self, kind: str, namespace: str, name: str, changes: Json) -> None:
        """Merge changes into an object (null removes a field); KeyError if there is none."""
        self.state.patch(kind, namespace, name, changes)
        self._wake()

    def delete(self, kind: str, namespace: str, name: str) -> None:
        """Delete an object; KeyError if there is none."""
        self.state.delete(kind, namespace, name)
        self._wake()

    def objects(self, kind: str) -> list[Json]:
        """Every object of a kind, as fresh dictionaries."""
        objects = self.state.collections[BY_KIND[kind].plural].objects.values()
        return [json.loads(stored.raw) for stored in objects]

    def _wake(self) -> None:
        for wake in self._wakes:
            wake.set()

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        if self._token and request.headers.get("Authorization") != f"Bearer {self._token}":
            return refusal_reply(Refusal(401, "Unauthorized", "Unauthorized"))
        if "events" in request.path.split("/"):
            return await self._event(request)
        named = find_resource(request.path)
        if named is None:
            return discovery(request.path)
        resource, namespace, name = named
        collection = self.state.collections[resource.plural]
        if request.method != "GET":
            return await self._write(request, resource, namespace, name)
        query = dict(request.query)
        view = View(namespace, query.get("labelSelector", ""), query.get("fieldSelector", ""))
        try:
            view.predicate()
        except ConfigError as error:
            return refusal_reply(Refusal(400, "BadRequest", error.problem))
        if query.get("watch") in ("1", "true"):
            return await self._watch(request, collection, view, query)
        if name:
            stored = collection.objects.get((namespace, name))
            return json_reply(stored.raw) if stored else _not_found(resource, name)
        return self._list(collection, view)

    async def _event(self, request: web.Request) -> web.Response:
        if request.method not in ("POST", "PATCH"):
            return json_reply({"kind": "EventList", "apiVersion": "v1", "metadata": {}, "items": self.events})
        body: Json = await request.json()
        self.events.append(body)
        del self.events[:-EVENTS_KEPT]
        response = json_reply(body)
        response.set_status(201 if request.method == "POST" else 200)
        return response

    async def _write(self, request: web.Request, resource: Resource, namespace: str, name: str) -> web.Response:
        objects = self.state.collections[resource.plural].objects
        if request.method == "POST" and not name:
            body: Json = await request.json()
            metadata = body.setdefault("metadata", {})
            if resource.namespaced:
                metadata["namespace"] = namespace or metadata.get("namespace", "default")
            key = (metadata.get("namespace", ""), metadata.get("name", ""))
            if key in objects:
                return refusal_reply(Refusal(409, "AlreadyExists", f'{resource.plural} "{key[1]}" already exists'))
            self.put({**body, "kind": resource.kind})
            name, namespace = key[1], key[0]
        elif (namespace, name) not in objects:
            return _not_found(resource, name)
        elif request.method in ("PATCH", "PUT"):
            changes: Json = await request.json()
            if request.method == "PATCH":
                self.patch(resource.kind, namespace, name, changes)
            else:
                self.put({**changes, "kind": resource.kind})
        elif request.method == "DELETE":
            last = objects[namespace, name].raw
            if resource.kind == "Pod":  # the kubelet ends it first
                now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
                self.patch("Pod", namespace, name, {"metadata": {"deletionTimestamp": now}})
            else:
                self.delete(resource.kind, namespace, name)
            self._heard()
            return json_reply(last)
        else:
            return refusal_reply(Refusal(405, "MethodNotAllowed", f"{request.method} is not supported"))
        self._heard()
        return json_reply(objects[namespace, name].raw)

    def _list(self, collection: Collection, view: View) -> web.Response:
        sees, resource = view.predicate(), collection.resource
        items = b",".join(stored.raw for stored in collection.objects.values() if sees(stored))
        head = {
            "kind": f"{resource.kind}List",
            "apiVersion": resource.api_version,
            "metadata": {"resourceVersion": str(self.state.version)},
        }
        return json_reply(json.dumps(head)[:-1].encode() + b',"items":[' + items + b"]}\n")

    async def _watch(
        self, request: web.Request, collection: Collection, view: View, query: dict[str, str]
    ) -> web.StreamResponse:
        streams = query.get("sendInitialEvents") == "true"
        since = int(query.get("resourceVersion") or 0)
        if since > self.state.version:
            return refusal_reply(too_large(since, self.state.version))
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        response.enable_chunked_encoding()
        await response.prepare(request)
        wake = asyncio.Event()
        self._wakes.add(wake)
        try:
            async with asyncio.timeout(float(query.get("timeoutSeconds") or 3600)):
                marks = query.get("allowWatchBookmarks") in ("1", "true")
                await self._follow(collection, view, since, streams, marks, wake, response.write)
        except (TimeoutError, ConnectionError):
            pass  # the time asked for is over, or the client has gone: both are how watches end
        finally:
            self._wakes.discard(wake)
        return response

    async def _follow(
        self,
        collection: Collection,
        view: View,
        since: int,
        streams: bool,
        marks: bool,
        wake: asyncio.Event,
        write: Callable[[bytes], Awaitable[None]],
    ) -> None:
        sees = view.predicate()
        if streams or not since:
            since = self.state.version
            burst = [_line("ADDED", stored.raw) for stored in collection.objects.values() if sees(stored)]
            if streams:
                burst.append(_bookmark(collection.resource, since, {"k8s.io/initial-events-end": "true"}))
            await write(b"".join(burst))
        elif since < collection.forgotten:
            refusal = Refusal(410, "Expired", f"too old resource version: {since}")
            await write(_line("ERROR", json.dumps(refusal.status()).encode()))
            return
        while True:
            wake.clear()
            for occurred in collection.since(since):
                since = occurred.version
                await write(_shown(occurred, sees(occurred.before), sees(occurred.after)))
            if wake.is_set():
                continue
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(wake.wait(), BOOKMARKS)
            if marks and not wake.is_set():
                await write(_bookmark(collection.resource, self.state.version))


def _shown(occurred: Occurred, saw: bool, sees: bool) -> bytes:
    """An event line; nothing for what is not in view. What leaves the view is deleted there."""
    if occurred.after is not None and sees:
        return _line("MODIFIED" if saw else "ADDED", occurred.after.raw)
    if occurred.before is None or not saw:
        return b""
    last = json.loads(occurred.before.raw)
    last["metadata"]["resourceVersion"] = str(occurred.version)
    return _line("DELETED", json.dumps(last).encode())


def _line(kind: str, raw: bytes) -> bytes:
    return b'{"type":"' + kind.encode() + b'","object":' + raw + b"}\n"


def _bookmark(resource: Resource, version: int, annotations: dict[str, str] | None = None) -> bytes:
    metadata: Json = {"resourceVersion": str(version), "creationTimestamp": None}
    if annotations:
        metadata["annotations"] = annotations
    body = {"kind": resource.kind, "apiVersion": resource.api_version, "metadata": metadata}
    return _line("BOOKMARK", json.dumps(body).encode())


def _not_found(resource: Resource, name: str) -> web.Response:
    return refusal_reply(Refusal(404, "NotFound", f'{resource.plural} "{name}" not found'))
