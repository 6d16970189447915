"""Nftables mode on a real kernel: what others do to the table, who wrote one before us, names that mean harm."""

import asyncio
import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from os import geteuid

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from kdns.base.errors import ConfigError, KernelError
from kdns.base.objects import address_text
from kdns.kernel.run import PATIENCE
from kdns.proxy.model import Family, RuleSet, ServicePortName
from kdns.proxy.render.nftables.fixed import LAYOUT
from tests.examples import examples
from tests.proxy.apply.space import Space, change, later
from tests.proxy.nftables_plan import V4, V6, cluster_ip, many, node_rules, of_kind, rich, rule_set

pytestmark = [pytest.mark.kernel, pytest.mark.skipif(geteuid() != 0, reason="network namespaces need root")]
FAMILIES = pytest.mark.parametrize("family", [V4, V6], ids=lambda family: family.value)


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
    "hairpin gone": "flush set {t} hairpin",
    "cluster IPs gone": "flush set {t} cluster-ips",
    "a rule replaced": "flush chain {t} masquerading\n" + "add rule {t} masquerading accept\n" * 4,
}


@FAMILIES
@pytest.mark.parametrize("damage", DAMAGE)
async def test_damage_by_others_is_seen_and_repaired(space: Space, family: Family, damage: str) -> None:
    """By the next look, and the full sync after it."""
    applier = space.applier(family)
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


TOUCHED: Mapping[str, str] = {
    **{name: damage for name, damage in DAMAGE.items() if "delete" not in damage or "element" in damage},
    "a stranger among the frontends": "add element {t} service-ips {{ {stranger} . tcp . 80 : drop }}",
    "a stranger among the endpoints": "add element {t} hairpin {{ {stranger} . {stranger} }}",
    "a chain of a Service flushed": "flush chain {t} {own}",
    "a chain of a Service led elsewhere": "flush chain {t} {own}\nadd rule {t} {own} drop",
}


@FAMILIES
@pytest.mark.parametrize("damage", TOUCHED)
async def test_what_the_kernel_notifies_of_is_repaired_without_listing_the_rest(
    space: Space, family: Family, damage: str
) -> None:
    """Only what was touched is asked for; no set and no map is listed but those that were lost as a whole."""
    applier = space.applier(family)
    altered = asyncio.Event()
    watching = asyncio.create_task(applier.watch(altered.set))
    await asyncio.sleep(0)
    rules = rule_set(node_rules(family), rich(family))
    await applier.sync(rules, None)
    assert await applier.intact()
    whole = space.table(family)
    own = next(value["name"] for kind, value in whole if kind == "chain" and value["name"].startswith("external-"))
    table = f"{'ip' if family is V4 else 'ip6'} kube-proxy"
    words = {"t": table, "vip": cluster_ip(family, 1), "stranger": cluster_ip(family, 77), "own": own}
    space.listed.clear()
    space.nft("-f", "-", stdin=TOUCHED[damage].format(**words))
    await altered.wait()
    assert not await applier.intact()
    assert (await applier.sync(rules, None)).rules > 0
    await later(applier)
    assert space.table(family) == whole
    assert await applier.intact()
    assert space.listed == ([] if damage != "everything flushed" else space.listed)
    watching.cancel()
    await asyncio.gather(watching, return_exceptions=True)


