"""What a proxy has written on a node, as text."""

from collections.abc import Iterator
from typing import Final

from kdns.kernel.netlink import generic_family
from kdns.lab import namespaces as kernel
from kdns.lab.kind import Kind
from kdns.lab.network import Network
from kdns.proxy.apply.ipvs_virtual import VirtualKernel
from kdns.proxy.model import Family
from kdns.proxy.render.ipvs.virtual_servers import Virtual

TABLE: Final = "ip kube-proxy"
"""The table of nftables mode, for IPv4."""


def iptables_save(kind: Kind) -> str:
    """The program that prints the rules of iptables mode."""
    return f"iptables-{kind.iptables}-save -t nat"


def written(network: Network, node: str, kind: Kind) -> tuple[str, ...]:
    """Every IPv4 rule, map element or virtual server, in order, without counters."""
    if kind.mode == "ipvs":
        return tuple(virtual_servers(network.parts[node].network))
    command = iptables_save(kind) if kind.iptables else f"nft list table {TABLE}"
    lines = network.run(node, command.split()).stdout.splitlines()
    if kind.iptables:
        return tuple(sorted(line for line in lines if line.startswith("-A")))
    return tuple(sorted(line.strip().rstrip(",}").removeprefix("elements = { ").strip() for line in lines))


def virtual_servers(network: int, family: Family = Family.IPV4) -> Iterator[str]:
    """The virtual servers of a network namespace, as `ipvsadm -ln` prints them, without connections."""
    number = generic_family("IPVS")
    if number is None:
        return
    with kernel.inside(network):
        reading = VirtualKernel(family, number)
    try:
        yield "Prot LocalAddress:Port Scheduler Flags"
        yield "  -> RemoteAddress:Port           Forward Weight"
        for at, virtual in sorted(reading.virtuals().items()):
            yield f"{at} {virtual.scheduler}{_flags(virtual)}"
            for real in sorted(reading.reals(at)):
                yield f"  -> {real.backend!s:<28} Masq    {real.weight}"
    finally:
        reading.close()


def remove_virtual_servers(network: int) -> None:
    """What `ipvsadm -C` does in a network namespace."""
    number = generic_family("IPVS")
    if number is None:
        return
    for family in Family:
        with kernel.inside(network):
            servers = VirtualKernel(family, number)
        try:
            servers.remove(tuple(servers.virtuals()))
        finally:
            servers.close()


def _flags(virtual: Virtual) -> str:
    return f" persistent {virtual.timeout}" if virtual.timeout else ""
