"""docs/coming-from-coredns.md says of every plugin whether it is there."""

from pathlib import Path
from typing import Final

import pytest

from kdns.dns.plugins import ORDER, UNSUPPORTED

HOUSE: Final = Path(__file__).parents[3]
PAGE: Final = (HOUSE / "docs" / "coming-from-coredns.md").read_text()
MODULES: Final = HOUSE / "kdns" / "dns" / "plugins"


@pytest.mark.parametrize("name", ORDER)
def test_a_plugin_is_listed_as_what_it_is(name: str) -> None:
    """A plugin with a module has a row, one without is named as not there yet."""
    later = PAGE.partition("Not there yet, ")[2].partition("\n")[0]
    row = f"| [{name}](plugins/{name}.md) |" in PAGE or f"| {name} |" in PAGE
    assert (row, f"`{name}`" in later) == ((True, False) if (MODULES / f"{name}.py").is_file() else (False, True))


@pytest.mark.parametrize("name", UNSUPPORTED)
def test_what_is_elsewhere_has_the_hint_of_the_error(name: str) -> None:
    """The table says what the error says."""
    assert f"| {name} | {UNSUPPORTED[name]} |" in PAGE
