"""Which rules local DNS gets on this machine, and their removal; ``kdns proxy`` needs it without DNS."""

import logging
from collections.abc import Sequence
from typing import Final

from kdns.base.errors import ConfigError, KernelError
from kdns.kernel.run import run, tally
from kdns.nodelocal.app import clean_up
from kdns.nodelocal.rules import IpsetRules, NftRules, Rules
from kdns.proxy.apply.iptables_tools import detect, installed
from kdns.proxy.model import Family

LOG: Final = logging.getLogger("kdns.nodelocal")


async def choose_rules(kind: str) -> Rules:
    """The rules to write. Raises ConfigError if the kernel takes none of them."""
    if kind != "ipset":
        rules: Rules = NftRules()
        try:
            await rules.prepare()
        except ConfigError as error:
            if kind == "nftables":
                raise
            LOG.info("%s", error.problem)
        else:
            return rules
    rules = IpsetRules(_detected, _variants)
    await rules.prepare()
    return rules


async def clean_up_local_dns() -> int:
    """``--cleanup``: 1 if something of the local DNS is still there."""
    try:
        await clean_up((NftRules(), IpsetRules(_detected, _variants)))
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
