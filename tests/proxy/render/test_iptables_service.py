"""One service port as rules: each shape of the policy, line by line."""

import re
import shlex

import pytest

from kdns.proxy.model import Family, LocalDetector, NodeRules, ServicePortRules
from kdns.proxy.render.iptables.service import Conflict, dispatch, own_chains
from tests.proxy.iptables_plan import (
    CLUSTER,
    DROP,
    INSIDE,
    LOCAL,
    NO_LOCAL,
    REJECT,
    cart,
    entry,
    node,
    path,
    port,
    rich,
)

CART = """
-A KUBE-SERVICES -m comment --comment "shop/cart:web cluster IP" -m tcp -p tcp -d 10.96.7.7 --dport 80 -j KUBE-SVC-KN4ZOSFCOD3IPONJ
-A KUBE-SERVICES -m comment --comment "shop/cart:web loadbalancer IP" -m tcp -p tcp -d 198.51.100.20 --dport 80 -j KUBE-EXT-KN4ZOSFCOD3IPONJ
-A KUBE-NODEPORTS -m comment --comment shop/cart:web -m tcp -p tcp --dport 30080 -j KUBE-EXT-KN4ZOSFCOD3IPONJ
-A KUBE-EXT-KN4ZOSFCOD3IPONJ -m comment --comment "pod traffic for shop/cart:web external destinations" -s 10.244.0.0/16 -j KUBE-SVC-KN4ZOSFCOD3IPONJ
-A KUBE-EXT-KN4ZOSFCOD3IPONJ -m comment --comment "masquerade LOCAL traffic for shop/cart:web external destinations" -m addrtype --src-type LOCAL -j KUBE-MARK-MASQ
-A KUBE-EXT-KN4ZOSFCOD3IPONJ -m comment --comment "route LOCAL traffic for shop/cart:web external destinations" -m addrtype --src-type LOCAL -j KUBE-SVC-KN4ZOSFCOD3IPONJ
-A KUBE-EXT-KN4ZOSFCOD3IPONJ -j KUBE-SVL-KN4ZOSFCOD3IPONJ
-A KUBE-SVC-KN4ZOSFCOD3IPONJ -m comment --comment "shop/cart:web cluster IP" -m tcp -p tcp -d 10.96.7.7 --dport 80 ! -s 10.244.0.0/16 -j KUBE-MARK-MASQ
-A KUBE-SVC-KN4ZOSFCOD3IPONJ -m comment --comment "shop/cart:web -> 10.244.1.7:8080" -m recent --name KUBE-SEP-X2YSSGDVGIPFJN7N --rcheck --seconds 10800 --reap -j KUBE-SEP-X2YSSGDVGIPFJN7N
-A KUBE-SVC-KN4ZOSFCOD3IPONJ -m comment --comment "shop/cart:web -> 10.244.2.9:8080" -m recent --name KUBE-SEP-LTZI2TTPMUVICQ65 --rcheck --seconds 10800 --reap -j KUBE-SEP-LTZI2TTPMUVICQ65
-A KUBE-SVC-KN4ZOSFCOD3IPONJ -m comment --comment "shop/cart:web -> 10.244.1.7:8080" -m statistic --mode random --probability 0.5000000000 -j KUBE-SEP-X2YSSGDVGIPFJN7N
-A KUBE-SVC-KN4ZOSFCOD3IPONJ -m comment --comment "shop/cart:web -> 10.244.2.9:8080" -j KUBE-SEP-LTZI2TTPMUVICQ65
-A KUBE-SVL-KN4ZOSFCOD3IPONJ -m comment --comment "shop/cart:web -> 10.244.1.7:8080" -m recent --name KUBE-SEP-X2YSSGDVGIPFJN7N --rcheck --seconds 10800 --reap -j KUBE-SEP-X2YSSGDVGIPFJN7N
-A KUBE-SVL-KN4ZOSFCOD3IPONJ -m comment --comment "shop/cart:web -> 10.244.1.7:8080" -j KUBE-SEP-X2YSSGDVGIPFJN7N
-A KUBE-SEP-X2YSSGDVGIPFJN7N -m comment --comment shop/cart:web -s 10.244.1.7 -j KUBE-MARK-MASQ
-A KUBE-SEP-X2YSSGDVGIPFJN7N -m comment --comment shop/cart:web -m recent --name KUBE-SEP-X2YSSGDVGIPFJN7N --set -m tcp -p tcp -j DNAT --to-destination 10.244.1.7:8080
-A KUBE-SEP-LTZI2TTPMUVICQ65 -m comment --comment shop/cart:web -s 10.244.2.9 -j KUBE-MARK-MASQ
-A KUBE-SEP-LTZI2TTPMUVICQ65 -m comment --comment shop/cart:web -m recent --name KUBE-SEP-LTZI2TTPMUVICQ65 --set -m tcp -p tcp -j DNAT --to-destination 10.244.2.9:8080
"""  # noqa: E501 - as people read them


