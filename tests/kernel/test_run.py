"""Tools are run to their end, whatever it is."""

import os
from pathlib import Path

import pytest

from kdns.base.errors import KernelError
from kdns.kernel.run import run


async def test_what_a_tool_says() -> None:
    """Its standard output; what it is given is its standard input."""
    assert await run(("cat",), "one\ntwo\n") == "one\ntwo\n"


@pytest.mark.parametrize(
    ("argv", "code", "said"),
    [
        (("sh", "-c", "echo no such chain >&2; exit 3"), 3, "no such chain"),
        (("kdns-no-such-tool",), 127, "kdns-no-such-tool is not installed"),
        (("sleep", "60"), 124, "no end within 0.2 s"),
    ],
)
async def test_how_tools_fail(argv: tuple[str, ...], code: int, said: str) -> None:
    """Each way is a KernelError with the exit status that a shell would give."""
    with pytest.raises(KernelError) as caught:
        await run(argv, patience=0.2 if code == 124 else 20)
    assert (caught.value.code, caught.value.stderr.strip()) == (code, said)


async def test_a_tool_that_cannot_be_started(tmp_path: Path) -> None:
    """No memory, no processes, or not to be executed: the proxy tries again, and does not end."""
    tool = tmp_path / "tool"
    tool.write_bytes(b"\x7fELF")
    os.chmod(tool, 0o755)
    with pytest.raises(KernelError, match="cannot be started: Exec format error") as caught:
        await run((str(tool),))
    assert caught.value.code == 126
