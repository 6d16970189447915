"""Progress is for terminals, and only for what takes its time."""

import io

import pytest

from kdns.ops.progress import CLEAR, Progress, Waiting


class Screen(io.StringIO):
    def __init__(self, terminal: bool) -> None:
        super().__init__()
        self.terminal = terminal

    def isatty(self) -> bool:
        return self.terminal


@pytest.mark.parametrize("terminal", [True, False])
def test_a_count_after_a_second(terminal: bool) -> None:
    """Nothing in the first second; then the count, five times a second at most; at the end the line is cleared."""
    now = 0.0
    screen = Screen(terminal)
    progress = Progress(screen, lambda: now)
    progress.begin("reading a.yaml")
    for _ in range(150):
        progress.step()
        now += 0.01
    progress.end()
    lines = [line for line in screen.getvalue().split(CLEAR) if line]
    assert lines == (
        ["reading a.yaml: 101 objects", "reading a.yaml: 121 objects", "reading a.yaml: 141 objects"]
        if terminal
        else []
    )
    assert screen.getvalue().endswith(CLEAR) is terminal


def test_waiting_is_silent_in_a_pipe() -> None:
    """No thread, no octet."""
    screen = Screen(False)
    with Waiting("making the lab", screen):
        pass
    assert screen.getvalue() == ""
