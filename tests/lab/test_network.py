"""The ground of a lab on the real kernel: who reaches whom, and that nothing of it stays."""

import asyncio
import glob
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from kdns.base.errors import ConfigError
from kdns.lab.asking import Arrived, Flow, Outcome, Refused, Silence, Unreachable
from kdns.lab.network import Network
from kdns.lab.plan import CLIENT, EXTERNAL, Plan
from kdns.lab.serving import knows
from tests.lab.conftest import PODS

pytestmark = pytest.mark.kernel

FAMILIES = pytest.mark.parametrize("family", [0, 1], ids=["v4", "v6"])
PROTOCOLS = pytest.mark.parametrize("protocol", ["TCP", "UDP"])


def who(outcome: Outcome) -> tuple[str, str]:
    """Who answered, and the address that it saw."""
    assert isinstance(outcome, Arrived), outcome
    return outcome.name, outcome.client


@FAMILIES
@PROTOCOLS
@pytest.mark.parametrize("asker", ["a", "b", "c", "node-0", "node-1", "outside"])
@pytest.mark.parametrize("asked", ["a", "c"])
async def test_everybody_reaches_every_pod(
    network: Network, asker: str, asked: str, protocol: str, family: int
) -> None:
    """From the same node, from the other, from the nodes and from outside, and nobody's address is rewritten."""
    address = str(network.addresses(asked)[family])
    name, seen = who(await network.probe(asker, protocol, address, 9376))
    assert name == asked
    local = network.pods[asked].node
    if asker == local:  # a node asks its own Pods as their gateway
        assert seen == str(network.plan.node(local).gateway[family])
    else:
        assert seen == str(network.addresses(asker)[family])


@FAMILIES
@pytest.mark.needs_kernel(knows("SCTP"), "SCTP")
async def test_sctp(network: Network, family: int) -> None:
    """The same over SCTP, where the kernel has it (a module that not every machine brings)."""
    network.serve("c", 9377, ["SCTP"], name=f"sctp-{family}", addresses=[network.addresses("c")[family]])
    assert who(await network.probe("a", "SCTP", str(network.addresses("c")[family]), 9377))[0] == f"sctp-{family}"


@FAMILIES
async def test_how_it_can_end(network: Network, family: int) -> None:
    """A closed port refuses, a Pod that is not there cannot be reached, and what nobody has is silence."""
    there = str(network.addresses("c")[family])
    nobody = ("192.0.2.7", "2001:db8:ffff::7")[family]
    free = str(network.plan.node("node-1").pods[family][99])
    refused, datagram, silence, unheard, gone = await asyncio.gather(
        network.probe("a", "TCP", there, 1),
        network.probe("a", "UDP", there, 1),
        network.probe("a", "TCP", nobody, 1),
        network.probe("a", "UDP", nobody, 1),
        network.probe("node-1", "TCP", free, 1),
    )
    assert (refused, datagram, silence, unheard) == (Refused(), Refused(), Silence(), Silence())
    assert gone in (Silence(), Unreachable("EHOSTUNREACH"))


async def test_the_source_can_be_chosen(network: Network) -> None:
    """Port and address of the asker, and a flow that keeps them."""
    network.configure("outside", ["address replace 172.18.0.101/16 dev eth0"])
    outcome = await network.probe("outside", "TCP", "10.244.0.5", 9376, source="172.18.0.101", source_port=40001)
    assert outcome == Arrived("a", "172.18.0.101", 40001)
    for protocol in ("TCP", "UDP"):
        flow = await network.open_flow("outside", protocol, "10.244.0.5", 9376, source_port=40002)
        assert isinstance(flow, Flow)
        assert [await flow.ask() for _ in range(2)] == [Arrived("a", str(CLIENT[0]), 40002)] * 2
        flow.close()


