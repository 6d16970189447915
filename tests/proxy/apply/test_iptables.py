"""iptables mode in real kernels: the nft and the legacy variant, both families, each test in its own namespace."""

import fcntl
import os
import re
import shutil
import subprocess
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from msgspec.structs import replace

from kdns.base.errors import KernelError
from kdns.kernel.nfacct import packets
from kdns.kernel.run import PATIENCE, run, tally
from kdns.proxy.apply import iptables as applier_module
from kdns.proxy.apply.iptables import IptablesApplier
from kdns.proxy.apply.iptables_tools import Tool, detect, installed
from kdns.proxy.model import Family, RuleChange, RuleSet
from kdns.proxy.render.iptables.names import COUNTERS
from kdns.proxy.render.iptables.table import script
from tests.proxy.apply.iptables_netns import inside_netns
from tests.proxy.iptables_plan import INSIDE, cart, entry, node, port, rich, rich6, rule_set

pytestmark = [pytest.mark.kernel]

VARIANTS = ["iptables-nft", "iptables-legacy", "ip6tables-nft", "ip6tables-legacy"]


@pytest.fixture(autouse=True)
def netns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Tables of our own, and for the legacy variant a lock of our own."""
    if os.geteuid() != 0:
        pytest.skip("network namespaces need root")
    if missing := [program for program in ("ip", *VARIANTS) if shutil.which(program) is None]:
        pytest.skip(f"not installed: {', '.join(missing)}")
    monkeypatch.setenv("XTABLES_LOCKFILE", str(tmp_path / "xtables.lock"))
    with inside_netns() as name:
        yield name


@pytest.fixture(params=VARIANTS)
async def tool(request: pytest.FixtureRequest) -> Tool:
    """Each variant for each family."""
    family = Family.IPV6 if request.param.startswith("ip6") else Family.IPV4
    return next(tool for tool in await installed(family, run) if tool.program == request.param)


@pytest.fixture
def rules(tool: Tool) -> RuleSet:
    """Services of every sort, in the tool's family."""
    return rich6() if tool.program.startswith("ip6") else rich()


@pytest.fixture
def applier(tool: Tool, rules: RuleSet) -> IptablesApplier:
    """One that has written nothing yet."""
    return IptablesApplier(rules.node.family, tool=tool)


def sh(*argv: str, stdin: str = "") -> str:
    """A command's output."""
    done = subprocess.run(argv, input=stdin, capture_output=True, check=False, text=True)
    assert done.returncode == 0, (argv, done.stderr)
    return done.stdout


def saved(tool: Tool, table: str = "") -> list[str]:
    """What there is, without comments and counters."""
    lines = sh(*tool.save(table)).splitlines()
    return [re.sub(r" \[\d+:\d+\]$", "", line) for line in lines if line[0] != "#"]


def chains(lines: Sequence[str]) -> set[str]:
    return {line.split()[0][1:] for line in lines if line.startswith(":KUBE-")}


async def test_everything_is_in_the_kernel(tool: Tool, rules: RuleSet, applier: IptablesApplier) -> None:
    """Every chain and every rule of a rich rule set can be read back, and the totals are right."""
    await applier.prepare()
    applied = await applier.sync(rules, None)
    text = script(rules._replace(node=replace(rules.node, packet_counters=bool(packets(COUNTERS)))))
    for table, part in re.findall(r"^\*(\w+)\n(.*?)^COMMIT", text, re.MULTILINE | re.DOTALL):
        there = saved(tool, table)
        assert chains(there) == set(re.findall(r"^:(\S+)", part, re.MULTILINE))
        wanted = Counter(line.split()[1] for line in part.splitlines() if line[:2] in ("-A", "-I"))
        assert Counter(line.split()[1] for line in there if line.startswith("-A")) == wanted
        in_ours = sum(count for name, count in wanted.items() if name.startswith("KUBE-") and name != "KUBE-FIREWALL")
        assert dict(applied.totals).get(table, 0) == in_ours
        jumps = len(re.findall("^-I ", part, re.MULTILINE))  # which kube-proxy does not count as written
        assert dict(applied.written).get(table, 0) == wanted.total() - jumps
    assert applied.full
    assert applied.rules == len(re.findall(r"^-[AI]", text, re.MULTILINE))


