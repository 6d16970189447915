"""How nftables mode spells rule sets."""

import subprocess
from os import geteuid

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from kdns.proxy.model import Backend, Family, LocalDetector, Path, ServicePortName
from kdns.proxy.render.nftables.command import Chain, Command, Verb
from kdns.proxy.render.nftables.fixed import fixed_chains, not_pod_match, pod_match
from kdns.proxy.render.nftables.script import script
from kdns.proxy.render.nftables.service import render
from kdns.proxy.render.nftables.table import Found, Table, transactions
from kdns.proxy.render.nftables.text import LONGEST, address, comment, duration, endpoint_identity, identity
from tests.proxy.nftables_plan import V4, V6, many, node_rules, of_kind, packed, rich, rule_set, texts

HTTP = ServicePortName("ns1", "svc1", "p80", "TCP")


def test_identities_are_kube_proxys() -> None:
    """The examples of kube-proxy's own names."""
    assert identity(HTTP) == "ULMVA6XW-ns1/svc1/tcp/p80"
    assert endpoint_identity(HTTP, Backend(packed("10.180.0.1"), 80)) == "5OJB2KTY-ns1/svc1/tcp/p80__10.180.0.1/80"
    assert identity(HTTP._replace(port="")).endswith("-ns1/svc1/tcp/")
    assert endpoint_identity(HTTP, Backend(packed("fd00::1"), 80)).endswith("__fd00..1/80")


@given(st.text(max_size=400), st.text(max_size=400), st.text(max_size=400))
def test_names_and_comments_hold_only_ordinary_characters(namespace: str, name: str, port: str) -> None:
    """No quote, brace, semicolon, line end or space gets into a name, and names stay short."""
    one = ServicePortName(namespace, name, port, "TCP")
    for text in (identity(one), endpoint_identity(one, Backend(packed("fd00::1"), 80))):
        assert len(text) <= LONGEST
        assert set(text) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_/")
    kept = comment(str(one))
    assert len(kept.encode()) <= 120
    assert not set(kept) & set("\"\\\n{};#$'")


def test_different_names_stay_different() -> None:
    """Where characters are replaced, or the end is cut, the hash tells them apart."""
    names = [HTTP._replace(name=name) for name in ("a;b", "a}b", "a_b", "x" * 300 + "a", "x" * 300 + "b")]
    assert len({identity(name) for name in names}) == len(names)


def test_addresses_are_spelled_as_nft_lists_them() -> None:
    """Where IPv6 holds IPv4, not quite as Python does."""
    odd = ["10.0.0.1", "fd00::1", "::1", "::", "::ffff:1.2.3.4", "::1.2.3.4", "1::", "2001:db8:0:1:1:1:1:1"]
    assert [address(packed(text)) for text in odd] == odd


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(1, "1s"), (60, "1m"), (3600, "1h"), (5400, "1h30m"), (10800, "3h"), (86400, "1d"), (90061, "1d1h1m1s")],
)
def test_durations_are_spelled_as_nft_lists_them(seconds: int, text: str) -> None:
    """The units are days, hours, minutes and seconds; affinity lasts a day at most."""
    assert duration(seconds) == text


def test_a_simple_service_has_elements_only() -> None:
    """One for the frontend, one for each backend, and chains that others share."""
    node = node_rules(V4)
    alone = replace(of_kind(V4, "alone", 2), entries=of_kind(V4, "alone", 2).entries[:1])
    found = render(alone, node)
    assert texts(found.elements) == {
        ("service-ips", "10.96.0.2 . tcp . 80"): ' comment "shop/alone:http cluster IP" : goto spread/1/tcp/not-pod',
        ("backends-tcp", "10.96.0.2 . 80 . 0"): " : 10.244.1.2 . 8080",
    }
    assert found.chains == {}
    assert found.affinity_sets == set()
    (spread,) = found.spreads
    assert spread.rules(node) == (
        "ip saddr != 10.244.0.0/16 jump mark-for-masquerade",
        "dnat ip to ip daddr . tcp dport . numgen random mod 1 map @backends-tcp",
    )


