"""Nftables mode on a real kernel: what is in the table after any syncs, and after what others do to it."""

import asyncio
import json
import logging
import subprocess
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from os import geteuid, getpid
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from kdns.errors import ConfigError, KernelError
from kdns.proxy.kernel.nftables import NftablesApplier
from kdns.proxy.kernel.run import PATIENCE
from kdns.proxy.model import (
    Backend,
    Family,
    Frontend,
    LocalDetector,
    RuleChange,
    RuleSet,
    ServicePortName,
    ServicePortRules,
)
from kdns.proxy.render.nftables import script
from kdns.proxy.render.nftables_fixed import LAYOUT
from tests.proxy.kernel.node_net import ip, runner_in
from tests.proxy.nftables_plan import (
    KINDS,
    V4,
    V6,
    cluster_ip,
    many,
    network,
    node_rules,
    of_kind,
    packed,
    rich,
    rule_set,
)

pytestmark = [pytest.mark.kernel, pytest.mark.skipif(geteuid() != 0, reason="network namespaces need root")]
FAMILIES = pytest.mark.parametrize("family", [V4, V6], ids=lambda family: family.value)


class Space:
    """A network namespace with nothing in it, and what nft says there."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.sent: list[str] = []

    async def run(self, argv: Sequence[str], stdin: str | bytes = b"", patience: float = PATIENCE) -> str:
        """A runner that notes what is sent to be done (not what is only tried)."""
        if list(argv) == ["nft", "-f", "-"]:
            assert isinstance(stdin, str)
            self.sent.append(stdin)
        return await runner_in(self.name)(argv, stdin, patience)

    def nft(self, *words: str, stdin: str = "") -> str:
        """Somebody else's nft."""
        done = subprocess.run(
            ["ip", "netns", "exec", self.name, "nft", *words], check=True, capture_output=True, text=True, input=stdin
        )
        return done.stdout

    def table(self, family: Family) -> list[Any]:
        """All objects of the table, without what depends on the order in which they were made."""
        word = "ip" if family is V4 else "ip6"
        found = []
        for item in json.loads(self.nft("-j", "list", "table", word, "kube-proxy"))["nftables"]:
            kind, value = next(iter(item.items()))
            if kind == "metainfo":
                continue
            value.pop("handle", None)
            if "elem" in value:
                value["elem"].sort(key=json.dumps)
            found.append([kind, value])
        # Rules of a chain keep their order.
        return sorted(found, key=lambda each: (each[0], each[1].get("chain", ""), each[1].get("name", "")))


@pytest.fixture
def space() -> Iterator[Space]:
    name = f"kdns-{getpid()}-nft"
    ip("netns", "add", name)
    yield Space(name)
    ip("netns", "del", name)


@pytest.fixture(scope="module")
def two_spaces() -> Iterator[tuple[Space, Space]]:
    names = [f"kdns-{getpid()}-{which}" for which in ("changed", "fresh")]
    for name in names:
        ip("netns", "add", name)
    yield Space(names[0]), Space(names[1])
    for name in names:
        ip("netns", "del", name)


def change(before: ServicePortRules | None, after: ServicePortRules | None) -> RuleChange:
    one = after or before
    assert one is not None
    return RuleChange(one.name, before, after)


async def later(applier: NftablesApplier) -> None:
    """Tidy, as if a long time had passed."""
    now = applier._clock
    applier._clock = lambda: now() + 10
    await applier.tidy()
    applier._clock = now


States = list[dict[str, tuple[str, int]]]


@st.composite
def histories(draw: st.DrawFn) -> States:
    """Which Services there are after each sync: name -> kind and number; a number may go from one to another."""
    states = []
    for _ in range(draw(st.integers(1, 5))):
        names = draw(st.lists(st.sampled_from("abcd"), unique=True))
        numbers = draw(st.permutations(range(1, 7)))
        states.append({name: (draw(st.sampled_from(KINDS)), numbers[place]) for place, name in enumerate(names)})
    return states