async def test_outside_reaches_services_through_the_chosen_node(network: Network) -> None:
    """External IPs are routed to one node or the other: a server there on such an address says which."""
    address = str(EXTERNAL[0][7])
    for node in ("node-0", "node-1"):
        network.configure(node, [f"address add {address}/32 dev lo"])
    servings = [network.serve(node, 80, ["TCP"], addresses=[EXTERNAL[0][7]]) for node in ("node-0", "node-1")]
    seen = []
    for node in ("node-1", "node-0"):
        network.send_outside_through(node)
        seen.append(who(await network.probe("outside", "TCP", address, 80))[0])
    for node, serving in zip(("node-0", "node-1"), servings, strict=True):
        serving.close()
        network.configure(node, [f"address delete {address}/32 dev lo"])
    assert seen == ["node-1", "node-0"]


async def test_hundreds_at_once(network: Network) -> None:
    """Half a thousand probes at the same time, half of which wait for silence, do not disturb each other."""
    outcomes = await asyncio.gather(
        *(network.probe("a", "UDP", "10.244.1.5", 9376, timeout=2.0) for _ in range(250)),
        *(network.probe("a", "TCP", "192.0.2.1", 80) for _ in range(250)),
    )
    assert [type(outcome) for outcome in outcomes] == [Arrived] * 250 + [Silence] * 250


async def test_a_server_that_closes(network: Network) -> None:
    """What stops listening refuses new connections and keeps old ones; what closes resets them."""
    serving = network.serve("b", 8080)
    flow = await network.open_flow("a", "TCP", "10.244.0.6", 8080)
    assert isinstance(flow, Flow)
    await flow.ask()
    serving.stop_listening()
    assert await network.probe("a", "TCP", "10.244.0.6", 8080) == Refused()
    assert who(await flow.ask()) == ("b", "10.244.0.5")
    serving.close()
    assert await flow.ask() == Refused()
    flow.close()


def test_wget_prints_the_name(network: Network) -> None:
    """As the Kubernetes guide does it: `wget -qO- http://hostnames` prints which Pod answered."""
    done = network.run("b", ["busybox", "wget", "-qO-", "http://10.244.1.5:9376"])
    assert (done.returncode, done.stdout) == (0, "c\n")


def test_programs_see_their_part_alone(network: Network) -> None:
    """Host name, files of /etc, processes and locks are those of the part."""
    (network.folder / "b" / "resolv.conf").write_text("nameserver 10.96.0.10\n")
    shown = network.run(
        "b", ["sh", "-c", "hostname; cat /etc/resolv.conf; ls /proc | grep -c '^[0-9]'; touch /run/lock"]
    )
    name, resolver, processes = shown.stdout.splitlines()
    assert (name, resolver) == ("b", "nameserver 10.96.0.10")
    assert int(processes) < 10
    assert network.run("a", ["ls", "/run"]).stdout == ""
    assert network.run("b", ["ls", "/run"]).stdout == "lock\n"


def test_a_program_that_runs(network: Network) -> None:
    """What it writes is in its log; it can be killed, and started again."""
    process = network.start("a", ["sh", "-c", "echo here; exec sleep 1000"])
    until = time.monotonic() + 120
    while "here" not in process.output() and time.monotonic() < until:
        time.sleep(0.01)
    assert process.status is None
    assert process.stop(signal.SIGKILL) == -signal.SIGKILL
    assert "here" in process.output()


async def test_pods_come_and_go(network: Network) -> None:
    """A Pod that is added is reached at once, and one that is removed is no more."""
    pod = network.plan.pod("later", "10.244.1.77")
    network.add_pod(pod)
    serving = network.serve("later")
    assert who(await network.probe("a", "TCP", "10.244.1.77", 9376))[0] == "later"
    serving.close()
    network.remove("later")
    assert not isinstance(await network.probe("a", "TCP", "10.244.1.77", 9376), Arrived)
    network.add_pod(pod)
    network.remove("later")


def test_a_guest_shares_the_node_s_network(network: Network) -> None:
    """A Pod with hostNetwork has the node's addresses and files of its own."""
    network.add_guest("proxy", "node-1")
    assert "172.18.0.3" in network.run("proxy", ["ip", "-br", "address"]).stdout
    assert network.run("proxy", ["hostname"]).stdout == "proxy\n"


async def test_two_side_by_side(network: Network) -> None:
    """A second lab has the same addresses and sees nothing of the first."""
    with Network(Plan(pods=PODS[:1])) as other:
        other.serve("a", name="other")
        assert who(await other.probe("outside", "TCP", "10.244.0.5", 9376))[0] == "other"
        assert who(await network.probe("outside", "TCP", "10.244.0.5", 9376))[0] == "a"
        assert not isinstance(await other.probe("outside", "TCP", "10.244.1.5", 9376), Arrived)


