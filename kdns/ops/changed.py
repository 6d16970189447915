"""Waits until a file says something else than when it was read: the proxy ends then, to be restarted with it."""

import asyncio
from collections.abc import Callable
from typing import Final

from kdns.base.errors import ConfigError

EVERY: Final = 5.0
"""Seconds between two looks; the kubelet takes a minute to bring a new ConfigMap."""
MISSES: Final = 3
"""Looks at a file that cannot be read: it may just be exchanged."""


async def until_changed(
    path: str, text: str, read: Callable[[str], str], *, every: float = EVERY, misses: int = MISSES
) -> str:
    """Why the process should end, once the file no longer says ``text``; ``read`` raises ConfigError.

    Looking by name finds what a ConfigMap's links lead to, which a watch on one file would not.
    """
    missed = 0
    while True:
        await asyncio.sleep(every)
        try:
            now = await asyncio.to_thread(read, path)
        except ConfigError as error:
            missed += 1
            if missed >= misses:
                return f"{error.problem}, which could be read before"
            continue
        missed = 0
        if now != text:
            return f"{path} has changed"