@pytest.mark.timeout(300)
@given(family=st.sampled_from([V4, V6]), states=histories(), full=st.sets(st.integers(1, 4)))
@settings(max_examples=30)
def test_any_syncs_end_in_the_same_table_as_one(
    two_spaces: tuple[Space, Space], family: Family, states: States, full: set[int]
) -> None:
    """Whatever was there in between, and whichever syncs were full ones."""
    node = node_rules(family)
    changed, fresh = two_spaces

    async def both() -> None:
        applier, once = NftablesApplier(family, changed.run), NftablesApplier(family, fresh.run)
        before: dict[str, ServicePortRules] = {}
        for place, state in enumerate(states):
            after = {name: of_kind(family, kind, number, name) for name, (kind, number) in state.items()}
            changes = [
                change(before.get(name), after.get(name))
                for name in before | after
                if before.get(name) != after.get(name)
            ]
            given = None if place == 0 or place in full else changes
            applied = await applier.sync(rule_set(node, after.values()), given)
            before = after
        await later(applier)
        assert await applier.intact()
        anew = await once.sync(rule_set(node, before.values()), None)
        assert changed.table(family) == fresh.table(family)
        assert applied.totals[2:] == anew.totals[2:]  # chains, and so rules, may still be stale
        assert "is made anew" not in "".join(changed.sent)
        assert (await applier.sync(rule_set(node, before.values()), None)).rules == 0
        await applier.cleanup()
        await once.cleanup()

    asyncio.run(both())


@FAMILIES
async def test_totals_are_what_is_in_the_kernel(space: Space, family: Family) -> None:
    """Chains, rules, sets and elements are counted, not guessed."""
    applier = NftablesApplier(family, space.run)
    applied = await applier.sync(rule_set(node_rules(family), rich(family)), None)
    found = space.table(family)
    kinds = Counter(kind for kind, _ in found)
    elements = sum(len(value.get("elem", ())) for _, value in found)
    assert dict(applied.totals) == {
        "chains": kinds["chain"],
        "rules": kinds["rule"],
        "sets": kinds["set"] + kinds["map"],
        "elements": elements,
    }


@FAMILIES
async def test_the_script_makes_the_same_table(space: Space, family: Family) -> None:
    """What ``kdns rules`` prints is what is written."""
    rules = rule_set(
        node_rules(family, node_port_addresses=(packed("192.0.2.1" if family is V4 else "::9"),)), rich(family)
    )
    await NftablesApplier(family, space.run).sync(rules, None)
    written = space.table(family)
    space.nft("flush", "ruleset")
    space.nft("-f", "-", stdin=script(rules))
    assert space.table(family) == written


@FAMILIES
async def test_nothing_is_written_when_nothing_changed(space: Space, family: Family) -> None:
    """Neither by a full sync nor by one without changes."""
    rules = rule_set(node_rules(family), rich(family))
    applier = NftablesApplier(family, space.run)
    assert (await applier.sync(rules, None)).rules > 100
    space.sent.clear()
    assert (await applier.sync(rules, None)).rules == 0
    assert (await applier.sync(rules, [])).rules == 0
    assert space.sent == []


@FAMILIES
async def test_a_change_sends_what_differs_and_asks_nothing(space: Space, family: Family) -> None:
    """One more endpoint of one Service: its element, its address for hairpin, and where the frontend leads."""
    ports = {port.name: port for port in rich(family)}
    node, applier = node_rules(family), NftablesApplier(family, space.run)
    await applier.sync(RuleSet(node, ports), None)
    plain = of_kind(family, "plain", 1)
    inside = replace(plain, entries=plain.entries[:1])
    await applier.sync(RuleSet(node, ports | {inside.name: inside}), [change(plain, inside)])
    space.sent.clear()
    more = replace(inside, cluster=(*inside.cluster, Backend(packed("10.244.9.9" if family is V4 else "fd00::9"), 80)))
    applied = await applier.sync(RuleSet(node, ports | {inside.name: more}), [change(inside, more)])
    assert len(space.sent) == 1
    assert applied.rules == 8  # chain spread/4/tcp/not-pod with three rules, backend, hairpin, frontend out and in
    assert "list" not in space.sent[0]


