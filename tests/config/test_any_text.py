"""Whatever a Corefile holds: a Corefile or ConfigErrors come of it, nothing else, and soon."""

from hypothesis import example, given, settings
from hypothesis import strategies as st

from kdns.base.errors import ConfigError
from kdns.config.directive import Corefile, Directive
from tests.config.text import corefile, outline, texts
from tests.effort import processor_time
from tests.examples import examples

PIECES = st.sampled_from(
    ["{", "}", " {\n", "\n}\n", "\n", " ", "\t", "\r\n", '"', '\\"', "\\", "#", ",", ".", ":", "/", "://", "*", "?",
     "[", "]", "(s)", "(t)", " import ", "import s\n", "import t\n", "import x\n", "import *.y\n",
     "import /etc/coredns/Corefile\n", "{$A}", "{%B%}", "{$", "{%", "$}", ". {\n", ".:53", "example.org", "tls://",
     "10.0.0.0/15", "fd00::/3", "errors", "cache 30", "\ufeff", "\0", "\x1b", "\u2028", "\ud7ff", "\U0001f600", "53",
     "99999", "-", "'"]
)  # fmt: skip
TEXTS = st.lists(PIECES | st.text(max_size=4), max_size=40).map("".join)
SOON = 5.0
"""Seconds of processor time for a text of some hundred characters; it takes milliseconds."""


@settings(max_examples=examples(150))
@given(text=TEXTS, one=TEXTS, other=TEXTS, a=st.text(max_size=8), b=PIECES)
@example("import x\nimport x", "import *.y", "", "", "")
@example('"', "", "", "", "")
def test_any_text(text: str, one: str, other: str, a: str, b: str) -> None:
    """Any text, importing any texts, with any variables, gives a Corefile or ConfigErrors, in bounded time."""
    files = {"/etc/coredns/x": one, "/etc/coredns/z.y": other}
    found: Corefile | None = None
    try:
        with processor_time(SOON):
            found = corefile(text, files, {"A": a, "B": b})
    except ConfigError as error:
        told = str(error)
    else:
        told = ""
    assert "\x1b" not in told
    if found is not None:
        assert all(0 <= key.port <= 65535 and key.zone.endswith(".") for block in found.blocks for key in block.keys)
        assert found.digest == corefile(text, files, {"A": a, "B": b}).digest


WORDS = st.text(st.characters(codec="utf-8"), max_size=6)
LINES = st.recursive(
    st.tuples(WORDS.filter(bool), st.lists(WORDS, max_size=3), st.none()),
    lambda inner: st.tuples(WORDS.filter(bool), st.lists(WORDS, max_size=2), st.lists(inner, max_size=3)),
    max_leaves=8,
)
Line = tuple[str, list[str], list["Line"] | None]


def written(line: Line) -> str:
    """A line as text, every word in quotes."""
    name, args, block = line
    words = " ".join(quoted(word) for word in [name, *args])
    return words if block is None else f"{words} {{\n" + "".join(written(one) + "\n" for one in block) + "}"


def quoted(word: str) -> str:
    """A word in quotes that is read as itself: a backslash in front of a quotation mark cannot be written."""
    return '"' + word.replace('"', '\\"') + '"'


def value(line: Directive) -> Line:
    """A directive as it was before it was written."""
    name, *args = texts(line)
    return name, args, None if line.block is None else [value(one) for one in line.block]


def plain(line: Line) -> bool:
    """No word that the grammar cannot write, or that says more than itself."""
    name, args, block = line
    return not any("\\" in word or "{" in word for word in (name, *args)) and all(map(plain, block or ()))


@given(st.lists(LINES.filter(plain), max_size=4))
def test_what_is_written_is_read(lines: list[Line]) -> None:
    """Words in quotes, whatever they are, come out as they went in, on their level and in their order."""
    found = corefile(". {\n" + "".join(written(line) + "\n" for line in lines) + "}")
    assert [value(line) for line in found.blocks[0].directives] == lines
    assert outline(found).startswith(".:53")
