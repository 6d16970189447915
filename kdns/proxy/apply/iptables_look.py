"""What iptables has now: read back in a form that stays small however many rules there are."""

import asyncio
import ctypes
import re
import shlex
import socket
import struct
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

from kdns.base.errors import KernelError
from kdns.kernel.run import Runner, Tallier
from kdns.proxy.apply.iptables_tools import Tool
from kdns.proxy.model import Family, NodeRules, RuleSet
from kdns.proxy.render.iptables.fixed import JUMPS, SHARED_CHAINS, SHARED_JUMPS, Jump, martian_guard
from kdns.proxy.render.iptables.names import CANARY, FAMILIES, MARK_MASQUERADE, POSTROUTING, SERVICES, SHARED_FIREWALL
from kdns.proxy.render.iptables.restore_input import TABLES
from kdns.proxy.render.iptables.table import Found, dispatching, sample

_WANTED: Final = re.compile(
    rb"^(?::\S+|-A KUBE-(?:SVC|SVL|EXT|FW|SEP)-|-A KUBE-\S+"
    rb"|-A .*-j KUBE-\S+)",
    re.MULTILINE,
)


_TABLES: Final = re.compile(rb"^\*\w+", re.MULTILINE)


class Look(NamedTuple):
    """One table, as it is."""

    table: str
    lines: Counter[str]
    """``:CHAIN``, ``-A CHAIN`` for each rule in one of ours, and whole rules that jump to ours from elsewhere."""

    @property
    def chains(self) -> frozenset[str]:
        """Its chains."""
        return frozenset(line[1:] for line in self.lines if line[0] == ":")

    @property
    def rules(self) -> int:
        """How many rules are in chains that are ours alone."""
        ours = (
            *(f"-A {prefix}" for prefix in FAMILIES),
            *(f"-A {chain}" for chain in SHARED_CHAINS.get(self.table, ())),
        )
        return sum(self.lines[line] for line in ours)

    def has(self, jump: Jump) -> bool:
        """The jump is in place, as iptables-save spells it."""
        return f"-A {jump.chain} {jump.body}" in self.lines


async def look(tool: Tool, table: str, tally: Tallier) -> Look:
    """Read a table as a whole. The nft variant reads all others with it, so this is for the one that is the largest."""
    return Look(table, await tally(tool.save(table), _WANTED))


async def glance(tool: Tool, table: str, chains: Iterable[str], tally: Tallier) -> Look:
    """Read only some chains of a table."""
    lines: Counter[str] = Counter()
    for chain in chains:
        try:
            lines += await tally(tool.command(table, "-S", chain), _WANTED)
        except KernelError as error:
            if error.code != 1:
                raise
        else:
            lines[f":{chain}"] += 1
    return Look(table, lines)


def watched(table: str) -> tuple[str, ...]:
    """The chains of a table that are the same for all Services, or lead to those that are."""
    jumping = {jump.chain for jump in (*JUMPS, *SHARED_JUMPS) if jump.table == table}
    return (*sorted(jumping), *SHARED_CHAINS.get(table, ()), CANARY)


async def find(tool: Tool, node: NodeRules, run: Runner, tally: Tallier) -> Found:
    """What a full sync has to know of the kernel."""
    filter_ = await glance(tool, "filter", (*watched("filter"), SHARED_FIREWALL), tally)
    looks = {"filter": filter_, "nat": await look(tool, "nat", tally)}
    chains = {table: seen.chains for table, seen in looks.items()}
    jumps = []
    for jump in (*JUMPS, *SHARED_JUMPS):
        there = looks[jump.table].has(jump)
        # Another program's or another release's spelling of it only the tool can compare.
        if not there and jump.target in chains[jump.table]:
            there = await holds(tool, jump.table, jump.chain, jump.body, run)
        if there:
            jumps.append(jump)
    guard = martian_guard(node)
    guarded = (
        guard is not None
        and SHARED_FIREWALL in chains["filter"]
        and await holds(tool, "filter", SHARED_FIREWALL, guard, run)
    )
    return Found(chains, jumps, guarded, looks["nat"].lines[f"-A {SERVICES}"] > 0)