def lines(port: ServicePortRules, rules: NodeRules | None = None, *, terse: bool = False) -> list[str]:
    """All rules of a service port, shared chains first; those in filter have the table before them."""
    rules = rules or node()
    rows = dispatch(port, rules)
    shared = [("" if row.table == "nat" else "filter ") + str(row) for row in rows]
    return [*shared, *(line for rows in own_chains(port, rules, terse=terse).values() for line in rows)]


def short(port: ServicePortRules, rules: NodeRules | None = None) -> list[str]:
    """The rules without comments, and with hashes left out."""
    bare = [re.sub(r' -m comment --comment ("[^"]*"|\S+)', "", line) for line in lines(port, rules)]
    return [re.sub(r"KUBE-(SVC|SVL|EXT|FW|SEP)-\w{16}", r"\1", line) for line in bare]


def test_the_example_of_every_feature() -> None:
    """Load balancer, node port, local endpoints and affinity: every line as kube-proxy would write it."""
    assert lines(cart()) == CART.strip().splitlines()


def test_chains_lead_only_to_later_ones() -> None:
    """A chain is named before the chains that lead to it are filled, and deletion in order never meets a reference."""
    for rules in rich().ports.values():
        chains = own_chains(rules, node())
        names = list(chains)
        for at, rows in enumerate(chains.values()):
            targets = [row.rsplit(" ", 1)[1] for row in rows if row.rsplit(" ", 1)[1] in chains]
            assert all(names.index(target) > at for target in targets)


@pytest.mark.parametrize(
    ("endpoints", "chances"),
    [
        (1, []),
        (2, ["0.5000000000"]),
        (3, ["0.3333333333", "0.5000000000"]),
        (4, ["0.2500000000", "0.3333333333", "0.5000000000"]),
    ],
)
def test_probabilities(endpoints: int, chances: list[str]) -> None:
    """The i-th of n is taken with 1/(n-i), the last one always."""
    backends = " ".join(f"10.244.0.{n}:80" for n in range(1, endpoints + 1))
    rules = lines(port("a/b", entry("cluster IP", "10.96.0.1", 80, INSIDE), cluster=backends))
    assert [rule.split("--probability ")[1].split()[0] for rule in rules if "--probability" in rule] == chances
    jumps = [rule for rule in rules if rule.startswith("-A KUBE-SVC-") and "-j KUBE-SEP-" in rule]
    assert len(jumps) == endpoints
    assert "statistic" not in jumps[-1]


def test_small_probabilities_do_not_turn_into_exponents() -> None:
    """With twenty thousand endpoints the chance is still written with ten decimals, as kube-proxy does (%0.10f)."""
    backends = " ".join(f"10.244.{n >> 8}.{n & 255}:80" for n in range(20_000))
    rules = lines(port("a/b", entry("cluster IP", "10.96.0.1", 80, INSIDE), cluster=backends))
    chances = [rule.split("--probability ")[1].split()[0] for rule in rules if "--probability" in rule]
    assert chances[:2] == ["0.0000500000", "0.0000500025"]
    assert len(chances) == 19_999


