"""Runs a tool: the one place where the proxy starts processes."""

import asyncio
from collections.abc import Sequence
from typing import Final, Protocol

from kdns.errors import KernelError

PATIENCE: Final = 300.0
"""Seconds a tool may take; a restore of a hundred thousand rules takes tens."""


class Runner(Protocol):
    """Runs a command to its end; its standard output. Raises KernelError unless its exit status is 0."""

    async def __call__(self, argv: Sequence[str], stdin: str | bytes = b"", patience: float = PATIENCE) -> str:
        """`argv` is not for a shell; `patience` is in seconds."""
        ...


async def run(argv: Sequence[str], stdin: str | bytes = b"", patience: float = PATIENCE) -> str:
    """See `Runner`. A tool that is not installed is exit status 127, one that takes too long 124, as a shell has it."""
    try:
        process = await asyncio.create_subprocess_exec(
            *argv, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
        )
    except FileNotFoundError:
        raise KernelError(argv, 127, f"{argv[0]} is not installed") from None
    data = stdin.encode() if isinstance(stdin, str) else stdin
    try:
        async with asyncio.timeout(patience):
            out, err = await process.communicate(data)
    except TimeoutError:
        raise KernelError(argv, 124, f"no end within {patience:g} s") from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode:
        raise KernelError(argv, process.returncode, err.decode(errors="replace"))
    return out.decode(errors="replace")
