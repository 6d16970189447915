"""The rule of skips: what a machine's kernel lacks is skipped everywhere, a missing tool fails in CI."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import TOKEN

TESTS = """
import pytest
from tests.needs import lacks_kernel

@pytest.mark.needs_kernel(False, "a feature")
def test_mark(): pass

def test_shown_by_a_try(): lacks_kernel("another feature")

@pytest.mark.needs_tool("sh", "no-such-program")
def test_tool(): pass

def test_root(): pytest.skip("needs root")

@pytest.mark.not_about_tools
def test_not_packaged(): pytest.skip("no package has it")

@pytest.mark.needs_kernel(True, "what it has")
@pytest.mark.needs_tool("sh")
def test_all_there(): pass
"""
KERNEL = {
    "this machine's kernel lacks a feature",
    "this machine's kernel lacks another feature",
    "no package has it",
}
TOOLS = ("test_tool", "test_root")


@pytest.mark.parametrize("ci", ["", "true"])
def test_skips(tmp_path: Path, ci: str) -> None:
    """In CI a test without its tool or without root fails; a feature that the kernel lacks is a skip there too."""
    (tmp_path / "test_some.py").write_text(TESTS)
    words = (sys.executable, "-m", "pytest", "-p", "tests.needs", "-p", "no:cacheprovider", "-rA", "-q", str(tmp_path))
    root = str(Path(__file__).parents[1])
    environ = {"PATH": os.environ["PATH"], "CI": ci, "PYTHONPATH": root, TOKEN: "1"}
    done = subprocess.run(words, check=False, capture_output=True, text=True, env=environ, cwd=tmp_path)
    skipped = {reason.partition(": ")[2] for reason in re.findall(r"^SKIPPED \[1\] (.*)$", done.stdout, re.MULTILINE)}
    failed = set(re.findall(r"^(?:FAILED|ERROR) test_some\.py::(\w+)", done.stdout, re.MULTILINE))
    passed = re.findall(r"^PASSED test_some\.py::(\w+)", done.stdout, re.MULTILINE)
    assert skipped == KERNEL | (set() if ci else {"not installed: no-such-program", "needs root"})
    assert failed == (set(TOOLS) if ci else set())
    assert passed == ["test_all_there"]
