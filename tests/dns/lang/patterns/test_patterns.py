"""Patterns in Go's syntax. All results in the tables were seen from Go 1.26's regexp."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kdns.dns.lang.patterns import LONGEST, compile_pattern
from kdns.dns.lang.patterns.matching import Program, _PythonSearch
from kdns.dns.lang.patterns.syntax import parse_pattern

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
)  # fmt: skip


@pytest.mark.parametrize(("pattern", "text", "groups"), CASES)
def test_what_matches(pattern: str, text: str, groups: list[str] | None) -> None:
    """The leftmost match and its groups are Go's, and so are those of the program that is always quick."""
    for search in (compile_pattern(pattern).search, Program(parse_pattern(pattern)).search):
        found = search(text)
        assert (list(found.groups) if found else None) == groups


MISTAKES = (
    ("(", "missing closing )"),
    ("a)", "unexpected )"),
    ("[a", "missing closing ]"),
    ("a**", "invalid nested repetition operator"),
    ("a*+", "invalid nested repetition operator"),
    ("*a", "missing argument to repetition operator"),
    ("a{1001}", "invalid repeat count"),
    ("a{3,2}", "invalid repeat count"),
    ("(?=a)", "invalid or unsupported syntax"),
    ("(?<!a)b", "invalid or unsupported syntax"),
    ("(?>a)", "invalid or unsupported syntax"),
    (r"(a)\1", "invalid or unsupported escape sequence"),
    (r"\C", "invalid or unsupported escape sequence"),
    (r"\pL", "invalid or unsupported escape sequence"),
    ("(?U)a", "flag 'U' is not supported"),
    ("[z-a]", "invalid character class range"),
    ("a\\", "trailing backslash"),
    ("(" * 200, "groups within groups"),
    ("((a{10}){10}){11}", "invalid repeat count"),
    ("(?:(a*){1000}b)" * 10, "too large"),
    ("a" * (LONGEST + 1), "too long"),
)


@pytest.mark.parametrize(("pattern", "problem"), MISTAKES)
def test_what_is_no_pattern(pattern: str, problem: str) -> None:
    """What Go refuses, what refers back or looks around, and what would take too much is refused."""
    with pytest.raises(ValueError, match=problem.replace("(", r"\(").replace(")", r"\)")):
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
def test_both_ways_find_the_same(text: str, parts: list[str]) -> None:
    """Python's re and the program have the same matches and groups."""
    tree = parse_pattern("".join(parts))
    assert _PythonSearch(tree).search(text) == Program(tree).search(text)


def test_names_of_groups() -> None:
    """Groups are found by name; of two with one name the last has it."""
    assert compile_pattern("(?P<a>x)(?P<b>y)(?<a>z)").names == {"a": 3, "b": 2}


ENDINGS = (
    (r"^(.*)\.a\.test\.$", ".a.test."),
    (r"a\.$", "a."),
    (r"[ab]c\z", "c"),
    ("(?i)a.$", ""),
    ("a", ""),
    ("a$|b$", ""),
)


@pytest.mark.parametrize(("pattern", "ending"), ENDINGS)
def test_endings(pattern: str, ending: str) -> None:
    """What every text ends in that matches, where the pattern says so plainly."""
    assert compile_pattern(pattern).ending == ending