@FAMILIES
async def test_another_node_is_the_same_as_from_the_beginning(space: Space, family: Family) -> None:
    """Mark, detector, node port addresses and ServiceCIDRs can change while everything else stays."""
    rules = rule_set(node_rules(family), rich(family))
    own = packed("192.0.2.1" if family is V4 else "2001:db8::1")
    others = [
        node_rules(family, detector=None),
        node_rules(family, detector=LocalDetector("bridge", None, "cni0"), masquerade_mark=1 << 20),
        node_rules(family, detector=LocalDetector("prefix", None, "veth"), node_port_addresses=(own,)),
        node_rules(family, service_cidrs=(network("10.32.0.0/16" if family is V4 else "fd00:32::/64"),)),
    ]
    applier = NftablesApplier(family, space.run)
    await applier.sync(rules, None)
    for other in others:
        await applier.sync(RuleSet(other, rules.ports), None)
        await later(applier)
        changed = space.table(family)
        assert await applier.intact()
        space.nft("flush", "ruleset")
        assert not await applier.intact()
        await applier.sync(RuleSet(other, rules.ports), None)
        assert space.table(family) == changed


DAMAGE: Mapping[str, str] = {
    "everything flushed": "flush ruleset",
    "the table deleted": "delete table {t}",
    "rules flushed": "flush table {t}",
    "a chain flushed": "flush chain {t} services",
    "a chain more": "add chain {t} foreign",
    "a map flushed": "flush map {t} service-ips",
    "an endpoint gone": "delete element {t} backends-tcp {{ {vip} . 80 . 0 }}",
    "an endpoint changed": "delete element {t} backends-tcp {{ {vip} . 80 . 0 }}\n"
    "add element {t} backends-tcp {{ {vip} . 80 . 0 : {vip} . 9 }}",
    "a frontend led elsewhere": "delete element {t} service-ips {{ {vip} . tcp . 80 }}\n"
    "add element {t} service-ips {{ {vip} . tcp . 80 : drop }}",
    "a rule replaced": "flush chain {t} masquerading\n" + "add rule {t} masquerading accept\n" * 4,
}


@FAMILIES
@pytest.mark.parametrize("damage", DAMAGE)
async def test_damage_by_others_is_seen_and_repaired(space: Space, family: Family, damage: str) -> None:
    """By the next look, and the full sync after it."""
    applier = NftablesApplier(family, space.run)
    rules = rule_set(node_rules(family), rich(family))
    await applier.sync(rules, None)
    whole = space.table(family)
    assert await applier.intact()
    table = f"{'ip' if family is V4 else 'ip6'} kube-proxy"
    space.nft("-f", "-", stdin=DAMAGE[damage].format(t=table, vip=cluster_ip(family, 1)))
    assert not await applier.intact()
    await applier.sync(rules, None)
    await later(applier)
    assert space.table(family) == whole
    assert await applier.intact()


@FAMILIES
async def test_a_change_of_a_flushed_table_repairs_all_of_it(space: Space, family: Family) -> None:
    """Before anybody has looked."""
    applier, node = NftablesApplier(family, space.run), node_rules(family)
    ports = {port.name: port for port in rich(family)}
    await applier.sync(RuleSet(node, ports), None)
    whole = space.table(family)
    plain = of_kind(family, "plain", 1)
    fewer = replace(plain, cluster=plain.cluster[:2])
    await applier.sync(RuleSet(node, ports | {plain.name: fewer}), [change(plain, fewer)])
    space.nft("flush", "ruleset")
    await applier.sync(RuleSet(node, ports), [change(fewer, plain)])
    assert space.table(family) == whole


@FAMILIES
async def test_a_restart_writes_chains_and_what_differs(space: Space, family: Family) -> None:
    """What a former process wrote is read, affinity is kept, and what is no longer wanted goes away."""
    every = rich(family)
    node = node_rules(family)
    await NftablesApplier(family, space.run).sync(rule_set(node, every), None)
    table = "ip" if family is V4 else "ip6"
    sets = [value["name"] for kind, value in space.table(family) if kind == "set" and "affinity-" in value["name"]]
    client = "192.0.2.77" if family is V4 else "2001:db8::77"
    space.nft("add", "element", table, "kube-proxy", sets[0], "{", client, "timeout", "1h", "}")
    space.sent.clear()
    again = NftablesApplier(family, space.run)
    await again.sync(rule_set(node, every), None)
    assert "element" not in "".join(space.sent)
    assert "delete" not in "".join(space.sent)
    assert client in space.nft("list", "set", table, "kube-proxy", sets[0])

    third = NftablesApplier(family, space.run)
    await third.sync(rule_set(node, every[:3]), None)
    await later(third)
    left = space.table(family)
    await third.cleanup()
    await third.sync(rule_set(node, every[:3]), None)
    assert space.table(family) == left


