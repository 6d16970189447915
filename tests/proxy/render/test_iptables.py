"""Rule sets as scripts for iptables-restore: whole, in pieces, and what differs."""

import re
from collections import Counter
from collections.abc import Iterable

import pytest

from kdns.proxy.model import Family, RuleChange, RuleSet
from kdns.proxy.render.iptables.fixed import JUMPS, SHARED_JUMPS, tail
from kdns.proxy.render.iptables.removal import removal
from kdns.proxy.render.iptables.restore_input import Script
from kdns.proxy.render.iptables.table import Found, alone, full, large, partial, script
from tests.proxy.fake_iptables import Tables
from tests.proxy.iptables_plan import (
    CLUSTER,
    INSIDE,
    REJECT,
    cart,
    entry,
    named,
    node,
    packed,
    port,
    rich,
    rich6,
    rule_set,
)


def loaded(scripts: Iterable[Script], tables: Tables | None = None) -> Tables:
    """What the kernel has after the scripts."""
    tables = tables or Tables()
    for one in scripts:
        tables.restore(one.text)
    return tables


def many(count: int) -> RuleSet:
    """So many Services with two endpoints each; every third has a node port, too."""
    return rule_set(
        node(),
        *(
            port(
                f"ns/svc-{n}:http",
                entry("cluster IP", f"10.96.{n // 250}.{n % 250 + 1}", 80, INSIDE),
                *([entry("node port", "", 30000 + n, CLUSTER)] if n % 3 == 0 else ()),
                cluster=f"10.244.0.{n % 250 + 1}:80 10.244.1.{n % 250 + 1}:80",
            )
            for n in range(count)
        ),
    )


FIXED = """
filter KUBE-FORWARD -m conntrack --ctstate INVALID -j DROP
filter KUBE-FORWARD -m comment --comment "kubernetes forwarding rules" -m mark --mark 0x00004000/0x00004000 -j ACCEPT
filter KUBE-FORWARD -m comment --comment "kubernetes forwarding conntrack rule" -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
filter KUBE-FIREWALL -d 127.0.0.0/8 ! -s 127.0.0.0/8 -m comment --comment "block incoming localnet connections" -m conntrack ! --ctstate RELATED,ESTABLISHED,DNAT -j DROP
nat KUBE-POSTROUTING -m mark ! --mark 0x00004000/0x00004000 -j RETURN
nat KUBE-POSTROUTING -j MARK --xor-mark 0x00004000
nat KUBE-POSTROUTING -m comment --comment "kubernetes service traffic requiring SNAT" -j MASQUERADE --random-fully
nat KUBE-MARK-MASQ -j MARK --or-mark 0x00004000
nat KUBE-SERVICES -m comment --comment "kubernetes service nodeports; NOTE: this must be the last rule in this chain" -m addrtype --dst-type LOCAL -j KUBE-NODEPORTS
"""  # noqa: E501 - as people read them

JUMPING = """
filter INPUT -j KUBE-FIREWALL
filter INPUT -m conntrack --ctstate NEW -m comment --comment "kubernetes load balancer firewall" -j KUBE-PROXY-FIREWALL
filter INPUT -m comment --comment "kubernetes health check service ports" -j KUBE-NODEPORTS
filter INPUT -m conntrack --ctstate NEW -m comment --comment "kubernetes externally-visible service portals" -j KUBE-EXTERNAL-SERVICES
filter FORWARD -m conntrack --ctstate NEW -m comment --comment "kubernetes load balancer firewall" -j KUBE-PROXY-FIREWALL
filter FORWARD -m comment --comment "kubernetes forwarding rules" -j KUBE-FORWARD
filter FORWARD -m conntrack --ctstate NEW -m comment --comment "kubernetes service portals" -j KUBE-SERVICES
filter FORWARD -m conntrack --ctstate NEW -m comment --comment "kubernetes externally-visible service portals" -j KUBE-EXTERNAL-SERVICES
filter OUTPUT -j KUBE-FIREWALL
filter OUTPUT -m conntrack --ctstate NEW -m comment --comment "kubernetes load balancer firewall" -j KUBE-PROXY-FIREWALL
filter OUTPUT -m conntrack --ctstate NEW -m comment --comment "kubernetes service portals" -j KUBE-SERVICES
nat PREROUTING -m comment --comment "kubernetes service portals" -j KUBE-SERVICES
nat OUTPUT -m comment --comment "kubernetes service portals" -j KUBE-SERVICES
nat POSTROUTING -m comment --comment "kubernetes postrouting rules" -j KUBE-POSTROUTING
"""  # noqa: E501 - as people read them


