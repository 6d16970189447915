"""What holds for the whole suite: no quiet skips in CI, reproducible properties, and nothing left running."""

import os
import time
from collections.abc import Generator, Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, settings

CI = os.environ.get("CI", "").lower() in {"1", "true"}
TOKEN = f"KDNS_SUITE_{uuid4().hex}"
"""An environment variable that every process started by the suite inherits, however far away it ends up."""
PATIENCE = 5.0
"""Seconds that processes which were told to end may take for it."""

settings.register_profile("dev", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile(
    "ci", deadline=None, derandomize=True, max_examples=50, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("ci" if CI else "dev")


def pytest_configure(config: pytest.Config) -> None:
    """Declare the marker that lets a test be skipped in CI, and mark our descendants."""
    config.addinivalue_line("markers", "not_about_tools: when skipped, no tool or privilege is missing: fine in CI too")
    os.environ[TOKEN] = "1"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """In CI every tool is installed, so a skip hides a hole: fail it."""
    report = yield
    if CI and report.skipped and not hasattr(report, "wasxfail") and item.get_closest_marker("not_about_tools") is None:
        report.outcome = "failed"
        report.longrepr = f"skipped in CI, where nothing may be missing: {call.excinfo and call.excinfo.value}"
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """The same for a module that skips itself as a whole."""
    report = yield
    if CI and report.skipped:
        report.outcome = "failed"
        report.longrepr = f"{collector.nodeid} skipped in CI, where nothing may be missing: {report.longrepr}"
    return report


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Nothing the suite started outlives it."""
    until = time.monotonic() + PATIENCE
    while (left := [*_processes(), *_namespaces()]) and time.monotonic() < until:
        time.sleep(0.1)
    if left:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
        reporter = session.config.pluginmanager.get_plugin("terminalreporter")
        if reporter is not None:
            reporter.write_line("")
            for what in left:
                reporter.write_line(f"left behind by the suite: {what}", red=True)


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
