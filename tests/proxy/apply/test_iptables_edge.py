"""The iptables applier against tools that are missing, old, locked or refuse; played, so that each case comes."""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence

import pytest

from kdns.base.errors import ConfigError, KernelError
from kdns.kernel.run import PATIENCE
from kdns.proxy.apply.iptables import IptablesApplier
from kdns.proxy.apply.iptables_tools import Tool, detect, installed
from kdns.proxy.model import Family, RuleChange, RuleSet, ServicePortRules
from kdns.proxy.render.iptables.names import CLUSTER as CLUSTER_CHAIN
from kdns.proxy.render.iptables.names import service_hash
from tests.proxy.iptables_plan import CLUSTER, INSIDE, LOCAL, entry, named, node, port, rule_set

NFT = Tool("iptables-nft", (1, 8, 9), True)
LEGACY = Tool("iptables-legacy", (1, 8, 9), False)

Refuse = Callable[[tuple[str, ...], str], KernelError | None]


class Node:
    """A node with some variants of iptables; what is run is kept."""

    def __init__(self, versions: dict[str, str], refuse: Refuse = lambda argv, stdin: None) -> None:
        self.versions, self.refuse = versions, refuse
        self.ran: list[tuple[tuple[str, ...], str]] = []
        self.saves: dict[str, str] = {}
        self.no_counters: Exception | None = None
        """What making packet counters raises."""

    async def run(self, argv: Sequence[str], stdin: str | bytes = b"", patience: float = PATIENCE) -> str:
        words, text = tuple(argv), stdin if isinstance(stdin, str) else stdin.decode()
        program = words[0].removesuffix("-restore").removesuffix("-save")
        if program not in self.versions:
            raise KernelError(argv, 127, f"{program} is not installed")
        if words[1:] == ("--version",):
            return self.versions[program]
        self.ran.append((words, text))
        if (error := self.refuse(words, text)) is not None:
            raise error
        return self.saves.get(words[0], "")

    async def tally(self, argv: Sequence[str], wanted: re.Pattern[bytes], patience: float = PATIENCE) -> Counter[str]:
        text = (await self.run(argv)).encode()
        return Counter(match[0].decode() for match in wanted.finditer(text))

    def applier(self, tool: Tool = NFT) -> IptablesApplier:
        return IptablesApplier(
            Family.IPV4,
            tool=tool,
            run=self.run,
            tally=self.tally,
            fingerprint=lambda family, *, nft: None,
            counters=self._create,
            delete_counters=lambda names: None,
        )

    def _create(self, names: Iterable[str]) -> None:
        if self.no_counters is not None:
            raise self.no_counters


BOTH = {"iptables-nft": "iptables v1.8.9 (nf_tables)\n", "iptables-legacy": "iptables v1.8.9 (legacy)\n"}


def web(number: int, affinity: int = 0) -> RuleSet:
    """So many Services, named s0, s1..."""

    def one(n: int) -> ServicePortRules:
        inside = entry("cluster IP", f"10.96.{n // 200}.{n % 200 + 1}", 80, INSIDE)
        return port(f"shop/s{n}:web", inside, cluster="10.244.0.1:80", affinity=affinity)

    return rule_set(node(), *map(one, range(number)))


async def test_no_iptables() -> None:
    """The mode, the program and the package are told."""
    bare = Node({})
    with pytest.raises(ConfigError, match=r"mode iptables needs iptables, .*\n.*package iptables") as caught:
        await IptablesApplier(Family.IPV4, run=bare.run, tally=bare.tally).prepare()
    assert "not installed" in str(caught.value)
    with pytest.raises(ConfigError, match="needs ip6tables"):
        await detect(Family.IPV6, bare.run, bare.tally)


@pytest.mark.parametrize(
    ("text", "tool"),
    [
        ("iptables v1.8.9 (nf_tables)", Tool("iptables", (1, 8, 9), True)),
        ("iptables v1.8.2 (legacy)", Tool("iptables", (1, 8, 2), False)),
        ("iptables v1.6.1", Tool("iptables", (1, 6, 1), False)),
        ("iptables v1.8", Tool("iptables", (1, 8, 0), False)),
    ],
)
async def test_versions(text: str, tool: Tool) -> None:
    """Of one program alone, the version says which variant it is; before 1.8 there was only one."""
    alone = Node({"iptables": text})
    assert await installed(Family.IPV4, alone.run) == [tool]
    assert await detect(Family.IPV4, alone.run, alone.tally) == tool


