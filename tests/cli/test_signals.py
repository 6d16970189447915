"""Signals that come before there is a cluster."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest


def catches(pid: int, number: int) -> bool:
    """True if the process has a handler for a signal."""
    status = Path(f"/proc/{pid}/status").read_text()
    mask = next(line for line in status.splitlines() if line.startswith("SigCgt"))
    return bool(int(mask.split()[1], 16) >> (number - 1) & 1)


@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="the kernel does not say which signals are caught")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_pipe_that_is_never_written_does_not_hold_up_the_end(number: signal.Signals) -> None:
    """Standard input may stay open for ever: a signal ends the wait for it."""
    argv = [sys.executable, "-m", "kdns", "serve", "--source", "-", "--listen", "127.0.0.1", "--port", "0",
            "--health", "", "--ready", "", "--metrics", ""]  # fmt: skip
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
        try:
            until = time.monotonic() + 30
            while not catches(process.pid, signal.SIGHUP) and time.monotonic() < until:
                time.sleep(0.02)
            time.sleep(0.2)  # now it reads
            process.send_signal(number)
            assert process.wait(10) == 0
            assert process.stdout is not None
            assert process.stdout.read() == b""
        finally:
            process.kill()