KUBE_PROXY = """
add table {ip} kube-proxy {{ comment "rules for kube-proxy" ; }}
add set {ip} kube-proxy cluster-ips {{ type {addr} ; comment "Active ClusterIPs" ; }}
add set {ip} kube-proxy nodeport-ips {{ type {addr} ; comment "IPs that accept NodePort traffic" ; }}
add map {ip} kube-proxy firewall-ips {{ type {addr} . inet_proto . inet_service : verdict ; comment "x" ; }}
add map {ip} kube-proxy no-endpoint-services {{ type {addr} . inet_proto . inet_service : verdict ; comment "x" ; }}
add map {ip} kube-proxy no-endpoint-nodeports {{ type inet_proto . inet_service : verdict ; comment "x" ; }}
add map {ip} kube-proxy service-ips {{ type {addr} . inet_proto . inet_service : verdict ; comment "x" ; }}
add map {ip} kube-proxy service-nodeports {{ type inet_proto . inet_service : verdict ; comment "x" ; }}
add chain {ip} kube-proxy filter-prerouting-pre-dnat {{ type filter hook prerouting priority -110 ; }}
add chain {ip} kube-proxy filter-output-pre-dnat {{ type filter hook output priority -110 ; }}
add chain {ip} kube-proxy filter-input {{ type filter hook input priority 0 ; }}
add chain {ip} kube-proxy filter-forward {{ type filter hook forward priority 0 ; }}
add chain {ip} kube-proxy filter-output {{ type filter hook output priority 0 ; }}
add chain {ip} kube-proxy nat-prerouting {{ type nat hook prerouting priority -100 ; }}
add chain {ip} kube-proxy nat-output {{ type nat hook output priority -100 ; }}
add chain {ip} kube-proxy nat-postrouting {{ type nat hook postrouting priority 100 ; }}
add chain {ip} kube-proxy services
flush chain {ip} kube-proxy services
flush map {ip} kube-proxy service-ips
flush set {ip} kube-proxy cluster-ips
add chain {ip} kube-proxy service-ULMVA6XW-ns1/svc1/tcp/p80
add element {ip} kube-proxy cluster-ips {{ {vip} }}
add element {ip} kube-proxy service-ips {{ {vip} . tcp . 80 : goto service-ULMVA6XW-ns1/svc1/tcp/p80 }}
add rule {ip} kube-proxy services {ip} daddr . meta l4proto . th dport vmap @service-ips
"""
"""What kube-proxy declares in the same table (facts c.1, c.2), and one Service."""


@FAMILIES
async def test_kube_proxy_and_we_take_over_from_each_other(
    space: Space, family: Family, caplog: pytest.LogCaptureFixture
) -> None:
    """Its table becomes ours in one transaction, and its declarations are accepted in ours."""
    words = {"ip": "ip", "addr": "ipv4_addr"} if family is V4 else {"ip": "ip6", "addr": "ipv6_addr"}
    theirs = KUBE_PROXY.format(**words, vip=cluster_ip(family, 200))
    space.nft("-f", "-", stdin=theirs)
    applier = NftablesApplier(family, space.run)
    rules = RuleSet(node_rules(family), many(family, 300))
    await applier.sync(rules, None)
    assert len(space.sent) == 1, "until the new table is whole, the old one works"
    assert space.sent[0].startswith("delete table")
    ours = space.table(family)
    space.nft("-f", "-", stdin=theirs)
    # It takes chains with a slash that it does not know for its own stale ones, and deletes them.
    space.nft("delete", "chain", words["ip"], "kube-proxy", LAYOUT)
    await NftablesApplier(family, space.run).sync(rules, None)
    assert space.table(family) == ours
    assert caplog.records == []


async def test_a_large_table_is_written_in_pieces_the_first_services_first(space: Space) -> None:
    """So that a node serves DNS before it serves everything, and no transaction blocks the kernel for long."""
    ports = many(V4, 400)
    applied = await NftablesApplier(V4, space.run).sync(RuleSet(node_rules(V4), ports), None)
    assert len(space.sent) == 9
    sizes = [text.count(" : ") + text.count("\n") for text in space.sent]
    assert max(sizes) < 2000
    assert applied.rules > 8800
    first = next(iter(ports.values())).entries[0].frontend.address
    assert f"{'.'.join(map(str, first))} . tcp . 80" in space.sent[0]
    assert "nat-prerouting jump services" in space.sent[0]


