"""What the rules of iptables mode do to real connections, on one node whose backends all are on it.

The lab's tests compare every kind of packet with the policy; here is what hangs on how iptables is written: chances,
affinity, refusals, and that changes take effect.
"""

import asyncio
import os
import shutil
import subprocess
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from kdns.kernel.run import run
from kdns.proxy.apply.iptables import IptablesApplier
from kdns.proxy.apply.iptables_tools import installed
from kdns.proxy.model import Family, RuleChange, RuleSet
from tests.proxy.apply.iptables_netns import inside_netns
from tests.proxy.iptables_plan import backend, named, rich

pytestmark = [pytest.mark.kernel]

CLIENTS = [f"172.18.0.{n}" for n in range(10, 22)]
BACKENDS = ("10.244.1.7:8080", "10.244.2.9:8080", "10.244.1.8:80", "10.244.2.8:80", "10.244.1.12:80")


@pytest.fixture(autouse=True)
def netns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A node with a link that leads nowhere, and the backends as addresses of its own."""
    if os.geteuid() != 0:
        pytest.skip("network namespaces need root")
    if missing := [name for name in ("ip", "iptables-nft", "iptables-legacy") if shutil.which(name) is None]:
        pytest.skip(f"not installed: {', '.join(missing)}")
    monkeypatch.setenv("XTABLES_LOCKFILE", str(tmp_path / "xtables.lock"))
    with inside_netns():
        addresses = (*dict.fromkeys(text.split(":")[0] for text in BACKENDS), *CLIENTS)
        for words in (
            "link set lo up",
            "link add up0 type veth peer name up1",
            "link set up0 up",
            "link set up1 up",
            "address add 172.18.0.2/24 dev up0",
            "route add default dev up0",
            *(f"address add {one}/32 dev lo" for one in addresses),
        ):
            subprocess.run(("ip", *words.split()), check=True)
        yield


@pytest.fixture
async def servers() -> AsyncIterator[None]:
    """At each backend, somebody who says where it is and who called."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        here, there = writer.get_extra_info("sockname"), writer.get_extra_info("peername")
        writer.write(f"{here[0]}:{here[1]} {there[0]}".encode())
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    running = [await asyncio.start_server(answer, *text.split(":")) for text in BACKENDS]
    yield
    for server in running:
        server.close()
        await server.wait_closed()


@pytest.fixture(params=["iptables-nft", "iptables-legacy"])
async def applier(request: pytest.FixtureRequest, servers: None) -> IptablesApplier:
    """One that has written the rich rule set."""
    tool = next(tool for tool in await installed(Family.IPV4, run) if tool.program == request.param)
    applier = IptablesApplier(Family.IPV4, tool=tool)
    await applier.sync(rich(), None)
    return applier


async def ask(address: str, port: int, *, source: str | None = None, patience: float = 5.0) -> tuple[str, str]:
    """Who answers there, and what it takes us for."""
    async with asyncio.timeout(patience):
        local = (source, 0) if source else None
        reader, writer = await asyncio.open_connection(address, port, local_addr=local)
        text = (await reader.read()).decode()
        writer.close()
        await writer.wait_closed()
    who, caller = text.split()
    return who, caller


async def asked(count: int, address: str, port: int, **more: str) -> Counter[str]:
    """Who answers, of so many connections."""
    return Counter([(await ask(address, port, **more))[0] for _ in range(count)])  # type: ignore[arg-type]


async def test_connections_are_spread(applier: IptablesApplier) -> None:
    """Cluster IP, external IP, node ports by any address of the node: both backends take some."""
    both = {"10.244.1.8:80", "10.244.2.8:80"}
    for address, port in (("10.96.7.8", 80), ("192.0.2.9", 80), ("172.18.0.2", 30081), ("127.0.0.1", 30081)):
        assert set(await asked(40, address, port)) == both, address


async def test_affinity(applier: IptablesApplier) -> None:
    """A client's connections stay with one backend; clients are told apart by address."""
    stays = [await asked(8, "10.96.7.7", 80, source=client) for client in CLIENTS]
    assert [len(found) for found in stays] == [1] * 12
    assert len({next(iter(found)) for found in stays}) == 2, "and not all with the same"


async def test_policies_for_this_node(applier: IptablesApplier) -> None:
    """From the node itself, Local traffic from outside is short-cut to all backends; a pod is one, too."""
    assert set(await asked(30, "172.18.0.2", 30080, source=CLIENTS[0])) <= {"10.244.1.7:8080", "10.244.2.9:8080"}
    assert await asked(5, "10.96.7.11", 80) == {"10.244.1.12:80": 5}


async def test_masquerading(applier: IptablesApplier) -> None:
    """Pods keep their address towards a cluster IP; everybody else, and all that comes in by a node port, does not."""

    async def callers(address: str, port: int, source: str) -> set[str]:
        return {(await ask(address, port, source=source))[1] for _ in range(10)}

    assert await callers("10.96.7.8", 80, "10.244.1.7") == {"10.244.1.7"}
    assert CLIENTS[0] not in await callers("10.96.7.8", 80, CLIENTS[0])
    assert "10.244.1.7" not in await callers("172.18.0.2", 30081, "10.244.1.7")
    assert await callers("172.18.0.2", 30080, "10.244.1.7") == {"10.244.1.7"}, "the short way of policy Local"


async def test_refusals(applier: IptablesApplier) -> None:
    """No endpoints: refused at once. None here: silence. Not in the source ranges: silence."""
    with pytest.raises(ConnectionRefusedError):
        await ask("10.96.7.9", 80)
    with pytest.raises(ConnectionRefusedError):
        await ask("172.18.0.2", 30082)
    with pytest.raises(TimeoutError):
        await ask("10.96.7.12", 80, patience=0.7)
    with pytest.raises(TimeoutError):
        await ask("198.51.100.21", 80, patience=0.7)


async def test_an_endpoint_goes_and_a_connection_stays(applier: IptablesApplier) -> None:
    """New connections avoid it from the sync on; a partial sync is enough."""
    rules, name = rich(), named("shop/guarded")
    before = rules.ports[name]
    after = type(before)(name, before.entries, cluster=(backend("10.244.2.8:80"),))
    await applier.sync(RuleSet(rules.node, {**rules.ports, name: after}), [RuleChange(name, before, after)])
    for address, port in (("10.96.7.8", 80), ("172.18.0.2", 30081)):
        assert await asked(20, address, port) == {"10.244.2.8:80": 20}
    await applier.sync(rule_set_without(rules, name), [RuleChange(name, after, None)])
    with pytest.raises((OSError, TimeoutError)):
        await ask("10.96.7.8", 80, patience=0.7)


def rule_set_without(rules: RuleSet, name: object) -> RuleSet:
    """The same without one service port."""
    return RuleSet(rules.node, {key: one for key, one in rules.ports.items() if key != name})