def test_masquerading_towards_a_cluster_ip() -> None:
    """Not for pods; for everybody; or, when nobody is known to be a pod, for nobody."""

    def marks(masquerade_all: bool, rules: NodeRules) -> list[str]:
        paths = (path("any", "cluster", "always" if masquerade_all else "not pod"),)
        entries = entry("cluster IP", "10.96.0.1", 80, paths)
        return [row for row in short(port("a/b", entries, cluster="10.244.0.1:80"), rules) if "-A SVC" in row][:-1]

    match = "-A SVC -m tcp -p tcp -d 10.96.0.1 --dport 80"
    assert marks(False, node()) == [f"{match} ! -s 10.244.0.0/16 -j KUBE-MARK-MASQ"]
    assert marks(True, node()) == [f"{match} -j KUBE-MARK-MASQ"]
    assert marks(False, node(cidr=None)) == []
    assert marks(True, node(cidr=None)) == [f"{match} -j KUBE-MARK-MASQ"]
    bridge = node(detector=LocalDetector("bridge", interface="cbr0"))
    assert marks(False, bridge) == [f"{match} ! -i cbr0 -j KUBE-MARK-MASQ"]
    prefix = node(detector=LocalDetector("prefix", interface="veth"))
    assert marks(False, prefix) == [f"{match} ! -i veth+ -j KUBE-MARK-MASQ"]


def test_an_interface_that_linux_would_not_take() -> None:
    """A name with spaces or quotes never becomes part of a rule."""
    bad = node(detector=LocalDetector("bridge", interface='x" -j ACCEPT'))
    with pytest.raises(ValueError, match="interface"):
        lines(cart(), bad)


def test_traffic_from_outside_to_any_backend() -> None:
    """Policy Cluster: always masqueraded, for pods and hosts alike."""
    rules = short(port("a/b:c", entry("node port", "", 30000, CLUSTER), cluster="10.244.0.1:80"))
    assert rules == [
        "-A KUBE-NODEPORTS -m tcp -p tcp --dport 30000 -j EXT",
        "-A EXT -j KUBE-MARK-MASQ",
        "-A EXT -j SVC",
        "-A SVC -j SEP",
        "-A SEP -s 10.244.0.1 -j KUBE-MARK-MASQ",
        "-A SEP -m tcp -p tcp -j DNAT --to-destination 10.244.0.1:80",
    ]


def test_no_pod_short_circuit_without_detector() -> None:
    """Policy Local, and nobody is known to be a pod: only this node's own traffic takes the short way."""
    rules = [row for row in short(cart(), node(cidr=None)) if row.startswith("-A EXT")]
    assert rules == [
        "-A EXT -m addrtype --src-type LOCAL -j KUBE-MARK-MASQ",
        "-A EXT -m addrtype --src-type LOCAL -j SVC",
        "-A EXT -j SVL",
    ]


def test_no_local_endpoints() -> None:
    """Policy Local without a local endpoint: pods and hosts go on, everybody else is dropped, in all three ways."""
    rules = short(
        port(
            "a/b:c",
            entry("external IP", "192.0.2.1", 80, NO_LOCAL),
            entry("load balancer IP", "192.0.2.2", 80, NO_LOCAL),
            entry("node port", "", 30000, NO_LOCAL),
            cluster="10.244.2.1:80",
            external_local=True,
        )
    )
    assert rules[:10] == [
        "-A KUBE-SERVICES -m tcp -p tcp -d 192.0.2.1 --dport 80 -j EXT",
        "filter -A KUBE-EXTERNAL-SERVICES -m tcp -p tcp -d 192.0.2.1 --dport 80 -j DROP",
        "-A KUBE-SERVICES -m tcp -p tcp -d 192.0.2.2 --dport 80 -j EXT",
        "filter -A KUBE-EXTERNAL-SERVICES -m tcp -p tcp -d 192.0.2.2 --dport 80 -j DROP",
        "-A KUBE-NODEPORTS -m tcp -p tcp --dport 30000 -j EXT",
        "filter -A KUBE-EXTERNAL-SERVICES -m addrtype --dst-type LOCAL -m tcp -p tcp --dport 30000 -j DROP",
        "-A EXT -s 10.244.0.0/16 -j SVC",
        "-A EXT -m addrtype --src-type LOCAL -j KUBE-MARK-MASQ",
        "-A EXT -m addrtype --src-type LOCAL -j SVC",
        "-A SVC -j SEP",
    ]