def test_an_error_of_ip_is_told(network: Network) -> None:
    """A line that the kernel refuses is an error with the words of `ip`."""
    with pytest.raises(ConfigError, match=r"node-0 could not be made.*nowhere"):
        network.configure("node-0", ["link set nowhere up"])


@contextmanager
def pinned(paths: Iterable[str]) -> Iterator[dict[int, int]]:
    """A file of ours for each namespace (inode number -> descriptor), so that no number goes to another namespace.

    The kernel gives the number of a namespace that is gone to the next one that is made, maybe by another test.
    """
    with ExitStack() as stack:
        descriptors = [stack.enter_context(open(path, "rb")).fileno() for path in paths]
        yield {os.fstat(descriptor).st_ino: descriptor for descriptor in descriptors}


def used(namespaces: dict[int, int]) -> set[int]:
    """Those of some pinned namespaces in which a thread lives, or which an open file keeps that is not their pin."""
    pins = {f"/proc/{os.getpid()}/fd/{descriptor}" for descriptor in namespaces.values()}
    inodes = set()
    for pattern in ("/proc/[0-9]*/task/*/ns/net", "/proc/[0-9]*/fd/*"):
        for path in glob.iglob(pattern):  # pathlib's raises if a process ends meanwhile
            if path in pins:
                continue
            try:
                inodes.add(os.stat(path).st_ino)
            except OSError:  # gone meanwhile
                continue
    return namespaces.keys() & inodes


def host() -> str:
    """Links and sysctls of the machine's own network."""
    links = subprocess.run(("ip", "address"), capture_output=True, check=True, text=True).stdout
    return links + Path("/proc/sys/net/ipv4/ip_forward").read_text()


def test_nothing_stays() -> None:
    """After a lab its namespaces, processes and files are gone, and the machine is as it was."""
    if os.geteuid():
        pytest.skip("no network namespaces without root")
    before = host()
    with ExitStack() as stack:
        with Network(Plan(pods=PODS)) as network:
            network.serve("a")
            running = network.start("a", ["sh", "-c", "sleep 1000 & exec sleep 1000"])
            paths = [f"/proc/self/fd/{part.network}" for part in network.parts.values()]
            namespaces = stack.enter_context(pinned(paths))
            assert used(namespaces) == namespaces.keys()
        assert used(namespaces) == set()
    assert running.status == -signal.SIGKILL
    assert not network.folder.exists()
    assert host() == before


MAKER = """
import os, sys
from kdns.lab.network import Network
from kdns.lab.plan import Plan
from tests.lab.conftest import PODS

network = Network(Plan(pods=PODS))
network.serve("a")
network.start("a", ["sh", "-c", "sleep 1000 & exec sleep 1000"])
print(network.first, *(part.network for part in network.parts.values()), flush=True)
print(network.folder, flush=True)
sys.stdin.read()
"""


def test_nothing_stays_after_a_sigkill(tmp_path: Path) -> None:
    """When the maker is killed, its processes and namespaces go without anybody's help."""
    if os.geteuid():
        pytest.skip("no network namespaces without root")
    environ = {**os.environ, "TMPDIR": str(tmp_path)}
    maker = subprocess.Popen(
        (sys.executable, "-c", MAKER), stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environ, text=True
    )
    assert maker.stdout is not None
    assert maker.stdin is not None
    first, *descriptors = map(int, maker.stdout.readline().split())
    folder = Path(maker.stdout.readline().strip())
    with pinned(f"/proc/{maker.pid}/fd/{descriptor}" for descriptor in descriptors) as namespaces:
        assert used(namespaces) == namespaces.keys()
        maker.kill()
        maker.communicate()
        until = time.monotonic() + 120
        while (used(namespaces) or Path(f"/proc/{first}").exists()) and time.monotonic() < until:
            time.sleep(0.01)
        assert used(namespaces) == set()
    assert not Path(f"/proc/{first}").exists()
    assert folder.is_relative_to(tmp_path)
