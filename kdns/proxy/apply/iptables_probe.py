"""Whether a variant of iptables, and the kernel under it, can do all that the rules need."""

from typing import Final

from kdns.base.errors import ConfigError, KernelError
from kdns.kernel.run import Runner
from kdns.proxy.apply.iptables_tools import LOCKED, Tool
from kdns.proxy.model import Family
from kdns.proxy.render.iptables.matches import counted
from kdns.proxy.render.iptables.names import CANARY, COUNTERS
from kdns.proxy.render.iptables.restore_input import TABLES, RestoreInput

_RULES: Final = (
    ("nat", "-m comment --comment probe", "xt_comment"),
    ("nat", "-m statistic --mode random --probability 0.5", "xt_statistic"),
    ("nat", f"-m recent --name {CANARY} --rcheck --seconds 1 --reap", "xt_recent"),
    ("nat", "-m addrtype --dst-type LOCAL", "xt_addrtype"),
    ("nat", "-m mark --mark 0x1/0x1", "xt_mark"),
    ("nat", "-j MARK --or-mark 0x1", "xt_mark"),
    ("nat", "-m tcp -p tcp -j DNAT --to-destination {address}:1", "xt_nat"),
    ("nat", "-j MASQUERADE{random}", "xt_MASQUERADE"),
    ("filter", "-m conntrack --ctstate NEW", "xt_conntrack"),
    ("filter", "-j REJECT", "ip{v6}t_REJECT"),
)
"""Something of each sort, in a chain that nothing leads to, and the kernel module that brings it."""


async def probe(family: Family, tool: Tool, run: Runner) -> None:
    """Raises ConfigError: what is missing, and what brings it; KernelError if the tool was locked out."""
    v6 = family is Family.IPV6
    words = {
        "address": "[2001:db8::1]" if v6 else "192.0.2.1",
        "random": " --random-fully" if tool.modern else "",
        "v6": "6" if v6 else "",
    }
    rules = [(table, rule.format_map(words), module.format_map(words)) for table, rule, module in _RULES]
    for table in TABLES:
        module = ("nft_chain_nat" if table == "nat" else "nft_compat") if tool.nft else f"ip{words['v6']}table_{table}"
        await _try(tool, run, table, (), f"has no table {table}", module)
    try:
        await _all(tool, run, rules)
    except KernelError:
        for table, rule, module in rules:
            needs = f"nft_compat and {module}" if tool.nft else module
            await _try(tool, run, table, (rule,), f"does not take rules like {rule!r}", needs)
        raise
    await _all(tool, run, [])


async def counts(tool: Tool, run: Runner) -> bool:
    """Rules can count packets: the kernel has the counters (`create_counters` was called), and both take the match."""
    sheet = RestoreInput()
    sheet.chains("filter", (CANARY,))
    sheet.rules("filter", (f"-A {CANARY} {counted(name)}" for name in COUNTERS))
    try:
        await run(tool.restore, sheet.script().text)
    except KernelError as error:
        if error.code == LOCKED:
            raise
        return False
    await _all(tool, run, [])
    return True


async def _all(tool: Tool, run: Runner, rules: list[tuple[str, str, str]]) -> None:
    sheet = RestoreInput()
    for table in TABLES:
        sheet.chains(table, (CANARY,))
        sheet.rules(table, (f"-A {CANARY} {rule}" for where, rule, _ in rules if where == table))
    await run(tool.restore, sheet.script().text)


async def _try(tool: Tool, run: Runner, table: str, rules: tuple[str, ...], problem: str, module: str) -> None:
    sheet = RestoreInput()
    sheet.chains(table, (CANARY,))
    sheet.rules(table, (f"-A {CANARY} {rule}" for rule in rules))
    try:
        await run(tool.restore, sheet.script().text)
    except KernelError as error:
        stderr = error.stderr.strip()
        if "lock file" in stderr:
            hint = "in a container, mount the host's /run/xtables.lock (hostPath, type FileOrCreate)"
            raise ConfigError(f"mode iptables: {tool.program}: {stderr}", hint=hint) from error
        if error.code == LOCKED and "lock" in stderr:
            raise
        if "Permission denied" in stderr or "Operation not permitted" in stderr:
            hint = "it takes root with the capability NET_ADMIN (for a container: privileged, as kube-proxy's)"
            raise ConfigError(f"mode iptables: {tool.program}: {stderr}", hint=hint) from error
        raise ConfigError(
            f"mode iptables: {tool.program} {problem}: {stderr}",
            hint=f"it needs the kernel module {module} (modprobe, on the node); Debian's tool is in package iptables",
        ) from error
