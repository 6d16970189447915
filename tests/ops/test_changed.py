"""Noticing that a file says something else."""

import asyncio
from pathlib import Path

import pytest

from kdns.base.errors import ConfigError
from kdns.config.load import read_kubeproxy
from kdns.ops.changed import until_changed


class Looks:
    """What each look at a file gives; the last one for ever."""

    def __init__(self, *looks: str | None) -> None:
        self.looks = list(looks)
        self.count = 0

    def __call__(self, path: str) -> str:
        self.count += 1
        found = self.looks.pop(0) if len(self.looks) > 1 else self.looks[0]
        if found is None:
            raise ConfigError(f"cannot read {path}")
        return found


CASES = (
    (Looks("a", "a", "b"), "f has changed", 3),
    (Looks("a", None, None, "a", None, "b"), "f has changed", 6),
    (Looks("a", None), "cannot read f, which could be read before", 4),
    (Looks(""), "f has changed", 1),
)


@pytest.mark.parametrize(("looks", "reason", "count"), CASES)
async def test_looks(looks: Looks, reason: str, count: int) -> None:
    """Another text ends the waiting at once, a file that is gone only after three looks."""
    assert await until_changed("f", "a", looks, every=0.001) == reason
    assert looks.count == count


async def test_a_config_map(tmp_path: Path) -> None:
    """The kubelet exchanges a link to a folder; the same text under another link is no change."""
    for version, text in (("1", "a"), ("2", "a"), ("3", "b")):
        (tmp_path / version).mkdir()
        (tmp_path / version / "config.conf").write_text(text)
    (tmp_path / "config.conf").symlink_to("data/config.conf")

    def point_to(version: str) -> None:
        (tmp_path / "new").symlink_to(version)
        (tmp_path / "new").rename(tmp_path / "data")

    point_to("1")
    path = str(tmp_path / "config.conf")
    waiting = asyncio.create_task(until_changed(path, read_kubeproxy(path), read_kubeproxy, every=0.01))
    point_to("2")
    await asyncio.sleep(0.1)
    assert not waiting.done()
    point_to("3")
    assert await waiting == f"{path} has changed"