def test_what_is_refused_has_no_chains() -> None:
    """No endpoints: refused, in the filter table only; none here: dropped."""
    refused = port(
        "a/b:c",
        entry("cluster IP", "10.96.0.1", 80, REJECT),
        entry("external IP", "192.0.2.1", 80, REJECT),
        entry("node port", "", 30000, REJECT),
    )
    match = '-m comment --comment "a/b:c has no endpoints"'
    assert lines(refused) == [
        f"filter -A KUBE-SERVICES {match} -m tcp -p tcp -d 10.96.0.1 --dport 80 -j REJECT",
        f"filter -A KUBE-EXTERNAL-SERVICES {match} -m tcp -p tcp -d 192.0.2.1 --dport 80 -j REJECT",
        f"filter -A KUBE-EXTERNAL-SERVICES {match} -m addrtype --dst-type LOCAL -m tcp -p tcp --dport 30000 -j REJECT",
    ]
    dropped = port("a/b:c", entry("cluster IP", "10.96.0.1", 80, DROP))
    match = '-m comment --comment "a/b:c has no local endpoints"'
    assert lines(dropped) == [f"filter -A KUBE-SERVICES {match} -m tcp -p tcp -d 10.96.0.1 --dport 80 -j DROP"]


def test_source_ranges() -> None:
    """Who may come goes through FW to EXT; everybody else keeps the address and is dropped in the filter table."""
    guarded = next(port for name, port in rich().ports.items() if name.name == "guarded")
    rules = short(guarded)
    assert "-A KUBE-SERVICES -m tcp -p tcp -d 198.51.100.21 --dport 80 -j FW" in rules
    assert "-A KUBE-SERVICES -m tcp -p tcp -d 192.0.2.9 --dport 80 -j EXT" in rules, (
        "external IPs are not subject to it"
    )
    assert [rule for rule in rules if rule.startswith("-A FW")] == [
        "-A FW -s 203.0.113.0/25 -j EXT",
        "-A FW -s 198.51.100.21 -j EXT",
        "-A FW",
    ]
    assert [rule for rule in rules if "PROXY-FIREWALL" in rule] == [
        "filter -A KUBE-PROXY-FIREWALL -m tcp -p tcp -d 198.51.100.21 --dport 80 -j DROP",
        "filter -A KUBE-PROXY-FIREWALL -m tcp -p tcp -d 198.51.100.22 --dport 80 -j DROP",
    ]
    chain = next(name for name in own_chains(guarded, node()) if name.startswith("KUBE-FW-"))
    assert any(f'"shop/guarded traffic not accepted by {chain}"' in line for line in lines(guarded))


def test_health_check_node_port() -> None:
    """It is let in, before anybody's firewall has a say."""
    rules = lines(port("a/b:c", entry("cluster IP", "10.96.0.1", 80, REJECT), health_check_node_port=32000))
    words = '-m comment --comment "a/b:c health check node port"'
    assert f"filter -A KUBE-NODEPORTS {words} -m tcp -p tcp --dport 32000 -j ACCEPT" in rules


def test_large_clusters_leave_out_comments_on_endpoints() -> None:
    """Nothing but the comments differs, and only in what is about endpoints."""
    with_comments, without = lines(cart()), lines(cart(), terse=True)
    assert len(with_comments) == len(without)
    for full, short_ in zip(with_comments, without, strict=True):
        about = full.startswith("-A KUBE-SEP-") or " -> " in full
        assert (full == short_) is not about
        if about:
            head, rest = short_.split(" ", 2)[:2], short_.split(" ", 2)[2]
            assert full.startswith(" ".join(head))
            assert full.endswith(rest)
            assert "comment" not in short_


@pytest.mark.parametrize("protocol", ["TCP", "UDP", "SCTP"])
def test_protocols(protocol: str) -> None:
    """Matches and DNAT name the protocol in lower case."""
    rules = lines(
        port("a/b", entry("cluster IP", "10.96.0.1", 53, INSIDE), cluster="10.244.0.1:53", protocol=protocol)  # type: ignore[arg-type]
    )
    lower = protocol.lower()
    assert all(f"-m {lower} -p {lower} " in rule for rule in rules if "--dport" in rule or "DNAT" in rule)
    assert len([rule for rule in rules if f"-p {lower}" in rule]) == 3


