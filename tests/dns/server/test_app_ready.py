"""Readiness of plugins: what was ready once is asked again only if the Corefile wants that."""

from pathlib import Path

import pytest

from kdns.config.settings import ServeSettings
from kdns.dns.server.app import App
from kdns.dns.server.plan import process_settings
from tests.dns.server.test_plan import blocks

SHY = """
from kdns.dns.api.plugin import Built
NAME = "shy"
BEFORE = "forward"
SAYS = [["warming up"], [], ["lost it"]]

def parse(directives, place):
    return None

def build(options, parts):
    return Built(ready=lambda: SAYS.pop(0))
"""


@pytest.mark.parametrize(
    ("monitor", "said"),
    [("until-ready", [["shy: warming up"], [], []]), ("continuously", [["shy: warming up"], [], ["shy: lost it"]])],
)
async def test_monitor(tmp_path: Path, monitor: str, said: list[list[str]]) -> None:
    """A plugin says why it is not ready, by its name."""
    (tmp_path / "shy.py").write_text(SHY)
    (live,) = blocks(f". {{\n shy\n ready {{\n  monitor {monitor}\n }}\n}}", str(tmp_path))
    app = App(ServeSettings())
    app.process = process_settings([live.plan])
    assert [app.unready_plugins(live) for _ in range(3)] == said
