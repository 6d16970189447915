"""Counting in the output of tools that say too much to be kept."""

import re
import sys

import pytest

from kdns.base.errors import KernelError
from kdns.kernel.run import tally

WORDS = re.compile(rb"^\w+", re.MULTILINE)


async def test_counts_what_matches() -> None:
    """Each distinct match with how often it came; the last line needs no end."""
    found = await tally(("printf", r"one 1\ntwo\none 2\n other\none"), WORDS)
    assert dict(found) == {"one": 3, "two": 1}


async def test_lines_that_lie_across_two_reads() -> None:
    """However output is cut, a line is looked at as a whole: 200,000 of 31 octets, of which no block holds a number."""
    program = "import sys\nfor n in range(200000): sys.stdout.write(f'line{n % 7} {n:024}\\n')"
    found = await tally((sys.executable, "-c", program), re.compile(rb"^line\d (?=\d{24}$)", re.MULTILINE))
    assert found.total() == 200000
    assert len(found) == 7


async def test_nothing_matches() -> None:
    """No output, and output that is not wanted, count nothing."""
    assert not await tally(("true",), WORDS)
    assert not await tally(("printf", " a\n b\n"), WORDS)


async def test_failures() -> None:
    """As `run` has it: what the tool said with its exit status, 127 for no tool, 124 for one that does not end."""
    with pytest.raises(KernelError, match="went wrong") as caught:
        await tally(("sh", "-c", "echo one; echo went wrong >&2; exit 3"), WORDS)
    assert caught.value.code == 3
    with pytest.raises(KernelError, match="not installed") as caught:
        await tally(("kdns-no-such-tool",), WORDS)
    assert caught.value.code == 127
    with pytest.raises(KernelError, match="no end within") as caught:
        await tally(("sleep", "30"), WORDS, 0.1)
    assert caught.value.code == 124
