"""Nftables mode on a real kernel: what is in the table after any syncs, and after what others do to it."""

import asyncio
from collections import Counter
from os import geteuid
from socket import socketpair
from typing import Self, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from kdns.base.errors import KernelError
from kdns.kernel.nftables import Nftables
from kdns.kernel.run import run
from kdns.proxy.apply.nftables_table import KernelTable
from kdns.proxy.model import Backend, Family, LocalDetector, RuleSet, ServicePortRules
from kdns.proxy.render.nftables.script import script
from tests.examples import examples
from tests.proxy.apply.space import Space, added, change, later, replace_frontend
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


@given(family=st.sampled_from([V4, V6]), states=histories(), full=st.sets(st.integers(1, 4)))
@settings(max_examples=examples(8))
def test_any_syncs_end_in_the_same_table_as_one(
    two_spaces: tuple[Space, Space], family: Family, states: States, full: set[int]
) -> None:
    """Whatever was there in between, and whichever syncs were full ones."""
    node = node_rules(family)
    changed, fresh = two_spaces

    async def both() -> None:
        applier, once = changed.applier(family), fresh.applier(family)
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
    applier = space.applier(family)
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
    await space.applier(family).sync(rules, None)
    written = space.table(family)
    space.nft("flush", "ruleset")
    space.nft("-f", "-", stdin=script(rules))
    assert space.table(family) == written


@FAMILIES
async def test_nothing_is_written_when_nothing_changed(space: Space, family: Family) -> None:
    """Neither by a full sync nor by one without changes."""
    rules = rule_set(node_rules(family), rich(family))
    applier = space.applier(family)
    assert (await applier.sync(rules, None)).rules > 100
    space.sent.clear()
    assert (await applier.sync(rules, None)).rules == 0
    assert (await applier.sync(rules, [])).rules == 0
    assert space.sent == []


@FAMILIES
async def test_a_change_sends_what_differs_and_asks_nothing(space: Space, family: Family) -> None:
    """One more endpoint of one Service: its element, its address for hairpin, and where the frontend leads."""
    ports = {port.name: port for port in rich(family)}
    node, applier = node_rules(family), space.applier(family)
    await applier.sync(RuleSet(node, ports), None)
    plain = of_kind(family, "plain", 1)
    inside = replace(plain, entries=plain.entries[:1])
    await applier.sync(RuleSet(node, ports | {inside.name: inside}), [change(plain, inside)])
    space.sent.clear()
    more = replace(inside, cluster=(*inside.cluster, Backend(packed("10.244.9.9" if family is V4 else "fd00::9"), 80)))
    applied = await applier.sync(RuleSet(node, ports | {inside.name: more}), [change(inside, more)])
    assert [text.split("\n")[0].split()[1] for text in space.sent] == ["chain", "element"]
    assert applied.rules == 8  # chain spread/4/tcp/not-pod with three rules, backend, hairpin, frontend out and in


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
    applier = space.applier(family)
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


@FAMILIES
async def test_a_restart_writes_what_differs(space: Space, family: Family) -> None:
    """What a former process wrote is read, affinity is kept, and what is no longer wanted goes away."""
    every = rich(family)
    cidrs = (network("10.32.0.0/16" if family is V4 else "fd00:32::/64"),)
    node = node_rules(family, service_cidrs=cidrs)
    every.append(replace(of_kind(family, "sticky", 12), affinity=5401))
    await space.applier(family).sync(rule_set(node, every), None)
    table = "ip" if family is V4 else "ip6"
    sets = [value["name"] for kind, value in space.table(family) if kind == "set" and "affinity-" in value["name"]]
    client = "192.0.2.77" if family is V4 else "2001:db8::77"
    space.nft("add", "element", table, "kube-proxy", sets[0], "{", client, "timeout", "1h", "}")
    space.sent.clear()
    before = space.generation()
    again = space.applier(family)
    assert (await again.sync(rule_set(node, every), None)).rules == 0
    assert space.sent == []
    assert space.generation() == before
    assert await again.intact()
    assert client in space.nft("list", "set", table, "kube-proxy", sets[0])

    third = space.applier(family)
    await third.sync(rule_set(node, every[:3]), None)
    await later(third)
    left = space.table(family)
    await third.cleanup()
    await third.sync(rule_set(node, every[:3]), None)
    assert space.table(family) == left


async def test_a_large_table_is_written_in_pieces_the_first_services_first(space: Space) -> None:
    """So that a node serves DNS before it serves everything, and no transaction blocks the kernel for long."""
    ports = many(V4, 400)
    applied = await space.applier(V4).sync(RuleSet(node_rules(V4), ports), None)
    elements = [text for text in space.sent if "element" in text]
    assert len(elements) == 9
    assert added(elements[0]) < 6000
    assert max(map(added, elements[1:])) < 600
    assert applied.rules > 8800
    assert added(elements[0]) > 4000
    assert "nat-prerouting jump services" in space.sent[0]


@FAMILIES
async def test_a_service_port_that_the_kernel_refuses_is_named(space: Space, family: Family) -> None:
    """The others can then be written without it; and afterwards everything is as if it had never been."""
    good, bad = of_kind(family, "plain", 1), of_kind(family, "plain", 2, "bad")
    vip = packed(cluster_ip(V6 if family is V4 else V4, 2))  # the key is of another length than the map's
    bad = replace(bad, entries=(replace_frontend(bad, vip, 80),))
    applier, node = space.applier(family), node_rules(family)
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
    await space.applier(family).sync(rules, None)
    whole = space.table(family)
    space.sent.clear()
    await space.applier(family).sync(rules, None)
    assert "element" not in "".join(space.sent)
    assert space.table(family) == whole


@FAMILIES
async def test_stale_chains_wait_a_second(space: Space, family: Family) -> None:
    """They are empty at once, deleted later, and may come back in between."""
    now = [100.0]
    applier = space.applier(family, clock=lambda: now[0])
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


class Listener:
    """A netlink socket that hears of nothing, and what was asked of it."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self._ends = socketpair()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for end in self._ends:
            end.close()

    def fileno(self) -> int:
        """Nothing ever comes."""
        return self._ends[0].fileno()

    def listen(self) -> None:
        """Have notifications."""
        self.calls.append("listen")

    def ignore(self) -> None:
        """Have none."""
        self.calls.append("ignore")


async def test_a_watch_that_begins_while_rules_are_written_does_not_hear_of_them() -> None:
    """What nft writes for us comes from a socket of its own, and would pass for another process's change."""
    listener = Listener()
    table = KernelTable(Family.IPV4, run, lambda _: cast(Nftables, listener))
    with table.watch.ignoring():
        watching = asyncio.create_task(table.watch.run(lambda: None))
        await asyncio.sleep(0)
        assert "listen" not in listener.calls
    assert (listener.calls[-1], table.watch.listening) == ("listen", True)
    watching.cancel()
    await asyncio.gather(watching, return_exceptions=True)