@FAMILIES
async def test_a_service_port_that_the_kernel_refuses_is_named(space: Space, family: Family) -> None:
    """The others can then be written without it; and afterwards everything is as if it had never been."""
    good, bad = of_kind(family, "plain", 1), of_kind(family, "plain", 2, "bad")
    vip = packed(cluster_ip(family, 2))
    bad = replace(bad, entries=(replace_frontend(bad, vip, 70000),))
    applier, node = NftablesApplier(family, space.run), node_rules(family)
    with pytest.raises(KernelError) as refused:
        await applier.sync(rule_set(node, [good, bad]), None)
    assert refused.value.refused == bad.name
    await applier.sync(rule_set(node, [good]), None)
    clean = space.table(family)
    with pytest.raises(KernelError) as refused:
        await applier.sync(rule_set(node, [good, bad]), [change(None, bad)])
    assert refused.value.refused == bad.name
    await applier.sync(rule_set(node, [good]), None)
    await later(applier)
    assert space.table(family) == clean


def replace_frontend(port: ServicePortRules, address: bytes, number: int) -> Any:
    return port.entries[0]._replace(frontend=Frontend("cluster IP", address, number))


@FAMILIES
async def test_a_corrupt_table_is_made_anew(space: Space, family: Family, caplog: pytest.LogCaptureFixture) -> None:
    """If our own layout holds what cannot be changed into what it should be."""
    rules = rule_set(node_rules(family), rich(family))
    await NftablesApplier(family, space.run).sync(rules, None)
    whole = space.table(family)
    word = "ip" if family is V4 else "ip6"
    space.nft("flush", "table", word, "kube-proxy")
    space.nft("flush", "map", word, "kube-proxy", "backends-tcp")
    space.nft("delete", "map", word, "kube-proxy", "backends-tcp")
    space.nft("add", "map", word, "kube-proxy", "backends-tcp", "{ type mark : mark ; }")
    with caplog.at_level(logging.WARNING):
        await NftablesApplier(family, space.run).sync(rules, None)
    assert space.table(family) == whole
    assert "made anew" in caplog.text


NASTY = st.text(
    alphabet=st.characters(exclude_categories=["Cs"]) | st.sampled_from("\"'{}\\;#\n\t $`@,:/"), max_size=80
) | st.sampled_from(
    ['x" ; }\ndelete table ip kube-proxy\n', "a/b:c", "x" * 300, 'n"', "\x00", "# comment", "$(reboot)"]
)


@pytest.mark.timeout(300)
@given(namespace=NASTY, name=NASTY, port=NASTY, affinity=st.sampled_from([0, 60]))
@settings(max_examples=30)
def test_names_cannot_inject_anything(
    two_spaces: tuple[Space, Space], namespace: str, name: str, port: str, affinity: int
) -> None:
    """Whatever a Service is called, the same objects are made, and nothing else."""
    space = two_spaces[0]

    def kinds(namespace: str, name: str, port: str) -> Counter[str]:
        one = replace(
            of_kind(V4, "sticky-local" if affinity else "ranges", 1),
            name=ServicePortName(namespace, name, port, "TCP"),
            affinity=affinity,
        )

        async def there_and_back() -> Counter[str]:
            applier = NftablesApplier(V4, space.run)
            await applier.sync(rule_set(node_rules(V4), [one]), None)
            assert await applier.intact()
            found = Counter(kind for kind, _ in space.table(V4))
            await NftablesApplier(V4, space.run).sync(rule_set(node_rules(V4), [one]), None)
            await applier.cleanup()
            return found

        return asyncio.run(there_and_back())

    assert kinds(namespace, name, port) == kinds("shop", "web", "http")


ODD_ADDRESSES = {
    V4: ("0.0.0.1", "255.255.255.254", "10.0.0.0"),
    V6: (
        *("::2", "::1:0", "::1.2.3.4", "::ffff:1.2.3.4", "::ffff:0:1.2.3.4", "64:ff9b::1.2.3.4", "1::", "1:2:3::"),
        *("::ffff:0.0.0.1", "2001:db8:0:1:1:1:1:1", "1:0:0:2::3", "::1:2:3:4:5:6:7", "::1:0:0", "::ffff"),
    ),
}


