"""A handler answers a request with a response; a plugin is a function around a handler.

A response is a value that comes back: a plugin may look at it, change it, or put another in its place. Order is the
order of the tuple given to `chain`, from the client inwards.
"""

from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from functools import reduce
from typing import NamedTuple

from msgspec import Struct

from kdns.dns.api.compiled import Compiled
from kdns.wire.numbers import SERVFAIL
from kdns.wire.query import Query
from kdns.wire.rr import RR


class Client(NamedTuple):
    """Who asks, and how."""

    address: str
    port: int
    local: str
    """The address that was asked."""
    proto: str
    """``udp``, ``tcp``, ``tls`` or ``https``."""
    family: int
    """1 for IPv4, 2 for IPv6, as CoreDNS labels its metrics."""


Metadata = dict[str, str]
"""What plugins say of a request to others, under keys such as ``kubernetes/client-namespace``."""


class Request(NamedTuple):
    """A query and who asks it. Plugins pass on changed copies (``_replace``); ``metadata`` is one for all copies."""

    query: Query
    client: Client
    size: int = 0
    """Octets of the message as it came."""
    server: str = ""
    """The socket's label in metrics, ``dns://:53``."""
    metadata: Metadata = {}  # noqa: RUF012 - never written to: the server gives each request its own


class Response(Struct, frozen=True):
    """What to answer; id, question and EDNS are the query's and are added when it is composed.

    Change one with ``msgspec.structs.replace``.
    """

    rcode: int = 0
    flags: int = 0
    """Which of AA, TC, RA and AD are set; RD and CD are copied from the query."""
    answer: Sequence[RR] = ()
    authority: Sequence[RR] = ()
    additional: Sequence[RR] = ()
    """Without OPT."""
    plugin: str = ""
    """Who made it, for the metrics; empty for the server itself."""
    options: bytes = b""
    """EDNS options for the OPT record of the reply, if the query had one (RFC 6891 section 6.1.2)."""
    dropped: bool = False
    """Send nothing at all."""
    cleared: int = 0
    """Flags that are never set in the reply, such as RD."""
    unclaimed: bool = False
    """No plugin, or no server block, took the question: somewhere else there may be an answer."""
    limit: int = 0
    """Octets of a UDP reply at most, where that is less than what the client can take; 0: no such limit."""
    further: AsyncGenerator[tuple[RR, ...], None] | None = None
    """The answer sections of the messages that follow this one (RFC 5936 section 2.2), for clients over TCP and TLS."""
    compiled: Compiled | None = None
    """The three sections as octets, if they are that already; read it with `compiled_for`."""

    def compiled_for(self, name: bytes) -> Compiled | None:
        """The sections as octets behind a question for a folded name; None if they have to be composed.

        They do where a plugin has put other records in place of those that are compiled, or has changed the question.
        """
        compiled = self.compiled
        if compiled is None or compiled.name != name:
            return None
        same = self.answer is compiled.answer and self.authority is compiled.authority
        return compiled if same and self.additional is compiled.additional else None


Handler = Callable[[Request], Awaitable[Response]]
Plugin = Callable[[Handler], Handler]


async def end_of_chain(_: Request) -> Response:
    """No plugin of the server block answers for this name: SERVFAIL, as in CoreDNS.

    The resolver of glibc (res_search) goes on with its search list after NXDOMAIN, NODATA and SERVFAIL and gives it up
    after REFUSED, so a block in the middle of a Pod's search list must not refuse.
    """
    return Response(SERVFAIL, unclaimed=True)


def chain(plugins: Sequence[Plugin], last: Handler = end_of_chain) -> Handler:
    """Wrap ``last`` so that the first plugin sees the request first and the response last."""
    return reduce(lambda following, plugin: plugin(following), reversed(plugins), last)
