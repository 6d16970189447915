"""Signals while kdns is still importing itself."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = """
import os, sys, threading
from kdns.cli import early
early.install()
print("ready", flush=True)
class Slow:
    def find_spec(self, name, path=None, target=None):
        threading.Event().wait(30)
sys.meta_path.insert(0, Slow())
import something_that_takes_its_time
"""


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
def test_a_signal_in_the_middle_of_an_import_ends_quietly(number: signal.Signals, status: int) -> None:
    """Nothing is served yet: SIGTERM is a clean end, Ctrl-C says so, and neither prints where Python was."""
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.send_signal(number)
    _, errors = process.communicate(timeout=120)
    assert (process.returncode, errors) == (status, "")


def test_both_ways_in_take_signals_first() -> None:
    """``kdns`` and ``python -m kdns`` go through the module that imports nothing before the signals are taken."""
    code = "import sys, kdns.__main__; print(sorted(name for name in sys.modules if name.startswith('kdns.')))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout.strip() == "['kdns.__main__', 'kdns.cli', 'kdns.cli.early']"
    assert 'kdns = "kdns.__main__:main"' in (Path(__file__).parents[2] / "pyproject.toml").read_text()
