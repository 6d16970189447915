"""TLS on an open connection, in little memory.

asyncio makes a buffer of 256 KiB for each TLS connection before its handshake begins, zeroed, so a few hundred clients
that say nothing fill a container. One record is enough: what is longer comes in pieces anyhow.
"""

import asyncio
import ssl
from asyncio import sslproto
from typing import Final, cast

RECORD: Final = (1 << 14) + 2048 + 5
"""Octets of the longest record with its header (RFC 5246 section 6.2.3; TLS 1.3 has shorter ones)."""


class RecordProtocol(sslproto.SSLProtocol):
    """asyncio's TLS with a buffer for one record."""

    max_size = RECORD


async def start_tls(
    transport: asyncio.Transport,
    protocol: asyncio.BaseProtocol,
    context: ssl.SSLContext,
    *,
    server_side: bool,
    server_hostname: str | None = None,
    seconds: float,
) -> asyncio.Transport | None:
    """Shake hands; the transport that ``protocol`` is to use, None if it is gone already. As ``loop.start_tls``.

    ``seconds``: for the handshake, and for the end of the connection. Raises OSError (ssl.SSLError is one). The caller
    calls ``connection_made``.
    """
    loop = asyncio.get_running_loop()
    limit = cast("int", seconds)  # the type stub forgets that fractions are fine
    shaken: asyncio.Future[None] = loop.create_future()
    secure = RecordProtocol(
        loop,
        protocol,
        context,
        shaken,
        server_side,
        server_hostname,
        call_connection_made=False,
        ssl_handshake_timeout=limit,
        ssl_shutdown_timeout=limit,
    )
    transport.pause_reading()  # nothing may arrive before `connection_made`
    transport.set_protocol(secure)
    made = loop.call_soon(secure.connection_made, transport)
    resumed = loop.call_soon(transport.resume_reading)
    try:
        await shaken
    except BaseException:
        transport.close()
        made.cancel()
        resumed.cancel()
        raise
    return cast("asyncio.Transport | None", secure._app_transport)
