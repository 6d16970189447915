"""What the process asks for before it serves."""

import json
import subprocess
import sys

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
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, timeout=30, check=True)
    (soft, hard_after), hard, thresholds = json.loads(done.stdout)
    assert hard_after == hard
    assert soft == (65_536 if hard < 0 else min(65_536, hard))
    assert thresholds[0] > 700
