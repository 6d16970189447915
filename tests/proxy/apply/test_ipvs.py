"""The IPVS mode in a real kernel: one boot of User-Mode Linux runs `ipvs_inside`, each of its cases is a test here."""

from functools import cache

import pytest

from tests import uml
from tests.proxy.apply.ipvs_inside import CASES

pytestmark = [pytest.mark.kernel, uml.needs_uml]


@cache
def outcome() -> tuple[dict[str, str], str]:
    """What became of each case by its title (empty: well), and all that was printed."""
    ran = uml.run(uml.python("-m", "tests.proxy.apply.ipvs_inside"), timeout=1400)
    found = {}
    for line in ran.output.splitlines():
        if line.startswith("ok "):
            found[line.removeprefix("ok ")] = ""
        elif line.startswith("FAILED "):
            title, _, why = line.removeprefix("FAILED ").partition(": ")
            found[title] = why
    return found, ran.output


@pytest.mark.timeout(1500)
@pytest.mark.parametrize("title", CASES)
def test_inside_a_kernel_with_ipvs(title: str) -> None:
    """The case holds."""
    found, output = outcome()
    assert title in found, f"it said nothing of this; all it said was:\n{output}"
    assert not found[title], found[title]
