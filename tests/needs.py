"""What a test needs of the machine it runs on, and what becomes of it where that is missing: a plugin of pytest.

- A tool, or to be root, is the business of who runs the suite: without it the test is skipped, but fails in CI, where
  `.ci/run` installs every tool and a skip would hide a hole. ``@pytest.mark.needs_tool("nft")``, or `pytest.skip`.
- A feature of the kernel (a module, a cgroup, IPv6) is as it is on that machine: without it the test is skipped
  everywhere, with the reason. ``@pytest.mark.needs_kernel(present, "IPv6")``, or `lacks_kernel` where a try shows it.
- What no package has (helm, a cluster's binaries) is skipped everywhere as well: ``@pytest.mark.not_about_tools``.
"""

import shutil
from collections.abc import Generator
from typing import Final, NoReturn

import pytest

from tests.examples import CI

KERNEL_LACKS: Final = "this machine's kernel lacks "
"""What the reason of such a skip begins with."""


def lacks_kernel(feature: str) -> NoReturn:
    """Skip the test, in CI too: this kernel has no such feature."""
    pytest.skip(f"{KERNEL_LACKS}{feature}")


def pytest_configure(config: pytest.Config) -> None:
    """Declare the markers."""
    for line in (
        "needs_tool(*names): programs that the test runs",
        "needs_kernel(present, feature): what the test needs of the kernel, and if it is there",
        "not_about_tools: when skipped, no tool or privilege is missing: fine in CI too",
    ):
        config.addinivalue_line("markers", line)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip what cannot run here, before its fixtures are made."""
    for mark in item.iter_markers("needs_kernel"):
        present, feature = mark.args
        if not present:
            lacks_kernel(feature)
    missing = [name for mark in item.iter_markers("needs_tool") for name in mark.args if shutil.which(name) is None]
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)}")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """In CI every tool is installed, so a skip for the lack of one hides a hole: fail it."""
    report = yield
    reason = str(call.excinfo and call.excinfo.value)
    lacking = reason.startswith(KERNEL_LACKS) or item.get_closest_marker("not_about_tools") is not None
    if CI and report.skipped and not hasattr(report, "wasxfail") and not lacking:
        report.outcome = "failed"
        report.longrepr = f"skipped in CI, where nothing may be missing: {reason}"
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