@FAMILIES
async def test_odd_addresses_are_spelled_as_nft_lists_them(space: Space, family: Family) -> None:
    """Else a restart would delete what it has just added."""
    odd = ODD_ADDRESSES[family]
    plain = of_kind(family, "plain", 1)
    ports = [
        replace(
            plain,
            name=plain.name._replace(name=f"odd{number}"),
            entries=(replace_frontend(plain, packed(text), 80),),
            cluster=(Backend(packed(text), 8080),),
        )
        for number, text in enumerate(odd)
    ]
    rules = rule_set(node_rules(family), ports)
    await NftablesApplier(family, space.run).sync(rules, None)
    whole = space.table(family)
    space.sent.clear()
    await NftablesApplier(family, space.run).sync(rules, None)
    assert "element" not in "".join(space.sent)
    assert space.table(family) == whole


@FAMILIES
async def test_stale_chains_wait_a_second(space: Space, family: Family) -> None:
    """They are empty at once, deleted later, and may come back in between."""
    now = [100.0]
    applier = NftablesApplier(family, space.run, clock=lambda: now[0])
    node, sticky = node_rules(family), of_kind(family, "sticky", 1)
    await applier.sync(rule_set(node, []), None)
    bare = space.table(family)
    await applier.sync(rule_set(node, [sticky]), [change(None, sticky)])
    await applier.sync(rule_set(node, []), [change(sticky, None)])
    await applier.tidy()
    left = space.table(family)
    assert [each for each in left if each[0] != "chain"] == [each for each in bare if each[0] != "chain"]
    assert len(left) > len(bare)
    assert await applier.intact()
    await applier.sync(rule_set(node, [sticky]), [change(None, sticky)])
    now[0] += 5
    await applier.tidy()
    assert len(space.table(family)) > len(left)
    await applier.sync(rule_set(node, []), [change(sticky, None)])
    now[0] += 5
    await applier.tidy()
    assert space.table(family) == bare


@FAMILIES
async def test_cleanup_leaves_nothing(space: Space, family: Family) -> None:
    """And what is not there is no error; other tables stay."""
    word = "ip" if family is V4 else "ip6"
    space.nft("add", "table", word, "others")
    applier = NftablesApplier(family, space.run)
    await applier.cleanup()
    await applier.sync(rule_set(node_rules(family), rich(family)), None)
    await applier.cleanup()
    await applier.cleanup()
    assert space.nft("list", "tables").split() == ["table", word, "others"]


async def test_prepare_says_what_is_missing(space: Space, monkeypatch: pytest.MonkeyPatch) -> None:
    """Which tool or kernel, and what brings it."""
    await NftablesApplier(V4, space.run).prepare()
    await NftablesApplier(V6, space.run).prepare()
    assert space.sent == []
    assert space.nft("list", "ruleset") == ""

    async def none(argv: Sequence[str], stdin: str | bytes = b"", patience: float = PATIENCE) -> str:
        raise KernelError(argv, 127, f"{argv[0]} is not installed")

    async def old(argv: Sequence[str], stdin: str | bytes = b"", patience: float = PATIENCE) -> str:
        return "nftables v0.9.8 (E.D.S.)\n"

    async def helpless(argv: Sequence[str], stdin: str | bytes = b"", patience: float = PATIENCE) -> str:
        if "--version" in argv:
            return "nftables v1.0.6 (Lester Gooch #5)\n"
        raise KernelError(argv, 1, "internal:0:0-0: Error: Operation not supported")

    for runner, said in ((none, "package is nftables"), (old, "this one is 0.9.8"), (helpless, "nft_numgen")):
        with pytest.raises(ConfigError, match=said):
            await NftablesApplier(V4, runner).prepare()

    class Uname:
        release = "5.10.0-28-amd64"

    monkeypatch.setattr("kdns.proxy.kernel.nftables.os.uname", Uname)
    with pytest.raises(ConfigError, match=r"needs Linux 5\.13 or later, this is 5\.10"):
        await NftablesApplier(V4, space.run).prepare()
    monkeypatch.setenv("KUBE_PROXY_NFTABLES_SKIP_KERNEL_VERSION_CHECK", "1")
    await NftablesApplier(V4, space.run).prepare()
