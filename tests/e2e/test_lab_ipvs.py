"""The walk-through of the lab in ipvs mode: one boot of User-Mode Linux, which has IPVS, runs `lab_inside`."""

import json
from functools import cache
from typing import Any

import pytest

from kdns.lab.steps import STEPS
from tests import uml
from tests.e2e.lab_inside import MARK

pytestmark = [pytest.mark.kernel, pytest.mark.e2e]

WALK = 1500.0
"""Seconds for all steps: interpreters start ten times as slowly in User-Mode Linux."""


@cache
def in_uml() -> tuple[dict[str, Any], str]:
    """What became of each step in ipvs mode by its name, and all that was told."""
    ran = uml.run(uml.python("-m", "tests.e2e.lab_inside", "ipvs"), timeout=WALK)
    lines = [json.loads(line.removeprefix(MARK)) for line in ran.output.splitlines() if line.startswith(MARK)]
    return {line["name"]: line for line in lines}, ran.output


@uml.needs_uml
@pytest.mark.timeout(WALK + 100)
@pytest.mark.parametrize("step", STEPS)
def test_the_walk_in_ipvs(step: str) -> None:
    """Every check of a step holds, in a kernel with IPVS."""
    found, output = in_uml()
    assert step in found, output
    assert found[step]["failed"] == [], output
    assert found[step]["held"] > 0