async def test_a_second_sync_writes_nothing(tool: Tool, rules: RuleSet, applier: IptablesApplier) -> None:
    """No changes: nothing is sent. All of it again: the same rules, and no jump twice."""
    first = await applier.sync(rules, None)
    before = saved(tool)
    nothing = await applier.sync(rules, ())
    assert (nothing.rules, nothing.full, nothing.totals) == (0, False, first.totals)
    same = [RuleChange(name, one, one) for name, one in rules.ports.items()]
    assert (await applier.sync(rules, same)).rules == 0
    again = await applier.sync(rules, None)
    assert again.totals == first.totals
    assert sorted(saved(tool)) == sorted(before)


async def test_a_partial_sync_touches_its_service_only(tool: Tool, rules: RuleSet, applier: IptablesApplier) -> None:
    """An endpoint goes: two rules and a chain less, one rule other; the counters of all other rules go on."""
    await applier.sync(rules, None)
    name, before = next((name, one) for name, one in rules.ports.items() if len(one.cluster) > 1 and not one.affinity)
    after = type(before)(name, before.entries, cluster=before.cluster[1:], local=before.local)
    was = saved(tool)
    applied = await applier.sync(RuleSet(rules.node, {**rules.ports, name: after}), [RuleChange(name, before, after)])
    now = saved(tool)
    gone, come = Counter(was) - Counter(now), Counter(now) - Counter(was)
    assert all(str(name) in line or line.startswith(":KUBE-SEP-") for line in (*gone, *come)), (gone, come)
    assert len([line for line in gone if line.startswith(":")]) == 1
    assert not applied.full
    assert 0 < applied.rules < 8
    assert sum(line.startswith("-A") for line in now) == sum(line.startswith("-A") for line in was) - 3
    assert await applier.intact()


async def test_services_come_and_go(tool: Tool, rules: RuleSet, applier: IptablesApplier) -> None:
    """Partial syncs, from nothing to all and back to nothing, leave what full syncs do."""
    empty = rule_set(rules.node)
    first = await applier.sync(empty, None)
    bare = saved(tool)
    applied = await applier.sync(rules, [RuleChange(name, None, one) for name, one in rules.ports.items()])
    assert not applied.full
    assert await applier.intact()
    other = IptablesApplier(rules.node.family, tool=tool)
    by_steps = sorted(saved(tool))
    await other.sync(rules, None)
    assert sorted(saved(tool)) == by_steps
    services = [line for line in saved(tool, "nat") if line.startswith("-A KUBE-SERVICES")]
    assert services[-1].endswith("-j KUBE-NODEPORTS")
    last = await applier.sync(empty, [RuleChange(name, one, None) for name, one in rules.ports.items()])
    assert last.totals == first.totals
    assert sorted(saved(tool)) == sorted(bare)


async def test_stale_chains_vanish(tool: Tool, rules: RuleSet, applier: IptablesApplier) -> None:
    """What an earlier process left for Services that are no more goes with the first full sync."""
    await applier.sync(rules, None)
    few = rule_set(rules.node, next(iter(rules.ports.values())))
    await IptablesApplier(rules.node.family, tool=tool).sync(few, None)
    assert chains(saved(tool)) == set(re.findall(r"^:(\S+)", script(few), re.MULTILINE))


DAMAGE = [
    ("nat", "-F"),
    ("nat", "-F", "KUBE-SERVICES"),
    ("nat", "-F", "KUBE-POSTROUTING"),
    ("nat", "-D", "PREROUTING", "1"),
    ("nat", "-F", "{chain}"),
    ("filter", "-F"),
    ("filter", "-D", "INPUT", "1"),
    ("mangle", "-X", "KUBE-PROXY-CANARY"),
]


