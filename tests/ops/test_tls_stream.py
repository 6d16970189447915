"""TLS connections cost little, however many clients begin one, and carry as much as before."""

import asyncio
import ssl
import tracemalloc

from kdns.ops.tls_stream import RECORD, start_tls
from tests.fakes.certificates import SERVER, server_context

CLIENTS = 50


class Raw(asyncio.Protocol):
    """A connection before its handshake."""

    def __init__(self, begun: asyncio.Queue[asyncio.Transport]) -> None:
        self._begun = begun

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._begun.put_nowait(transport)


async def test_what_waits_for_a_handshake_costs_little() -> None:
    """The octets of a record for each connection, and some for its objects; asyncio alone takes 256 KiB."""
    begun: asyncio.Queue[asyncio.Transport] = asyncio.Queue()
    context = server_context()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Raw(begun), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    writers = [(await asyncio.open_connection("127.0.0.1", port))[1] for _ in range(CLIENTS)]
    transports = [await begun.get() for _ in range(CLIENTS)]
    tracemalloc.start()
    try:
        tasks = [
            asyncio.create_task(start_tls(each, asyncio.Protocol(), context, server_side=True, seconds=60))
            for each in transports
        ]
        for _ in range(5):
            await asyncio.sleep(0)
        size, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert CLIENTS * RECORD < size < CLIENTS * 2 * RECORD
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    for writer in writers:
        writer.close()
    server.close()


async def test_long_messages_pass() -> None:
    """Many records in one write, both ways, arrive whole."""
    loop = asyncio.get_running_loop()
    octets = bytes(range(256)) * 4096
    begun: asyncio.Queue[asyncio.Transport] = asyncio.Queue()
    server = await loop.create_server(lambda: Raw(begun), "127.0.0.1", 0)
    trusting = ssl.create_default_context(cafile=str(SERVER.cert))
    trusting.check_hostname = False

    async def serve() -> None:
        reader = asyncio.StreamReader()
        protocol = asyncio.StreamReaderProtocol(reader)
        secure = await start_tls(await begun.get(), protocol, server_context(), server_side=True, seconds=20)
        assert secure is not None
        protocol.connection_made(secure)
        writer = asyncio.StreamWriter(secure, protocol, reader, loop)
        writer.write(await reader.readexactly(len(octets)))
        await writer.drain()
        writer.close()

    serving = asyncio.create_task(serve())
    port = server.sockets[0].getsockname()[1]
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=trusting)
    writer.write(octets)
    assert await asyncio.wait_for(reader.readexactly(len(octets)), 120) == octets
    await serving
    writer.close()
    server.close()
