"""What runs inside User-Mode Linux: the walk through a lab; for each step a line of JSON that `test_lab` reads.

``python -m tests.e2e.lab_inside MODE [STEP...]``; what is told comes before it, as `kdns lab run` prints it.
"""

import json
import sys
import time
from collections.abc import Sequence
from typing import Final

from kdns.lab.kind import Kind
from kdns.lab.standard import make_cluster, wait_until_ready
from kdns.lab.steps import STEPS
from kdns.lab.walk import Walk

PATIENCE: Final = 400.0
"""Seconds until the lab must be ready: one slow processor starts five interpreters."""
MARK: Final = "step: "


def tell(line: str) -> None:
    """A line for whoever reads the guest's output."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main(mode: str, steps: Sequence[str]) -> None:
    """Walk, and say of each step how many checks held and which did not."""
    kind = Kind(mode)
    began = time.monotonic()
    with make_cluster(kind) as cluster:
        wait_until_ready(cluster, kind, PATIENCE)
        tell(f"ready after {time.monotonic() - began:.1f} s")
        for step in steps:
            began = time.monotonic()
            walk = Walk(cluster, kind, tell)
            STEPS[step](walk)
            took = round(time.monotonic() - began, 1)
            outcome = {"name": step, "held": walk.passed, "failed": walk.failed, "seconds": took}
            tell(MARK + json.dumps(outcome))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:] or list(STEPS))
