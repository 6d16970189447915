"""What an operator is told of a wrong Corefile: every mistake, with its place, as compilers do."""

from textwrap import dedent
from typing import NamedTuple

import pytest

from kdns.base.errors import ConfigError, ConfigErrors
from tests.config.text import corefile


class Case(NamedTuple):
    title: str
    text: str
    told: str


CASES = (
    Case("a brace that is never closed", ". {\n errors\n", """
        C:1:3: this brace is never closed
           1 | . {
                 ^ a line with } is missing
    """),
    Case("a block within a block", ". {\n errors\nexample.org {\n errors\n}\n", """
        C:1:3: this brace is never closed
           1 | . {
                 ^ a line with } is missing above line 3
    """),
    Case("only the innermost is told", ". {\n\thealth {\n  lameduck 5s\n", """
        C:2:9: this brace is never closed
           2 |  health {
                       ^ a line with } is missing
    """),
    Case("a brace too many", ". {\n a\n}\n}\n", """
        C:4:1: this brace closes nothing
           4 | }
               ^ is there one too many?
    """),
    Case("a brace too many without braces", "a {\n}\n.\nb\n}\nc", """
        C:5:1: this brace closes nothing
           5 | }
               ^ is there one too many?
    """),
    Case("a blank is missing", "example.org{\n health{\n  lameduck 5s\n }\n}", """
        C:1:12: a blank is missing before the brace
           1 | example.org{
                          ^
        C:2:8: a blank is missing before the brace
           2 |  health{
                      ^
    """),
    Case("a block without a zone", "{\n a {\n }\n}\n. {\n}", """
        C:1:1: a server block needs a zone before its brace
           1 | {
               ^ such as .:53 {, or (name) { for a snippet
    """),
    Case("the brace of a directive in the next line", ". {\n errors\n {\n  x\n }\n}", """
        C:3:2: a brace cannot begin a line here
           3 |  {
                ^ it belongs at the end of the line above
    """),
    Case("words behind a brace that closes", ". {\n a {\n } b } c\n}", """
        C:3:4: nothing can follow the brace that closes a directive
           3 |  } b } c
                  ^ begin a new line
        C:4:1: this brace closes nothing
           4 | }
               ^ is there one too many?
    """),
    Case("a quotation mark alone", '. {\n a "b\n}\n. {', """
        C:2:4: this quotation mark has no other
           2 |  a "b
                  ^ inside quotes write \\" for one
    """),
    Case("a comma and no zone", "a, {\n}", """
        C:1:1: no zone follows the comma
           1 | a, {
               ^ remove the comma
    """),
    Case("an empty zone", "{$NO} {\n a\n}", """
        C:1:1: this server block has no zone
           1 | {$NO} {
               ^ is a variable not set?
    """),
    Case("an empty directive", '. {\n "" a\n}', """
        C:2:2: a line cannot begin with an empty word
           2 |  "" a
                ^
    """),
    Case("no zone but a port", ":53 tls://:853 {\n}", """
        C:1:1: ':53' has no zone
           1 | :53 tls://:853 {
               ^ the root is a dot: .:53
        C:1:5: 'tls://:853' has no zone
           1 | :53 tls://:853 {
                   ^ the root is a dot: tls://.:853
    """),
    Case("ports", ".: a:b .:70000 .:-1 {\n}", """
        C:1:1: '.:' has no port after its colon
           1 | .: a:b .:70000 .:-1 {
               ^ such as example.org:53, or fd00::/64 for reverse names
        C:1:4: 'a:b' is not a zone
           1 | .: a:b .:70000 .:-1 {
                  ^ such as example.org:53, or fd00::/64 for reverse names
        C:1:8: '.:70000': no such port
           1 | .: a:b .:70000 .:-1 {
                      ^ 0 to 65535
        C:1:16: '.:-1' is not a zone
           1 | .: a:b .:70000 .:-1 {
                              ^ such as example.org:53, or fd00::/64 for reverse names
    """),
    Case("schemes", "htps://. TLS://. {\n}", """
        C:1:1: 'htps://.': no such scheme
           1 | htps://. TLS://. {
               ^ did you mean https?
        C:1:10: 'TLS://.': no such scheme
           1 | htps://. TLS://. {
                        ^ there are dns, tls, quic, grpc, https, https3
    """),
    Case("zones", "10.0.0.0/33 a..b b\u00fccher {$BLANKS} {\n}", """
        C:1:1: no zone: '10.0.0.0/33' does not appear to be an IPv4 or IPv6 network
           1 | 10.0.0.0/33 a..b b\u00fccher {$BLANKS} {
               ^
        C:1:13: no zone: empty label in 'a..b'
           1 | 10.0.0.0/33 a..b b\u00fccher {$BLANKS} {
                           ^
        C:1:18: 'b\u00fccher' is not a zone
           1 | 10.0.0.0/33 a..b b\u00fccher {$BLANKS} {
                                ^ write it in ASCII (xn--...)
        C:1:25: 'a b' is not a zone: there is a blank in it
           1 | 10.0.0.0/33 a..b b\u00fccher {$BLANKS} {
                                       ^ write each zone as a word of its own
    """),
    Case("a zone twice in a block", ". .:53 dns://. tls://. 10.0.0.0/8 10.IN-ADDR.arpa {\n}", """
        C:1:3: '.:53' stands for . on port 53 a second time
           1 | . .:53 dns://. tls://. 10.0.0.0/8 10.IN-ADDR.arpa {
                 ^ remove one of them
        C:1:8: 'dns://.' stands for . on port 53 a second time
           1 | . .:53 dns://. tls://. 10.0.0.0/8 10.IN-ADDR.arpa {
                      ^ remove one of them
        C:1:35: '10.IN-ADDR.arpa' stands for 10.in-addr.arpa. on port 53 a second time
           1 | . .:53 dns://. tls://. 10.0.0.0/8 10.IN-ADDR.arpa {
                                                 ^ remove one of them
    """),
    Case("snippets", "() {\n}\n(s) {\n}\n(s) {\n a\n}\n(t)\nwhoami {\n}", """
        C:1:1: a snippet needs a name
           1 | () {
               ^ such as (common) {
        C:5:1: the snippet '(s)' is defined twice
           5 | (s) {
               ^ it is defined at C:3 already
        C:8:1: the snippet '(t)' needs braces
           8 | (t)
               ^ such as (t) {
    """),
    Case("half a snippet", "(s {\n}\n(a) (b) {\n}", """
        C:1:1: '(s' is not a zone
           1 | (s {
               ^ a snippet is a name in parentheses, alone: (common) {
        C:3:1: '(a)' is not a zone
           3 | (a) (b) {
               ^ a snippet is a name in parentheses, alone: (common) {
        C:3:5: '(b)' is not a zone
           3 | (a) (b) {
                   ^ a snippet is a name in parentheses, alone: (common) {
    """),
    Case("a snippet that is never closed", "(s) {\n a {\n }\n", """
        C:1:5: this brace is never closed
           1 | (s) {
                   ^ a line with } is missing
    """),
    Case("nothing", "# hi\n", """
        C: there is no server block
          such as .:53 { ... }
    """),
)  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.title)
def test_mistakes(case: Case) -> None:
    """Exactly these mistakes are told, each with its line, a caret and what to do."""
    with pytest.raises(ConfigError) as raised:
        corefile(case.text, environ={"BLANKS": "a b"})
    assert str(raised.value).replace("/etc/coredns/Corefile", "C") == dedent(case.told).strip("\n")


