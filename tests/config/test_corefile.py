"""What a Corefile is made into. What is marked with [coredns] was seen from CoreDNS 1.14.7."""

from textwrap import dedent
from typing import NamedTuple

import pytest

from tests.config.text import corefile, outline, texts

ENVIRON = {"ZONE": "Example.ORG", "BLANKS": "a b", "BRACE": "{", "AGAIN": "{$ZONE}", "UPSTREAM": "192.0.2.1"}


class Case(NamedTuple):
    title: str
    text: str
    outline: str


KUBEADM = """
.:53 {
    errors
    health {
       lameduck 5s
    }
    ready
    kubernetes cluster.local in-addr.arpa ip6.arpa {
       pods insecure
       fallthrough in-addr.arpa ip6.arpa
       ttl 30
    }
    prometheus :9153
    forward . /etc/resolv.conf {
       max_concurrent 1000
    }
    cache 30
    loop
    reload
    loadbalance
}
"""

CASES = (
    Case("kubeadm's", KUBEADM, """
        .:53
          errors
          health
            lameduck 5s
          ready
          kubernetes cluster.local in-addr.arpa ip6.arpa
            pods insecure
            fallthrough in-addr.arpa ip6.arpa
            ttl 30
          prometheus :9153
          forward . /etc/resolv.conf
            max_concurrent 1000
          cache 30
          loop
          reload
          loadbalance
    """),
    Case("the brace on a line of its own [coredns]", ".\n{\n  whoami\n}", ".:53\n  whoami"),
    Case("no braces [coredns]", "example.org\nwhoami\nlog . {\n class all\n}",
         "example.org.:53\n  whoami\n  log .\n    class all"),
    Case("only a zone [coredns]", ".", ".:53"),
    Case("an empty block [coredns]", ". {\n}", ".:53"),
    Case("a block on one line", ". { whoami }", ".:53\n  whoami"),
    Case("a directive's block on one line [coredns]", ". {\n errors { stacktrace }\n}",
         ".:53\n  errors\n    stacktrace"),
    Case("a property beside the brace [coredns]", ". {\n errors { stacktrace\n}\n}", ".:53\n  errors\n    stacktrace"),
    Case("braces within braces", ". {\n a {\n  b c {\n   d\n  }\n }\n}", ".:53\n  a\n    b c\n      d"),
    Case("blocks after each other", "a {\n x\n}\nb {\n y\n} c { z }", "a.:53\n  x\nb.:53\n  y\nc.:53\n  z"),
    Case("several zones, commas over lines [coredns]", "a, b c,\nd {\n x\n}", "a.:53 b.:53 c.:53 d.:53\n  x"),
    Case("repeated directives keep their order", ". {\n r 1\n s\n r 2\n}", ".:53\n  r 1\n  s\n  r 2"),
    Case("zones in lower case, with the dot [coredns]", "Example.ORG. {\n}", "example.org.:53"),
    Case("ports and schemes",
         "a:5353 tls://b tls://c:8853 https://d grpc://e quic://f https3://g dns://. dns://h:0 {\n}",
         "a.:5353 tls://b.:853 tls://c.:8853 https://d.:443 grpc://e.:443 quic://f.:853 https3://g.:443 .:53 h.:0"),
    Case("IPv4 networks [coredns]", "10.0.0.0/15 192.0.2.0/24 10.1.2.3/8:5300 {\n}",
         "0.10.in-addr.arpa.:53 1.10.in-addr.arpa.:53 2.0.192.in-addr.arpa.:53 10.in-addr.arpa.:5300"),
    Case("every IPv4 address [coredns]", "0.0.0.0/0 {\n}", "in-addr.arpa.:53"),
    Case("IPv6 networks [coredns]", "2001:db8::/31 2001:db8::/32:5398 {\n}",
         "8.b.d.0.1.0.0.2.ip6.arpa.:53 9.b.d.0.1.0.0.2.ip6.arpa.:53 8.b.d.0.1.0.0.2.ip6.arpa.:5398"),
    Case("a zone of RFC 2317 [coredns]", "0/25.2.0.192.in-addr.arpa {\n}", "0/25.2.0.192.in-addr.arpa.:53"),
    Case("an underscore [coredns]", "_tcp.example {\n}", "_tcp.example.:53"),
    Case("comments [coredns]", "# hi {\na { # c }\n whoami # x\n#}\n#\n}#", "a.:53\n  whoami"),
    Case("a # inside a word hides the rest of the word [coredns]", "a#b c.org#d#e\n{ f#\n g#h \"i#j\"#k l\n}",
         "a.:53 c.org.:53\n  f\n  g i#j"),
    Case("quotes", '. {\n a "b c" "d \\" e" "f\\\\" "g\\h" "" i"j "#k"l\n}',
         """.:53\n  a 'b c' 'd " e' f\\\\ g\\h '' 'i"j' #k l"""),
    Case("quotes over lines [coredns]", '. {\n log . "a\nb {type}" c\n errors\n}',
         ".:53\n  log . 'a\\nb {type}' c\n  errors"),
    Case("quoted braces are words", '. {\n a "{" "}" b\n "}"\n}', ".:53\n  a { } b\n  }"),
    Case("a byte order mark, and CRs [coredns]", "\ufeff. {\r\n  whoami x\r\n}\r\n", ".:53\n  whoami x"),
    Case("blanks of all kinds", "\t.\u3000{\n\u00a0a\vb\f\n}\n", ".:53\n  a b"),
    Case("variables in keys, names and arguments [coredns]",
         "{$ZONE}:{$NO}5 {%ZONE%}.{$NO} {$NO} {\n{$ZONE} x{%BLANKS%}y\n}",
         "example.org.:5 example.org.:53\n  Example.ORG 'xa by'"),
    Case("a variable's value is one word, whatever it is",
         ". {\n a {$BRACE} {$BLANKS} {$NO}\n}", ".:53\n  a { 'a b' ''"),
    Case("an empty name is no variable", ". {\n a {$} {%%}\n}", ".:53\n  a {$} {%%}"),
    Case("values are not looked into again", ". {\n a {$AGAIN}\n}", ".:53\n  a {$ZONE}"),
    Case("a snippet [coredns]", "(s) {\n a\n b {\n  c\n }\n}\n. {\n import s\n d\n}", ".:53\n  a\n  b\n    c\n  d"),
    Case("a snippet on one line", "(s) { a }\n. { import s }", ".:53\n  a"),
    Case("a snippet of whole blocks [coredns]",
         "(s) {\n a {\n  x\n }\n}\nimport s\nb {\n y\n}", "a.:53\n  x\nb.:53\n  y"),
    Case("a snippet inside a directive [coredns]", "(s) {\n stacktrace\n}\n. {\n errors {\n  import s\n }\n}",
         ".:53\n  errors\n    stacktrace"),
    Case("a snippet in a snippet", "(s) {\n a\n}\n(t) {\n import s\n import s\n}\n. {\n import t\n}", ".:53\n  a\n  a"),
    Case("an empty snippet", "(s) {\n}\n. {\n import s\n a\n}", ".:53\n  a"),
    Case("import named by a variable", "(Example.ORG) {\n a\n}\n. {\n import {$ZONE}\n}", ".:53\n  a"),
    Case("import is a word where no line begins", ". {\n a import\n}", ".:53\n  a import"),
)  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.title)
def test_corefiles(case: Case) -> None:
    """A Corefile is grouped into exactly these server blocks and lines."""
    assert outline(corefile(case.text, environ=ENVIRON)) == dedent(case.outline).strip("\n")


