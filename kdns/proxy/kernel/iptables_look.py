"""What iptables has now: read back in a form that stays small however many rules there are."""

import ctypes
import re
import socket
import struct
from collections import Counter
from collections.abc import Iterable
from typing import Final, NamedTuple

from kdns.errors import KernelError
from kdns.proxy.kernel.iptables_tools import Tool
from kdns.proxy.kernel.run import Runner, Tallier
from kdns.proxy.model import Family, NodeRules, RuleSet, ServicePortRules
from kdns.proxy.render.iptables import Found, dispatching, sample
from kdns.proxy.render.iptables_fixed import JUMPS, SHARED_CHAINS, SHARED_JUMPS, Jump, martian_guard
from kdns.proxy.render.iptables_names import CANARY, FAMILIES, SERVICES, SHARED_FIREWALL
from kdns.proxy.render.iptables_sheet import TABLES

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
    """Read a table."""
    return Look(table, await tally(tool.save(table), _WANTED))


async def sampled(tool: Tool, rules: RuleSet, ports: Iterable[ServicePortRules], tally: Tallier) -> bool:
    """Of nat, the chains that all traffic goes through, and those of some service ports, are as they should be.

    For the nft variant, which lists single chains quickly, but takes many seconds over a table of 300,000 rules.
    """
    counts = {**dispatching(rules), **sample(ports, rules.node)}
    for chain in (*counts, *{jump.chain for jump in JUMPS if jump.table == "nat"}):
        try:
            there = Look("nat", await tally(tool.command("nat", "-S", chain), _WANTED))
        except KernelError as error:
            if error.code == 1:  # no such chain
                return False
            raise
        if chain in counts and there.rules != counts[chain]:
            return False
        if not all(there.has(jump) for jump in JUMPS if (jump.table, jump.chain) == ("nat", chain)):
            return False
    return True


async def tables(tool: Tool, tally: Tallier) -> list[str]:
    """Which of the tables that we write there are, without bringing any into the kernel."""
    there = await tally(tool.save(), _TABLES)
    return [table for table in TABLES if f"*{table}" in there]


async def find(tool: Tool, node: NodeRules, run: Runner, tally: Tallier) -> Found:
    """What a full sync has to know of the kernel."""
    looks = {table: await look(tool, table, tally) for table in ("filter", "nat")}
    chains = {table: seen.chains for table, seen in looks.items()}
    jumps = []
    for jump in (*JUMPS, *SHARED_JUMPS):
        there = looks[jump.table].has(jump)
        # Somebody else's spelling of it, or another release's, only the tool can compare.
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
    words = [word.replace("\0", " ").strip('"') for word in re.sub(r'"[^"]*"', _glue, body).split()]
    try:
        await run(tool.command(table, "-C", chain, *words))
    except KernelError as error:
        if error.code == 1:
            return False
        raise
    return True


def _glue(match: re.Match[str]) -> str:
    return match[0].replace(" ", "\0")


def complete(look: Look, rules: int) -> bool:
    """The table has all jumps, the canary, and as many rules of ours as it should."""
    jumps = (jump for jump in (*JUMPS, *SHARED_JUMPS) if jump.table == look.table)
    return CANARY in look.chains and look.rules == rules and all(look.has(jump) for jump in jumps)


def fingerprint(family: Family, *, nft: bool) -> object:
    """Something that is another after somebody has changed rules, and costs next to nothing; None: there is none."""
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
