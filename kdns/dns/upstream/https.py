"""DNS over HTTPS to an upstream (RFC 8484), by POST or GET, over HTTP/1.1 connections that aiohttp keeps."""

import asyncio
import base64
from typing import Any, Final, Literal

import aiohttp

from kdns.base.errors import UpstreamError
from kdns.dns.upstream.exchange import Address, reason
from kdns.dns.upstream.received import Received, receive
from kdns.dns.upstream.stream import Keep, Tls
from kdns.wire.message import UpstreamQuery, compose_query
from kdns.wire.numbers import HEADER

PATH: Final = "/dns-query"
CONTENT_TYPE: Final = "application/dns-message"
LARGEST: Final = 65535
Method = Literal["GET", "POST"]


class Https:
    """One server. The query's id is 0, so that caches of HTTP may help (RFC 8484 section 4.1)."""

    def __init__(self, address: Address, keep: Keep, tls: Tls, method: Method = "POST") -> None:
        self._address, self._keep, self._tls, self._method = address, keep, tls, method
        self._session: aiohttp.ClientSession | None = None
        self._ended = False

    async def exchange(self, ask: UpstreamQuery, seconds: float, payload: int | None) -> Received:
        """See `Transport`."""
        query = compose_query(0, ask, payload)
        url = f"https://{self._address.text}{PATH}"
        label = f'{self._method.capitalize()} "{url}"'
        try:
            async with asyncio.timeout(seconds):
                try:
                    octets = await self._body(url, label, query)
                except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError) as error:
                    if isinstance(error, aiohttp.ClientConnectorError):
                        raise
                    octets = await self._body(url, label, query)  # a kept connection was closed meanwhile
        except TimeoutError as error:
            raise UpstreamError(f"{label}: i/o timeout") from error
        except aiohttp.ClientConnectorError as error:
            label = f"{label}: dial tcp {self._address.text}: connect"
            raise UpstreamError(f"{label}: {reason(error.os_error)}") from error
        except (aiohttp.ClientError, OSError) as error:  # ssl.SSLError is an OSError
            raise UpstreamError(f"{label}: {reason(error)}") from error
        received = receive(octets, 0, ask, query[HEADER : HEADER + len(ask.name) + 4])
        if received is None:
            raise UpstreamError(f"{label}: what came back does not answer the question")
        return received

    async def _body(self, url: str, label: str, query: bytes) -> bytes:
        """What the server says to one request; ``label`` begins the text of errors."""
        options: dict[str, Any] = {"headers": {"Accept": CONTENT_TYPE}}
        if self._method == "GET":
            options["params"] = {"dns": base64.urlsafe_b64encode(query).rstrip(b"=").decode()}
        else:
            options["data"] = query
            options["headers"]["Content-Type"] = CONTENT_TYPE
        async with self._opened().request(
            self._method, url, server_hostname=self._tls.server_name, allow_redirects=False, **options
        ) as response:
            if response.status != 200:
                raise UpstreamError(f"{label}: expected status 200, got {response.status}")
            if response.content_type != CONTENT_TYPE:
                raise UpstreamError(f"{label}: expected content type {CONTENT_TYPE}, got {response.content_type!r}")
            return await _limited(response.content)

    async def close(self) -> None:
        """Close the connections."""
        self._ended = True
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    def _opened(self) -> aiohttp.ClientSession:
        if self._ended:
            raise UpstreamError("proxy: transport stopped")
        if self._session is None:
            connector = aiohttp.TCPConnector(
                ssl=self._tls.context,
                limit=0,  # the pool bounds what is under way
                keepalive_timeout=self._keep.expire,
                local_addr=self._address.local,
                use_dns_cache=False,
            )
            self._session = aiohttp.ClientSession(
                connector=connector,
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                timeout=aiohttp.ClientTimeout(total=None),
            )
        return self._session


async def _limited(content: aiohttp.StreamReader) -> bytes:
    """The body; more than a message can have is cut, and so no message."""
    found = bytearray()
    async for part in content.iter_any():
        found += part
        if len(found) > LARGEST:
            return b""
    return bytes(found)
