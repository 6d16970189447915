"""The short way of a query that an upstream answers: no coroutine, and no call for each plugin of the chain.

Most blocks have a dozen plugins that hand a query on and its response back as they came. Those say so in advance
(`kdns.dns.api.express`); what they do with a response is what their handlers would do. A test gives the same octets,
metrics and cache entries for both ways.
"""

import logging
from collections.abc import Callable, Sequence

from msgspec import Struct

from kdns.dns.api.express import Express
from kdns.dns.api.handler import Request, Response
from kdns.dns.api.plugin import Built

log = logging.getLogger("kdns.dns")

Answered = Callable[[Response | None], None]
"""Gets the response for the client; None: the chain must answer, now."""


class Route(Struct, frozen=True):
    """The short way through one block."""

    parts: tuple[Express, ...]
    """From the client inwards; the last one asks."""
    fits: tuple[Callable[[Response], bool], ...]

    def begin(self, request: Request, answered: Answered) -> bool:
        """Ask, and call back once, later. False: the chain must, and nothing has happened."""
        backs: list[tuple[Callable[[Request, Response], Response], Request]] = []
        onward = request
        for part in self.parts:
            following = part.onward(onward)
            if following is None:
                return False
            if part.back is not None:
                backs.append((part.back, onward))
            onward = following

        def done(response: Response | None) -> None:
            try:
                if response is not None and all(fits(response) for fits in self.fits):
                    for back, asked in reversed(backs):
                        response = back(asked, response)
                else:
                    response = None
            except Exception:  # a bug in a plugin: the chain meets it again, and its guard says whose it is
                log.exception("bug on the short way of %s", request.query.question.hex())
                response = None
            answered(response)

        ask = self.parts[-1].ask
        return ask is not None and ask(onward, done)


def route(built: Sequence[Built], gate: Express) -> Route | None:
    """The short way through a block, if each plugin up to the one that asks takes part in it."""
    parts = [gate]
    for plugin in built:
        if plugin.plugin is None:
            continue
        if plugin.express is None or plugin.accepts is not None:
            return None
        parts.append(plugin.express)
        if plugin.express.ask is not None:
            return Route(tuple(parts), tuple(part.fits for part in parts if part.fits is not None))
    return None


class Errand:
    """A query on the short way, until it is answered, handed to the chain, or given up."""

    __slots__ = ("_ended", "_over")

    def __init__(self, ended: "Callable[[Errand], None]") -> None:
        self._ended, self._over = ended, False

    def end(self) -> bool:
        """It is over now; False: it was before."""
        if self._over:
            return False
        self._over = True
        self._ended(self)
        return True

    def close(self) -> None:
        """Give it up."""
        self.end()
