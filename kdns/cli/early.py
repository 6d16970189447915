"""Signals from the first moment on: what kdns needs takes a good part of a second to import.

In that time a SIGTERM would end the process by signal, or be lost if it is the first process of a container, and
Ctrl-C would print where Python was. There is nothing to finish yet, so the process leaves at once: no exception is
raised in the middle of an import.
"""

import os
import signal
from typing import Final

_NUMBERS: Final = (signal.SIGTERM, signal.SIGINT)


def install() -> None:
    """SIGTERM is a clean end, Ctrl-C says what it was; a signal that is ignored stays so."""
    for number in _NUMBERS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _leave)


def restore() -> None:
    """Back to Python's own ways, for commands that do not serve."""
    if signal.getsignal(signal.SIGTERM) is _leave:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
    if signal.getsignal(signal.SIGINT) is _leave:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _leave(number: int, _: object) -> None:
    os._exit(0 if number == signal.SIGTERM else 128 + number)
