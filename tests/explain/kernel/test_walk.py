"""The rules of every mode, as real tools print them, come to what the policy says."""

import pytest

from kdns.explain.kernel.model import Tables
from kdns.explain.kernel.nft_text import of_iptables, parse_ruleset
from tests.explain.kernel.agreement import disagreements, tables_of
from tests.explain.kernel.saving import RULES, SAVED, WAYS, saved_by_kernel
from tests.proxy.apply.namespaces import needs_root

WALKED = [name for name in WAYS if name != "nft-of-iptables.txt"]


@pytest.mark.parametrize("name", WALKED)
def test_a_walk_agrees_with_the_policy(name: str) -> None:
    """For each frontend and source: the same verdict, the same backends in equal shares, masqueraded or not."""
    mode, family, _, _ = WAYS[name]
    tables = tables_of(name, (SAVED / name).read_text())
    assert list(disagreements(tables, RULES[family], mode)) == []


@pytest.mark.parametrize("name", WALKED)
def test_a_rule_that_is_gone_is_noticed(name: str) -> None:
    """The comparison above can fail: without the marks for masquerading, or without one endpoint, it does."""
    mode, family, _, _ = WAYS[name]
    text = (SAVED / name).read_text()
    gone = {
        "nft.txt": "10.96.0.10 . 53 . 0 : 10.244.0.2 . 53,",
        "nft6.txt": "jump mark-for-masquerade",
        "nft.json": ', [{"concat": ["10.96.0.10", 53, 2]}, {"concat": ["10.244.1.4", 53]}]',
    }.get(name, "-j KUBE-MARK-MASQ\n")
    assert gone in text
    assert list(
        disagreements(tables_of(name, text.replace(gone, "\n" if gone.endswith("\n") else "")), RULES[family], mode)
    )


def test_tables_of_iptables_are_known_in_nft() -> None:
    """nft lists the tables of iptables-nft without the matches that it does not know; they are told apart."""
    read = parse_ruleset((SAVED / "nft-of-iptables.txt").read_text(), "nft.txt")
    assert read == Tables(read.tables, "")
    assert all(of_iptables(table) for table in read.tables)
    assert not any(of_iptables(table) for table in tables_of("nft.txt", (SAVED / "nft.txt").read_text()))


def test_matches_that_nft_hides_are_not_guessed() -> None:
    """From nft's listing of iptables rules alone no outcome follows where a hidden match may stand."""
    tables = tables_of("nft-of-iptables.txt", (SAVED / "nft-of-iptables.txt").read_text())
    found = list(disagreements(tables, RULES[WAYS["nft-of-iptables.txt"][1]], "iptables"))
    assert found
    assert all(": unknown" in line for line in found)


@needs_root
@pytest.mark.kernel
@pytest.mark.parametrize("name", WAYS)
def test_this_kernel_prints_what_is_walked(name: str) -> None:
    """Fresh from this machine's kernel and tools, the rules come to the same."""
    mode, family, _, _ = WAYS[name]
    text = saved_by_kernel(name)
    if name == "nft-of-iptables.txt":
        assert all(of_iptables(table) for table in parse_ruleset(text, name).tables)
    else:
        assert list(disagreements(tables_of(name, text), RULES[family], mode)) == []