@pytest.mark.parametrize("many", [False, True], ids=["whole", "sampled"])
async def test_foreign_hands_are_seen(
    tool: Tool, rules: RuleSet, applier: IptablesApplier, many: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever of ours is flushed or deleted is noticed, and a full sync repairs it; others' rules are no damage."""
    monkeypatch.setattr(applier_module, "LEISURE", 0)
    if many:
        monkeypatch.setattr(applier_module, "MANY", 1)
    await applier.sync(rules, None)
    whole = sorted(saved(tool))
    assert await applier.intact()
    # Each takes a while, and families do not differ here.
    damage = DAMAGE[:1] if tool.program.startswith("ip6") else DAMAGE[::2] if many else DAMAGE
    chain = next(line.split()[1] for line in saved(tool, "nat") if line.startswith("-A KUBE-SVC-"))
    for table, *words in damage:
        sh(*tool.command(table, *(word.format(chain=chain) for word in words)))
        # A sampled look takes one service port after the other, and comes to each in turn.
        looks = [await applier.intact() for _ in range(len(rules.ports) if many else 1)]
        assert False in looks, (table, words)
        await applier.sync(rules, None)
        assert sorted(saved(tool)) == whole, (table, words)
        assert await applier.intact()
    sh(*tool.command("nat", "-A", "PREROUTING", "-j", "ACCEPT"))
    sh(*tool.command("filter", "-N", "FOREIGN"))
    assert await applier.intact()
    assert (await applier.sync(rules, ())).rules == 0


async def test_a_look_costs_nothing_while_nothing_changes(rules: RuleSet, tool: Tool) -> None:
    """The kernel says by itself that no rule was changed; no tool is run for that."""
    ran: list[tuple[str, ...]] = []

    async def counted(argv: Sequence[str], wanted: re.Pattern[bytes], patience: float = PATIENCE) -> Counter[str]:
        ran.append(tuple(argv))
        return await tally(argv, wanted, patience)

    applier = IptablesApplier(rules.node.family, tool=tool, tally=counted)
    await applier.sync(rules, None)
    ran.clear()
    assert await applier.intact()
    assert ran == []
    sh(*tool.command("mangle", "-A", "PREROUTING", "-j", "ACCEPT"))
    assert await applier.intact()
    assert ran != []


async def test_a_refused_rule_names_its_service(tool: Tool, rules: RuleSet, applier: IptablesApplier) -> None:
    """The kernel's no to one Service is told with its name, the others' rules stay, and without it all goes on."""
    await applier.sync(rules, None)
    before, nat = sorted(saved(tool)), sorted(saved(tool, "nat"))
    v6 = tool.program.startswith("ip6")
    bad = port(
        "evil/web:http",
        entry("cluster IP", "fd00:10:96::bad" if v6 else "10.96.99.99", 80, INSIDE),
        cluster="[fd00:10:244::bad]:80" if v6 else "10.244.0.99:80",
        affinity=1 << 40,
    )
    more = RuleSet(rules.node, {**rules.ports, bad.name: bad})
    with pytest.raises(KernelError) as caught:
        await applier.sync(more, [RuleChange(bad.name, None, bad)])
    assert caught.value.refused == bad.name
    with pytest.raises(KernelError) as caught:
        await applier.sync(more, None)
    assert caught.value.refused == bad.name
    assert sorted(saved(tool, "nat")) == nat
    applied = await applier.sync(rules, ())
    assert applied.full, "after a failure, all is written"
    assert sorted(saved(tool)) == before


async def test_cleanup_leaves_nothing(tool: Tool, rules: RuleSet, applier: IptablesApplier) -> None:
    """Of neither variant; KUBE-FIREWALL and rules of others stay, and a second time is no error."""
    family = rules.node.family
    variants = (await installed(family, run))[:2]
    for one in variants:
        sh(*one.command("nat", "-A", "PREROUTING", "-j", "ACCEPT"))
        await IptablesApplier(family, tool=one).sync(rules, None)
    await applier.cleanup()
    await applier.cleanup()
    for one in variants:
        there = saved(one)
        assert chains(there) == {"KUBE-FIREWALL"}
        assert "-A PREROUTING -j ACCEPT" in there
        assert [line for line in there if "-j KUBE" in line] == [
            "-A INPUT -j KUBE-FIREWALL",
            "-A OUTPUT -j KUBE-FIREWALL",
        ]
    assert await applier.intact(), "nothing is missed that was taken away on purpose"
    assert (await applier.sync(rules, ())).full


async def test_cleanup_of_a_node_that_has_nothing(tool: Tool, rules: RuleSet, applier: IptablesApplier) -> None:
    """No tables, no error."""
    await applier.cleanup()
    assert chains(saved(tool)) == set()


LEFT = """*nat
:KUBE-SERVICES - [0:0]
:KUBE-NODEPORTS - [0:0]
:KUBE-POSTROUTING - [0:0]
:KUBE-MARK-MASQ - [0:0]
:KUBE-SVC-KN4ZOSFCOD3IPONJ - [0:0]
:KUBE-SEP-X2YSSGDVGIPFJN7N - [0:0]
:KUBE-SVC-AAAAAAAAAAAAAAAA - [0:0]
:KUBE-SEP-AAAAAAAAAAAAAAAA - [0:0]
-A PREROUTING -m comment --comment "kubernetes service portals" -j KUBE-SERVICES
-A OUTPUT -m comment --comment "kubernetes service portals" -j KUBE-SERVICES
-A POSTROUTING -m comment --comment "kubernetes postrouting rules" -j KUBE-POSTROUTING
-A KUBE-MARK-MASQ -j MARK --set-xmark 0x4000/0x4000
-A KUBE-SVC-KN4ZOSFCOD3IPONJ -m comment --comment "shop/cart:web -> 10.244.1.7:8080" -j KUBE-SEP-X2YSSGDVGIPFJN7N
-A KUBE-SEP-X2YSSGDVGIPFJN7N -p tcp -m tcp -j DNAT --to-destination 10.244.1.7:8080
-A KUBE-SVC-AAAAAAAAAAAAAAAA -j KUBE-SEP-AAAAAAAAAAAAAAAA
-A KUBE-SEP-AAAAAAAAAAAAAAAA -s 10.1.1.1/32 -j KUBE-MARK-MASQ
-A KUBE-SERVICES -d 10.96.7.7/32 -p tcp -m comment --comment "shop/cart:web cluster IP" -m tcp --dport 80 -j KUBE-SVC-KN4ZOSFCOD3IPONJ
-A KUBE-SERVICES -d 10.96.8.8/32 -p tcp -m comment --comment "gone/gone cluster IP" -m tcp --dport 80 -j KUBE-SVC-AAAAAAAAAAAAAAAA
COMMIT
*filter
:KUBE-FIREWALL - [0:0]
:KUBE-FORWARD - [0:0]
-A INPUT -j KUBE-FIREWALL
-A OUTPUT -j KUBE-FIREWALL
-A FORWARD -m comment --comment "kubernetes forwarding rules" -j KUBE-FORWARD
-A KUBE-FIREWALL ! -s 127.0.0.0/8 -d 127.0.0.0/8 -m comment --comment "block incoming localnet connections" -m conntrack ! --ctstate RELATED,ESTABLISHED,DNAT -j DROP
-A KUBE-FORWARD -m conntrack --ctstate INVALID -j DROP
COMMIT
"""  # noqa: E501 - as a node would have it


@pytest.mark.parametrize("tool", VARIANTS[:2], indirect=True)
async def test_what_kube_proxy_left_is_taken_over(tool: Tool, rules: RuleSet, applier: IptablesApplier) -> None:
    """Chains of the same names are used on, jumps are not put there twice, stale ones go, the kubelet's rule stays."""
    sh(*tool.restore, stdin=LEFT)
    await applier.sync(rules, None)
    ours = Counter(line for line in saved(tool) if line.startswith("-A"))
    assert set(ours.values()) == {1}
    assert chains(saved(tool)) == set(re.findall(r"^:(\S+)", script(rules), re.MULTILINE))
    assert await applier.intact()


@pytest.mark.parametrize("after", [1, 2, 3])
async def test_an_interrupted_sync_converges(
    tool: Tool, rules: RuleSet, after: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process dies between two pieces: the next one gets to the same rules, whatever is there by then."""
    monkeypatch.setattr(applier_module, "PIECE", 1)  # each Service on its own
    wanted = rule_set(rules.node, *[one for one in rules.ports.values() if one.name.name != "kube-dns"])
    await IptablesApplier(rules.node.family, tool=tool).sync(wanted, None)
    clean = sorted(saved(tool))
    await IptablesApplier(rules.node.family, tool=tool).cleanup()
    left = after

    async def dying(argv: Sequence[str], stdin: str | bytes = b"", patience: float = PATIENCE) -> str:
        nonlocal left
        if argv[0].endswith("-restore"):
            left -= 1
            if left < 0:
                raise KernelError(argv, -9, "killed")
        return await run(argv, stdin, patience)

    interrupted = IptablesApplier(rules.node.family, tool=tool, run=dying)
    if tool.nft:
        with pytest.raises(KernelError, match="killed"):
            await interrupted.sync(rules, None)
        assert saved(tool)
    else:
        assert (await interrupted.sync(rules, None)).full, "one piece"
    await IptablesApplier(rules.node.family, tool=tool).sync(wanted, None)
    assert sorted(saved(tool)) == clean


async def test_the_kubelet_decides_on_the_variant() -> None:
    """Its chains in mangle are the hint; without any, the one with more rules; without those, the default."""
    nft, legacy, default = await installed(Family.IPV4, run)
    assert (await detect(Family.IPV4, run, tally)).nft is default.nft
    sh(*legacy.command("filter", "-A", "INPUT", "-j", "ACCEPT"))
    assert await detect(Family.IPV4, run, tally) == legacy
    sh(*nft.command("mangle", "-N", "KUBE-IPTABLES-HINT"))
    assert await detect(Family.IPV4, run, tally) == nft
    sh(*legacy.command("mangle", "-N", "KUBE-IPTABLES-HINT"))
    sh(*legacy.command("mangle", "-N", "KUBE-KUBELET-CANARY"))
    assert await detect(Family.IPV4, run, tally) == legacy


async def test_a_lock_that_others_hold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody's fault: the error names no Service, and the next sync writes everything."""
    monkeypatch.setattr("kdns.proxy.apply.iptables_tools.LOCK_SECONDS", 1)
    legacy = next(tool for tool in await installed(Family.IPV4, run) if not tool.nft)
    applier = IptablesApplier(Family.IPV4, tool=legacy)
    rules = rule_set(node(), cart())
    with (tmp_path / "xtables.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(KernelError, match="lock") as caught:
            await applier.sync(rules, None)
    assert (caught.value.code, caught.value.refused) == (4, None)
    assert (await applier.sync(rules, ())).full


async def test_both_families_side_by_side() -> None:
    """Neither touches what the other has written."""
    tools = [next(tool for tool in await installed(family, run) if tool.nft) for family in Family]
    four, six = (IptablesApplier(family, tool=tool) for family, tool in zip(Family, tools, strict=True))
    await four.sync(rich(), None)
    before = saved(four.tool)
    await six.sync(rich6(), None)
    assert saved(four.tool) == before
    assert await four.intact()
    await six.cleanup()
    assert saved(four.tool) == before
