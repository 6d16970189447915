"""Any text at all: what is no pattern, template or record is said to be none, and nothing else happens."""

import contextlib

from hypothesis import given
from hypothesis import strategies as st

from kdns.dns.lang.patterns import compile_pattern
from kdns.dns.lang.template.functions import TemplateFailure
from kdns.dns.lang.template.parser import parse_template
from kdns.dns.lang.template.tokens import TemplateMistake
from kdns.dns.zonefile.reading import parse_record
from tests.dns.lang.template.test_templates import DATA

PATTERN = st.lists(st.sampled_from([*"ab()[]{}|*+?^$.\\-,:0129", "(?P<a>", "(?i", "[:alpha:]", r"\d", r"\Q", r"\x{"]))
TEMPLATE = st.lists(
    st.sampled_from(
        ["{{", "}}", " ", ".Name", ".Group", ".a", ".Match", ".Question", ".Meta", "index", "len", "printf", "slice",
         "parseInt", "if", "else", "with", "end", "$x", ":=", "=", "|", "(", ")", "`%d`", '"%5q"', "1", "0x1", "eq",
         "lt", "and", "not", "-", "'a'", "true", "nil", ".", ",", "/*", "*/", "print", "$",
         "range", "break", "continue", "$y", ".Group.a", "3"]
    )
)  # fmt: skip
RECORD = st.lists(
    st.sampled_from(
        ["a.", "60", "IN", "A", "1.2.3.4", "TXT", '"', "\\", "(", ")", ";", "MX", "SOA", "HTTPS", "DS", "NAPTR", "CAA",
         "LOC", "\\#", "4", "SRV", "x", "@", "TYPE65", "é", "CH", "\\065", "$TTL", "$ORIGIN", "RRSIG"]
    ),
    max_size=9,
)  # fmt: skip


@given(st.text(max_size=40) | PATTERN.map("".join), st.text("ab.-01", max_size=30))
def test_patterns(text: str, name: str) -> None:
    """Only ValueError."""
    with contextlib.suppress(ValueError):
        compile_pattern(text).search(name)


@given(st.text(max_size=40) | TEMPLATE.map("".join) | TEMPLATE.map(lambda words: f"{{{{ {' '.join(words)} }}}}"))
def test_templates(text: str) -> None:
    """Only TemplateMistake while it is read, with a place in the text, and TemplateFailure while it runs."""
    at = 0
    try:
        parse_template(text, frozenset(DATA)).run(DATA)
    except TemplateMistake as mistake:
        at = mistake.at
    except TemplateFailure:
        pass
    assert 0 <= at <= len(text)


@given(st.text(max_size=40) | RECORD.map(" ".join) | RECORD.map(lambda words: f"a. {' '.join(words)}"))
def test_records(text: str) -> None:
    """Only ValueError."""
    with contextlib.suppress(ValueError):
        parse_record(text)
