"""Whatever stands in a master file, the outcome is a zone or ConfigError; and lookups in it end."""

from contextlib import suppress

from hypothesis import given
from hypothesis import strategies as st

from kdns.base.errors import ConfigError
from kdns.dns.zonefile.reading import read_zone
from kdns.dns.zonefile.zone import StaticZone
from kdns.wire.name import parse_name
from kdns.wire.numbers import NS, A
from kdns.wire.types import TYPES

APEX = parse_name("example.org.")
SPECIAL = ("\\#", "(", ")", '"x y"', ";", "\\", "\n", "\n ", "\t", "\udce4", "\\300", "\\009.")
PLAIN = [
    "@",
    "*",
    "a",
    "b.a",
    "a.example.org.",
    "4",
    "01020304",
    "60",
    "1h",
    "IN",
    "CH",
    "$TTL",
    "$ORIGIN",
    "$INCLUDE",
    "$GENERATE",
    "1-3",
    "$",
    "${1,2,x}",
    "192.0.2.1",
    "::1",
    "TYPE1",
    "TYPE65280",
]
WORDS = st.sampled_from((*SPECIAL, *PLAIN, *TYPES))
HEAD = "@ 60 SOA ns root 1 1 1 1 1\n"
LINES = st.builds(
    lambda owner, rtype, rest: f"{owner} {rtype} {rest}",
    st.sampled_from(["@", "*", "a", "*.a", "b.a", "x.b.a"]),
    st.sampled_from(["CNAME", "DNAME", "NS", "A", "MX 1", "NSEC", "RRSIG A 13 2 60 1 2 3"]),
    st.sampled_from(["a", "b.a", "x.b.a", "*.a", "192.0.2.1", "c", "other.test.", ". AAAA"]),
)


@given(st.lists(WORDS, max_size=30).map(" ".join) | st.text(max_size=80))
def test_any_text(text: str) -> None:
    """Nothing but ConfigError is raised."""
    with suppress(ConfigError):
        StaticZone(APEX, read_zone((HEAD + text).splitlines(keepends=True), APEX, "db"))


@given(st.lists(LINES, max_size=8), st.sampled_from(["", "a.", "b.a.", "x.b.a.", "y.x.b.a.", "c.", "z.c."]))
def test_every_lookup_ends(lines: list[str], name: str) -> None:
    """With aliases, DNAMEs, cuts and wildcards in any combination."""
    with suppress(ConfigError):
        zone = StaticZone(APEX, read_zone([HEAD, *(f"{line}\n" for line in lines)], APEX, "db"))
        for rtype in (A, NS):
            for do in (False, True):
                found = zone.lookup(parse_name(f"{name}example.org."), rtype, do=do)
                assert len(found.answer) < 40