def test_three_endpoints_are_chosen_by_number_and_the_first_catches_the_rest() -> None:
    """In IPv6, where a node port has no address in its key."""
    node = node_rules(V6)
    spreads = {str(spread): spread.rules(node) for spread in render(of_kind(V6, "plain", 1), node).spreads}
    assert spreads == {
        "spread/3/tcp/not-pod": (
            "ip6 saddr != fd00:10:244::/48 jump mark-for-masquerade",
            "dnat ip6 to ip6 daddr . tcp dport . numgen random mod 3 map @backends-tcp",
            "dnat ip6 to ip6 daddr . tcp dport . numgen random mod 1 map @backends-tcp",
        ),
        "spread/3/tcp/masquerade": (
            "jump mark-for-masquerade",
            "dnat ip6 to ip6 daddr . tcp dport . numgen random mod 3 map @backends-tcp",
            "dnat ip6 to ip6 daddr . tcp dport . numgen random mod 1 map @backends-tcp",
        ),
        "spread/3/tcp/masquerade/nodeport": (
            "jump mark-for-masquerade",
            "dnat ip6 to tcp dport . numgen random mod 3 map @nodeport-backends-tcp",
            "dnat ip6 to tcp dport . numgen random mod 1 map @nodeport-backends-tcp",
        ),
    }


def test_external_policy_local_has_a_chain_that_tells_sources_apart() -> None:
    """The short ways first, in the order of the paths; what may not pass falls through, and is dropped later."""
    node = node_rules(V4)
    local, elsewhere = render(of_kind(V4, "local", 4), node), render(of_kind(V4, "elsewhere", 5), node)
    assert local.chains[f"external-{identity(of_kind(V4, 'local', 4).name)}"] == (
        "ip saddr 10.244.0.0/16 goto spread/3/tcp",
        "fib saddr type local jump mark-for-masquerade",
        "fib saddr type local goto spread/3/tcp",
        "goto spread/1/tcp/local",
    )
    assert len(local.chains) == 2, "one for addresses, one for the node port"
    assert elsewhere.chains[f"external-{identity(of_kind(V4, 'elsewhere', 5).name)}"] == (
        "ip saddr 10.244.0.0/16 goto spread/1/tcp",
        "fib saddr type local jump mark-for-masquerade",
        "fib saddr type local goto spread/1/tcp",
    )
    assert texts(elsewhere.elements)["no-endpoint-services", "203.0.113.5 . tcp . 80"].endswith(" : drop")
    assert texts(elsewhere.elements)["no-endpoint-nodeports", "tcp . 30005"].endswith(" : drop")
    assert ("no-endpoint-services", "203.0.113.4 . tcp . 80") not in texts(local.elements)


def test_affinity_prefers_who_was_chosen_before() -> None:
    """A set and a chain for each endpoint, as kube-proxy has them; without memory each has the same chance."""
    port = of_kind(V4, "sticky", 8)
    found = render(port, node_rules(V4))
    ends = [endpoint_identity(port.name, backend) for backend in port.cluster]
    assert found.affinity_sets == {f"affinity-{end}" for end in ends}
    assert found.chains[f"service-{identity(port.name)}"] == (
        *(f"ip saddr @affinity-{end} goto endpoint-{end}" for end in ends),
        f"numgen random mod 3 0 goto endpoint-{ends[0]}",
        f"numgen random mod 2 0 goto endpoint-{ends[1]}",
        f"goto endpoint-{ends[2]}",
    )
    assert found.chains[f"endpoint-{ends[0]}"] == (
        f"update @affinity-{ends[0]} {{ ip saddr timeout 1h }}",
        "meta l4proto tcp dnat to 10.244.1.2:8080",
    )
    assert not any(container.startswith("backends") for container in found.elements)


def test_ranges_are_asked_before_everything_else() -> None:
    """Also when nobody would answer."""
    for kind in ("ranges", "ranges-empty"):
        port = of_kind(V4, kind, 10)
        found = render(port, node_rules(V4))
        assert found.chains == {f"firewall-{identity(port.name)}": ("ip saddr 192.0.2.100 return", "drop")}
        keys = [key for container, key in texts(found.elements) if container == "firewall-ips"]
        assert keys == ["203.0.113.110 . tcp . 80"]


def test_refusals_that_depend_on_the_source_get_a_chain() -> None:
    """The policy has none today, but the model can say it."""
    paths = (Path("pod", "reject"), Path("host", "cluster", "always"), Path("any", "drop"))
    alone = of_kind(V4, "alone", 2)
    mixed = replace(alone, entries=(alone.entries[1]._replace(paths=paths),))
    found = render(mixed, node_rules(V4))
    assert found.chains[f"external-{identity(mixed.name)}"][0] == "ip saddr 10.244.0.0/16 return"
    refused = f"refused-{identity(mixed.name)}"
    assert found.chains[refused] == ("ip saddr 10.244.0.0/16 goto reject-chain", "drop")
    assert texts(found.elements)["no-endpoint-services", "203.0.113.2 . tcp . 80"].endswith(f": goto {refused}")


