"""Reading the Corefile again: when, and what is told."""

import asyncio
import logging
from collections.abc import Sequence

import pytest

from kdns.base.errors import ConfigError
from kdns.dns.plugins.reload import Options
from kdns.dns.server.context import ServerContext
from kdns.dns.server.reloading import Reloader
from tests.dns.server.test_plan import server_context


class Script:
    """What the file says at each look, and what was served."""

    def __init__(self, *looks: str | Exception, refuses: Sequence[str] = ()) -> None:
        self.context: ServerContext = server_context()
        self.looks = list(looks)
        self.refuses = refuses
        self.served: list[str] = []
        self.reloader = Reloader(
            self.load, self.exchange, lambda: Options(interval=2, jitter=0), str, self.context, "one"
        )

    async def load(self) -> str:
        """The next look."""
        found = self.looks.pop(0)
        if isinstance(found, Exception):
            raise found
        return found

    async def exchange(self, loaded: str) -> None:
        """Serve it."""
        if loaded == "bug":
            raise ValueError("bug")
        if loaded in self.refuses:
            raise ConfigError(f"{loaded} cannot be served")
        self.served.append(loaded)

    def value(self, name: str, **labels: str) -> float | None:
        """A metric."""
        return self.context.registry.get_sample_value(name, labels)


BROKEN = ConfigError("a brace is missing")


@pytest.mark.parametrize(
    ("script", "served", "failures"),
    [
        (Script("one", "one"), [], 0),
        (Script("one", "two", "two", "one"), ["two", "one"], 0),
        (Script(BROKEN, BROKEN, "one", "two"), ["two"], 1),
        (Script(BROKEN, ConfigError("another mistake")), [], 2),
        (Script("two", "two", "three", "two", refuses=["two"]), ["three"], 2),
        (Script("bug", "bug", "two"), ["two"], 1),
        (Script(BROKEN, "one", BROKEN), [], 2),
        (Script("two", "one", "two", refuses=["two"]), [], 2),
    ],
)
async def test_looks(script: Script, served: list[str], failures: int, caplog: pytest.LogCaptureFixture) -> None:
    """What changed is served once; what cannot be is told and counted once, until it changes again, be it back."""
    with caplog.at_level(logging.INFO, "kdns"):
        while script.looks:
            await script.reloader.look()
    assert script.served == served
    assert script.value("coredns_reload_failed_total") == failures
    assert sum("reload failed" in record.getMessage() for record in caplog.records) == failures
    running = served[-1] if served else "one"
    assert script.value("coredns_reload_version_info", hash="sha512", value=running) == 1


async def test_who_asks_gets_an_answer(caplog: pytest.LogCaptureFixture) -> None:
    """SIGUSR1 serves what is there even if it is the same, and tells a mistake each time."""
    script = Script("one", BROKEN, BROKEN)
    for _ in range(3):
        await script.reloader.look(forced=True)
    assert script.served == ["one"]
    assert script.value("coredns_reload_failed_total") == 2


async def test_without_reload_only_a_signal_counts() -> None:
    """Nobody looks at the file by himself then."""
    script = Script("two")
    asked = asyncio.Event()
    reloader = Reloader(script.load, script.exchange, lambda: None, str, script.context, "one")
    running = asyncio.create_task(reloader.run(asked))
    await asyncio.sleep(0)
    assert script.served == []
    asked.set()
    for _ in range(10):
        await asyncio.sleep(0)
    assert script.served == ["two"]
    assert not asked.is_set()
    running.cancel()
