"""A handler answers a request with a response; a plugin is a function around a handler.

A response is a value that comes back: a plugin may look at it, change it, or put another in its place. Order is the
order of the tuple given to `chain`, from the client inwards.
"""

from collections.abc import Awaitable, Callable, Sequence
from functools import reduce
from typing import NamedTuple

from msgspec import Struct

from kdns.wire.numbers import REFUSED
from kdns.wire.query import Query
from kdns.wire.rr import RR


class Client(NamedTuple):
    """Who asks, and how."""

    address: str
    port: int
    local: str
    """The address that was asked."""
    proto: str
    """``udp`` or ``tcp``."""
    family: int
    """1 for IPv4, 2 for IPv6, as CoreDNS labels its metrics."""


class Request(NamedTuple):
    """A query and who asks it."""

    query: Query
    client: Client


class Response(Struct, frozen=True):
    """What to answer; id, question and EDNS are the query's and are added when it is composed."""

    rcode: int = 0
    authoritative: bool = False
    answer: tuple[RR, ...] = ()
    authority: tuple[RR, ...] = ()
    additional: tuple[RR, ...] = ()
    plugin: str = ""
    """Who made it, for the metrics; empty for the server itself."""


Handler = Callable[[Request], Awaitable[Response]]
Plugin = Callable[[Handler], Handler]


async def refuse(_: Request) -> Response:
    """The end of the chain: no plugin answers for this name."""
    return Response(REFUSED)


def chain(plugins: Sequence[Plugin], last: Handler = refuse) -> Handler:
    """Wrap ``last`` so that the first plugin sees the request first and the response last."""
    return reduce(lambda following, plugin: plugin(following), reversed(plugins), last)