def test_ipv6() -> None:
    """Addresses are written as RFC 5952 has them, targets in brackets."""
    rules = short(
        port("a/b", entry("cluster IP", "fd00:10:96::a", 80, INSIDE), cluster="[fd00:10:244::7]:8080"),
        node(Family.IPV6),
    )
    assert rules == [
        "-A KUBE-SERVICES -m tcp -p tcp -d fd00:10:96::a --dport 80 -j SVC",
        "-A SVC -m tcp -p tcp -d fd00:10:96::a --dport 80 ! -s fd00:10:244::/56 -j KUBE-MARK-MASQ",
        "-A SVC -j SEP",
        "-A SEP -s fd00:10:244::7 -j KUBE-MARK-MASQ",
        "-A SEP -m tcp -p tcp -j DNAT --to-destination [fd00:10:244::7]:8080",
    ]


@pytest.mark.parametrize("name", ['a/b"\n-A INPUT -j ACCEPT\n', "a/b'; x", "a/b\\", "ä/ö", "a/b\tc", "a/b\0"])
def test_names_cannot_inject(name: str) -> None:
    """Whatever a name holds, each rule stays one line, and its quotes stay closed."""
    nasty = port(f"{name}:p", entry("cluster IP", "10.96.0.1", 80, INSIDE), cluster="10.244.0.1:80")
    for rule in lines(nasty):
        assert rule.isascii()
        assert rule.isprintable()
        assert rule.count('"') in (0, 2)
        assert "\\" not in rule
        assert "'" not in rule
        assert rule.startswith("-A KUBE-")


def test_comments_are_not_too_long() -> None:
    """The kernel takes 255 octets."""
    long = port(f"{'n' * 200}/{'s' * 200}:web", entry("cluster IP", "10.96.0.1", 80, INSIDE), cluster="10.244.0.1:80")
    words = [shlex.split(rule) for rule in lines(long)]
    assert max(len(word[word.index("--comment") + 1]) for word in words if "--comment" in word) == 255


def test_frontends_that_share_a_chain_must_agree() -> None:
    """Different paths for two ways from outside, or different ranges, are no policy of ours: said, not guessed."""
    torn = port(
        "a/b",
        entry("node port", "", 30000, CLUSTER),
        entry("external IP", "192.0.2.1", 80, LOCAL),
        cluster="10.1.1.1:80",
    )
    with pytest.raises(Conflict, match="paths") as caught:
        own_chains(torn, node())
    assert caught.value.name == torn.name
    ranges = port(
        "a/b",
        entry("load balancer IP", "192.0.2.1", 80, CLUSTER, ["10.0.0.0/8"]),
        entry("load balancer IP", "192.0.2.2", 80, CLUSTER, ["10.0.0.0/9"]),
        cluster="10.1.1.1:80",
    )
    with pytest.raises(Conflict, match="ranges"):
        own_chains(ranges, node())
    with pytest.raises(Conflict, match="one path"):
        dispatch(port("a/b", entry("cluster IP", "10.96.0.1", 80, LOCAL), cluster="10.1.1.1:80"), node())


def test_a_refusal_for_some_sources_only() -> None:
    """Hosts are refused and others go on: a later path must not take the hosts along."""
    paths = (path("host", "reject"), path("any", "cluster", "always"))
    rules = short(port("a/b:c", entry("external IP", "192.0.2.1", 80, paths), cluster="10.1.1.1:80"))
    refusal = "-m tcp -p tcp -d 192.0.2.1 --dport 80 -m addrtype --src-type LOCAL -j REJECT"
    assert f"filter -A KUBE-EXTERNAL-SERVICES {refusal}" in rules
    assert [rule for rule in rules if rule.startswith("-A EXT")] == [
        "-A EXT -m addrtype --src-type LOCAL -j RETURN",
        "-A EXT -j KUBE-MARK-MASQ",
        "-A EXT -j SVC",
    ]
