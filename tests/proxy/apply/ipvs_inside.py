"""What runs inside User-Mode Linux: the IPVS mode with a real kernel and real sockets; a line for each case.

``python -m tests.proxy.apply.ipvs_inside`` prints ``ok TITLE`` or ``FAILED TITLE: why``; `test_ipvs` reads it.
"""

import asyncio
import sys
import traceback
from collections.abc import Awaitable, Callable
from ipaddress import ip_address
from typing import Final

import pytest

from kdns.base.errors import ConfigError
from kdns.kernel.netlink import Netlink, generic_family
from kdns.proxy.apply.flow_cleaner import FlowCleaner
from kdns.proxy.model import RuleSet, ServicePortName
from kdns.proxy.stale_flows import StaleFlows
from tests.proxy.apply.ipvs_shop import (
    EXTERNAL,
    INTERNAL,
    IPV4,
    IPV6,
    REJECT,
    Live,
    World,
    listed,
    network,
    save,
    setting,
    shop,
    table,
    tell,
    virtual_servers,
)
from tests.proxy.apply.town import PATIENT, Servers, ask, ask_often, build, connect, ping, until

Case = Callable[[], Awaitable[None]]
CASES: Final[dict[str, Case]] = {}


def case(function: Case) -> Case:
    """Its docstring is its title."""
    CASES[(function.__doc__ or "").strip()] = function
    return function


@case
async def ipv4() -> None:
    """Every source reaches what the paths say, by IPv4"""
    await table(IPV4)


@case
async def ipv6() -> None:
    """Every source reaches what the paths say, by IPv6"""
    await table(IPV6)


@case
async def other_ports() -> None:
    """Other ports of a service address are refused, and ping is answered"""
    for source in ("near", "client", "node"):
        assert ask(source, "TCP", IPV4.service(10), 22, patience=PATIENT) == "refused", source
        assert ping(source, IPV4.service(10)), source


@case
async def unchanged() -> None:
    """A second full sync writes nothing, also by a proxier that has just started"""
    for w in (IPV4, IPV6):
        rules = RuleSet(w.node, {port.name: port for port in shop(w)})
        assert (await w.applier.sync(rules, None)).rules == 0
        assert await w.applier.intact()
        with connect("client", "TCP", w.outside(5), 80) as talk:
            talk.recv(100)
            again = w.new()
            await again.prepare()
            # Its rules are written again, since it cannot know who wrote those that are there; nothing else is.
            count = len([line for line in save(w) if line.startswith("-A KUBE-")])
            assert (await again.sync(rules, None)).rules == count
            talk.send(b"still there")
            assert talk.recv(100) == b"still there"
        w.applier = again


@case
async def coming_and_going() -> None:
    """Backends and Services come and go by single changes; the last one is refused, then nothing of it is left"""
    for w in (IPV4, IPV6):
        live = Live(w)
        entry = w.entry("cluster IP", w.service(40), 80, INTERNAL)
        await live.put(w.rules("new", "TCP", "near", entry))
        assert ask_often(4, "client", "TCP", w.service(40), 80) == {w.seen("near:node", "client")}
        await live.put(w.rules("new", "TCP", "near far", entry))
        assert len(ask_often(4, "client", "TCP", w.service(40), 80)) == 2
        await live.put(w.rules("new", "TCP", "far", entry))
        assert ask_often(4, "client", "TCP", w.service(40), 80) == {w.seen("far:node", "client")}
        await live.put(w.rules("new", "TCP", "", entry._replace(paths=(REJECT,))))
        assert ask("client", "TCP", w.service(40), 80, patience=PATIENT) == "refused"
        await live.put(w.rules("new", "TCP", "near", entry))
        assert ask("client", "TCP", w.service(40), 80) == w.seen("near:node", "client")
        await live.remove(ServicePortName("shop", "new", "", "TCP"))
        assert w.service(40) not in listed(w)
        assert await w.applier.intact()


