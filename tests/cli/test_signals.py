"""Signals that come before there is a cluster."""

import fcntl
import os
import signal
import subprocess
import sys
import termios
import time
from typing import IO

import pytest


def unread(pipe: IO[bytes]) -> int:
    """How many octets of a pipe have not been read yet, as its writer sees it."""
    answer = fcntl.ioctl(pipe, termios.FIONREAD, b"\0" * 4)
    return int.from_bytes(answer, sys.byteorder)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_pipe_that_is_never_written_does_not_hold_up_the_end(number: signal.Signals) -> None:
    """Standard input may stay open for ever: a signal ends the wait for its end."""
    argv = [sys.executable, "-m", "kdns", "serve", "--source", "-", "--listen", "127.0.0.1", "--port", "0",
            "--health", "", "--ready", "", "--metrics", ""]  # fmt: skip
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            os.write(process.stdin.fileno(), b"\n")
            while unread(process.stdin) and process.poll() is None:
                time.sleep(0.02)
            process.send_signal(number)  # it has read the line, and waits for more
            assert process.wait() == 0
            assert process.stdout.read() == b""
        finally:
            process.kill()
