"""Runs a tool: the one place where the proxy starts processes."""

import asyncio
import re
from collections import Counter
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


class Tallier(Protocol):
    """Runs a command and counts what in its output matches; see `tally`."""

    async def __call__(
        self, argv: Sequence[str], wanted: re.Pattern[bytes], patience: float = PATIENCE
    ) -> Counter[str]:
        """Raises KernelError unless the command's exit status is 0."""
        ...


async def tally(argv: Sequence[str], wanted: re.Pattern[bytes], patience: float = PATIENCE) -> Counter[str]:
    """How often each text that `wanted` matches is in a tool's output, which may be too long to be kept.

    A match must lie within one line.
    """
    try:
        process = await asyncio.create_subprocess_exec(
            *argv, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
        )
    except FileNotFoundError:
        raise KernelError(argv, 127, f"{argv[0]} is not installed") from None
    assert process.stdout is not None
    assert process.stderr is not None
    try:
        async with asyncio.timeout(patience):
            found, err = await asyncio.gather(_tally(process.stdout, wanted), process.stderr.read())
            await process.wait()
    except TimeoutError:
        raise KernelError(argv, 124, f"no end within {patience:g} s") from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode:
        raise KernelError(argv, process.returncode, err.decode(errors="replace"))
    return Counter({text.decode(errors="replace"): count for text, count in found.items()})


async def _tally(stream: asyncio.StreamReader, wanted: re.Pattern[bytes]) -> Counter[bytes]:
    found: Counter[bytes] = Counter()
    rest = b""
    while block := await stream.read(1 << 18):
        whole, newline, rest = (rest + block).rpartition(b"\n")
        if newline:  # else all of it is in `rest` again
            found.update(match[0] for match in wanted.finditer(whole))
    found.update(match[0] for match in wanted.finditer(rest))
    return found
