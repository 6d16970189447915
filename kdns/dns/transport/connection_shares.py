"""Whose connections are open at one listener, so that no client takes those that the others need."""

from typing import Final

from kdns.dns.api.fair_share import FairShare
from kdns.dns.api.message_handler import MessageHandler

WHY: Final = "too many connections of this client"


class ConnectionShares:
    """Counts connections by address; a client over its share (`FairShare`) is counted, and shown by `top`.

    A client has a right to one connection: it is not over its share before it has one.
    """

    def __init__(self, handler: MessageHandler) -> None:
        self._handler = handler
        self._shares = FairShare(0)

    def over(self, client: str, most: int) -> bool:
        """A client may not have one more now; ``most`` are for all together. True is counted."""
        self._shares.places = most
        if not (self._shares.holds(client) and self._shares.exceeded(client)):
            return False
        self._handler.counts.over_share += 1
        if self._handler.top.on:
            self._handler.top.refused(client, WHY)
        return True

    def opened(self, client: str) -> None:
        """A connection was taken in."""
        self._shares.take(client)

    def closed(self, client: str) -> None:
        """It is gone."""
        self._shares.give(client)
