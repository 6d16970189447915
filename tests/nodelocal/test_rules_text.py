"""The rules as text: what they must hold for a packet, by each tool's own manual."""

import pytest

from kdns.nodelocal import iptables, nftables
from tests.build import packed

V4, V6 = packed("10.96.0.10"), packed("fd00:10:96::a")


def rules(text: str, chain: str) -> list[str]:
    """The rules of a chain of the table."""
    return [line.partition(f" {chain} ")[2] for line in text.splitlines() if line.startswith("add rule") and
            line.split()[4] == chain]  # fmt: skip


def test_one_transaction_replaces_the_table() -> None:
    """Adding a table that is there changes nothing, so it can be deleted whether it was there or not (nft(8))."""
    lines = nftables.script([V4], sockets=True).splitlines()
    assert lines[:3] == [
        "add table inet kdns-local-dns",
        "delete table inet kdns-local-dns",
        "add table inet kdns-local-dns",
    ]


def test_prerouting_of_one_address() -> None:
    """The heartbeat and replies on loopback are never tracked; questions only while the address is alive."""
    assert rules(nftables.script([V4], sockets=True), "prerouting") == [
        'iifname "lo" ip saddr 10.96.0.10 ip daddr 10.96.0.10 udp dport 53 notrack accept',
        'iifname "lo" ip saddr { 10.96.0.10 } meta l4proto { tcp, udp } th sport 53 notrack accept',
        "ip daddr @alive-ip meta l4proto { tcp, udp } th dport 53 socket transparent 0 notrack",
    ]


def test_output_of_one_address() -> None:
    """The answer to the own question renews the element; it comes before all that accepts."""
    assert rules(nftables.script([V6], sockets=False), "output") == [
        "ip6 saddr fd00:10:96::a ip6 daddr fd00:10:96::a udp sport 53 update @alive-ip6 { ip6 saddr timeout 300ms }",
        "ip6 saddr fd00:10:96::a ip6 daddr fd00:10:96::a udp dport 53 notrack accept",
        "ip6 saddr { fd00:10:96::a } meta l4proto { tcp, udp } th sport 53 notrack accept",
        "ip6 daddr @alive-ip6 meta l4proto { tcp, udp } th dport 53 notrack",
    ]


def test_a_kernel_without_the_socket_match() -> None:
    """The rules do without it (nft_socket, xt_socket are modules of their own)."""
    assert "socket" not in nftables.script([V4, V6], sockets=False)
    assert "-m socket" not in iptables.script([V4], sockets=False)
    assert "-m socket" in iptables.script([V4], sockets=True)


@pytest.mark.parametrize("table", ["raw", "filter"])
def test_iptables_chains_begin_empty(table: str) -> None:
    """A chain that a restore declares is emptied, also with --noflush (iptables-restore(8))."""
    text = iptables.script([V4], sockets=False)
    part = text[text.index(f"*{table}") :].partition("COMMIT")[0]
    chains = [chain for where, _, chain in iptables.JUMPS if where == table]
    assert [line for line in part.splitlines() if line.startswith(":")] == [f":{chain} - [0:0]" for chain in chains]
    assert {line.split()[1] for line in part.splitlines() if line.startswith("-A")} == set(chains)


def test_iptables_families_are_written_apart() -> None:
    """iptables-restore takes addresses of IPv4, and ip6tables-restore those of IPv6."""
    assert iptables.widths([V6, V4, V6]) == [4, 16]