def test_all_mistakes_up_to_a_hundred() -> None:
    """A text that is wrong everywhere is not told to the end."""
    with pytest.raises(ConfigErrors) as raised:
        corefile("a..b " * 1000 + "{\n}")
    assert len(raised.value.errors) == 100


def test_braces_without_end() -> None:
    """Braces within braces have an end, and no recursion limit is met."""
    with pytest.raises(ConfigError, match="go too deep"):
        corefile(". {\n" + "a {\n" * 5000)


def test_a_text_without_end() -> None:
    """There is a limit to the words and to the size of a Corefile."""
    with pytest.raises(ConfigError, match="more than 8 MiB"):
        corefile("#" * (8 * 1024 * 1024 + 1))
    with pytest.raises(ConfigError, match="more than 100000 words"):
        corefile(". {\n" + "a b\n" * 50_001 + "}")


def test_a_word_without_end() -> None:
    """A word has a limit, too, and what looks like many variables is read once."""
    with pytest.raises(ConfigError, match="a word of more than 16384 characters"):
        corefile(". {\n " + "{$A" * 1_000_000 + "\n}")


def test_a_long_line_is_not_shown() -> None:
    """A mistake in a line of more than a thousand characters is told without it."""
    with pytest.raises(ConfigError) as raised:
        corefile(". {\n}\n" + "x" * 1000 + " :53 {\n}")
    assert str(raised.value).count("x") == 0


def test_what_cannot_be_printed_is_blank() -> None:
    """No control character reaches a terminal, and the caret still stands under its word."""
    with pytest.raises(ConfigError) as raised:
        corefile(". {\n\x1b[31m \x1b]0; } x\n}\n}")
    assert "\x1b" not in str(raised.value)
