"""What the tests call the modes: iptables comes in two variants."""

import os
from typing import Final, Literal

import pytest
from _pytest.mark import ParameterSet

from kdns.kernel.run import run
from kdns.proxy.apply.applier import Applier
from kdns.proxy.apply.iptables import IptablesApplier
from kdns.proxy.apply.iptables_tools import Tool, installed
from kdns.proxy.apply.ipvs import Ipvs, IpvsSettings
from kdns.proxy.apply.nftables import NftablesApplier
from kdns.proxy.model import Family, Mode, NodeRules

Variant = Literal["iptables-nft", "iptables-legacy", "nftables", "ipvs"]
HERE: Final[tuple[Variant, ...]] = ("iptables-nft", "iptables-legacy", "nftables")
"""Those that an ordinary kernel has."""
ASKED: Final = "KDNS_FLOWS"
"""An environment variable that names others: inside User-Mode Linux it is ipvs."""


def variants() -> list[ParameterSet]:
    """What to try in this kernel, as parameters of a test."""
    names = os.environ.get(ASKED, "").split() or HERE
    marks = [pytest.mark.skipif(bool(os.geteuid()), reason="no network namespaces without root")]
    return [pytest.param(name, marks=marks) for name in names]


def mode_of(variant: Variant) -> Mode:
    """The mode it is a variant of."""
    return "iptables" if variant in ("iptables-nft", "iptables-legacy") else variant  # type: ignore[return-value]


async def applier(variant: Variant, node: NodeRules) -> Applier:
    """Made and prepared; call it where it shall write."""
    made: Applier
    match variant:
        case "iptables-nft" | "iptables-legacy":
            made = IptablesApplier(node.family, tool=await _tool(node.family, nft=variant == "iptables-nft"))
        case "nftables":
            made = NftablesApplier(node.family)
        case "ipvs":
            made = Ipvs(node, IpvsSettings(), variant="legacy")
    await made.prepare()
    return made


async def _tool(family: Family, *, nft: bool) -> Tool:
    return next(tool for tool in await installed(family, run) if tool.nft is nft)
