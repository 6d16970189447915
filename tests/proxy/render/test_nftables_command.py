"""How commands become text for nft."""

import pytest

from kdns.kernel.nft_elements import compose_plain
from kdns.proxy.render.nftables.command import (
    Chain,
    Command,
    Container,
    Elements,
    Object,
    Rule,
    Verb,
    WholeTable,
)
from kdns.proxy.render.nftables.lines import command_text, script_text
from tests.build import packed


@pytest.mark.parametrize(
    ("verb", "thing", "text"),
    [
        (Verb.ADD, WholeTable(), "add table ip kube-proxy"),
        (Verb.ADD, WholeTable("a comment"), 'add table ip kube-proxy { comment "a comment" ; }'),
        (Verb.DELETE, WholeTable(), "delete table ip kube-proxy"),
        (Verb.ADD, Chain("services"), "add chain ip kube-proxy services"),
        (
            Verb.ADD,
            Chain("nat-output", "type nat hook output priority -100"),
            "add chain ip kube-proxy nat-output { type nat hook output priority -100 ; }",
        ),
        (Verb.FLUSH, Chain("services"), "flush chain ip kube-proxy services"),
        (Verb.DELETE, Chain("services"), "delete chain ip kube-proxy services"),
        (Verb.ADD, Rule("services", "ct state new drop"), "add rule ip kube-proxy services ct state new drop"),
        (
            Verb.ADD,
            Container("set", "s", "type ipv4_addr ; flags dynamic,timeout"),
            "add set ip kube-proxy s { type ipv4_addr ; flags dynamic,timeout ; }",
        ),
        (Verb.DELETE, Container("map", "m"), "delete map ip kube-proxy m"),
        (
            Verb.ADD,
            Elements("cluster-ips", (compose_plain(packed("10.0.0.1")), compose_plain(packed("10.0.0.2")))),
            "add element ip kube-proxy cluster-ips { 10.0.0.1, 10.0.0.2 }",
        ),
    ],
)
def test_each_command_is_a_line(verb: Verb, thing: Object, text: str) -> None:
    """The syntax of nft(8)."""
    command = Command(verb, thing)
    assert command_text(command, "ip kube-proxy") == text
    assert script_text([command, command], "ip kube-proxy") == f"{text}\n{text}\n"


def test_the_table_is_named_last() -> None:
    """So a table of another name can be tried, whatever chains and comments are called."""
    command = Command(Verb.ADD, Rule("kube-proxy", 'comment "kube-proxy" drop'))
    assert command_text(command, "ip6 kube-proxy-try") == (
        'add rule ip6 kube-proxy-try kube-proxy comment "kube-proxy" drop'
    )
