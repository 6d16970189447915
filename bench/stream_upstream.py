"""The resolver of `bench.upstream` over TCP or TLS, on connections that stay open; names ``big...`` have 64 kB.

``python -m bench.stream_upstream PORT [FILE]``, the file with a certificate and its key: TLS.
"""

import asyncio
import ssl
import struct
import sys
from typing import cast

from bench.upstream import ADDRESS, TTL, answer

_BIG = b"big-"
_RECORD = struct.pack("!3HIH", 0xC00C, 1, 1, TTL, len(ADDRESS)) + ADDRESS
_MANY = 4_090


class Connection(asyncio.Protocol):
    """Answers each frame at once (RFC 1035 section 4.2.2)."""

    def __init__(self) -> None:
        self._read = b""
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client is there."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Answer all frames that are whole."""
        self._read += data
        replies = []
        while len(self._read) >= 2 and len(self._read) >= 2 + (length := int.from_bytes(self._read[:2])):
            query, self._read = self._read[2 : 2 + length], self._read[2 + length :]
            reply = big(query) if query[13:17] == _BIG else answer(query)
            replies += [len(reply).to_bytes(2, "big"), reply]
        self._transport.write(b"".join(replies))


def big(query: bytes) -> bytes:
    """As many records as a message over TCP has room for."""
    reply = answer(query[:10] + b"\0\0" + query[12:])
    end = len(reply) - len(_RECORD)
    many = b"".join(_RECORD[:-4] + number.to_bytes(4, "big") for number in range(_MANY))
    return reply[:6] + struct.pack("!3H", _MANY, 0, 0) + reply[12:end] + many


async def serve(port: int, pem: str) -> None:
    """Answer for ever."""
    context = None
    if pem:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(pem)
    server = await asyncio.get_running_loop().create_server(Connection, "127.0.0.1", port, ssl=context)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else ""))
