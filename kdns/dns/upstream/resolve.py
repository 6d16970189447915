"""Files and host names to upstreams with addresses, once, when a server block starts; as in CoreDNS, never again."""

import asyncio
import socket
import ssl
from collections.abc import Iterable, Sequence
from itertools import chain
from pathlib import Path
from typing import Final

from kdns.base.errors import UpstreamError
from kdns.dns.upstream.exchange import address_of
from kdns.dns.upstream.udp import Udp
from kdns.dns.upstream.upstream_address import File, UpstreamAddress, nameservers
from kdns.ops.tls import client_context
from kdns.wire.message import UpstreamQuery
from kdns.wire.name import parse_name
from kdns.wire.numbers import AAAA, A
from kdns.wire.query import UDP_LIMIT

RESOLVER_TIMEOUT: Final = 2.0
"""Seconds for each question to each resolver."""
SYSTEM_TIMEOUT: Final = 10.0
LARGEST: Final = 1 << 16
"""Octets of a file that are read; a resolv.conf has a few hundred."""


async def resolve(
    what: UpstreamAddress | File, resolvers: Sequence[UpstreamAddress] = (), folder: str = "."
) -> list[UpstreamAddress]:
    """The upstreams that one word stands for. Raises UpstreamError for a name without an address, OSError for a file.

    ``resolvers``: who is asked for host names; empty: the system. ``folder``: what paths are relative to.
    """
    if isinstance(what, UpstreamAddress) and what.resolved:
        return [what]
    path = Path(folder) / (what.path if isinstance(what, File) else what.host)
    if isinstance(what, File) or path.is_file():
        with path.open("rb") as file:
            return nameservers(file.read(LARGEST).decode("utf-8", "replace"))
    found = await (_asked(what.host, resolvers) if resolvers else _looked_up(what.host))
    if not found:
        raise UpstreamError(f"no addresses found for {what.host!r}")
    return [what._replace(host=host) for host in found]


async def _looked_up(host: str) -> list[str]:
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(SYSTEM_TIMEOUT):
            infos = await loop.getaddrinfo(host, None, type=socket.SOCK_DGRAM)
    except OSError as error:  # socket.gaierror and TimeoutError are such
        raise UpstreamError(f"failed to resolve {host!r}: {error.strerror or error or 'i/o timeout'}") from error
    return list(dict.fromkeys(str(info[4][0]) for info in infos))


async def _asked(host: str, resolvers: Sequence[UpstreamAddress]) -> list[str]:
    """Addresses from the first resolver that has some."""
    problem = UpstreamError(f"no addresses found for {host!r}")
    for resolver in resolvers:
        try:
            udp = Udp(address_of(resolver))
            try:
                texts = [await _addresses(udp, host, rtype) for rtype in (A, AAAA)]
            finally:
                await udp.close()
        except UpstreamError as error:
            problem = UpstreamError(f"failed to resolve {host!r}: {error}")
            continue
        if found := list(dict.fromkeys(chain.from_iterable(texts))):
            return found
    raise problem


async def _addresses(udp: Udp, host: str, rtype: int) -> Iterable[str]:
    received = await udp.exchange(UpstreamQuery(parse_name(host), rtype), RESOLVER_TIMEOUT, UDP_LIMIT)
    family = socket.AF_INET if rtype == A else socket.AF_INET6
    return [socket.inet_ntop(family, rr.rdata) for rr in received.message.answer if rr.rtype == rtype]


def tls_context(ca: str = "", cert: str = "", key: str = "") -> ssl.SSLContext:
    """See `client_context`, with a client's certificate if there is one. Raises OSError."""
    context = client_context(ca)
    if cert:
        context.load_cert_chain(cert, key)
    return context
