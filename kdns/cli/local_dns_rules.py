"""Which rules local DNS gets on this machine, and their removal; ``kdns proxy`` needs it without DNS."""

import logging
from collections.abc import Sequence
from typing import Final

from kdns.base.errors import ConfigError, KernelError
from kdns.kernel.run import run, tally
from kdns.nodelocal.app import clean_up
from kdns.nodelocal.rules import IptablesLocalRules, LocalRules, NftablesLocalRules
from kdns.proxy.apply.iptables_tools import detect, installed
from kdns.proxy.model import Family

LOG: Final = logging.getLogger("kdns.nodelocal")


async def choose_rules(kind: str) -> tuple[LocalRules, LocalRules]:
    """The rules to write, and those of the other kind. Raises ConfigError if the kernel takes neither."""
    by_nft, by_iptables = NftablesLocalRules(), IptablesLocalRules(_detected, _variants)
    if kind != "iptables":
        try:
            await by_nft.prepare()
        except ConfigError as error:
            if kind == "nftables":
                raise
            LOG.info("%s", error.problem)
        else:
            return by_nft, by_iptables
    await by_iptables.prepare()
    return by_iptables, by_nft


async def clean_up_local_dns() -> int:
    """``--cleanup``: 1 if something of the local DNS is still there."""
    try:
        await clean_up((NftablesLocalRules(), IptablesLocalRules(_detected, _variants)))
    except (KernelError, OSError) as error:
        LOG.error("local DNS: %s", error)
        return 1
    return 0


def _family(width: int) -> Family:
    return Family.IPV4 if width == 4 else Family.IPV6


async def _detected(width: int) -> Sequence[str]:
    return [(await detect(_family(width), run, tally)).program]


async def _variants(width: int) -> Sequence[str]:
    return list({tool.nft: tool.program for tool in await installed(_family(width), run)}.values())
