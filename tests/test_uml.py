"""The guest kernel: runs what it is given, says how it ended, and does not outlive its time."""

import os
from pathlib import Path

import pytest

from tests import uml

pytestmark = [pytest.mark.kernel, uml.needs_uml]


def test_output_and_status_come_back() -> None:
    """What a program prints and how it ends is known, and it has a kernel with IPVS of its own."""
    ran = uml.run(
        ("sh", "-c", "echo hello; test -d /proc/sys/net/ipv4/vs; echo $?; cat /proc/sys/kernel/osrelease; exit 3"), 300
    )
    lines = ran.output.splitlines()
    assert lines[:2] == ["hello", "0"]
    assert lines[2][0].isdigit()
    assert ran.status == 3


def test_this_machine_is_out_of_reach() -> None:
    """The file tree is read-only, and links are the guest's own."""
    ran = uml.run(("sh", "-c", "touch /etc/kdns-was-here && echo written; ip -o link | wc -l"), 300, modules="dummy")
    assert "written" not in ran.output
    assert ran.output.splitlines()[-1] == "1"


def test_one_that_does_not_end_is_ended() -> None:
    """After its time the guest is gone with all its processes, and the error has what it printed."""
    with pytest.raises(TimeoutError, match="I sleep") as error:
        uml.run(("sh", "-c", "echo I sleep; sleep 1000"), 5, modules="dummy")
    assert "no end within 5 s" in str(error.value)
    assert not [pid for pid in Path("/proc").glob("[0-9]*/comm") if _parent_is_here(pid.parent) == uml.KERNEL]


def _parent_is_here(folder: Path) -> str:
    """The name of the process of a folder of /proc, if it is a living child of this process; else nothing."""
    try:
        name, _, rest = (folder / "stat").read_text().partition("(")[2].rpartition(") ")
    except OSError:  # it has ended
        return ""
    state, parent, *_ = rest.split()
    return name if int(parent) == os.getpid() and state != "Z" else ""
