"""Patterns in Go's syntax. What matches, and what is refused, was seen from Go 1.26's regexp but for the limits."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kdns.dns.lang.patterns import LONGEST, compile_pattern

NAME = "web.shop.svc.cluster.local."
CASES: tuple[tuple[str, str, list[str] | None], ...] = (
    (r"(.*)-(us-west-1)\.example\.org", "ftp-us-west-1.example.org.",
     ["ftp-us-west-1.example.org", "ftp", "us-west-1"]),
    (r"^(?P<a>[^.]+)\.(?P<b>[^.]+)\.svc", NAME, ["web.shop.svc", "web", "shop"]),
    (r"^web$", NAME, None),
    (r"(a|b)*c", "abac", ["abac", "a"]),
    (r"(?:a|ab)(c|bcd)(d*)", "abcd", ["abcd", "bcd", ""]),
    (r"a+?", "aaa", ["a"]),
    (r"(a)|(b)", "b", ["b", "", "b"]),
    (r"[[:alpha:]]+\d{2,3}(?i)FOO", "ab123foo", ["ab123foo"]),
    (r"(?i)WEB", NAME, ["web"]),
    (r"(?i:WEB)\.SHOP", NAME, None),
    (r"a(?-i:b)(?i)C", "abc", ["abc"]),
    (r"\bshop\b", NAME, ["shop"]),
    (r"\Qweb.\E+shop", "web..shop", ["web..shop"]),
    (r"[]a]+", "]a]b", ["]a]"]),
    (r"[a\-z]+", "-az", ["-az"]),
    (r"[^\d.]+", "1.ab", ["ab"]),
    (r"x{,2}", "x{,2}", ["x{,2}"]),
    (r"\x61\x{62}\143", "abc", ["abc"]),
    (r"[[:^digit:]]", "1a", ["a"]),
    (r"(|\.*(?:|.??))+", ".c", ["", ""]),
    (r"(a*)*", "aaa", ["aaa", "aaa"]),
    (r"(?P<z>\W{0,}\w*?)*[]a]+?(?P<y>)", "axba x ", ["a", "", ""]),
    (r"(?m)^b$", "a\nb\nc", ["b"]),
    (r"b$", "ab\n", None),
    (r"a.b", "a\nb", None),
    (r"(?s)a.b", "a\nb", ["a\nb"]),
    (r"\B", "", [""]),
    ("", "a", [""]),
    (r"\pL+", "1a\u00e9", ["a\u00e9"]),
    (r"\p{Greek}", "a\u03b2", ["\u03b2"]),
    ("(?U)a+", "aaa", ["a"]),
    ("(?P<a>x)|(?<b>y)", "y", ["y", "", "y"]),
)  # fmt: skip


@pytest.mark.parametrize(("pattern", "text", "groups"), CASES)
def test_what_matches(pattern: str, text: str, groups: list[str] | None) -> None:
    """The leftmost match and its groups are Go's."""
    found = compile_pattern(pattern).search(text)
    assert (list(found.groups) if found else None) == groups


MISTAKES = (
    ("(", "missing )"),
    ("a)", "unexpected )"),
    ("[a", "missing ]"),
    ("a**", "bad repetition operator"),
    ("a*+", "bad repetition operator"),
    ("*a", "no argument for repetition operator"),
    (r"\Q\E*", "no argument for repetition operator"),
    ("a{1001}", "invalid repetition size"),
    ("a{3,2}", "invalid repetition size"),
    ("(?:[a-z]{4}){0,251}", "invalid repetition size"),
    ("(?=a)", "invalid perl operator"),
    ("(?<!a)b", "invalid perl operator"),
    ("(?>a)", "invalid perl operator"),
    (r"(a)\1", "invalid escape sequence"),
    (r"\Z", "invalid escape sequence"),
    (r"\C", "invalid or unsupported escape sequence"),
    (r"a\\\C", "invalid or unsupported escape sequence"),
    ("[z-a]", "invalid character class range"),
    ("a\\", "trailing \\"),
    ("(?:" * 1001 + ")" * 1001, "groups within groups"),
    ("()" * 1000, "over 999 groups"),
    ("((a{10}){10}){11}", "invalid repetition size"),
    ("(?:(a*){1000}b)" * 10, "too large"),
    ("a" * (LONGEST + 1), "too long"),
    ("\ud800", "surrogates not allowed"),
)


@pytest.mark.parametrize(("pattern", "problem"), MISTAKES)
def test_what_is_no_pattern(pattern: str, problem: str) -> None:
    """What Go refuses, what refers back or looks around, and what would take too much is refused."""
    with pytest.raises(ValueError, match=re.escape(problem)):
        compile_pattern(pattern)


@pytest.mark.parametrize(
    "pattern", ["(a*)*b", "(a|aa)+b", "(.*)a(.*)a(.*)a(.*)a(.*)b$", "((a?){40})a{40}b", "(a+a+)+b"]
)
def test_no_name_takes_long(pattern: str) -> None:
    """Patterns that are a catastrophe elsewhere come to an end with a name made for them; see the test's timeout."""
    assert compile_pattern(pattern).search("a" * 253) is None


@pytest.mark.parametrize("pattern", [".*.?.?.?x", "a?a?.*b", r"(.*)\.x"])
def test_no_text_takes_long(pattern: str) -> None:
    """Nor do those that try every beginning anew: a name whose octets are all escaped has 1,003 characters."""
    assert compile_pattern(pattern).search("a" * 20_000) is None


@given(
    st.text("ab.-1", max_size=30), st.lists(st.sampled_from(["a", "b?", "[^.]", r"\.", "(a|b)", "(?:-|)", ".*", "$"]))
)
def test_matches_as_python(text: str, parts: list[str]) -> None:
    """Where Python's re and RE2 have the same syntax they find the same match and groups."""
    theirs = re.search("".join(parts).replace("$", r"\Z"), text, re.DOTALL)
    expected = (theirs[0], *theirs.groups("")) if theirs else None
    found = compile_pattern("".join(parts)).search(text)
    assert (found.groups if found else None) == expected


def test_names_of_groups() -> None:
    """Groups are found by name; of two with one name the last has it."""
    assert compile_pattern("(?P<a>x)(?P<b>y)(?<a>z)").names == {"a": 3, "b": 2}
    assert compile_pattern(r"(x)[(](?:y)\((?i:z)\Q(\E(?P<a>.)").names == {"a": 2}


ENDINGS = (
    (r"^(.*)\.a\.test\.$", ".a.test."),
    (r"a\.$", "a."),
    (r"[ab]c\z", "c"),
    ("(?i)a.$", ""),
    ("a", ""),
    ("a$|b$", ""),
    (r"(a|b)\.c$", ".c"),
    (r"ab?c*d\-e$", "d-e"),
    (r"\x61$", ""),
    (r"\x{61}b$", "b"),
    (r"\pL$", ""),
    (r"\101$", ""),
    (r"\Qa$", ""),
    (r"[^.]$", ""),
    ("[a$]", ""),
    (r"a\$", ""),
    ("(?i:a)b$", ""),
    ("a(b$)", ""),
    ("$a$", "a"),
)


@pytest.mark.parametrize(("pattern", "ending"), ENDINGS)
def test_endings(pattern: str, ending: str) -> None:
    """What every text ends in that matches, where the pattern says so plainly."""
    assert compile_pattern(pattern).ending == ending
