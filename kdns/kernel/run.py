"""Runs a tool: the one place where the proxy starts processes."""

import asyncio
import re
from asyncio.subprocess import Process
from collections import Counter
from collections.abc import Awaitable, Sequence
from typing import Final, Protocol, TypeVar

from kdns.base.errors import KernelError

T = TypeVar("T")

PATIENCE: Final = 300.0
"""Seconds a tool may take; a restore of a hundred thousand rules takes tens."""


class Runner(Protocol):
    """Runs a command to its end; its standard output. Raises KernelError unless its exit status is 0."""

    async def __call__(self, argv: Sequence[str], stdin: str | bytes = b"", patience: float = PATIENCE) -> str:
        """`argv` is not for a shell; `patience` is in seconds."""
        ...


async def run(argv: Sequence[str], stdin: str | bytes = b"", patience: float = PATIENCE) -> str:
    """See `Runner`. A tool that is not installed is exit status 127, one that cannot be started 126, one that takes too
    long 124, as a shell has it."""
    data = stdin.encode() if isinstance(stdin, str) else stdin
    process = await _start(argv, asyncio.subprocess.PIPE)
    out, err = await _ended(argv, process, process.communicate(data), patience)
    _check(argv, process, err)
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
    process = await _start(argv, asyncio.subprocess.DEVNULL)
    counts, err = await _ended(argv, process, _tallied(process, wanted), patience)
    _check(argv, process, err)
    return Counter({text.decode(errors="replace"): count for text, count in counts.items()})


async def _tally(stream: asyncio.StreamReader, wanted: re.Pattern[bytes]) -> Counter[bytes]:
    counts: Counter[bytes] = Counter()
    rest = b""
    while block := await stream.read(1 << 18):
        whole, newline, rest = (rest + block).rpartition(b"\n")
        if newline:  # else all of it is in `rest` again
            counts.update(match[0] for match in wanted.finditer(whole))
    counts.update(match[0] for match in wanted.finditer(rest))
    return counts


async def _tallied(process: Process, wanted: re.Pattern[bytes]) -> tuple[Counter[bytes], bytes]:
    assert process.stdout is not None
    assert process.stderr is not None
    counts, err = await asyncio.gather(_tally(process.stdout, wanted), process.stderr.read())
    await process.wait()
    return counts, err


async def _start(argv: Sequence[str], stdin: int) -> Process:
    pipe = asyncio.subprocess.PIPE
    try:
        return await asyncio.create_subprocess_exec(*argv, stdin=stdin, stdout=pipe, stderr=pipe)
    except FileNotFoundError:
        raise KernelError(argv, 127, f"{argv[0]} is not installed") from None
    except OSError as error:  # not ours to run, or the system has no process or memory to give
        raise KernelError(argv, 126, f"{argv[0]} cannot be started: {error.strerror or error}") from error


async def _ended(argv: Sequence[str], process: Process, work: Awaitable[T], patience: float) -> T:
    """What `work` comes to, which ends with the process; that is over in any case."""
    try:
        async with asyncio.timeout(patience):
            return await work
    except TimeoutError:
        raise KernelError(argv, 124, f"no end within {patience:g} s") from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


def _check(argv: Sequence[str], process: Process, err: bytes) -> None:
    if process.returncode:
        raise KernelError(argv, process.returncode, err.decode(errors="replace"))
