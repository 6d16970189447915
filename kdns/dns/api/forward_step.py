"""How a plugin takes part in the forward path: a query that an upstream answers, without a call of any handler.

::

    passes, passes, ... ask    each plugin of the chain, from the client inwards: would its handler hand the query on
                         │     as it came?
    keep, leaves ... <───┘     once the reply is there: would it hand that back as it came?

Both sides are octets. Whatever is not certain to be answered as the chain would answer it goes through the chain: a
plugin says False, and the chain begins, with the upstream's reply in hand if that has come
(`kdns.dns.upstream.pool.Pool`).
"""

from collections.abc import Callable
from typing import Protocol

from msgspec import Struct

from kdns.dns.api.compiled import Compiled
from kdns.dns.api.handler import Request, Response
from kdns.wire.query import Query
from kdns.wire.walk import Facts


class UpstreamOctets(Protocol):
    """A clean response as it came, see `kdns.wire.walk`."""

    @property
    def rcode(self) -> int:
        """With the upper bits of the OPT record."""

    @property
    def flags(self) -> int:
        """The header's."""

    @property
    def facts(self) -> Facts | None:
        """What the walk has found."""

    @property
    def upstream(self) -> str:
        """Who it is from, as ``ADDRESS:PORT``."""

    @property
    def compiled(self) -> Compiled:
        """The same for those who read records."""


class Asked(Protocol):
    """A query under way."""

    @property
    def result(self) -> UpstreamOctets | None:
        """The response; None: there was an error, which the chain will meet."""

    def give(self, client: str) -> None:
        """A client, by its address, waits no longer; to be called once."""


Ask = Callable[[Query, bytes, str, Callable[[], None]], Asked | None]
"""A query, the octets to send behind the id, the client's address, and what is to be called once, later -> None: the
chain must, and nothing is asked."""


class ReplyCache(Protocol):
    """The part of the plugin that keeps replies."""

    def missed(self, query: Query) -> bytes | None:
        """The key to keep a reply under, empty for names that are not kept; None: the chain must."""

    def keep(self, key: bytes, query: Query, octets: UpstreamOctets, server: str) -> bytes:
        """Keep a reply if that may be, and count that it was missing; its sections for the client."""


Turn = Callable[[bytes], bytes]
"""Puts the records of a reply in another order: the octets of its sections -> as many octets, each record as long as
the one that stood there."""


def as_it_came(sections: bytes) -> bytes:
    """The `Turn` that changes nothing."""
    return sections


class ForwardStep(Struct, frozen=True, kw_only=True):
    """One plugin's part. `passes` and `leaves` have no effect, and do not depend on the client."""

    passes: Callable[[Query], bool] | None = None
    """True: its handler would hand on a query as it came, and nothing is ready for it (`Built.precompiled`); None: any
    query."""
    leaves: Callable[[Facts], bool] | None = None
    """True: its handler would hand back a reply as it came; None: any reply."""
    turns: Callable[[UpstreamOctets], Turn | None] | None = None
    """In place of `leaves`, for a plugin in front of the cache: what its handler would do to this reply; None: more
    than put its records in another order."""
    cache: ReplyCache | None = None
    """It keeps replies, and wants AD in what goes on (RFC 6840 section 5.7)."""
    ask: Ask | None = None
    """The end of the path."""
    note: Callable[[Request, Response, float], None] | None = None
    """To be called with what was asked and answered, and the seconds in between, before the reply is sent."""
