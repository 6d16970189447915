"""The pages for users: an index that has them all, links that lead to a heading, Corefiles that work."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from kdns.dns.server.plan import plan_corefile
from kdns.dns.server.registry import Registry
from tests.config.text import corefile
from tests.test_house import HOUSE, PAGES, name_of

DOCS: Final = HOUSE / "docs"
INDEX: Final = DOCS / "README.md"
LINK: Final = re.compile(r"\]\(([^)#\s]*)(?:#([^)\s]+))?\)")
WORKED: Final = "## See that it worked"


def linked(text: str) -> set[Path]:
    """The pages that the index's text links to."""
    return {(DOCS / target).resolve() for target, _ in LINK.findall(text) if target and "://" not in target}


def tasks() -> list[Path]:
    """The pages of the table of tasks."""
    return sorted(linked(INDEX.read_text().partition("## By task")[2].partition("\n## ")[0]))


def test_the_index_has_every_page() -> None:
    """Each page for users is linked; those of single plugins are in their folder."""
    there = {path.resolve() for path in PAGES if path.is_relative_to(DOCS) and "plugins" not in path.parts}
    assert sorted(map(name_of, there - linked(INDEX.read_text()) - {INDEX})) == []


@pytest.mark.parametrize("page", tasks(), ids=name_of)
def test_a_task_says_how_to_see_that_it_worked(page: Path) -> None:
    """Under a heading of its own."""
    assert f"\n{WORKED}\n" in page.read_text()


def slugs(text: str) -> set[str]:
    """The anchors of a page's headings: lower case, spaces as hyphens, most signs left out (as GitHub makes them)."""
    prose = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    headings = re.findall(r"^#+ (.+)$", prose, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_to_headings(page: Path) -> None:
    """A link with a fragment names a heading of its page."""
    broken = []
    for target, fragment in LINK.findall(page.read_text()):
        if fragment and "://" not in target:
            other = page.parent / target if target else page
            broken += [f"{target}#{fragment}"] * (fragment not in slugs(other.read_text()))
    assert broken == []


def corefiles() -> Iterator[tuple[str, str]]:
    """Each block of a task's page that is marked as a Corefile, with the page's name."""
    for page in tasks():
        for text in re.findall(r"^```corefile\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL):
            yield name_of(page), text


@pytest.mark.parametrize(("page", "text"), list(corefiles()), ids=lambda value: value if "\n" not in value else "")
def test_corefiles_of_tasks_work(page: str, text: str) -> None:
    """Each parses into chains, with all options of all its plugins."""
    assert plan_corefile(corefile(text), Registry(), "/"), page


def test_releases_of_charts_are_installed_with_values_that_exist() -> None:
    """Every --set of a page names a value of the chart."""
    values = (HOUSE / "charts/kdns/values.schema.json").read_text()
    for page in PAGES:
        for name in re.findall(r"--set(?:-file)? ([\w.]+)=", page.read_text()):
            assert all(f'"{part}"' in values for part in name.split(".")), f"{name_of(page)}: {name}"
