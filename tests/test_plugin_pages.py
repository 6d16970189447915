"""The pages of the plugins are true: there is one for each, and its examples are Corefiles that work."""

import re
import sys
from collections.abc import Iterator
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from kdns.dns.server import registry
from kdns.dns.server.plan import plan_corefile
from kdns.dns.server.registry import Registry, built_in
from kdns.dns.server.serving import Serving
from tests.config.text import corefile
from tests.dns.server.test_plan import server_context
from tests.dns.server.test_serving import install, rcode

DOCS = Path(__file__).parent.parent / "docs"
WRITING = (DOCS / "writing-a-plugin.md").read_text()
BLOCK = ".:0 {\n bind 127.0.0.1\n shallow 3\n}\n"


def examples() -> Iterator[tuple[str, str]]:
    """Each block of a page that is marked as a Corefile, with the page's name."""
    for page in sorted((DOCS / "plugins").glob("*.md")):
        for text in re.findall(r"^```corefile\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL):
            yield page.stem, text


@pytest.mark.parametrize("name", built_in())
def test_every_plugin_has_a_page(name: str) -> None:
    """It begins with the plugin's name and has an example in which the plugin stands."""
    page = (DOCS / "plugins" / f"{name}.md").read_text()
    assert page.startswith(f"# {name}\n")
    assert any(re.search(rf"^\s*{name}\b", text, re.MULTILINE) for page, text in examples() if page == name)


@pytest.mark.parametrize(("name", "text"), list(examples()), ids=lambda value: value if len(value) < 20 else "")
def test_examples_are_corefiles(name: str, text: str) -> None:
    """Each parses into chains, with all options of all its plugins."""
    try:
        assert plan_corefile(corefile(text), Registry(), "/")
    except FileNotFoundError:
        pytest.fail(f"the example of {name} reads a file while it is parsed")


@pytest.mark.parametrize("by", ["folder", "package"])
async def test_the_plugin_of_the_page(by: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The plugin that the page shows, at most 20 lines of code, does what it says wherever it comes from."""
    code = re.findall(r"^```python\n(.*?)^```", WRITING, re.MULTILINE | re.DOTALL)[0]
    assert len([line for line in code.splitlines() if line.strip()]) <= 20
    (tmp_path / "shallow.py").write_text(code)
    if by == "package":
        monkeypatch.syspath_prepend(str(tmp_path))
        entry = EntryPoint("shallow", "shallow", registry.GROUP)
        monkeypatch.setattr(registry, "entry_points", lambda group: [entry] if group == registry.GROUP else [])
    serving = Serving(server_context())
    try:
        await install(serving, Registry(str(tmp_path) if by == "folder" else ""), BLOCK)
        assert serving.blocks[0].plan.steps[1].origin
        assert await rcode(serving, "a.b.c") == "SERVFAIL"
        assert serving.metrics.sockets[0].others.keys() == {
            key for key in serving.metrics.sockets[0].others if key.plugin == ""
        }
        assert await rcode(serving, "a.b.c.d") == "REFUSED"
        assert any(key.plugin == "shallow" for key in serving.metrics.sockets[0].others)
    finally:
        await serving.close()
        sys.modules.pop("shallow", None)
