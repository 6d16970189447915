"""How a plugin takes part in the short way of a query that an upstream answers, without a call of its handler.

::

    onward, onward, ... ask    each plugin of the chain, from the client inwards: is the query one to hand on?
                         │
    back, back ... <─────┘     once the response is there and `fits` all of them

Whatever is not certain to be answered as the chain would answer it goes through the chain: a plugin says None or False,
and the chain begins, with the upstream's answer in hand if that has come (`kdns.dns.upstream.pool.Pool`).
"""

from collections.abc import Callable

from msgspec import Struct

from kdns.dns.api.handler import Request, Response

Done = Callable[[Response | None], None]
"""Gets the response; None: the chain must see to it, within this call."""


def hand_on(request: Request) -> Request | None:
    """Each query goes on as it came."""
    return request


class Express(Struct, frozen=True, kw_only=True):
    """One plugin's part. All but `back` and `ask` are asked without any effect."""

    onward: Callable[[Request], Request | None] = hand_on
    """The request as its handler would hand it on now; None: the chain must."""
    fits: Callable[[Response], bool] | None = None
    """False for a response of an upstream that only its handler can take; None: there are none."""
    back: Callable[[Request, Response], Response] | None = None
    """What its handler would make of the response to a request; None: nothing."""
    ask: Callable[[Request, Done], bool] | None = None
    """The end of the way: ask an upstream, and call back once, later. False: the chain must, and nothing is asked."""
