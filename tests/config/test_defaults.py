"""The Corefiles that clusters come with are read without a mistake."""

import re
from pathlib import Path

import pytest

from kdns.config.directive import Corefile
from kdns.dns.plugins import ORDER
from tests.config.defaults import DEFAULTS
from tests.config.text import corefile, texts

DOCS = Path(__file__).parent.parent.parent / "docs"


def keys(found: Corefile) -> list[str]:
    """Every zone and port."""
    return [f"{key.zone}:{key.port}" for block in found.blocks for key in block.keys]


@pytest.mark.parametrize("name", DEFAULTS)
def test_defaults(name: str) -> None:
    """Each is read, and every directive in it is a plugin that kdns has or will have."""
    found = corefile(DEFAULTS[name])
    assert keys(found)[-1] == ".:53"
    assert {line.name.text for block in found.blocks for line in block.directives} <= set(ORDER)


def test_a_regular_expression_comes_through() -> None:
    """Backslashes in quotes stay: AKS's template has an expression full of them."""
    (block,) = corefile(DEFAULTS["AKS"]).blocks
    template = next(line for line in block.directives if line.name.text == "template")
    assert template.block is not None
    assert texts(template.block[0]) == ["match", r"^(?:[^.]+\.){4,}internal\.cloudapp\.net\.$"]


def test_nodelocal() -> None:
    """Four blocks with the same directives in each but for health."""
    found = corefile(DEFAULTS["NodeLocal DNSCache"])
    assert keys(found) == ["cluster.local.:53", "in-addr.arpa.:53", "ip6.arpa.:53", ".:53"]


def test_the_page() -> None:
    """The Corefile in docs/corefile.md is one."""
    (text,) = re.findall(r"^```corefile\n(.*?)^```", (DOCS / "corefile.md").read_text(), re.MULTILINE | re.DOTALL)
    found = corefile(text, {"/etc/coredns/custom/x.override": "cache 30"}, {"ZONE": "x"})
    assert keys(found)[:2] == ["example.org.:5353", "example.net.:853"]
    assert keys(found)[-1] == "x.example.:53"
