"""One HTTP port (aiohttp): opened, answered by a function, closed."""

import logging
from collections.abc import Awaitable, Callable
from typing import Final, NamedTuple

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from kdns.ops.listen import Address, listen

SERVER: Final = logging.getLogger("kdns.ops.http.server")
"""Bugs in pages. What is no HTTP is the client's fault: four octets must not write twenty lines of traceback."""
SERVER.addFilter(lambda record: not (record.exc_info and isinstance(record.exc_info[1], HttpProcessingError)))

Answer = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


class HttpPort(NamedTuple):
    """An address that is listened on."""

    runner: web.ServerRunner
    port: int
    """The real one, if the system was to choose."""

    async def close(self) -> None:
        """Stop listening; what is being answered is finished, for a second at most."""
        await self.runner.cleanup()


async def open_port(address: Address, answer: Answer) -> HttpPort:
    """Listen, and answer every request, whatever its path and method.

    Raises ConfigError when the address is taken or not ours to bind.
    """
    server = web.Server(answer, access_log=None, logger=SERVER)
    # A scrape or probe takes milliseconds; the default of a minute would hold up the exit.
    runner = web.ServerRunner(server, handle_signals=False, shutdown_timeout=1.0)
    await runner.setup()
    try:
        sock = listen(address)
        await web.SockSite(runner, sock).start()
    except BaseException:
        await runner.cleanup()
        raise
    return HttpPort(runner, sock.getsockname()[1])
