"""What holds for the whole suite: reproducible properties, and nothing left running; for skips see tests/needs.py.

With pytest-xdist (``-n auto --dist loadfile``) the tests of one file stay together in one worker, since they share labs
and other fixtures; files that wait for a kernel or for processes come first, and the pure ones fill the cores then.
"""

import os
import time
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from tests.examples import register

pytest_plugins = ["tests.needs"]
PURE = "not kernel and not e2e and not heavy"
"""Which tests `make quick` runs, as it says so to pytest (-m)."""
TOKEN = f"KDNS_SUITE_{uuid4().hex}"
"""An environment variable that every process started by the suite inherits, however far away it ends up."""
PATIENCE = 30.0
"""Seconds that processes which have been asked to end may take for it."""
LEFT_BEHIND = pytest.StashKey[list[str]]()
"""What workers have left behind, as the process that started them heard."""

register()


def pytest_configure() -> None:
    """Mark our descendants."""
    os.environ[TOKEN] = "1"


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """A worker a core, and twice as many if there are tests that mostly wait: for a kernel, for processes."""
    cores = len(os.sched_getaffinity(0))
    return cores if config.option.markexpr == PURE else 2 * cores


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files whose tests are given most time, so that no core waits for the last one."""
    longest: dict[Path, float] = {}
    for item in items:
        slow = any(item.get_closest_marker(name) for name in ("kernel", "e2e"))
        timeout = item.get_closest_marker("timeout")
        longest[item.path] = max(longest.get(item.path, 0), timeout.args[0] if timeout else float(slow))
    items.sort(key=lambda item: -longest[item.path])


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """A worker has ended, by itself or not."""
    left = getattr(node, "workeroutput", {}).get("left_behind", [])
    node.config.stash.setdefault(LEFT_BEHIND, []).extend(left)


@pytest.hookimpl(wrapper=True, trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> Generator[None]:
    """Nothing the suite started outlives it: first the workers look, then the process that started them."""
    yield
    until = time.monotonic() + PATIENCE
    while (left := [*_processes(), *_namespaces()]) and time.monotonic() < until:
        time.sleep(0.1)
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["left_behind"] = left
        return
    left += [line for line in session.config.stash.get(LEFT_BEHIND, []) if line not in left]
    if left:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
        reporter = session.config.pluginmanager.get_plugin("terminalreporter")
        if reporter is not None:
            reporter.write_line("")
            for line in left:
                reporter.write_line(f"left behind by the suite: {line}", red=True)


def _processes() -> Iterator[str]:
    """Living processes that carry our token, or are our children."""
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            _, _, status = (folder / "stat").read_text().rpartition(") ")
            state, parent, *_ = status.split()
            child = int(parent) == os.getpid() and state != "Z"
            if int(folder.name) != os.getpid() and (child or TOKEN.encode() in (folder / "environ").read_bytes()):
                command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                yield f"process {folder.name}: {command[:200]}"
        except OSError:  # gone meanwhile, or not ours to read
            continue


def _namespaces() -> Iterator[str]:
    """Named network namespaces that carry our process id in their name, as the suite's do (``kdns-PID-...``)."""
    for path in Path("/run/netns").glob(f"kdns-{os.getpid()}-*"):
        yield f"network namespace {path.name}"
