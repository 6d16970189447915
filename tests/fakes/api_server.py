"""A Kubernetes API server on a real socket: list, watch, bookmarks, streaming lists, RBAC, tokens, and every fault.

::

    async with FakeApiServer() as api:
        api.put(service("shop", "web", "10.96.0.9"))
        ... point a client at api.url ...
        api.next_reply(refuse(429, retry_after=1))     # the next request that matches is answered so
        api.disturb(Cut())                             # every watch that is open breaks in the middle of a line
        await api.restart([...], version=1)            # restored from a backup: older versions, other objects

JSON only, as client-go also takes it. Who may do what is a rule table; the default is the ClusterRole system:coredns
as kubeadm makes it, and nothing else. `api.asked` is what was asked, in order, for dialogues in tests.
"""

import asyncio
import base64
import json
import ssl
from collections.abc import Awaitable, Callable, Iterable
from typing import NamedTuple, Self

from aiohttp import web

from kdns.lab.cluster_state import ClusterState, Collection, Json, Resource, Stored, View
from kdns.lab.paths import discovery, find_resource, invalid_event, json_reply, refusal_reply
from tests.fakes.faults import Disturbance, Error, Refusal, Reply, too_large
from tests.fakes.watching import Watcher
from tests.ports import free_port

Rule = tuple[str, str, str]
"""Verb, API group, plural."""

SYSTEM_COREDNS: frozenset[Rule] = frozenset(
    (verb, group, plural)
    for verb in ("list", "watch")
    for group, plural in (
        ("", "endpoints"),
        ("", "services"),
        ("", "pods"),
        ("", "namespaces"),
        ("discovery.k8s.io", "endpointslices"),
    )
)
"""kubeadm's ClusterRole system:coredns."""
WITH_IMPORTS: frozenset[Rule] = SYSTEM_COREDNS | {
    (verb, "multicluster.x-k8s.io", "serviceimports") for verb in ("list", "watch")
}
"""What the option `multicluster` needs."""

SYSTEM_NODE_PROXIER: frozenset[Rule] = (
    frozenset(
        (verb, group, plural)
        for verb in ("list", "watch")
        for group, plural in (
            ("", "endpoints"),
            ("", "services"),
            ("", "nodes"),
            ("discovery.k8s.io", "endpointslices"),
            ("networking.k8s.io", "servicecidrs"),
        )
    )
    | frozenset((verb, group, "events") for verb in ("create", "patch", "update") for group in ("", "events.k8s.io"))
    | {("get", "", "nodes")}
)
"""Kubernetes' own ClusterRole system:node-proxier, as of 1.33; before that without servicecidrs."""

USER = "system:serviceaccount:kube-system:coredns"
SNAPSHOTS_KEPT = 8


class Asked(NamedTuple):
    """One request, as it came; refused ones too."""

    verb: str
    """list, watch, get, create, patch, or the path when it is no resource."""
    plural: str
    query: dict[str, str]