@case
async def graceful() -> None:
    """A connection outlives its backend's removal; then the backend goes; one that comes back serves again"""
    for w in (IPV4, IPV6):
        live = Live(w)
        entry = w.entry("cluster IP", w.service(41), 80, INTERNAL)
        await live.put(w.rules("slow", "TCP", "near far", entry))
        talks = [connect("client", "TCP", w.service(41), 80) for _ in range(2)]
        names = {talk.recv(100).decode().split()[0]: talk for talk in talks}
        assert set(names) == {"near", "far"}
        await live.put(w.rules("slow", "TCP", "far", entry))
        await w.applier.tidy()
        assert ask_often(3, "client", "TCP", w.service(41), 80) == {w.seen("far:node", "client")}
        names["near"].send(b"hello")
        assert names["near"].recv(100) == b"hello"
        assert draining(w) == 1
        await live.put(w.rules("slow", "TCP", "near far", entry))
        assert draining(w) == 0
        assert len(ask_often(4, "client", "TCP", w.service(41), 80)) == 2
        await live.put(w.rules("slow", "TCP", "far", entry))
        for talk in talks:
            talk.close()
        # Not even a closed connection is forgotten at once: TIME_WAIT takes two minutes.
        await w.applier.tidy()
        assert draining(w) == 1
        await live.remove(ServicePortName("shop", "slow", "", "TCP"))
        assert draining(w) == 0


def draining(w: World, number: int = 41) -> int:
    """How many backends of a service address wait for their last connection."""
    address = ip_address(w.service(number)).packed
    return sum(at.address == address for at, _ in w.applier.draining)


@case
async def idle_goes() -> None:
    """A drained backend without connections is removed by the next tidying"""
    live = Live(IPV4)
    entry = IPV4.entry("cluster IP", IPV4.service(42), 80, INTERNAL)
    await live.put(IPV4.rules("idle", "TCP", "near far", entry))
    await live.put(IPV4.rules("idle", "TCP", "far", entry))
    assert draining(IPV4, 42) == 1
    await IPV4.applier.tidy()
    assert draining(IPV4, 42) == 0
    lines = virtual_servers().splitlines()
    place = next(index for index, line in enumerate(lines) if "0A60002A:0050" in line)
    assert "0AF40107:1F90" in lines[place + 1]
    assert not lines[place + 2 :] or "->" not in lines[place + 2]
    await live.remove(ServicePortName("shop", "idle", "", "TCP"))


@case
async def affinity() -> None:
    """With affinity a client stays with its backend, and another may have another one"""
    for w in (IPV4, IPV6):
        live = Live(w)
        entry = w.entry("cluster IP", w.service(43), 80, INTERNAL)
        await live.put(w.rules("sticky", "TCP", "near next far", entry, affinity=100))
        assert len(ask_often(6, "client", "TCP", w.service(43), 80)) == 1
        assert len({ask(s, "TCP", w.service(43), 80).split()[0] for s in ("client", "node2", "next")}) > 1
        await live.remove(ServicePortName("shop", "sticky", "", "TCP"))


@case
async def udp_moves() -> None:
    """A UDP client with a fixed port goes to the new backend once its stale flow is deleted"""
    for w in (IPV4, IPV6):
        live = Live(w)
        entry = w.entry("cluster IP", w.service(44), 53, INTERNAL)
        await live.put(w.rules("dns", "UDP", "near", entry))
        cleaner = FlowCleaner()
        cleaner.start()

        def clean(*keep: str, w: World = w, cleaner: FlowCleaner = cleaner) -> None:
            address = ip_address(w.service(44)).packed
            kept = frozenset(backend.address for backend in w.backends(" ".join(keep)))
            cleaner.submit([StaleFlows(w.family, address, 53, kept)])
            assert cleaner.idle(10)

        try:
            asking = (w.service(44), 53, 5555)
            assert ask("near", "UDP", *asking) == w.seen("near:node", "near")
            await live.put(w.rules("dns", "UDP", "far", entry))
            clean("far")
            assert ask("near", "UDP", *asking) == w.seen("far:self", "near")
            await live.put(w.rules("dns", "UDP", "", entry._replace(paths=(REJECT,))))
            clean()
            assert until(lambda w=w, asking=asking: ask("near", "UDP", *asking) == "refused")  # type: ignore[misc]
            await live.put(w.rules("dns", "UDP", "next", entry))
            clean("next")
            assert ask("near", "UDP", *asking) == w.seen("next:self", "near")
        finally:
            cleaner.close()
        await live.remove(ServicePortName("shop", "dns", "", "UDP"))


FOREIGN: Final = {
    "the virtual servers are gone": "flush",
    "an address is gone": "ip address del 10.96.0.10/32 dev kube-ipvs0",
    "the dummy link is gone": "ip link del kube-ipvs0",
    "a member is gone": "ipset del KUBE-CLUSTER-IP 10.96.0.10,tcp:80",
    "a chain is empty": "iptables-legacy -t nat -F KUBE-SERVICES",
    "a jump is gone": "iptables-legacy -t mangle -F PREROUTING",
}


