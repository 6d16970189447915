"""The guest kernel: runs what it is given, says how it ended, and does not outlive its time."""

import time

import pytest

from tests import uml

pytestmark = [pytest.mark.kernel, uml.needs_uml]


def test_output_and_status_come_back() -> None:
    """What a program prints and how it ends is known, and it has a kernel with IPVS of its own."""
    ran = uml.run(
        ("sh", "-c", "echo hello; test -d /proc/sys/net/ipv4/vs; echo $?; cat /proc/sys/kernel/osrelease; exit 3"), 50
    )
    lines = ran.output.splitlines()
    assert lines[:2] == ["hello", "0"]
    assert lines[2][0].isdigit()
    assert ran.status == 3


def test_this_machine_is_out_of_reach() -> None:
    """The file tree is read-only, and links are the guest's own."""
    ran = uml.run(("sh", "-c", "touch /etc/kdns-was-here && echo written; ip -o link | wc -l"), 50, modules="dummy")
    assert "written" not in ran.output
    assert ran.output.splitlines()[-1] == "1"


def test_one_that_does_not_end_is_ended() -> None:
    """After its time the guest is gone with all its processes, and what it said is told."""
    started = time.monotonic()
    with pytest.raises(TimeoutError, match="I sleep"):
        uml.run(("sh", "-c", "echo I sleep; sleep 1000"), 12, modules="dummy")
    assert time.monotonic() - started < 30