class FakeApiServer:
    """See the module; `url` is where it listens, and every attribute may be changed while it runs."""

    def __init__(
        self,
        objects: Iterable[Json] = (),
        *,
        rules: Iterable[Rule] = SYSTEM_COREDNS,
        token: str | None = None,
        streaming_lists: bool = True,
        bookmark_every: float = 60.0,
        page_limit: int = 0,
        version: int = 1000,
        host: str = "127.0.0.1",
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.rules = set(rules)
        self.token = token
        """The bearer token that is let in; None lets in everybody."""
        self.streaming_lists = streaming_lists
        """False: refuse sendInitialEvents with 422, as a server without the feature WatchList does."""
        self.ends_lists = True
        """False: begin streaming lists, but never send the bookmark that ends them, as some proxies do."""
        self.fails_at_streaming: Refusal | None = None
        """What streaming lists consist of, as an ERROR event; pages and other watches work."""
        self.bookmark_every = bookmark_every
        """Seconds between bookmarks of a watch that asked for them; real servers: about 60."""
        self.page_limit = page_limit
        """The most objects a page holds, whatever was asked; 0: as many as asked."""
        self.pace: tuple[int, float] | None = None
        """(octets, seconds): write that many, then pause; None: as fast as the socket takes them."""
        self.absent: set[str] = set()
        """Plurals that this server does not know, as one from before their time."""
        self.state = ClusterState(version)
        self.state.load(objects)
        self.asked: list[Asked] = []
        self.watchers: set[Watcher] = set()
        self._replies: list[Reply] = []
        self._snapshots: dict[str, tuple[int, list[Stored]]] = {}
        self._host, self._port, self._tls = host, 0, tls
        self._runner: web.AppRunner | None = None
        self._transports: set[asyncio.Transport] = set()

    # -- running ------------------------------------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        await self.up()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.down()

    @property
    def url(self) -> str:
        """Where clients go; stays the same over `down` and `up`."""
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"{'https' if self._tls else 'http'}://{host}:{self._port}"

    async def up(self) -> None:
        """Listen: on a free port the first time, on the same one again later."""
        self._port = self._port or free_port()
        app = web.Application(client_max_size=1 << 30)
        app.router.add_route("*", "/{path:.*}", self._handle)
        self._runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.05, access_log=None)
        await self._runner.setup()
        site = web.TCPSite(self._runner, self._host, self._port, ssl_context=self._tls, reuse_address=True)
        await site.start()

    async def down(self) -> None:
        """Stop at once: connections are reset, new ones refused; what it knows stays."""
        runner, self._runner = self._runner, None
        if runner is None:
            return
        for site in tuple(runner.sites):
            await site.stop()
        for transport in tuple(self._transports):
            if not transport.is_closing():  # Python 3.11.2 cannot abort a TLS transport that was closed twice
                transport.abort()
        await runner.cleanup()

    async def restart(self, objects: Iterable[Json] = (), *, version: int = 1) -> None:
        """Come back as another server would from an old backup: these objects, counted from `version`."""
        await self.down()
        self.state = ClusterState(version)
        self.state.load(objects)
        self._snapshots.clear()
        await self.up()

    # -- the cluster --------------------------------------------------------------------------------------------------

    @property
    def version(self) -> int:
        """The newest resource version."""
        return self.state.version

    def put(self, *bodies: Json) -> int:
        """Create or replace objects; watches hear of it. Returns the newest version."""
        for body in bodies:
            self.state.put(body)
        return self._written()

    def patch(self, kind: str, namespace: str, name: str, changes: Json) -> int:
        """Merge `changes` into an object (null removes a field)."""
        self.state.patch(kind, namespace, name, changes)
        return self._written()

    def delete(self, kind: str, namespace: str, name: str) -> int:
        """Delete an object."""
        self.state.delete(kind, namespace, name)
        return self._written()

    def compact(self) -> None:
        """Forget history and list snapshots: older versions and continue tokens are 410 from now on."""
        for watcher in self.watchers:
            watcher.keep_unshown()
        self.state.compact()
        self._snapshots.clear()

    def _written(self) -> int:
        for watcher in self.watchers:
            watcher.wake.set()
        return self.version

    # -- faults -------------------------------------------------------------------------------------------------------

    def next_reply(
        self, refusal: Refusal | None, *, verb: str = "", plural: str = "", times: int = 1, page: int = 0
    ) -> None:
        """Answer the next `times` matching requests with `refusal`; None: reset their connection without a word.

        Empty `verb` and `plural` match all; ``verb`` is list, watch or stream (a watch with sendInitialEvents);
        `page` 2 matches only requests that carry a continue token.
        """
        self._replies.extend([Reply(refusal, verb, plural, page)] * times)

    def disturb(self, disturbance: Disturbance, *, plural: str = "") -> int:
        """Do this to every open watch (of one resource, or of all); returns to how many."""
        chosen = [watcher for watcher in self.watchers if plural in ("", watcher.collection.resource.plural)]
        for watcher in chosen:
            watcher.disturb(disturbance)
        return len(chosen)

    # -- HTTP ---------------------------------------------------------------------------------------------------------

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        transport = request.transport
        assert isinstance(transport, asyncio.Transport)
        self._transports.add(transport)
        try:
            return await self._route(request)
        finally:
            if transport.is_closing():
                self._transports.discard(transport)

    async def _route(self, request: web.Request) -> web.StreamResponse:
        query = dict(request.query)
        found = find_resource(request.path)
        if found is None:
            self.asked.append(Asked(request.path, "", query))
            if not self._known(request):
                return refusal_reply(Refusal(401, "Unauthorized", "Unauthorized"))
            return discovery(request.path)
        resource, namespace, name = found
        written = {"POST": "create", "PATCH": "patch"}.get(request.method)
        verb = written or ("watch" if query.get("watch") in ("1", "true") else "get" if name else "list")
        self.asked.append(Asked(verb, resource.plural, query))
        if (reply := self._scripted(verb, resource, query)) is not None:
            if reply.refusal is None:
                assert request.transport is not None
                request.transport.abort()
                return web.Response()
            return refusal_reply(reply.refusal)
        if not self._known(request):
            return refusal_reply(Refusal(401, "Unauthorized", "Unauthorized"))
        if (verb, resource.group, resource.plural) not in self.rules:
            return refusal_reply(
                Refusal(
                    403,
                    "Forbidden",
                    f'{resource.plural} is forbidden: User "{USER}" cannot {verb} resource "{resource.plural}" '
                    f'in API group "{resource.group}" at the cluster scope',
                )
            )
        if resource.plural in self.absent:
            return refusal_reply(Refusal(404, "NotFound", "the server could not find the requested resource"))
        collection = self.state.collections[resource.plural]
        if written:
            return await self._write(request, resource, namespace, name)
        view = View(namespace, query.get("labelSelector", ""), query.get("fieldSelector", ""))
        if verb == "get":
            stored = collection.objects.get((namespace, name))
            return json_reply(stored.raw) if stored else refusal_reply(Refusal(404, "NotFound", f'"{name}" not found'))
        handle: Callable[..., Awaitable[web.StreamResponse]] = self._watch if verb == "watch" else self._list
        return await handle(request, collection, view, query)

    async def _write(self, request: web.Request, resource: Resource, namespace: str, name: str) -> web.Response:
        """Create or patch an Event; nothing else is written by anybody."""
        body: Json = await request.json()
        if not name:
            if wrong := invalid_event(namespace, body):
                return refusal_reply(Refusal(422, "Invalid", wrong))
            body["metadata"]["namespace"] = namespace
            if (namespace, body["metadata"]["name"]) in self.state.collections[resource.plural].objects:
                return refusal_reply(Refusal(409, "AlreadyExists", f'"{body["metadata"]["name"]}" already exists'))
            stored = self.state.put(body)
        elif (namespace, name) not in self.state.collections[resource.plural].objects:
            return refusal_reply(Refusal(404, "NotFound", f'"{name}" not found'))
        elif request.content_type != "application/merge-patch+json":
            return refusal_reply(Refusal(415, "UnsupportedMediaType", f"not {request.content_type}"))
        else:
            stored = self.state.patch(resource.kind, namespace, name, body)
        self._written()
        reply = json_reply(stored.raw)
        reply.set_status(200 if name else 201)
        return reply

    @property
    def events(self) -> list[Json]:
        """Every Event that was written, oldest first, as it is now."""
        return [json.loads(stored.raw) for stored in self.state.collections["events"].objects.values()]

    def _known(self, request: web.Request) -> bool:
        return self.token is None or request.headers.get("Authorization") == f"Bearer {self.token}"

    def _scripted(self, verb: str, resource: Resource, query: dict[str, str]) -> Reply | None:
        streams = verb == "watch" and "sendInitialEvents" in query
        for index, reply in enumerate(self._replies):
            if (
                reply.verb in ("", verb, "stream" if streams else verb)
                and reply.plural in ("", resource.plural)
                and (reply.page < 2 or "continue" in query)
            ):
                return self._replies.pop(index)
        return None

    async def _list(
        self, request: web.Request, collection: Collection, view: View, query: dict[str, str]
    ) -> web.StreamResponse:
        limit = int(query.get("limit") or 0)
        if self.page_limit and limit:
            limit = min(limit, self.page_limit)
        if token := query.get("continue"):
            snapshot, start = json.loads(base64.urlsafe_b64decode(token))
            if snapshot not in self._snapshots:
                return refusal_reply(Refusal(410, "Expired", "The provided continue parameter is too old"))
            version, seen = self._snapshots[snapshot]
        else:
            wanted = int(query.get("resourceVersion") or 0)
            if wanted > self.version:
                return refusal_reply(too_large(wanted, self.version))
            sees = view.predicate()
            version, start = self.version, 0
            seen = [stored for stored in collection.objects.values() if sees(stored)]
            snapshot = f"{collection.resource.plural}-{version}-{len(self.asked)}"
        page = seen[start : start + limit] if limit else seen
        left = len(seen) - start - len(page)
        metadata: Json = {"resourceVersion": str(version)}
        if left > 0:
            self._snapshots[snapshot] = (version, seen)
            while len(self._snapshots) > SNAPSHOTS_KEPT:
                del self._snapshots[next(iter(self._snapshots))]
            following = json.dumps([snapshot, start + len(page)]).encode()
            metadata |= {"continue": base64.urlsafe_b64encode(following).decode()}
            if not view.labels and not view.fields:  # as the API says, the number is unknown where objects are selected
                metadata["remainingItemCount"] = left
        head = json.dumps(
            {
                "kind": f"{collection.resource.kind}List",
                "apiVersion": collection.resource.api_version,
                "metadata": metadata,
            }
        )
        items = b",".join(stored.raw for stored in page)
        return json_reply(head[:-1].encode() + b',"items":[' + items + b"]}\n")

    async def _watch(
        self, request: web.Request, collection: Collection, view: View, query: dict[str, str]
    ) -> web.StreamResponse:
        streams = query.get("sendInitialEvents") == "true"
        if streams and not self.streaming_lists:
            return refusal_reply(
                Refusal(422, "Invalid", "sendInitialEvents: Forbidden: not allowed unless WatchList is enabled")
            )
        if streams and query.get("resourceVersionMatch") != "NotOlderThan":
            return refusal_reply(Refusal(422, "Invalid", "resourceVersionMatch: Forbidden: must be NotOlderThan"))
        since = int(query.get("resourceVersion") or 0)
        if streams and since > self.version:
            return refusal_reply(too_large(since, self.version))
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        response.enable_chunked_encoding()
        await response.prepare(request)
        fails = self.fails_at_streaming if streams else None
        since = self.version if fails else since
        watcher = Watcher(self, collection, view, since=since, request=request, response=response)
        watcher.bookmarks = query.get("allowWatchBookmarks") in ("1", "true")
        if fails:
            watcher.disturb(Error(fails))
        self.watchers.add(watcher)
        try:
            async with asyncio.timeout(float(query.get("timeoutSeconds") or 3600)):
                await watcher.run(initial=(streams or not since) and not fails, announce=streams and self.ends_lists)
        except (TimeoutError, ConnectionError):
            pass  # the time asked for is over, or the client has gone: both are how watches end
        finally:
            self.watchers.discard(watcher)
        return response


def refuse(
    code: int, reason: str = "", message: str = "refused by script", *, retry_after: int | None = None
) -> Refusal:
    """A refusal for `FakeApiServer.next_reply`, with the reason that the code usually has."""
    reasons = {
        400: "BadRequest", 401: "Unauthorized", 403: "Forbidden", 404: "NotFound", 410: "Expired", 422: "Invalid",
        429: "TooManyRequests", 500: "InternalError", 503: "ServiceUnavailable", 504: "Timeout",
    }  # fmt: skip
    return Refusal(code, reason or reasons.get(code, "Unknown"), message, retry_after)
