"""Which of the messages that the fast path has answered are counted by `top`: one after each random gap.

A gap of ours, and neither the message's id nor every Nth message: a client may use the same id for ever, and many ask
A and AAAA in turn.
"""

import logging
from typing import Final

from kdns.dns.api.message_handler import MessageHandler

_log: Final = logging.getLogger("kdns.dns")


class Sampler:
    """The messages of one listener, to be shown while ``top.on``.

    For datagrams `look` is written out where they are answered: a call costs 2 % of one.
    """

    __slots__ = ("_gap", "_handler", "_left")

    def __init__(self, handler: MessageHandler) -> None:
        self._handler = handler
        self._gap = 0
        self._left = 0

    def look(self, message: bytes, reply: bytes, address: str) -> None:
        """Pass a message over, or `take` it."""
        self._left -= 1
        if self._left < 0:
            self._left = self.take(message, reply, address)

    def take(self, message: bytes, reply: bytes, address: str) -> int:
        """Count a message for itself and for those that were passed over; how many are to be passed over now.

        Never raises.
        """
        top = self._handler.top
        try:
            top.sample(message, reply, address, self._gap + 1)
        except Exception:  # noqa: BLE001 - a bug in what is counted keeps no answer back: logged and counted
            self._handler.counts.panics += 1
            _log.exception("a message was answered but not counted among the top ones: %s", message[:512].hex())
        self._gap = top.gap()
        return self._gap
