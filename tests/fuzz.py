"""``make fuzz TIME=3600``, or ``python -m tests.fuzz 3600``: all properties, with new examples until the time is over.

It is a round of pytest with forty times the usual examples, again and again with other seeds; the first round with a
counterexample is the last. A round that has begun is finished, so it takes some minutes more than `TIME` seconds.
"""

import random
import subprocess
import sys
import time
from collections.abc import Sequence

PYTEST = ("-m", "pytest", "-q", "-n", "auto", "--dist", "loadfile", "-m", "hypothesis")
PROFILE = ("--hypothesis-profile=fuzz", "--timeout=0")


def main(seconds: float, selected: Sequence[str]) -> int:
    """The exit status of the last round; `selected` are further words for pytest, files for instance."""
    until = time.monotonic() + seconds
    number = 0
    while True:
        number += 1
        seed = random.getrandbits(32)
        sys.stdout.write(f"round {number}, --hypothesis-seed={seed}\n")
        sys.stdout.flush()
        words = (sys.executable, *PYTEST, *PROFILE, f"--hypothesis-seed={seed}", *selected)
        if (status := subprocess.run(words, check=False).returncode) or time.monotonic() > until:
            return status


if __name__ == "__main__":
    sys.exit(main(float(sys.argv[1]), sys.argv[2:]))
