"""Each plugin has a page in docs/plugins, and the Corefiles in it can be used as they stand."""

import re
from importlib import import_module
from pathlib import Path

import pytest

from kdns.dns.api.plugin import DirectiveContext
from kdns.dns.plugins import ORDER
from tests.config.text import corefile

PAGES = Path(__file__).parents[3] / "docs" / "plugins"
MODULES = Path(__file__).parents[3] / "kdns" / "dns" / "plugins"
PRESENT = sorted(name for name in ORDER if (MODULES / f"{name}.py").is_file() and (PAGES / f"{name}.md").is_file())


def examples(name: str) -> list[str]:
    """The Corefiles on a plugin's page."""
    page = (PAGES / f"{name}.md").read_text()
    return re.findall(r"^```corefile\n(.*?)^```", page, re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("name", PRESENT)
def test_the_example_on_the_page_parses(name: str) -> None:
    """Every Corefile on the page is one, and the plugin whose page it is takes its directives."""
    found = examples(name)
    assert found
    module = import_module(f"kdns.dns.plugins.{name}")
    for text in found:
        used = 0
        for block in corefile(text).blocks:
            mine = [each for each in block.directives if each.name.text == name]
            zones = tuple(key.zone for key in block.keys)
            if mine:
                used += 1
                module.parse(mine, DirectiveContext(zones, 53, "/etc/coredns"))
        assert used, text
