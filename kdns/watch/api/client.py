"""One API server over HTTP: list pages, watches with or without a streaming list, and the newest version.

Each method is one request (or one list of pages) and ends; who lists and watches again is `reflector`. All that can
go wrong comes out as an `ApiError`, with the code 0 where there was no answer at all. Whatever a server sends, no more
of it is held than `BODY_LIMIT`: nothing is decompressed, pages that are larger are asked for in smaller ones.
"""

import platform
import socket
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Final, NamedTuple, TypeVar

import aiohttp
from msgspec import Raw, Struct
from msgspec.json import Decoder

from kdns import __version__
from kdns.base.errors import ApiError
from kdns.base.objects import PLURALS, Kind, ObjectKey
from kdns.metrics.cluster import ClusterCounts
from kdns.watch.api.credentials import Credentials
from kdns.watch.api.failures import StreamingRefused, one_line, refusal, retry_after, translated
from kdns.watch.api.lines import LineSplitter
from kdns.watch.api.pace import Pace
from kdns.watch.decode.nesting import UNREADABLE, cut_items
from kdns.watch.decode.schema import Metadata
from kdns.watch.decode.status import Status
from kdns.watch.source import Want

T = TypeVar("T")

CONNECT_TIMEOUT: Final = 10.0
"""Seconds for name, connection and TLS together."""
LINE_LIMIT: Final = 16 << 20
"""Octets of one event. etcd refuses objects above 1.5 MiB; a slice of 1,000 endpoints has about 300 kB."""
PAGE: Final[Mapping[Kind, int]] = {"Service": 500, "EndpointSlice": 100, "Namespace": 500, "Pod": 500,
                                    "Node": 500, "ServiceCIDR": 500, "ServiceImport": 500}  # fmt: skip
"""Objects a page (client-go: 500); fewer slices, since one may be as large as thirty Services."""
ERROR_LIMIT: Final = 1 << 16
"""Octets read of an error reply."""
ERROR_QUOTED: Final = 1024
"""Octets shown of an error reply that is not a Status; a log line has fewer characters."""
BODY_LIMIT: Final = 64 << 20
"""Octets of a reply that succeeds; a page of 500 Services has about 1 MB. Larger ones are split into smaller pages."""
WATCH_TIMEOUT: Final = 150.0
"""Seconds of silence after which a watch is given up. An idle watch gets a bookmark each minute, the first up to two
minutes after its list (measured with kube-apiserver 1.35); client-go waits without a limit."""
NO_STREAMING: Final = frozenset({400, 405, 415, 422, 501})
"""How servers without the feature WatchList refuse sendInitialEvents: 422 mostly, as an invalid option."""


class Resource(NamedTuple):
    """Where a kind is found, and what RBAC calls it."""

    group: str
    version: str
    plural: str

    @property
    def path(self) -> str:
        """Of the whole cluster's objects."""
        return self.path_in("")

    def path_in(self, namespace: str) -> str:
        """Of one namespace's objects; empty: of the whole cluster's."""
        prefix = f"/apis/{self.group}" if self.group else "/api"
        within = f"/namespaces/{namespace}" if namespace else ""
        return f"{prefix}/{self.version}{within}/{self.plural}"


RESOURCES: Final[Mapping[Kind, Resource]] = {
    "Service": Resource("", "v1", PLURALS["Service"]),
    "EndpointSlice": Resource("discovery.k8s.io", "v1", PLURALS["EndpointSlice"]),
    "Namespace": Resource("", "v1", PLURALS["Namespace"]),
    "Pod": Resource("", "v1", PLURALS["Pod"]),
    "Node": Resource("", "v1", PLURALS["Node"]),
    "ServiceCIDR": Resource("networking.k8s.io", "v1", PLURALS["ServiceCIDR"]),
    "ServiceImport": Resource("multicluster.x-k8s.io", "v1alpha1", PLURALS["ServiceImport"]),
}
"""All that kdns reads, with the verbs list and watch and no other. ServiceCIDRs are new in Kubernetes 1.33."""
EVENTS: Final = Resource("events.k8s.io", "v1", "events")
"""All that kdns writes, with the verbs create and patch."""