def test_fixed_chains() -> None:
    """What there is without any Service: the fixed chains, the canaries, and the jumps at the top."""
    tables = loaded(full(rule_set(node())))
    assert tables.listing(lambda chain: chain.startswith("KUBE-")) == FIXED.strip().splitlines()
    assert tables.listing(lambda chain: not chain.startswith("KUBE-")) == JUMPING.strip().splitlines()
    assert all("KUBE-PROXY-CANARY" in tables.chains[table] for table in ("mangle", "filter", "nat"))


def test_fixed_chains_differ_with_the_node() -> None:
    """The mark, invalid packets, loopback, random ports and the node's addresses."""

    def rules(chain: str, random_fully: bool = True, **more: object) -> list[str]:
        family = more.pop("family", Family.IPV4)
        assert isinstance(family, Family)
        return loaded(full(rule_set(node(family, **more)), random_fully=random_fully)).listing(chain.__eq__)  # type: ignore[arg-type]

    assert "0x00000001" in rules("KUBE-MARK-MASQ", masquerade_mark=1)[0]
    assert not any("INVALID" in rule for rule in rules("KUBE-FORWARD", drop_invalid=False))
    assert rules("KUBE-FIREWALL", localhost_node_ports=False) == []
    assert rules("KUBE-FIREWALL", family=Family.IPV6, localhost_node_ports=True) == []
    assert "--dst-type LOCAL ! -d 127.0.0.0/8 -j" in rules("KUBE-SERVICES", localhost_node_ports=False)[-1]
    assert "--dst-type LOCAL ! -d ::1/128 -j" in rules("KUBE-SERVICES", family=Family.IPV6)[-1]
    assert not any("random" in rule for rule in rules("KUBE-POSTROUTING", random_fully=False))
    addresses = (packed("172.18.0.2"), packed("127.0.0.1"))
    ends = [rule.rsplit('" ', 1)[1] for rule in rules("KUBE-SERVICES", node_port_addresses=addresses)]
    assert ends == ["-d 172.18.0.2 -j KUBE-NODEPORTS", "-d 127.0.0.1 -j KUBE-NODEPORTS"]
    assert rules("KUBE-SERVICES", node_port_addresses=())[:] == []


def test_what_is_in_place_is_not_put_there_again() -> None:
    """Jumps, the shared firewall and its rule: checked first, since they are not in chains of ours."""
    found = Found({"filter": {"KUBE-FIREWALL"}, "nat": ()}, (*JUMPS, *SHARED_JUMPS), True, False)
    (only,) = full(rich(), found)
    assert "-I " not in only.text
    assert "KUBE-FIREWALL" not in only.text


def test_node_ports_come_last_and_cluster_ips_first() -> None:
    """An external IP that a Service claims never comes before another one's cluster IP."""
    rows = loaded(full(rich())).chains["nat"]["KUBE-SERVICES"]
    kinds = ["cluster" if ' cluster IP"' in row else "tail" if "NODEPORTS" in row else "outside" for row in rows]
    assert kinds == sorted(kinds, key=["cluster", "outside", "tail"].index)
    assert Counter(kinds) == {"cluster": 7, "outside": 5, "tail": 1}
    assert "default/kubernetes:https" in rows[0]
    assert "kube-system/kube-dns:dns" in rows[1]


@pytest.mark.parametrize("rules", [rich(), rich6(), many(1), rule_set(node())], ids=["rich", "rich6", "one", "none"])
def test_every_way_to_write_gives_the_same(rules: RuleSet) -> None:
    """In one piece, in pieces on an empty node, in pieces over what is there, and twice."""
    whole = loaded(full(rules))
    for piece in (1, 4, 6):
        assert loaded(full(rules, piece=piece)) == whole
        assert loaded(full(rules, whole.found(), piece=piece), loaded(full(rules))) == whole
        other = loaded(full(many(7)._replace(node=rules.node)))
        assert loaded(full(rules, other.found(), piece=piece), other) == whole
    again = loaded(full(rules))
    assert loaded(full(rules, again.found()), again) == whole
    assert script(rules) == next(full(rules)).text


def test_totals_are_what_the_kernel_has() -> None:
    """`grown` adds up to the rules in our chains, whichever way they were written."""
    rules = many(10)
    expected = loaded(full(rules)).counts()
    for piece in (None, 7):
        grown: Counter[str] = Counter()
        for one in full(rules, piece=piece):
            grown.update(dict(one.grown))
        assert grown == expected


def test_traffic_flows_as_pieces_come() -> None:
    """On an empty node, what a piece brings is reachable once the piece is there."""
    tables, reachable = Tables(), []
    for one in full(many(9), piece=9):
        tables.restore(one.text)
        reachable.append(sum("cluster IP" in row for row in tables.chains["nat"]["KUBE-SERVICES"]))
    assert reachable == [0, 3, 6, 9, 9]