def test_the_port_of_plain_dns() -> None:
    """-dns.port is for keys of plain DNS without a port; a key's own port and a scheme's win."""
    found = corefile("a b:53 tls://c {\n}", port=1053)
    assert outline(found) == "a.:1053 b.:53 tls://c.:853"


def test_every_word_knows_its_place() -> None:
    """Lines and columns count characters from 1, behind tabs, quotes over lines and variables alike."""
    text = '.:53 {\n\tlog . "a\nb" c {\n\t\tclass {$ZONE} d\n\t}\n}'
    (block,) = corefile(text, environ=ENVIRON).blocks
    (log,) = block.directives
    assert [word.at[1:3] for word in (log.name, *log.args)] == [(2, 2), (2, 6), (2, 8), (3, 4)]
    assert log.name.at.text == ' log . "a'
    assert log.block is not None
    (line,) = log.block
    assert texts(line) == ["class", "Example.ORG", "d"]
    assert [word.at[1:3] for word in (line.name, *line.args)] == [(4, 3), (4, 9), (4, 17)]
    assert block.keys[0].at[:3] == ("/etc/coredns/Corefile", 1, 1)


SAME = (
    ("comments and layout", ". {\n a b\n}", "# x\n.:53\n{\n\n a   b # y\n }\n"),
    ("quotes where none are needed", ". {\n a b\n}", '"." {\n a "b"\n}'),
    ("a snippet", "(s) {\n a\n}\n. {\n import s\n}", ". {\n a\n}"),
)
OTHER = (
    ("an argument", ". {\n a b\n}", ". {\n a c\n}"),
    ("where a word ends", ". {\n a b c\n}", '. {\n a "b c"\n}'),
    ("the order", ". {\n a\n b\n}", ". {\n b\n a\n}"),
    ("an empty block of braces", ". {\n a\n}", ". {\n a {\n }\n}"),
    ("a level", ". {\n a {\n  b\n }\n}", ". {\n a\n b\n}"),
    ("a port", ".:53 {\n}", ".:54 {\n}"),
)


@pytest.mark.parametrize(("title", "one", "other"), SAME, ids=[case[0] for case in SAME])
def test_digests_of_the_same(title: str, one: str, other: str) -> None:
    """What makes no difference to the server makes none to the digest."""
    assert corefile(one).digest == corefile(other).digest


@pytest.mark.parametrize(("title", "one", "other"), OTHER, ids=[case[0] for case in OTHER])
def test_digests_of_different_ones(title: str, one: str, other: str) -> None:
    """What may make a difference to the server makes one to the digest."""
    assert corefile(one).digest != corefile(other).digest


def test_the_digest_is_sha512() -> None:
    """A digest is 128 hexadecimal digits."""
    assert len(bytes.fromhex(corefile(KUBEADM).digest)) == 64
