"""Lines, and how they look in all."""

import pytest

from kdns.preflight.model import Line, fail, failed, note, ok, summary, warn

LINES = (
    ([ok("kernel", "fine")], "ready"),
    ([ok("a", "b"), note("c", "d")], "ready"),
    ([warn("a", "b")], "ready: 1 warning"),
    ([fail("a", "b", "c"), warn("a", "b"), warn("a", "b")], "1 failure, 2 warnings: not ready"),
)


@pytest.mark.parametrize(("lines", "text"), LINES)
def test_summary(lines: list[Line], text: str) -> None:
    """Only failures keep kdns from working."""
    assert summary(lines) == text
    assert failed(lines) == text.endswith("not ready")


def test_a_line() -> None:
    """The verdict first, so that a column can be read; what to do on a line of its own."""
    assert str(fail("ports", "53/udp is taken", "stop it")) == "FAIL ports: 53/udp is taken\n     stop it"
    assert str(ok("kernel", "Linux 6.1")) == "ok   kernel: Linux 6.1"
