"""What strangers do to our rules; each part of a mode is removed once. They run in the node."""

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from functools import partial
from typing import Any, Final

from kdns.kernel.netlink import generic_family
from kdns.kernel.run import run
from kdns.proxy.apply.ipvs_virtual import VirtualKernel
from kdns.proxy.model import Family
from tests.proxy.flows.modes import Variant

Disturbance = Callable[[], Coroutine[Any, Any, None]]


async def _tools(commands: Sequence[str]) -> None:
    for command in commands:
        await run(command.split())


def _iptables(suffix: str, words: str) -> Disturbance:
    return partial(_tools, [f"{program}{suffix} -w 5 {words}" for program in ("iptables", "ip6tables")])


def _each_table(suffix: str) -> Disturbance:
    """What an administrator does who wants to have no firewall."""
    tools = ("iptables", "ip6tables")
    words = [f"-t {table} {flag}" for table in ("nat", "filter", "mangle") for flag in ("-F", "-X")]
    return partial(_tools, [f"{tool}{suffix} -w 5 {one}" for tool in tools for one in words])


def _nft(words: str) -> Disturbance:
    return partial(_tools, [f"nft {words.format(family)}" for family in ("ip", "ip6")])


async def _remove_virtual_servers() -> None:
    def remove() -> None:
        number = generic_family("IPVS")
        assert number is not None
        for family in Family:
            servers = VirtualKernel(family, number)
            codes = servers.remove(list(servers.virtuals()))
            servers.close()
            assert codes
            assert not any(codes)

    await asyncio.to_thread(remove)


def _of_iptables(suffix: str) -> Sequence[Disturbance]:
    return (
        _each_table(suffix),
        _iptables(suffix, "-t nat -F KUBE-SERVICES"),
        _iptables(suffix, "-t nat -D PREROUTING 1"),
        _iptables(suffix, "-t filter -F KUBE-FORWARD"),
    )


DISTURBANCES: Final[Mapping[Variant, Sequence[Disturbance]]] = {
    "iptables-nft": _of_iptables("-nft"),
    "iptables-legacy": _of_iptables("-legacy"),
    "nftables": (
        _nft("delete table {} kube-proxy"),
        _nft("flush chain {} kube-proxy services"),
        _nft("flush map {} kube-proxy service-ips"),
    ),
    "ipvs": (
        _remove_virtual_servers,
        partial(_tools, ["ip link delete kube-ipvs0"]),
        _each_table("-legacy"),
    ),
}
