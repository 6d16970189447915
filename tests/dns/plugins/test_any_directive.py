"""Any words behind the name of any plugin: they are options, or mistakes with their places, and never anything else."""

import itertools
import re
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Final

from hypothesis import example, given
from hypothesis import strategies as st

from kdns.base.errors import ConfigError, ConfigErrors
from kdns.dns.plugins import ORDER
from kdns.dns.server.plan import plan_corefile
from kdns.dns.server.registry import Registry
from tests.config.text import corefile

PAGES: Final = Path(__file__).parents[3] / "docs/plugins"
REGISTRY: Final = Registry()
KNOWN: Final = {name: sorted(set(re.findall(r"[a-z_]{2,}", (PAGES / f"{name}.md").read_text()))) for name in ORDER}
"""Words from each plugin's page, its own properties among them."""
ODD: Final = st.sampled_from(
    ["0", "1", "-1", "30", "99999999999999999999", "1e9", "5s", "1h30m", "0s", "-5s", "5", "10%", "100%", ".", "..",
     "*", "@kubernetes", "@", "/", "//", "example.org", "EXAMPLE.org.", "x" * 64, f"{'a.' * 130}", "10.0.0.0/8",
     "10.0.0.0/33", "fd00::/8", "::", "::1", "[::1]:53", "[::1", "127.0.0.1:0", "127.0.0.1:99999", ":53", "1.2.3.4",
     "tls://1.1.1.1%a", "https://1.1.1.1", "tls://", "A", "AAAA", "TYPE65", "TYPE65536", "ANY", "IN", "CH", "NXDOMAIN",
     "(", ")", "(.*)", "[", "{1}", "{99}", "{{", "{{ .Name }} 60 IN A 1.2.3.4", "{{ .Name", "a{1000000}", "(a*)*b",
     "exact", "regex", "stop", "continue", "answer", "auto", "name", "set", "\u00e9", "\u2028", "\x00", "\ud7ff", ""]
)  # fmt: skip


def word(name: str) -> st.SearchStrategy[str]:
    """Something that the plugin may know, or something odd, or anything."""
    return st.sampled_from(KNOWN[name]) | ODD | st.text(max_size=12)


def quoted(text: str) -> str:
    """A word as a Corefile has it."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


@st.composite
def block(draw: st.DrawFn) -> str:
    """A server block with one or two plugins, each with any arguments and any lines."""
    lines: list[str] = []
    for name in draw(st.lists(st.sampled_from(ORDER), min_size=1, max_size=2)):
        words = st.lists(word(name), max_size=5)
        inner = draw(st.none() | st.lists(words.filter(bool), max_size=4))
        lines.append(_line([name, *map(quoted, draw(words))], inner))
    return ". {\n" + "".join(lines) + "}\n"


def _line(head: Sequence[str], inner: Sequence[Sequence[str]] | None) -> str:
    if inner is None:
        return " ".join(head) + "\n"
    return " ".join((*head, "{")) + "\n" + "".join(" ".join(map(quoted, each)) + "\n" for each in inner) + "}\n"


@given(block())
@example('. {\nforward "." "tls://1.1.1.1%"\n}\n')
@example('. {\nrewrite "name" "regex" "(" "{1}"\n}\n')
@example('. {\ncache "9999999999999999999999" "." {\n"success" "1" "2" "3"\n}\n}\n')
def test_any_directive(text: str) -> None:
    """Every mistake has its place, in the file that was read."""
    try:
        plans = plan_corefile(corefile(text), REGISTRY, "/nowhere")
    except ConfigError as error:
        errors = error.errors if isinstance(error, ConfigErrors) else (error,)
        assert all(str(each) for each in errors)
        assert any(each.at is not None for each in errors)
    else:
        assert [len(plan.keys) for plan in plans] == [1]


def test_every_plugin_is_there() -> None:
    """Or the words above would be about plugins that are no more."""
    modules = [import_module(f"kdns.dns.plugins.{name}") for name in ORDER]
    assert [module.NAME for module in modules] == list(ORDER)
    assert len(list(itertools.chain.from_iterable(KNOWN.values()))) > 1000
