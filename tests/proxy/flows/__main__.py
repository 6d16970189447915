"""``python -m tests.proxy.flows MODE [WORLD]``: run the table here, and print what came of it."""

import asyncio
import sys
import time
from typing import cast

from tests.proxy.flows.ground import Ground
from tests.proxy.flows.modes import Variant
from tests.proxy.flows.table import run
from tests.proxy.flows.worlds import WORLDS


def say(line: str) -> None:
    """To whoever runs it."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main(variant: str, chosen: str = "") -> int:
    """How many cells came out otherwise."""
    wrong = 0
    for world in WORLDS:
        if chosen in ("", world.name):
            began = time.monotonic()
            with Ground(cast("Variant", variant), world) as ground:
                ready = time.monotonic()
                result = asyncio.run(run(ground))
            times = f"{ready - began:.1f} s to be ready, {time.monotonic() - ready:.1f} s"
            asked = f"{result.cells} cells, {result.probes} probes, {result.lost} lost"
            say(f"{world.name}: {asked}, {dict(result.verdicts)}, {times}")
            for line in result.differences:
                say(f"  {line}")
            wrong += len(result.differences)
    return wrong


if __name__ == "__main__":
    sys.exit(1 if main(*sys.argv[1:]) else 0)
