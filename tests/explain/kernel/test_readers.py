"""Files as people mail them: whole, cut short, or something else; and what single rules mean."""

from ipaddress import ip_address
from pathlib import Path
from shutil import copytree
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kdns.explain.kernel.flows import parse_flow, parse_losses
from kdns.explain.kernel.iptables_text import parse_tables
from kdns.explain.kernel.ipvs import parse_ipsets, parse_virtual_servers
from kdns.explain.kernel.machine import parse_addresses, parse_routes, parse_sysctls
from kdns.explain.kernel.nft_json import parse_json
from kdns.explain.kernel.nft_text import parse_ruleset, priority
from kdns.explain.kernel.outcome import Result, outcome
from kdns.explain.kernel.packet import Packet, Place
from kdns.explain.kernel.walk import Routes
from tests.explain.cases import CASES, explained
from tests.explain.kernel.saving import SAVED

NAT = "*nat\n:PREROUTING ACCEPT [0:0]\n:POSTROUTING ACCEPT [0:0]\n"
PROBLEMS = (
    ("iptables, no COMMIT", NAT, "no COMMIT"),
    ("iptables, half a rule", f"{NAT}-A KUBE-SERV", "adds to no chain"),
    ("iptables, an error", "iptables-save: command not found\n", "not one of iptables-save"),
    ("iptables, HTML", "<html><body>404</body></html>", "not one of iptables-save"),
    ("nft, no brace", "table ip x {\n\tchain y {\n\t\taccept\n", "closing brace"),
    ("nft, half a set", "table ip x {\n\tset y {\n\t\ttype ipv4_addr\n\t\telements = { 10.0.0.1,\n", "closing brace"),
    ("nft, an error", "Operation not permitted (you must be root)\n", "begin a table"),
    ("json, half", '{"nftables": [{"table": {"family"', "not what"),
    ("json, a list", "[1, 2]", "not what"),
    (
        "json, a rule of no table",
        '{"nftables": [{"rule": {"family": "ip", "table": "x", "chain": "y"}}]}',
        "a rule that",
    ),
    ("ipvs, an error", "Can't initialize ipvs: Protocol not available\n", "a virtual server"),
    ("ipvs, a real server alone", "-a -t 10.96.0.1:443 -r 10.0.0.1:6443 -m -w 1\n", "cannot be read"),
    ("ipset, an error", "ipset v7.17: Kernel error received: Operation not permitted\n", "ipset save"),
)
"""Title (its first word says whose), text, a part of the problem."""


def problem_of(kind: str, text: str) -> str:
    """What is wrong with a file."""
    match kind:
        case "iptables":
            return parse_tables(text, "f", "ip", {}).problem
        case "nft":
            return parse_ruleset(text, "f").problem
        case "json":
            return parse_json(text, "f").problem
        case "ipvs":
            return parse_virtual_servers(text, "f").problem
    return parse_ipsets(text, "f")[1]


@pytest.mark.parametrize(("title", "text", "problem"), PROBLEMS, ids=[row[0] for row in PROBLEMS])
def test_a_file_that_is_not_whole_is_a_problem(title: str, text: str, problem: str) -> None:
    """It is named as such, without an exception."""
    assert problem in problem_of(title.split(",", maxsplit=1)[0], text)


@given(st.binary(max_size=200), st.integers(0, 3000))
def test_any_text_is_read(noise: bytes, cut: int) -> None:
    """Whatever is in a file, or put into a whole one, readers and rules raise nothing."""
    junk = noise.decode("utf-8", "replace")
    for name in ("iptables-save.txt", "nft.txt"):
        whole = (SAVED / name).read_text()[:6000]
        text = whole[:cut] + junk + whole[cut:]
        tables = parse_tables(text, "f", "ip", {}) if name.startswith("ip") else parse_ruleset(text, "f")
        for table in tables.tables:
            for chain in table.chains.values():
                list(chain.rules())
            for kept in table.sets.values():
                assert kept.elements is not None
    for kind in ("json", "ipvs", "ipset"):
        problem_of(kind, junk)
    parse_addresses(junk)
    parse_routes(junk)
    parse_sysctls(junk)
    parse_flow(junk, 1)
    parse_losses(junk)


