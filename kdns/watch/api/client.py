"""One API server over HTTP: list pages, watches with or without a streaming list, and the newest version.

Each method is one request (or one list of pages) and ends; who lists and watches again is `reflector`. All that can
go wrong comes out as an `ApiError`, with the code 0 where there was no answer at all.
"""

import os
import socket
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Final, NamedTuple, TypeVar

import aiohttp
from msgspec import DecodeError, Raw, Struct
from msgspec.json import Decoder

from kdns.base.errors import ApiError, Denied, Expired, Throttled
from kdns.base.objects import PLURALS, Kind, ObjectKey
from kdns.metrics.cluster import ClusterCounts
from kdns.watch.api.credentials import Credentials
from kdns.watch.api.lines import LineSplitter
from kdns.watch.api.pace import Pace
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
"""Octets read of a reply that is no success."""
QUOTED: Final = 256
"""Characters quoted of what a server says, so that no log line is a page."""
MOST_ASKED: Final = 300.0
"""Seconds we let a server make us wait."""
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


class StreamingRefused(ApiError):
    """The server does not stream lists: ask for pages."""


class WatchTimeout(ApiError):
    """Nothing was heard for the whole watch timeout, not even a bookmark: nobody knows what was missed."""


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
        watch_timeout: float = 90.0,
        line_limit: int = LINE_LIMIT,
        page_sizes: Mapping[Kind, int] = PAGE,
        pace: Pace | None = None,
        counts: ClusterCounts | None = None,
    ) -> None:
        """`watch_timeout`: seconds without an octet after which a connection is given up."""
        self._pace = pace or Pace()
        self._counts = counts or ClusterCounts()
        self.streams_lists = True
        """Until the server has refused: then pages are asked for at once."""
        self.watch_timeout = watch_timeout
        self._session, self._credentials = session, credentials
        self._line_limit, self._page_sizes = line_limit, page_sizes
        self._timeout = aiohttp.ClientTimeout(
            total=None, connect=CONNECT_TIMEOUT, sock_connect=CONNECT_TIMEOUT, sock_read=watch_timeout
        )
        self._page = Decoder(ListPage)
        self._status = Decoder(Status)
        self._uids = Decoder(_UidPage)

    async def pages(self, want: Want) -> AsyncGenerator[ListPage, None]:
        """Every object wanted, page by page, all of one version. Raises Expired if that is forgotten meanwhile."""
        query = _selectors(want) | {"limit": str(self._page_sizes[want.kind])}
        while True:
            page = await self._read_page(want, query)
            yield page
            token = page.metadata.continue_token if page.metadata else None
            if not token:
                return
            query["continue"] = token

    def refuse_streaming(self, why: str) -> StreamingRefused:
        """The server cannot stream lists; that is remembered. The caller raises what this returns."""
        self.streams_lists = False
        return StreamingRefused(0, "streaming", why)

    async def newest(self, want: Want) -> str:
        """The server's current resource version of a kind."""
        return (await self._read_page(want, _selectors(want) | {"limit": "1"})).version

    @asynccontextmanager
    async def watch(
        self, want: Want, *, since: str, seconds: int, skipped: Callable[[int], None]
    ) -> AsyncIterator[AsyncIterator[list[bytes]]]:
        """Open a watch that the server ends after about `seconds`; yields its lines, as many as came at once.

        `since` is the resource version to go on from. Empty asks for a streaming list (KEP-3157): every object as an
        ADDED event, then a bookmark annotated k8s.io/initial-events-end, then events; raises StreamingRefused where
        the server cannot, which is remembered, but not for the code 404. `skipped` is told the size of an event that
        was too large.
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
        while chunk := await _translated(response.content.readany(), self._timeout):
            yield splitter.feed(chunk)
        if splitter.pending:
            raise ApiError(0, "lost", "the stream ended in the middle of a line")

    async def _read_page(self, want: Want, query: dict[str, str]) -> ListPage:
        body = await self._body(await self._get(want, "list", query))
        return _decoded(self._page, body, RESOURCES[want.kind].plural)

    async def uid_of(self, key: ObjectKey) -> str:
        """The uid of an object, which nobody keeps; empty if there is no such object (any more)."""
        resource = RESOURCES[key.kind]
        query = {"fieldSelector": f"metadata.name={key.name}", "limit": "1"}
        asked = _Asked("GET", resource.path_in(key.namespace), query)
        body = await self._body(await self._ask(asked, f"may not list {resource.plural}"))
        items = _decoded(self._uids, body, resource.plural).items
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
        try:
            return await _translated(response.read(), self._timeout)
        finally:
            response.close()

    async def _get(self, want: Want, verb: str, query: dict[str, str]) -> aiohttp.ClientResponse:
        resource = RESOURCES[want.kind]
        return await self._ask(_Asked("GET", resource.path, query), f"may not {verb} {resource.plural}")

    async def _ask(self, asked: "_Asked", denied: str) -> aiohttp.ClientResponse:
        """One request that succeeded; the caller closes it. After 401 credentials are read anew, and it is tried
        again; `denied` is what a refusal means."""
        response = await self._send(asked)
        if response.status == 401:
            response.close()
            await self._credentials.renew()
            response = await self._send(asked)
        if response.status in {200, 201}:
            return response
        try:
            raise await self._refusal(response, denied)
        finally:
            response.close()

    async def _send(self, asked: "_Asked") -> aiohttp.ClientResponse:
        access = await self._credentials.access()
        server, clock = self._credentials.server, self._counts.clock
        headers = {**access.headers, "Accept": "application/json", "Accept-Encoding": "identity"}
        if asked.body is not None:
            headers["Content-Type"] = asked.body_type
        async with self._pace.turn() as waited:
            self._counts.waited(server, asked.method, waited)
            began, code = clock(), 0
            try:
                response: aiohttp.ClientResponse = await _translated(
                    self._session.request(
                        asked.method,
                        server + asked.path,
                        params=asked.query,
                        data=asked.body,
                        # Compression would cost the loop more time than it saves on a cluster's network.
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
        body = await _translated(response.content.read(ERROR_LIMIT), self._timeout)
        try:
            status = self._status.decode(body)
        except (DecodeError, UnicodeDecodeError):
            status = Status(reason=response.reason, message=body[:QUOTED].decode("utf-8", "replace"))
        return refusal(status, code=response.status, denied=denied, after=_seconds(response.headers.get("Retry-After")))


def _decoded(decoder: Decoder[T], body: bytes, plural: str) -> T:
    try:
        return decoder.decode(body)
    except (DecodeError, UnicodeDecodeError) as error:
        raise ApiError(0, "garbage", f"a list of {plural} that is none: {error}") from error


def refusal(status: Status, *, code: int = 0, denied: str = "may not watch", after: float | None = None) -> ApiError:
    """The error that a Status stands for, whether it came as a reply (`code` is its HTTP status) or as an event."""
    code = code or status.code or 500
    reason, message = _one_line(status.reason or ""), _one_line(status.message or "")
    if code == 410 or status.too_large_version:
        return Expired(code, reason, message)
    asked = status.details.retry_after_seconds if status.details else None
    if after is None and asked:
        after = float(asked)
    if code == 429 or (code in (500, 503, 504) and after is not None):
        return Throttled(code, reason, message, after=min(after if after is not None else 1.0, MOST_ASKED))
    if code in (401, 403):
        return Denied(code, reason, f"{denied} ({message})" if message else denied)
    return ApiError(code, reason, message)


def reason_of(error: ApiError) -> str:
    """One plain line for operators: ``403: may not list services (...)``, ``DNS: cannot resolve ...``."""
    return f"{error.code or error.reason}: {error.message or error.reason}"


async def _translated(waiting: Awaitable[T], timeout: aiohttp.ClientTimeout) -> T:  # noqa: ASYNC109 - for the message
    """Wait for it; what the network did wrong comes out as ApiError(0, class of cause, one line)."""
    try:
        return await waiting
    except (aiohttp.ClientError, OSError, TimeoutError) as error:
        raise _no_answer(error, timeout) from error


def _no_answer(error: Exception, timeout: aiohttp.ClientTimeout) -> ApiError:
    os_error = getattr(error, "os_error", error)
    text = _one_line(str(error) or type(error).__name__)
    if isinstance(error, aiohttp.ClientConnectorError):  # its own text shows the TLS context's address in memory
        cause = getattr(error, "certificate_error", os_error)
        said = getattr(cause, "verify_message", "") or getattr(cause, "reason", "")  # of TLS
        number = getattr(cause, "errno", None)
        text = _one_line(f"{error.host}:{error.port}: {said or (os.strerror(number) if number else cause)}")
    if isinstance(os_error, socket.gaierror):
        return ApiError(0, "DNS", f"cannot resolve {getattr(error, 'host', 'the API server')} ({os_error.strerror})")
    if isinstance(error, ssl.SSLError | aiohttp.ClientSSLError):
        return ApiError(0, "TLS", text)
    if isinstance(error, TimeoutError):
        connecting = isinstance(error, getattr(aiohttp, "ConnectionTimeoutError", ())) or "onnect" in text
        if connecting:
            return ApiError(0, "timeout", f"no connection within {timeout.connect:g} s")
        return WatchTimeout(0, "timeout", f"nothing heard for {timeout.sock_read:g} s")
    if isinstance(os_error, ConnectionRefusedError):
        return ApiError(0, "refused", text)
    return ApiError(0, "lost", text)


def _selectors(want: Want) -> dict[str, str]:
    query = {"labelSelector": want.label_selector, "fieldSelector": want.field_selector}
    return {name: value for name, value in query.items() if value}


def _seconds(text: str | None) -> float | None:
    """Retry-After in seconds; a date (RFC 9110 section 10.2.3 allows both) counts as a second."""
    if text is None:
        return None
    return float(text) if text.isascii() and text.isdigit() else 1.0


def _one_line(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= QUOTED else line[: QUOTED - 3] + "..."


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
        connector=aiohttp.TCPConnector(limit=0, ttl_dns_cache=10), trust_env=False, read_bufsize=1 << 17
    )
