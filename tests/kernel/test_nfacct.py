"""Counters that rules refer to by name, in a network namespace of their own."""

import subprocess
from collections.abc import Mapping

import pytest

from kdns.kernel.nfacct import create_counters, delete_counters, packets
from tests.proxy.apply.namespaces import in_a_namespace, needs_root

pytestmark = [pytest.mark.kernel, needs_root]
NAMES = ("a_b", "other")


def test_counters_come_and_go() -> None:
    """Making one again keeps what it counts; one that a rule refers to cannot be deleted."""

    def inside() -> list[Mapping[str, int]]:
        create_counters(NAMES)
        for words in (
            ("ip", "link", "set", "lo", "up"),
            ("iptables", "-A", "OUTPUT", "-p", "udp", "-m", "nfacct", "--nfacct-name", "a_b"),
            ("python3", "-c", "import socket; socket.socket(2, 2).sendto(b'', ('127.0.0.1', 9))"),
        ):
            subprocess.run(words, check=True)
        create_counters(NAMES)
        found = [packets((*NAMES, "missing"))]
        delete_counters((*NAMES, "missing"))
        found.append(packets(NAMES))
        subprocess.run(("iptables", "-F", "OUTPUT"), check=True)
        delete_counters(NAMES)
        return [*found, packets(NAMES)]

    assert in_a_namespace(inside) == [{"a_b": 1, "other": 0}, {"a_b": 1}, {}]
