"""What the process asks for before it serves."""

import json
import platform
import subprocess
import sys

import pytest

SCRIPT = """
import gc, json, resource
soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
from kdns.ops.process import prepare
prepare()
print(json.dumps([resource.getrlimit(resource.RLIMIT_NOFILE), hard, gc.get_threshold()]))
"""


def test_open_files_are_raised_to_the_hard_limit_and_the_collector_rests() -> None:
    """A soft limit of a few hundred must not be what limits TCP connections; the hard limit stays as it is."""
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, timeout=120, check=True)
    (soft, hard_after), hard, thresholds = json.loads(done.stdout)
    assert hard_after == hard
    assert soft == (65_536 if hard < 0 else min(65_536, hard))
    assert thresholds[0] > 700


HOLES = """
from kdns.ops.process import prepare
prepare()
def resident():
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * 4096
def stuck(size):
    buffers = [bytearray(size) for _ in range(100)]
    for buffer in buffers:
        buffer.clear()  # what asyncio does to the buffer of a connection that is aborted
    return buffers
before = resident()
kept = [stuck(50_000 + 100 * each) for each in range(20)]
print(resident() - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc's heap keeps such holes")
def test_long_buffers_leave_no_holes() -> None:
    """Buffers that were long and are empty now, as connections leave them, cost a page each and not their length."""
    grown = subprocess.run([sys.executable, "-c", HOLES], check=True, capture_output=True, text=True).stdout
    assert int(grown) < 40_000_000