@FAMILIES
async def test_what_has_come_before_own_rules_are_written_is_not_lost(space: Space, family: Family) -> None:
    """While nft writes for us nothing is listened to; what had come before is looked at afterwards."""
    applier, node = space.applier(family), node_rules(family)
    altered = asyncio.Event()
    watching = asyncio.create_task(applier.watch(altered.set))
    await asyncio.sleep(0)
    ports = {port.name: port for port in rich(family)}
    await applier.sync(RuleSet(node, ports), None)
    assert await applier.intact()
    whole = space.table(family)
    table, stranger = "ip" if family is V4 else "ip6", cluster_ip(family, 77)
    space.nft("add", "element", table, "kube-proxy", "cluster-ips", f"{{ {stranger} }}")
    sticky = of_kind(family, "sticky", 20, "another")
    await applier.sync(RuleSet(node, ports | {sticky.name: sticky}), [change(None, sticky)])
    await applier.sync(RuleSet(node, ports), [change(sticky, None)])
    assert altered.is_set()
    assert not await applier.intact()
    await applier.sync(RuleSet(node, ports), None)
    await later(applier)
    assert space.table(family) == whole
    watching.cancel()
    await asyncio.gather(watching, return_exceptions=True)


@FAMILIES
async def test_a_change_of_a_flushed_table_repairs_all_of_it(space: Space, family: Family) -> None:
    """Before anybody has looked."""
    applier, node = space.applier(family), node_rules(family)
    ports = {port.name: port for port in rich(family)}
    await applier.sync(RuleSet(node, ports), None)
    whole = space.table(family)
    plain = of_kind(family, "plain", 1)
    fewer = replace(plain, cluster=plain.cluster[:2])
    await applier.sync(RuleSet(node, ports | {plain.name: fewer}), [change(plain, fewer)])
    space.nft("flush", "ruleset")
    await applier.sync(RuleSet(node, ports), [change(fewer, plain)])
    assert space.table(family) == whole


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
    applier = space.applier(family)
    rules = RuleSet(node_rules(family), many(family, 300))
    await applier.sync(rules, None)
    assert len(space.sent) == 1, "until the new table is whole, the old one works"
    assert "delete table" in space.sent[0]
    ours = space.table(family)
    space.nft("-f", "-", stdin=theirs)
    # It takes chains with a slash that it does not know for its own stale ones, and deletes them.
    space.nft("delete", "chain", words["ip"], "kube-proxy", LAYOUT)
    await space.applier(family).sync(rules, None)
    assert space.table(family) == ours
    assert caplog.records == []


@FAMILIES
async def test_a_corrupt_table_is_made_anew(space: Space, family: Family, caplog: pytest.LogCaptureFixture) -> None:
    """If our own layout holds what cannot be changed into what it should be."""
    rules = rule_set(node_rules(family), rich(family))
    await space.applier(family).sync(rules, None)
    whole = space.table(family)
    word = "ip" if family is V4 else "ip6"
    space.nft("flush", "table", word, "kube-proxy")
    space.nft("flush", "map", word, "kube-proxy", "backends-tcp")
    space.nft("delete", "map", word, "kube-proxy", "backends-tcp")
    space.nft("add", "map", word, "kube-proxy", "backends-tcp", "{ type mark : mark ; }")
    with caplog.at_level(logging.WARNING):
        await space.applier(family).sync(rules, None)
    assert space.table(family) == whole
    assert "made again" in caplog.text


@FAMILIES
async def test_a_table_that_cannot_be_read_is_written_all_the_same(
    space: Space, family: Family, caplog: pytest.LogCaptureFixture
) -> None:
    """An older nft fails at what a newer one has written into tables of others."""

    async def half_blind(argv: Sequence[str], stdin: str | bytes = b"", patience: float = PATIENCE) -> str:
        if "list" in argv:
            raise KernelError(argv, 139, "Segmentation fault")
        return await space.run(argv, stdin, patience)

    rules = rule_set(node_rules(family), rich(family))
    await space.applier(family).sync(rules, None)
    whole = space.table(family)
    blind = space.applier(family, half_blind)
    await blind.sync(rules, None)
    assert space.table(family) == whole
    assert (await blind.sync(rules, None)).rules == 0
    assert "cannot be read" in caplog.text
    assert "could not be looked at" in caplog.text
    with pytest.raises(KernelError):
        await blind.intact()