BAD_FILES = (
    ("iptables-save.txt", lambda text: text[: len(text) // 2]),
    ("iptables-save.txt", lambda text: "iptables-save: Permission denied\n"),
    ("iptables-save.txt", lambda text: "\0\1\2"),
    ("iptables-save.txt", lambda text: ""),
)


@pytest.mark.parametrize(("name", "spoil"), BAD_FILES, ids=("half", "error", "binary", "empty"))
def test_a_link_with_a_bad_file_is_unchecked(name: str, spoil: object, tmp_path: Path) -> None:
    """The other links go on, the verdict is unknown, and the report says what is needed."""
    folder = copytree(CASES / "E33-services-flushed-iptables", tmp_path / "case")
    path = folder / "node" / "worker-1" / name
    assert callable(spoil)
    path.write_text(spoil(path.read_text()))
    status, report = explained(folder, {"target": "cart.shop:80", "from": "shop/client", "common": False})
    rows = [row for row in report["links"] if row["link"] == "rules"]
    assert [row["state"] for row in rows] == ["unchecked"]
    assert rows[0]["needs"]
    assert (status, report["verdict"]) == (0, "unknown")


class Meant(NamedTuple):
    """One rule in a forward chain that drops what it matches, and whether it matches the packet."""

    rule: str
    word: str
    """drop: it matches; untouched: it does not; unknown."""


IPTABLES = (
    Meant("-p tcp -m tcp --dport 80", "drop"),
    Meant("-p tcp -m multiport --dports 22,80:90", "drop"),
    Meant("-p tcp -m multiport ! --dports 22,443", "drop"),
    Meant("-p udp -m udp --dport 80", "untouched"),
    Meant("! -p udp", "drop"),
    Meant("-d 10.244.0.0/16", "drop"),
    Meant("! -d 10.244.0.0/16", "untouched"),
    Meant("-s 10.244.1.0/24 -d 10.96.0.0/12", "untouched"),
    Meant("-m iprange --src-range 10.244.1.1-10.244.1.30", "drop"),
    Meant("-i cni0", "drop"),
    Meant("-i cni+ ! -o cni0", "drop"),
    Meant("-i eth0", "untouched"),
    Meant("-m conntrack --ctstate NEW,UNTRACKED", "drop"),
    Meant("-m conntrack --ctstate RELATED,ESTABLISHED", "untouched"),
    Meant("-m conntrack ! --ctstate INVALID", "drop"),
    Meant("-m state --state NEW", "drop"),
    Meant("-m mark --mark 0x1/0x1", "untouched"),
    Meant("-m mark ! --mark 0x1/0x1", "drop"),
    Meant("-m addrtype --dst-type LOCAL", "untouched"),
    Meant("-m addrtype --src-type UNICAST", "drop"),
    Meant("-p tcp -m tcp --tcp-flags FIN,SYN,RST,ACK SYN", "drop"),
    Meant("-p tcp -m tcp ! --tcp-flags FIN,SYN,RST,ACK SYN", "untouched"),
    Meant('-m comment --comment "a -j DROP in quotes"', "drop"),
    Meant("-m statistic --mode random --probability 0.5", "mixed"),
    Meant("-m recent --rcheck --seconds 5 --name X --mask 255.255.255.255 --rsource", "untouched"),
    Meant("-m string --algo bm --string evil", "unknown"),
    Meant("-m string --algo bm --string evil -d 192.0.2.1/32", "untouched"),
    Meant("-m set --match-set blocked dst", "unknown"),
    Meant("-m time --timestart 08:00:00", "unknown"),
)
NFT = (
    Meant("tcp dport 80", "drop"),
    Meant("tcp dport { 22, 80-90 }", "drop"),
    Meant("udp dport 80", "untouched"),
    Meant("meta l4proto tcp th dport 80", "drop"),
    Meant("meta l4proto { icmp, ipv6-icmp }", "untouched"),
    Meant("ip daddr 10.244.0.0/16", "drop"),
    Meant("ip daddr != { 10.244.0.0/16, 192.0.2.1 }", "untouched"),
    Meant("ip6 daddr ::/0", "untouched"),
    Meant("ip saddr @blocked", "drop"),
    Meant("ip saddr @missing", "unknown"),
    Meant("ip saddr . tcp dport { 10.244.1.20 . 80 }", "drop"),
    Meant('iifname "cni0"', "drop"),
    Meant('iifname != "cni*"', "untouched"),
    Meant('oifname { "eth0", "eth1" }', "drop"),
    Meant("ct state new", "drop"),
    Meant("ct state established,related", "untouched"),
    Meant("ct state { invalid, new }", "drop"),
    Meant("meta mark & 0x00000001 == 0x00000001", "untouched"),
    Meant("meta mark != 0x00000001", "drop"),
    Meant("fib daddr type local", "untouched"),
    Meant("fib saddr . iif oif missing", "untouched"),
    Meant("numgen random mod 2 0", "mixed"),
    Meant("meta nfproto ipv4 counter packets 5 bytes 300", "drop"),
    Meant('counter log prefix "x, drop: " level info', "drop"),
    Meant("ip length 1000-1500", "unknown"),
    Meant("ip length 1000-1500 ip daddr 192.0.2.1", "untouched"),
    Meant("meta hour < 8", "unknown"),
)
PACKET = Packet("tcp", ip_address("10.244.1.20").packed, ip_address("10.244.2.9").packed, 80, "cni0")


def fate(tables: object) -> Result:
    """Of the packet of a Pod to one on another node."""
    assert isinstance(tables, tuple)
    return outcome(tables, Routes(Place(complete=True), lambda _: "eth0"), None, PACKET)


@pytest.mark.parametrize("case", IPTABLES, ids=lambda case: case.rule)
def test_what_a_rule_of_iptables_matches(case: Meant) -> None:
    """As iptables-extensions(8) says; what is not understood is unknown, unless another match excludes it."""
    text = f"*filter\n:FORWARD ACCEPT [0:0]\n-A FORWARD {case.rule} -j DROP\nCOMMIT\n"
    tables = parse_tables(text, "f", "ip", {})
    assert tables.problem == ""
    assert fate(tables.tables).word == case.word


@pytest.mark.parametrize("case", NFT, ids=lambda case: case.rule)
def test_what_a_rule_of_nft_matches(case: Meant) -> None:
    """As nft(8) says."""
    text = (
        "table inet x {\n\tset blocked {\n\t\ttype ipv4_addr\n\t\tflags interval\n\t\telements = { 10.244.1.0/24,\n"
        "\t\t\t     192.0.2.0/24 }\n\t}\n\tchain f {\n\t\ttype filter hook forward priority filter; policy accept;\n"
        f"\t\t{case.rule} drop\n\t}}\n}}\n"
    )
    tables = parse_ruleset(text, "f")
    assert tables.problem == ""
    assert fate(tables.tables).word == case.word


def test_an_unknown_match_that_changes_nothing_is_no_doubt() -> None:
    """A rule that only logs, or accepts what would be accepted anyway, may match what it likes."""
    text = (
        "*filter\n:FORWARD ACCEPT [0:0]\n-A FORWARD -m string --string x --algo bm -j LOG\n"
        "-A FORWARD -m time --timestart 08:00:00 -j ACCEPT\nCOMMIT\n"
    )
    assert fate(parse_tables(text, "f", "ip", {}).tables).word == "untouched"


@pytest.mark.parametrize(
    ("text", "number"), [("dstnat - 10", -110), ("filter", 0), ("-150", -150), ("srcnat + 1", 101)]
)
def test_priorities_have_names(text: str, number: int) -> None:
    """nft(8), "Standard priority names"."""
    assert priority(text) == number


def test_virtual_servers_in_both_forms_are_the_same() -> None:
    """``ipvsadm-save -n`` and ``ipvsadm -Ln`` list one virtual server, weights included."""
    saved = parse_virtual_servers(
        "-A -t 10.96.0.1:443 -s rr\n-a -t 10.96.0.1:443 -r 172.18.0.2:6443 -m -w 1\n-A -f 7 -s rr\n", "f"
    )
    listed = parse_virtual_servers(
        "IP Virtual Server version 1.2.1 (size=4096)\nProt LocalAddress:Port Scheduler Flags\n"
        "  -> RemoteAddress:Port           Forward Weight ActiveConn InActConn\n"
        "TCP  10.96.0.1:443 rr persistent 10800\n  -> 172.18.0.2:6443              Masq    1      3          0\n"
        "FWM  7 rr\n",
        "f",
    )
    assert [server[:5] for server in saved.servers] == [server[:5] for server in listed.servers]
    assert saved.problem == listed.problem == ""


def test_flows_are_read_in_both_forms() -> None:
    """With and without ``-o extended``; other lines are no flow."""
    line = (
        "udp      17 25 src=10.244.1.20 dst=10.96.0.10 sport=5353 dport=53 [UNREPLIED] src=10.244.0.2 dst=10.244.1.20 "
        "sport=53 dport=5353 mark=0 use=1"
    )
    flow, extended = parse_flow(line, 1), parse_flow(f"ipv4     2 {line}", 1)
    assert flow is not None
    assert extended is not None
    assert flow[:10] == extended[:10]
    assert (flow.port, flow.reply_port, flow.unreplied, flow.timeout, flow.translated) == (53, 53, True, 25, True)
    assert parse_flow("conntrack v1.4.7 (conntrack-tools): 12 flow entries have been shown.", 1) is None


def test_routes_are_the_longest_prefix_of_tables_local_and_main() -> None:
    """Routes of other tables do not count, those of this machine come first."""
    routing = parse_routes(
        "default via 172.18.0.1 dev eth0 \n10.244.1.20 dev cali12 scope link \n10.244.2.0/24 via 172.18.0.3 dev eth0 \n"
        "10.0.0.0/8 dev wg0 table 100 \nlocal 172.18.0.2 dev eth0 table local proto kernel scope host src 172.18.0.2 \n"
    )
    asked = ("10.244.1.20", "10.244.2.9", "10.1.2.3", "172.18.0.2")
    assert [routing.out(ip_address(one).packed) for one in asked] == ["cali12", "eth0", "eth0", "eth0"]
    assert routing.out(ip_address("fd00::1").packed) is None


def test_counters_before_rules_change_nothing() -> None:
    """``iptables-save -c`` writes packets and octets before each rule."""
    text = "*filter\n:FORWARD ACCEPT [5:300]\n[5:300] -A FORWARD -p tcp -m tcp --dport 80 -j DROP\nCOMMIT\n"
    tables = parse_tables(text, "f", "ip", {})
    assert tables.problem == ""
    assert fate(tables.tables).word == "drop"