async def holds(tool: Tool, table: str, chain: str, body: str, run: Runner) -> bool:
    """The chain has this rule."""
    try:
        await run(tool.command(table, "-C", chain, *shlex.split(body)))
    except KernelError as error:
        if error.code == 1:
            return False
        raise
    return True


async def intact(tool: Tool, given: RuleSet, totals: Mapping[str, int], port: int | None, tally: Tallier) -> bool:
    """All jumps are there, the canaries, and as many rules in our chains as there should be.

    `port`: which service port's chains are looked at in nat, besides those that all share; None: all. That is for the
    nft variant, which lists single chains quickly, but takes many seconds over a table of 300,000 rules.
    """
    for table in ("mangle", "filter"):
        if not _complete(await glance(tool, table, watched(table), tally), totals.get(table, 0)):
            return False
    if port is None:
        return _complete(await look(tool, "nat", tally), totals.get("nat", 0))
    ports = list(given.ports.values())
    counts = await asyncio.to_thread(dispatching, given)
    counts |= {**sample([ports[port % len(ports)]], given.node), POSTROUTING: 3, MARK_MASQUERADE: 1}
    chains = dict.fromkeys((*watched("nat"), *counts))
    return _complete(await glance(tool, "nat", chains, tally), sum(counts.values()))


def _complete(look: Look, rules: int) -> bool:
    jumps = (jump for jump in (*JUMPS, *SHARED_JUMPS) if jump.table == look.table)
    return CANARY in look.chains and look.rules == rules and all(look.has(jump) for jump in jumps)


async def tables(tool: Tool, tally: Tallier) -> list[str]:
    """Which of the tables that we write there are, without bringing any into the kernel."""
    there = await tally(tool.save(), _TABLES)
    return [table for table in TABLES if f"*{table}" in there]


def fingerprint(family: Family, *, nft: bool) -> object:
    """Something that differs after rules have been changed, and costs next to nothing; None: there is none."""
    try:
        return _generation() if nft else tuple(_size(family, table) for table in TABLES)
    except OSError:
        return None


def _generation() -> int | None:
    """How often nf_tables rules have changed in this network namespace (NFT_MSG_GETGEN)."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 12) as netlink:  # 12: NETLINK_NETFILTER
        netlink.settimeout(1.0)
        netlink.send(struct.pack("=IHHII4x", 20, 10 << 8 | 16, 1, 1, 0))
        reply = netlink.recv(4096)
    kind = struct.unpack_from("=H", reply, 4)[0]
    if kind != (10 << 8 | 15) or len(reply) < 28:
        return None
    # After 16 octets of netlink's header and 4 of netfilter's comes the generation, as the first attribute.
    length, attribute, generation = struct.unpack_from("=HH4s", reply, 20)
    return int.from_bytes(generation, "big") if (length, attribute) == (8, 1) else None


def _size(family: Family, table: str) -> tuple[int, int]:
    """How many rules, and how many octets, a table of legacy iptables has (IPT_SO_GET_INFO)."""
    libc = ctypes.CDLL(None, use_errno=True)
    internet, level = (socket.AF_INET, 0) if family is Family.IPV4 else (socket.AF_INET6, 41)
    info = ctypes.create_string_buffer(table.encode(), 84)
    length = ctypes.c_uint32(len(info))
    with socket.socket(internet, socket.SOCK_RAW, socket.IPPROTO_RAW) as raw:
        if libc.getsockopt(raw.fileno(), level, 64, info, ctypes.byref(length)):
            raise OSError(ctypes.get_errno(), f"size of table {table}")
    rules, octets = struct.unpack_from("=II", info.raw, 76)
    return rules, octets