NASTY = st.text(
    alphabet=st.characters(exclude_categories=["Cs"]) | st.sampled_from("\"'{}\\;#\n\t $`@,:/"), max_size=80
) | st.sampled_from(
    ['x" ; }\ndelete table ip kube-proxy\n', "a/b:c", "x" * 300, 'n"', "\x00", "# comment", "$(reboot)"]
)


ORDINARY: dict[int, Counter[str]] = {}
"""How many objects of each kind the same Service makes under an ordinary name, by affinity."""


@given(namespace=NASTY, name=NASTY, port=NASTY, affinity=st.sampled_from([0, 60]))
@settings(max_examples=examples(8))
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
            applier = space.applier(V4)
            await applier.sync(rule_set(node_rules(V4), [one]), None)
            assert await applier.intact()
            found = Counter(kind for kind, _ in space.table(V4))
            await space.applier(V4).sync(rule_set(node_rules(V4), [one]), None)
            await applier.cleanup()
            return found

        return asyncio.run(there_and_back())

    if affinity not in ORDINARY:
        ORDINARY[affinity] = kinds("shop", "web", "http")
    assert kinds(namespace, name, port) == ORDINARY[affinity]


@FAMILIES
async def test_cleanup_leaves_nothing(space: Space, family: Family) -> None:
    """And what is not there is no error; other tables stay."""
    word = "ip" if family is V4 else "ip6"
    space.nft("add", "table", word, "others")
    applier = space.applier(family)
    await applier.cleanup()
    await applier.sync(rule_set(node_rules(family), rich(family)), None)
    await applier.cleanup()
    await applier.cleanup()
    assert space.nft("list", "tables").split() == ["table", word, "others"]


async def test_prepare_says_what_is_missing(space: Space, monkeypatch: pytest.MonkeyPatch) -> None:
    """Which tool or kernel, and what brings it."""
    await space.applier(V4).prepare()
    await space.applier(V6).prepare()
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
            await space.applier(V4, runner).prepare()

    class Uname:
        release = "5.10.0-28-amd64"

    monkeypatch.setattr("kdns.proxy.apply.nftables.os.uname", Uname)
    with pytest.raises(ConfigError, match=r"needs Linux 5\.13 or later, this is 5\.10"):
        await space.applier(V4).prepare()
    monkeypatch.setenv("KUBE_PROXY_NFTABLES_SKIP_KERNEL_VERSION_CHECK", "1")
    await space.applier(V4).prepare()


@FAMILIES
async def test_what_others_do_is_known_at_once(space: Space, family: Family) -> None:
    """Any element of any Service, while the own changes are no reason to look; then nothing is run to find it."""
    runs: list[Sequence[str]] = []

    async def counted(argv: Sequence[str], stdin: str | bytes = b"", patience: float = PATIENCE) -> str:
        runs.append(argv)
        return await space.run(argv, stdin, patience)

    applier, node, ports = space.applier(family, counted), node_rules(family), many(family, 300)
    altered = asyncio.Event()
    watching = asyncio.create_task(applier.watch(altered.set))
    await asyncio.sleep(0)
    await applier.sync(RuleSet(node, ports), None)
    assert await applier.intact()
    name, last = list(ports.items())[-1]
    fewer = replace(last, entries=last.entries[:1])
    runs.clear()
    await applier.sync(RuleSet(node, ports | {name: fewer}), [change(last, fewer)])
    await applier.sync(RuleSet(node, ports), [change(fewer, last)])
    assert await applier.intact()
    assert runs == []
    assert not altered.is_set()
    whole = space.table(family)
    table, vip = "ip" if family is V4 else "ip6", address_text(last.entries[0].frontend.address)
    space.nft("delete", "element", table, "kube-proxy", "backends-tcp", f"{{ {vip} . 80 . 3 }}")
    await altered.wait()
    assert not await applier.intact()
    await applier.sync(RuleSet(node, ports), None)
    assert space.table(family) == whole
    assert await applier.intact()
    watching.cancel()
    await asyncio.gather(watching, return_exceptions=True)
