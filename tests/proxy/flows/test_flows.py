"""The table on this machine's kernel: what arrives is what `trace` says, in every mode that it has."""

import pytest

from tests.proxy.flows.ground import Ground
from tests.proxy.flows.modes import Variant, variants
from tests.proxy.flows.table import run
from tests.proxy.flows.worlds import WORLDS, World

pytestmark = [pytest.mark.kernel, pytest.mark.timeout(900)]


@pytest.mark.parametrize("world", WORLDS, ids=lambda world: world.name)
@pytest.mark.parametrize("variant", variants())
async def test_what_arrives_is_what_trace_says(variant: Variant, world: World) -> None:
    """Who answers, and as whom it sees the asker; or that nobody does, and how."""
    with Ground(variant, world) as ground:
        result = await run(ground)
    assert not result.differences, "\n".join(result.differences)
    # 13 of 1,953 were lost at load 20 on two cores, each answered when asked again
    assert result.lost <= result.probes / 50, result.lost
    assert all(result.verdicts[verdict] > 5 for verdict in ("dnat", "reject", "drop", "untouched")), result.verdicts