@case
async def foreign() -> None:
    """What others remove is noticed, and put back by a full sync"""
    w = IPV4
    for what, command in FOREIGN.items():
        if command == "flush":
            flush()
        else:
            tell(*command.split())
        assert not await w.applier.intact(), what
        done = await w.applier.sync(RuleSet(w.node, {port.name: port for port in shop(w)}), None)
        assert done.rules > 0, what
        assert await w.applier.intact(), what
        assert len(ask_often(6, "client", "TCP", w.service(10), 80)) == 3, what


def flush() -> None:
    """Remove all virtual servers."""
    number = generic_family("IPVS")
    assert number is not None
    with Netlink(16, "IPVS") as link:
        link.command(number, 0, b"\x11\x01\0\0")


@case
async def left_alone() -> None:
    """Virtual servers in excludeCIDRs are not removed, others are"""
    w = IPV4
    rules = RuleSet(w.node, {port.name: port for port in shop(w)})
    applier = w.new(exclude=(network("192.0.2.0/24"),))
    await applier.prepare()
    stranger = w.rules(
        "x", "TCP", "near", *(w.entry("cluster IP", a, 80, INTERNAL) for a in ("192.0.2.1", "198.51.100.9"))
    )
    await w.applier.sync(RuleSet(w.node, {**rules.ports, stranger.name: stranger}), None)
    await applier.sync(rules, None)
    text = virtual_servers()
    assert "C0000201:0050" in text
    assert "C6336409:0050" not in text
    await w.applier.sync(rules, None)
    assert "C0000201:0050" not in virtual_servers()


@case
async def own_address() -> None:
    """The node's own address as external IP gets the Service's port, and keeps its others"""
    w = IPV4
    live = Live(w)
    await live.put(w.rules("own", "TCP", "near", w.entry("external IP", w.at("node"), 81, EXTERNAL)))
    assert ask("client", "TCP", w.at("node"), 81) == w.seen("near:node", "client")
    assert w.at("node") not in listed(w).partition("KUBE-IPVS-IPS")[2].partition("Name:")[0]
    await live.remove(ServicePortName("shop", "own", "", "TCP"))
    assert w.at("node") in tell("ip", "address")


@case
async def on_the_node() -> None:
    """A backend on the node itself, such as the API server, is reached by pods, others and the node"""
    for w in (IPV4, IPV6):
        live = Live(w)
        await live.put(w.rules("api", "TCP", "node", w.entry("cluster IP", w.service(45), 443, INTERNAL)))
        assert ask("near", "TCP", w.service(45), 443) == f"node {w.at('near')}"
        for source in ("node", "client"):
            assert ask(source, "TCP", w.service(45), 443).startswith("node "), source
        await live.remove(ServicePortName("shop", "api", "", "TCP"))


@case
async def no_scheduler() -> None:
    """A scheduler that the kernel lacks is a mistake that names its module; the others load"""
    with pytest.raises(ConfigError, match="ip_vs_best"):
        await IPV4.new(scheduler="best").prepare()
    for scheduler in ("wrr", "lc", "wlc", "lblc", "lblcr", "sh", "dh", "sed", "nq", "mh"):
        await IPV4.new(scheduler=scheduler).prepare()


@case
async def settings() -> None:
    """The kernel's settings and time-outs are as they should be"""
    await IPV4.new(strict_arp=True, timeouts=(901, 0, 302)).prepare()
    names = ("vs/conntrack", "vs/expire_nodest_conn", "ip_forward", "conf/all/arp_ignore", "conf/all/arp_announce")
    assert [setting(name) for name in names] == ["1", "1", "1", "1", "2"]


@case
async def cleaned() -> None:
    """A cleanup leaves nothing, and a second one is no error"""
    for w in (IPV4, IPV6):
        await w.applier.cleanup()
        await w.applier.cleanup()
        assert [line for line in save(w) if "KUBE" in line] == []
    assert "kube-ipvs0" not in tell("ip", "link")
    assert tell("ipset", "list", "-n") == ""
    assert len(virtual_servers().splitlines()) == 3


async def main() -> int:
    """Run all cases in their order."""
    build()
    Servers()
    failed = 0
    for title, function in CASES.items():
        try:
            await function()
        except BaseException as error:  # noqa: BLE001 - reported as the case's failure
            failed += 1
            where = traceback.extract_tb(error.__traceback__)[-1]
            why = " ".join(str(error).split())
            sys.stdout.write(f"FAILED {title}: {type(error).__name__} {why} (line {where.lineno} of {where.name})\n")
        else:
            sys.stdout.write(f"ok {title}\n")
        sys.stdout.flush()
    return min(failed, 1)


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
