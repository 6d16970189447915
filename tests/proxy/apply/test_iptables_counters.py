"""nfacct in real kernels: what kube-proxy's counters count, in both variants of iptables."""

import os
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from kdns.kernel.nfacct import packets
from kdns.kernel.run import run
from kdns.proxy.apply.iptables import IptablesApplier
from kdns.proxy.apply.iptables_tools import installed
from kdns.proxy.model import Family
from kdns.proxy.render.iptables.names import COUNTERS, INVALID_DROPPED, LOCALHOST_ACCEPTED
from kdns.proxy.report import counted_packets
from tests.proxy.apply.iptables_netns import inside_netns
from tests.proxy.iptables_plan import cart, node, rule_set

pytestmark = [pytest.mark.kernel, pytest.mark.timeout(120)]


@pytest.fixture(autouse=True)
def netns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Tables of our own, and for the legacy variant a lock of our own."""
    if os.geteuid() != 0:
        pytest.skip("network namespaces need root")
    if missing := [name for name in ("ip", "iptables-nft", "iptables-legacy") if shutil.which(name) is None]:
        pytest.skip(f"not installed: {', '.join(missing)}")
    monkeypatch.setenv("XTABLES_LOCKFILE", str(tmp_path / "xtables.lock"))
    with inside_netns() as name:
        yield name


@pytest.mark.parametrize("program", ["iptables-nft", "iptables-legacy"])
async def test_packets_to_loopback_node_ports_are_counted(program: str) -> None:
    """As metrics of kube-proxy's names; another sync keeps what is counted, and cleaning up removes the counters."""
    await run(("ip", "link", "set", "lo", "up"))
    tool = next(tool for tool in await installed(Family.IPV4, run) if tool.program == program)
    applier = IptablesApplier(Family.IPV4, tool=tool)
    await applier.prepare()
    rules = rule_set(node(localhost_node_ports=True), cart())
    await applier.sync(rules, None)
    assert await applier.intact()
    with socket.socket() as client:
        client.setblocking(False)
        client.connect_ex(("127.0.0.1", 30080))  # the rules see its packet before this returns
    await applier.sync(rules, None)
    counts = packets(COUNTERS)
    assert counts[INVALID_DROPPED] == 0
    assert counts[LOCALHOST_ACCEPTED] >= 1
    assert counted_packets() == {
        "iptables_ct_state_invalid_dropped_packets": 0,
        "iptables_localhost_nodeports_accepted_packets": counts[LOCALHOST_ACCEPTED],
    }
    saved = await run(tool.save("nat"))
    (twin,) = (line for line in saved.splitlines() if LOCALHOST_ACCEPTED in line)
    assert " -d 127.0.0.0/8 " in twin
    await applier.cleanup()
    assert packets(COUNTERS) == {}