def test_frontends_with_different_paths_get_different_chains() -> None:
    """Of one Service and one way, which the policy does not do today either."""
    local = of_kind(V4, "local", 4)
    first, second = local.entries[1], local.entries[2]._replace(paths=(Path("host", "cluster"), Path("any", "drop")))
    found = render(replace(local, entries=(first, second)), node_rules(V4))
    assert set(found.chains) == {f"external-{identity(local.name)}", f"external-2-{identity(local.name)}"}


@pytest.mark.parametrize(
    ("detector", "pod", "other"),
    [
        (LocalDetector("bridge", None, "cni0"), 'iifname "cni0"', 'iifname != "cni0"'),
        (LocalDetector("prefix", None, "veth"), 'iifname "veth*"', 'iifname != "veth*"'),
        (None, None, None),
    ],
)
def test_pods_are_told_by_the_detector(detector: LocalDetector | None, pod: str | None, other: str | None) -> None:
    """Without one, nobody is a pod, and nobody is masqueraded for not being one."""
    node = node_rules(V4, detector=detector)
    assert (pod_match(node), not_pod_match(node)) == (pod, other)
    rules = [rule for spread in render(of_kind(V4, "inner", 6), node).spreads for rule in spread.rules(node)]
    assert rules[:-1] == ([f"{other} jump mark-for-masquerade"] if other else [])


def test_node_port_addresses_never_hold_loopback() -> None:
    """Listed or not."""
    listed = node_rules(V4, node_port_addresses=(packed("127.0.0.1"), packed("192.0.2.1")))
    text = script(rule_set(listed, []))
    assert "nodeport-ips { 192.0.2.1 }" in text
    assert "127.0.0.1" not in text
    assert "fib daddr type local ip6 daddr != ::1" in script(rule_set(node_rules(V6), []))


def test_the_mark_and_the_networks_of_services() -> None:
    """Any bit; unknown cluster IPs are dropped only in networks that are known."""
    chains = fixed_chains(node_rules(V4, masquerade_mark=1 << 3))
    assert chains["mark-for-masquerade"] == ("meta mark set meta mark | 0x00000008",)
    assert chains["cluster-ips-check"] == ("ip daddr @cluster-ips reject", "ip daddr 10.96.0.0/12 drop")
    assert fixed_chains(node_rules(V6, service_cidrs=()))["cluster-ips-check"] == ("ip6 daddr @cluster-ips reject",)


def test_chains_grow_with_numbers_of_endpoints_not_with_services() -> None:
    """A thousand Services with ten endpoints each have one chain."""
    few, more = Table(node_rules(V4)), Table(node_rules(V4))
    list(few.rebuild(rule_set(few.node, many(V4, 1).values()), Found({})))
    list(more.rebuild(rule_set(more.node, many(V4, 1000).values()), Found({})))
    assert few.rules() == more.rules()


def test_pieces_keep_the_ports_of_a_service_together() -> None:
    """Else one port of a cluster IP would be refused while the other is served."""
    names = [ServicePortName("ns", f"s{number // 3}", f"p{number % 3}", "TCP") for number in range(30)]
    commands = [
        Command(Verb.ADD, Chain("fixed"), 5),
        *(Command(Verb.ADD, Chain(str(name)), 4, name) for name in names),
        *[Command(Verb.ADD, Chain("late"), 1)] * 30,
    ]
    worked_out = list(transactions([[command] for command in commands], 10, 10))
    assert len(worked_out) > len(commands), "after each step there is time for a rest"
    pieces = [piece for piece in worked_out if piece]
    assert [command for piece in pieces for command in piece] == commands
    homes = [{command.port.service for command in piece if command.port} for piece in pieces]
    assert all(not one & other for place, one in enumerate(homes) for other in homes[:place])
    assert max(sum(command.weight for command in piece) for piece in pieces) < 30


@pytest.mark.parametrize("family", [V4, V6], ids=lambda family: family.value)
def test_the_script_names_every_service_port_and_flushes_nothing(family: Family) -> None:
    """It is for reading."""
    rules = rule_set(node_rules(family), rich(family))
    text = script(rules)
    assert all(f"# {name} {name.protocol}\n" in text for name in rules.ports)
    assert "flush" not in text
    assert "delete" not in text


@pytest.mark.kernel
@pytest.mark.skipif(geteuid() != 0, reason="a network namespace needs root")
@pytest.mark.parametrize("family", [V4, V6], ids=lambda family: family.value)
def test_nft_takes_the_script(family: Family) -> None:
    """In a network namespace of its own, which ends with it."""
    text = script(rule_set(node_rules(family), rich(family)))
    subprocess.run(["unshare", "-n", "nft", "-c", "-f", "-"], input=text, text=True, check=True, capture_output=True)