def test_traffic_flows_on_over_a_restart() -> None:
    """Where there are rules already, not one of the pieces takes any Service's dispatch away."""
    rules = many(9)
    tables = loaded(full(rules))
    for one in full(rules, tables.found(), piece=6):
        tables.restore(one.text)
        assert sum("cluster IP" in row for row in tables.chains["nat"]["KUBE-SERVICES"]) == 9
        for chain, rows in tables.chains["nat"].items():
            assert rows or not chain.startswith("KUBE-S"), f"{chain} is empty"


def test_stale_chains_go() -> None:
    """Chains of Services that are no more go with a full sync, however many there are, in an order that works."""
    for piece in (None, 2):
        tables = loaded(full(many(30)))
        tables = loaded(full(many(2), tables.found(), piece=piece), tables)
        assert tables == loaded(full(many(2)))


def changed(before: RuleSet, after: RuleSet) -> list[RuleChange]:
    """The difference of two rule sets."""
    names = dict.fromkeys((*before.ports, *after.ports))
    return [RuleChange(name, before.ports.get(name), after.ports.get(name)) for name in names]


def test_a_partial_sync_gives_what_a_full_one_gives() -> None:
    """From any of these rule sets to any other; only the order of dispatch may differ, with node ports last."""
    sets = [rich(), many(5), many(3), rule_set(node()), rule_set(node(), cart())]
    for before in sets:
        for after in sets:
            for piece in (None, 1, 12):
                tables = loaded(partial(changed(before, after), node(), piece=piece), loaded(full(before)))
                wanted = loaded(full(after))
                assert tables.sorted() == wanted.sorted()
                rows = tables.chains["nat"]["KUBE-SERVICES"]
                assert rows[-1] == tail(node())[0]
                outside = [n for n, row in enumerate(rows[:-1]) if ' cluster IP"' not in row]
                assert outside == list(range(len(rows) - 1 - len(outside), len(rows) - 1))


def test_one_endpoint_more_touches_its_service_only() -> None:
    """Neither dispatch, nor other Services' chains, nor the filter table, nor endpoints that were there."""
    before = port("a/b:c", entry("cluster IP", "10.96.0.1", 80, INSIDE), cluster="10.1.1.1:80")
    after = port("a/b:c", entry("cluster IP", "10.96.0.1", 80, INSIDE), cluster="10.1.1.1:80 10.1.1.2:80")
    (one,) = partial([RuleChange(before.name, before, after)], node())
    assert one.text.splitlines()[0] == "*nat"
    chains = re.findall(r"^:(\S+)", one.text, re.MULTILINE)
    assert [chain[:9] for chain in chains] == ["KUBE-SVC-", "KUBE-SEP-"]
    assert set(re.findall(r"^-[AID] (\S+)", one.text, re.MULTILINE)) == set(chains)
    assert (one.rules, dict(one.grown)) == (5, {"nat": 3})


def test_no_difference_is_no_script() -> None:
    """Equal rules are not written again."""
    assert list(partial([], node())) == []
    assert list(partial([RuleChange(cart().name, cart(), cart())], node())) == []


def test_totals_follow_partial_syncs() -> None:
    """What changes add and take away is what the kernel then has more or less."""
    before, after = many(6), rich()
    tables = loaded(full(before))
    counts = tables.counts()
    for one in partial(changed(before, after), node(), piece=20):
        tables.restore(one.text)
        counts.update(dict(one.grown))
    assert +counts == tables.counts()


def test_pieces_are_measured_by_chains() -> None:
    """One Service of many endpoints is a piece of its own, however many small ones fit into another."""
    big = port(
        "a/big",
        entry("cluster IP", "10.96.9.9", 80, INSIDE),
        cluster=" ".join(f"10.1.{n // 250}.{n % 250}:80" for n in range(300)),
    )
    rules = rule_set(node(), *many(4).ports.values(), big)
    pieces = [len(re.findall("^:KUBE-S", one.text, re.MULTILINE)) for one in full(rules, piece=9)]
    assert pieces == [2, 9, 3, 301, 0]


def test_large_clusters() -> None:
    """More than 1000 endpoints: comments about them go, those about Services stay."""
    few, lots = many(500), many(501)
    assert not large(few)
    assert large(lots)
    assert " -> " in script(few)
    assert " -> " not in script(lots)
    assert 'svc-500:http cluster IP"' in script(lots)


def test_every_line_has_its_owner() -> None:
    """A line number in an error leads to the service port."""
    text = next(full(rich()))
    lines = text.text.splitlines()
    owned: Counter[object] = Counter()
    for number, line in enumerate(lines, 1):
        owner = text.owner(number)
        if " shop/cart:web" in line or '"shop/cart:web' in line:
            assert owner == named("shop/cart:web"), line
        if line[0] in "*:C" or "KUBE-FORWARD" in line or "-I " in line:
            assert owner is None, line
        owned[owner] += 1
    assert set(owned) == {None, *rich().ports}
    assert set(text.ports) == set(rich().ports)
    assert text.owner(0) is None
    assert text.owner(10**6) is None