async def test_an_unreadable_version() -> None:
    """Something else of that name is not used."""
    other = Node({"iptables": "hello"})
    with pytest.raises(ConfigError, match="hello"):
        await detect(Family.IPV4, other.run, other.tally)


async def test_old_tools_get_what_they_know() -> None:
    """Before 1.6.2, restores cannot wait, and masquerading cannot choose ports at random."""
    old = Node({"iptables": "iptables v1.6.1"})
    tool = Tool("iptables", (1, 6, 1), False)
    await old.applier(tool).sync(web(1), None)
    argv, text = old.ran[-1]
    assert argv == ("iptables-restore", "--noflush", "--counters")
    assert "MASQUERADE\n" in text
    new = Node(BOTH)
    await new.applier().sync(web(1), None)
    argv, text = new.ran[-1]
    assert argv == ("iptables-nft-restore", "-w", "5", "--noflush", "--counters")
    assert "MASQUERADE --random-fully\n" in text


@pytest.mark.parametrize(
    ("sign", "said", "problem"),
    [
        ("-m recent", "Couldn't load match `recent'", "xt_recent"),
        ("-m statistic", "RULE_APPEND failed (No such file or directory)", "nft_compat and xt_statistic"),
        ("*nat", "Table does not exist (do you need to insmod?)", "nft_chain_nat"),
        ("-j REJECT", "line 5 failed", "ipt_REJECT"),
        ("*mangle", "Fatal: can't open lock file /run/xtables.lock: Read-only file system", "hostPath"),
        ("*mangle", "Could not fetch rule set generation id: Permission denied (you must be root)", "NET_ADMIN"),
    ],
)
async def test_what_is_missing_is_told(sign: str, said: str, problem: str) -> None:
    """A kernel without one of the features: which module brings it; a container without rights: what it takes."""

    def refuse(argv: tuple[str, ...], stdin: str) -> KernelError | None:
        return KernelError(argv, 1, said) if sign in stdin else None

    poor = Node(BOTH, refuse)
    with pytest.raises(ConfigError) as caught:
        await poor.applier().prepare()
    assert problem in str(caught.value)
    assert said in str(caught.value)
    assert "iptables" in str(caught.value)


async def test_a_lock_at_the_start_is_no_mistake() -> None:
    """Somebody else is writing: an error to retry, not one to fix."""
    error = "Another app is currently holding the xtables lock; still 1s 0us time ahead to have a chance to grab it..."
    busy = Node(BOTH, lambda argv, stdin: KernelError(argv, 4, error) if "-restore" in argv[0] else None)
    with pytest.raises(KernelError, match="lock"):
        await busy.applier(LEGACY).prepare()


async def test_probing_leaves_empty_canaries() -> None:
    """The probe's rules are gone once it is through."""
    fine = Node(BOTH)
    await fine.applier().prepare()
    assert "-A" not in fine.ran[-1][1]
    assert fine.ran[-1][1].count(":KUBE-PROXY-CANARY - [0:0]") == 3


@pytest.mark.parametrize("bad", [0, 1, 6, 12])
async def test_legacy_refusals_are_searched_for(bad: int) -> None:
    """At COMMIT the legacy tool only says that something was refused; halving tells which Service it is."""
    sign = CLUSTER_CHAIN + service_hash(named(f"shop/s{bad}:web"))

    def refuse(argv: tuple[str, ...], stdin: str) -> KernelError | None:
        if f"-A {sign}" not in stdin:
            return None
        return KernelError(argv, 1, f"iptables-restore: line {len(stdin.splitlines())} failed")

    picky = Node(BOTH, refuse)
    with pytest.raises(KernelError) as caught:
        await picky.applier(LEGACY).sync(web(13), None)
    assert caught.value.refused == named(f"shop/s{bad}:web")
    assert len([argv for argv, _ in picky.ran if "-restore" in argv[0]]) <= 1 + 5


async def test_what_is_nobodys_fault() -> None:
    """Refusals that no single Service causes name nobody."""

    def refuse(argv: tuple[str, ...], stdin: str) -> KernelError | None:
        return KernelError(argv, 1, "line 3 failed") if "KUBE-POSTROUTING" in stdin else None

    with pytest.raises(KernelError) as caught:
        await Node(BOTH, refuse).applier(LEGACY).sync(web(3), None)
    assert caught.value.refused is None


async def test_an_impossible_service_is_refused_by_name() -> None:
    """What the chains cannot say never gets to the kernel, and can be set aside like what the kernel refuses."""
    outside = entry("node port", "", 30000, CLUSTER), entry("external IP", "192.0.2.1", 80, LOCAL)
    torn = port("shop/torn", *outside, cluster="10.1.1.1:80")
    fine = Node(BOTH)
    with pytest.raises(KernelError, match="different paths") as caught:
        await fine.applier().sync(rule_set(node(), torn), None)
    assert caught.value.refused == torn.name