class _Asked(NamedTuple):
    """A request."""

    method: str
    path: str
    query: Mapping[str, str] = {}
    body: bytes | None = None
    body_type: str = "application/json"


class _Uid(Struct):
    uid: str | None = None


class _Identified(Struct):
    metadata: _Uid | None = None


class _UidPage(Struct):
    items: list[_Identified] | None = None


class _TooLarge(ApiError):
    """A reply of more than the limit; a smaller page may fit."""


class ListPage(Struct):
    """One page, its objects not decoded yet."""

    metadata: Metadata | None = None
    items: list[Raw] | None = None

    @property
    def version(self) -> str:
        """The resource version of the list, the same on each page; empty if the server did not say."""
        return (self.metadata.resource_version if self.metadata else None) or ""


class Api:
    """What kdns asks an API server, over one session."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        credentials: Credentials,
        *,
        watch_timeout: float = WATCH_TIMEOUT,
        line_limit: int = LINE_LIMIT,
        body_limit: int = BODY_LIMIT,
        page_sizes: Mapping[Kind, int] = PAGE,
        pace: Pace | None = None,
        counts: ClusterCounts | None = None,
    ) -> None:
        """`watch_timeout`: seconds without an octet after which a connection is given up; `line_limit`, `body_limit`:
        octets of the largest event, and of the largest reply."""
        self._pace = pace or Pace()
        self._counts = counts or ClusterCounts()
        self.streams_lists = True
        """Until the server has refused: then pages are asked for at once."""
        self.watch_timeout = watch_timeout
        self._session, self._credentials = session, credentials
        self._line_limit, self._body_limit, self._page_sizes = line_limit, body_limit, page_sizes
        self._timeout = aiohttp.ClientTimeout(
            total=None, connect=CONNECT_TIMEOUT, sock_connect=CONNECT_TIMEOUT, sock_read=watch_timeout
        )
        self._page = Decoder(ListPage)
        self._status = Decoder(Status)
        self._uids = Decoder(_UidPage)

    async def pages(self, want: Want) -> AsyncGenerator[ListPage, None]:
        """Every object wanted, page by page, all of one version. Raises Expired if that is forgotten meanwhile."""
        size = self._page_sizes[want.kind]
        query = _selectors(want)
        while True:
            try:
                page = await self._read_page(want, query | {"limit": str(size)})
            except _TooLarge:
                if size == 1:
                    raise
                size = max(1, size // 8)
                continue
            yield page
            token = page.metadata.continue_token if page.metadata else None
            if not token:
                return
            query["continue"] = token

    def refuse_streaming(self, why: str) -> StreamingRefused:
        """The server cannot stream lists; that is remembered. The caller raises what this returns."""
        self.streams_lists = False
        return StreamingRefused(0, "streaming", why)

    async def newest(self, want: Want) -> tuple[str, int | None]:
        """The server's current resource version of a kind, and how many objects are wanted; None: it does not say, as
        servers do not where a selector is given and more than one object passes it."""
        page = await self._read_page(want, _selectors(want) | {"limit": "1"})
        metadata, shown = page.metadata, len(page.items or ())
        if metadata is None or not metadata.continue_token:
            return page.version, shown
        remaining = metadata.remaining_item_count
        return page.version, None if remaining is None else shown + remaining

    @asynccontextmanager
    async def watch(
        self, want: Want, *, since: str, seconds: int, skipped: Callable[[int], None]
    ) -> AsyncIterator[AsyncIterator[list[bytes]]]:
        """Open a watch that the server ends after about `seconds`; yields its lines, as many as came at once.

        `since` is the resource version to go on from. Empty asks for a streaming list (KEP-3157): every object as an
        ADDED event, then a bookmark annotated k8s.io/initial-events-end, then events; raises StreamingRefused where
        the server cannot, which is remembered, but not for the code 404. `skipped` is called with the size of an
        event that was too large.
        """
        query = _selectors(want) | {"watch": "true", "allowWatchBookmarks": "true", "timeoutSeconds": str(seconds)}
        if since:
            query["resourceVersion"] = since
        else:
            query |= {"sendInitialEvents": "true", "resourceVersionMatch": "NotOlderThan"}
        try:
            response = await self._get(want, "watch", query)
        except ApiError as error:
            if not since and error.code == 404:  # or it does not know the kind: pages will tell
                raise StreamingRefused(404, "streaming", error.message) from error
            if not since and error.code in NO_STREAMING:
                raise self.refuse_streaming(error.message) from error
            raise
        try:
            _keep_alive(response)
            yield self._lines(response, LineSplitter(self._line_limit, skipped))
        finally:
            response.close()

    async def _lines(self, response: aiohttp.ClientResponse, splitter: LineSplitter) -> AsyncIterator[list[bytes]]:
        while chunk := await translated(response.content.readany(), self._timeout):
            yield splitter.feed(chunk)
        if splitter.pending:
            raise ApiError(0, "lost", "the stream ended in the middle of a line")

    async def _read_page(self, want: Want, query: dict[str, str]) -> ListPage:
        body = await self._body(await self._get(want, "list", query))
        plural = RESOURCES[want.kind].plural
        try:
            return self._page.decode(body)
        except RecursionError:  # of one object: the others can be read
            return _cut_page(self._page, body, plural)
        except UNREADABLE as error:
            raise _not_a_list(plural, error) from error

    async def read(self, path: str, query: Mapping[str, str] = {}, *, denied: str) -> bytes:
        """The body of one GET, for what is not followed; ``denied`` is what a refusal means."""
        return await self._body(await self._ask(_Asked("GET", path, query), denied))

    async def uid_of(self, key: ObjectKey) -> str:
        """The uid of an object, which is not kept; empty if there is no such object (any more)."""
        resource = RESOURCES[key.kind]
        query = {"fieldSelector": f"metadata.name={key.name}", "limit": "1"}
        asked = _Asked("GET", resource.path_in(key.namespace), query)
        body = await self._body(await self._ask(asked, f"may not list {resource.plural}"))
        try:
            items = self._uids.decode(body).items
        except UNREADABLE as error:
            raise _not_a_list(resource.plural, error) from error
        return next((item.metadata.uid or "" for item in items or () if item.metadata), "")

    async def create_event(self, namespace: str, event: bytes) -> None:
        """Write an Event of events.k8s.io/v1, as JSON, into a namespace."""
        await self._write(_Asked("POST", EVENTS.path_in(namespace), body=event), "create")

    async def patch_event(self, namespace: str, name: str, changes: bytes) -> None:
        """Merge changes, as JSON, into an Event (RFC 7396)."""
        path = f"{EVENTS.path_in(namespace)}/{name}"
        await self._write(_Asked("PATCH", path, body=changes, body_type="application/merge-patch+json"), "patch")

    async def _write(self, asked: "_Asked", verb: str) -> None:
        await self._body(await self._ask(asked, f"may not {verb} {EVENTS.plural}"))

    async def _body(self, response: aiohttp.ClientResponse) -> bytes:
        pieces, size = [], 0
        try:
            while piece := await translated(response.content.readany(), self._timeout):
                pieces.append(piece)
                size += len(piece)
                if size > self._body_limit:
                    raise _TooLarge(0, "garbage", f"a reply of more than {self._body_limit} octets")
        finally:
            response.close()
        return b"".join(pieces)

    async def _get(self, want: Want, verb: str, query: dict[str, str]) -> aiohttp.ClientResponse:
        resource = RESOURCES[want.kind]
        return await self._ask(_Asked("GET", resource.path, query), f"may not {verb} {resource.plural}")

    async def _ask(self, asked: "_Asked", denied: str) -> aiohttp.ClientResponse:
        """One request that succeeded; the caller closes it. After 401 the credentials are read again, and it is tried
        again; `denied` is what a refusal means."""
        response = await self._send(asked)
        if response.status == 401:
            response.close()
            await self._credentials.renew()
            response = await self._send(asked)
        try:
            _check_encoding(response)
            if response.status in {200, 201}:
                return response
            raise await self._refusal(response, denied)
        except ApiError:
            response.close()
            raise

    async def _send(self, asked: "_Asked") -> aiohttp.ClientResponse:
        access = await self._credentials.access()
        server, clock = self._credentials.server, self._counts.clock
        # Compression would cost the loop more time than it saves on a cluster's network, and hide the size of a body.
        headers = {**access.headers, "Accept": "application/json", "Accept-Encoding": "identity"}
        if asked.body is not None:
            headers["Content-Type"] = asked.body_type
        async with self._pace.turn() as waited:
            self._counts.waited(server, asked.method, waited)
            began, code = clock(), 0
            try:
                response: aiohttp.ClientResponse = await translated(
                    self._session.request(
                        asked.method,
                        server + asked.path,
                        params=asked.query,
                        data=asked.body,
                        headers=headers,
                        ssl=access.tls if access.tls is not None else True,
                        server_hostname=access.server_name,
                        proxy=access.proxy,
                        timeout=self._timeout,
                        allow_redirects=False,
                    ),
                    self._timeout,
                )
                code = response.status
            finally:
                self._counts.requested(server, asked.method, code, clock() - began)
        return response

    async def _refusal(self, response: aiohttp.ClientResponse, denied: str) -> ApiError:
        body = await translated(response.content.read(ERROR_LIMIT), self._timeout)
        try:
            status = self._status.decode(body)
        except UNREADABLE:
            status = Status(reason=response.reason, message=one_line(body[:ERROR_QUOTED].decode("utf-8", "replace")))
        after = retry_after(response.headers.get("Retry-After"))
        return refusal(status, code=response.status, denied=denied, after=after)


def _cut_page(decoder: Decoder[ListPage], body: bytes, plural: str) -> ListPage:
    """A page of which some object is nested too deeply to be decoded as a whole."""
    try:
        rest, items = cut_items(body)
        page = decoder.decode(rest)
    except UNREADABLE as error:
        raise _not_a_list(plural, error) from error
    page.items = [Raw(item) for item in items]
    return page


def _not_a_list(plural: str, error: BaseException) -> ApiError:
    return ApiError(0, "garbage", one_line(f"the reply is not a list of {plural}: {error or type(error).__name__}"))


def _check_encoding(response: aiohttp.ClientResponse) -> None:
    """A few octets of gzip can become gigabytes; we have asked for none."""
    encoding = response.headers.get("Content-Encoding", "identity").strip().lower()
    if encoding not in {"", "identity"}:
        raise ApiError(0, "garbage", one_line(f"the reply is compressed ({encoding}), which was not asked for"))


def _selectors(want: Want) -> dict[str, str]:
    query = {"labelSelector": want.label_selector, "fieldSelector": want.field_selector}
    return {name: value for name, value in query.items() if value}


def _keep_alive(response: aiohttp.ClientResponse) -> None:
    """Have the kernel ask a silent peer whether it lives: after 30 s, each 10 s, three times."""
    transport = response.connection.transport if response.connection else None
    connected = transport.get_extra_info("socket") if transport else None
    if connected is None or connected.family not in (socket.AF_INET, socket.AF_INET6):
        return
    connected.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, seconds in (("TCP_KEEPIDLE", 30), ("TCP_KEEPINTVL", 10), ("TCP_KEEPCNT", 3)):
        if hasattr(socket, option):
            connected.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), seconds)


def open_session() -> aiohttp.ClientSession:
    """The session for an `Api`: as many connections as there are watches, and a request beside each."""
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, ttl_dns_cache=10),
        headers={"User-Agent": user_agent()},
        auto_decompress=False,
        trust_env=False,
        read_bufsize=1 << 17,
    )


def user_agent() -> str:
    """``kdns/0.1.0 (linux/amd64) aiohttp/3.14.5``: who asks, for audit logs, in the form and with the words for
    architectures that client-go's User-Agent has."""
    machine = platform.machine().lower()
    architecture = {"x86_64": "amd64", "aarch64": "arm64", "i686": "386", "armv7l": "arm"}.get(machine, machine)
    system = platform.system().lower()
    return f"kdns/{__version__} ({system}/{architecture or 'unknown'}) aiohttp/{aiohttp.__version__}"
