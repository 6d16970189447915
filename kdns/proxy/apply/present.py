"""Whether this node's kernel already has Service rules: ours, or kube-proxy's, from before this process began."""

import socket

from kdns.base.errors import KernelError
from kdns.kernel.run import Runner, run
from kdns.proxy.model import Family

TABLES = {Family.IPV4: "table ip kube-proxy", Family.IPV6: "table ip6 kube-proxy"}
"""As ``nft list tables`` has them."""
IPVS_DEVICE = "kube-ipvs0"
PATIENCE = 30.0
"""Seconds for a tool, which may have to wait for a lock."""


async def rules_present(family: Family, runner: Runner = run) -> bool:
    """Rules of any mode are in the kernel, whatever wrote them. Tools that are missing have written none."""
    if any(name == IPVS_DEVICE for _, name in socket.if_nameindex()):
        return True
    if TABLES[family] in (await _output(["nft", "list", "tables"], runner) or ""):
        return True
    tool = "iptables" if family is Family.IPV4 else "ip6tables"
    for variant in (f"{tool}-nft", f"{tool}-legacy", tool):
        if await _output([variant, "-w", "5", "-t", "nat", "-S", "KUBE-SERVICES", "1"], runner) is not None:
            return True
    return False


async def _output(argv: list[str], runner: Runner) -> str | None:
    try:
        return await runner(argv, patience=PATIENCE)
    except KernelError:
        return None  # no such tool, or no such chain