def test_the_same_rules_are_the_same_text() -> None:
    """Nothing in the text is by chance."""
    assert script(rich()) == script(rich())


def test_one_service_port_alone() -> None:
    """Its chains, and the one that they need, and nothing that leads to them."""
    one = alone([cart()], node())
    tables = loaded([one])
    made = {chain for chain in tables.chains["nat"] if chain.startswith("KUBE-")}
    assert made - {"KUBE-MARK-MASQ"} == set(
        re.findall(r"KUBE-(?:SVC|SVL|EXT|SEP)-\w{16}", script(rule_set(node(), cart())))
    )
    assert "KUBE-SERVICES" not in one.text


@pytest.mark.parametrize("piece", [None, 3])
def test_removal_leaves_nothing(piece: int | None) -> None:
    """All jumps and chains go, however often a jump is there; KUBE-FIREWALL and others' rules stay."""
    tables = loaded(full(rich()))
    again = f"-I PREROUTING {next(jump.body for jump in JUMPS if jump.chain == 'PREROUTING')}"
    foreign = ("*nat", ":FOREIGN - [0:0]", "-A FOREIGN -j ACCEPT", "-A PREROUTING -j FOREIGN", again, "COMMIT")
    tables.restore("\n".join(foreign))
    for table in ("mangle", "filter", "nat"):
        for one in removal(table, tables.lines(table), piece=piece):
            tables.restore(one.text)
    assert tables.listing(lambda _: True) == [
        "filter INPUT -j KUBE-FIREWALL",
        "filter OUTPUT -j KUBE-FIREWALL",
        FIXED.strip().splitlines()[3],
        "nat PREROUTING -j FOREIGN",
        "nat FOREIGN -j ACCEPT",
    ]
    assert not any(chain in tables.chains["nat"] for chain in ("KUBE-SERVICES", "KUBE-PROXY-CANARY"))


def test_removal_leaves_what_others_use() -> None:
    """A chain that a foreign chain leads to cannot be deleted, so it stays; the rest goes."""
    tables = loaded(full(rich()))
    tables.restore("*nat\n:CNI-X - [0:0]\n-A CNI-X -j KUBE-MARK-MASQ\nCOMMIT\n")
    for one in removal("nat", tables.lines("nat")):
        tables.restore(one.text)
    assert [chain for chain in tables.chains["nat"] if chain.startswith("KUBE-")] == ["KUBE-MARK-MASQ"]
    assert tables.chains["nat"]["KUBE-MARK-MASQ"] == ["-j MARK --or-mark 0x00004000"]


def test_nothing_to_remove() -> None:
    """A table that has nothing of ours is not written."""
    assert list(removal("nat", {":PREROUTING": 1, "-A PREROUTING -j KUBE-SOMETHING-ELSE": 1})) == []


def test_refused_services_cost_no_chain() -> None:
    """A Service without endpoints is a rule in the filter table."""
    rules = rule_set(node(), port("a/b", entry("cluster IP", "10.96.0.1", 80, REJECT)))
    tables = loaded(full(rules))
    assert tables.counts() - loaded(full(rule_set(node()))).counts() == {"filter": 1}


def test_packets_are_counted_as_kube_proxy_counts_them() -> None:
    """Its own rules: invalid packets in both families, node ports on loopback in IPv4 where they are served."""
    invalid = (
        "filter KUBE-FORWARD -m conntrack --ctstate INVALID"
        " -m nfacct --nfacct-name ct_state_invalid_dropped_pkts -j DROP"
    )
    twin = (
        "nat KUBE-NODEPORTS -m comment --comment shop/cart:web -m tcp -p tcp --dport 30080 -d 127.0.0.0/8"
        " -m nfacct --nfacct-name localhost_nps_accepted_pkts -j "
    )

    def listed(chain: str, family: Family = Family.IPV4, **more: object) -> list[str]:
        counting = node(family, packet_counters=True, **more)  # type: ignore[arg-type]
        return loaded(full(rule_set(counting, cart()))).listing(chain.__eq__)

    assert listed("KUBE-FORWARD")[0] == invalid
    assert listed("KUBE-FORWARD", Family.IPV6)[0] == invalid
    assert not any("nfacct" in rule for rule in listed("KUBE-FORWARD", drop_invalid=False))
    first, second = (rule for rule in listed("KUBE-NODEPORTS", localhost_node_ports=True) if "--dport 30080" in rule)
    assert first.startswith(twin)
    assert second == first.replace(" -d 127.0.0.0/8 -m nfacct --nfacct-name localhost_nps_accepted_pkts", "")
    assert not any("nfacct" in rule for rule in listed("KUBE-NODEPORTS", localhost_node_ports=False))