async def test_another_node_is_another_rule_set() -> None:
    """When the node's own rules change, a partial sync would not do."""
    fine = Node(BOTH)
    applier = fine.applier()
    assert (await applier.sync(web(2), None)).full
    assert not (await applier.sync(web(2), ())).full
    assert (await applier.sync(RuleSet(node(cidr=None), web(2).ports), ())).full


async def test_the_nft_variant_is_given_pieces() -> None:
    """Never more than 5,500 chains (2,750 Services) in a restore; the legacy variant has it all in one."""
    fine = Node(BOTH)
    rules = web(3000)
    await fine.applier().sync(rules, None)
    texts = [text for argv, text in fine.ran if "-restore" in argv[0]]
    assert [len(re.findall("^:KUBE-SVC", text, re.MULTILINE)) for text in texts] == [0, 2750, 250, 0]
    fine.ran.clear()
    await fine.applier(LEGACY).sync(rules, None)
    assert len([text for argv, text in fine.ran if "-restore" in argv[0]]) == 1


async def test_looks_are_rare_when_they_take_long() -> None:
    """A look that took a second is not repeated for five; and what cannot be looked at now is not missing."""
    time = 0.0

    def refuse(argv: tuple[str, ...], stdin: str) -> KernelError | None:
        nonlocal time
        time += 0.5
        return KernelError(argv, 4, "xtables lock") if "-save" in argv[0] or "-S" in argv else None

    slow = Node(BOTH)
    applier = IptablesApplier(
        Family.IPV4,
        tool=LEGACY,
        run=slow.run,
        tally=slow.tally,
        fingerprint=lambda family, *, nft: None,
        clock=lambda: time,
    )
    assert await applier.intact(), "nothing was written yet"
    await applier.sync(web(1), None)
    slow.refuse = refuse
    slow.ran.clear()
    assert await applier.intact(), "locked"
    looked = len(slow.ran)
    assert looked > 0
    assert await applier.intact()
    assert len(slow.ran) == looked
    time += 2.6
    slow.refuse = lambda argv, stdin: None
    assert not await applier.intact(), "there is nothing in the kernel"


async def test_a_look_that_fails_is_told() -> None:
    """A tool that cannot run at all is an error, not a sign of damage."""
    node_ = Node(BOTH)
    applier = node_.applier(LEGACY)
    await applier.sync(web(1), None)
    node_.refuse = lambda argv, stdin: KernelError(argv, 3, "iptables: Protocol wrong type for socket")
    with pytest.raises(KernelError):
        await applier.intact()


async def test_a_failed_partial_sync_is_followed_by_a_full_one() -> None:
    """Nobody knows what the kernel took."""
    node_ = Node(BOTH)
    applier = node_.applier()
    await applier.sync(web(2), None)
    node_.refuse = lambda argv, stdin: KernelError(argv, 1, "no") if "-restore" in argv[0] else None
    one = next(iter(web(1, affinity=9).ports.values()))
    before = web(2).ports[one.name]
    with pytest.raises(KernelError):
        await applier.sync(RuleSet(node(), {**web(2).ports, one.name: one}), [RuleChange(one.name, before, one)])
    node_.refuse = lambda argv, stdin: None
    assert (await applier.sync(web(2), ())).full


@pytest.mark.parametrize(
    ("no_counters", "refuses", "counted"),
    [
        (None, "", True),
        (KernelError(("netlink", "nfacct"), 22, "Invalid argument"), "", False),
        (PermissionError(1, "Operation not permitted"), "", False),
        (None, "--nfacct-name", False),
    ],
)
async def test_packets_are_counted_where_kernel_and_tool_can(
    no_counters: Exception | None, refuses: str, counted: bool
) -> None:
    """Elsewhere the rules do without, as kube-proxy's."""
    node_ = Node(BOTH)
    node_.no_counters = no_counters
    node_.refuse = lambda argv, stdin: KernelError(argv, 1, "no match") if refuses and refuses in stdin else None
    applier = node_.applier()
    await applier.prepare()
    node_.ran.clear()
    await applier.sync(web(1), None)
    written = "".join(text for argv, text in node_.ran if "-restore" in argv[0])
    assert ("--nfacct-name ct_state_invalid_dropped_pkts" in written) is counted
    assert "--ctstate INVALID" in written
    node_.ran.clear()
    assert not (await applier.sync(web(1), ())).full, "the node is the same"
