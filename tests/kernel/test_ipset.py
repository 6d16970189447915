"""Sets of the kernel in a network namespace of their own."""

from collections.abc import Callable
from socket import AF_INET

import pytest

from kdns.base.errors import KernelError
from kdns.kernel.ipset import Entry, IpSets
from tests.build import packed
from tests.proxy.apply.namespaces import in_a_namespace, needs_root

pytestmark = [pytest.mark.kernel, needs_root]


@pytest.mark.parametrize(
    ("kind", "entries"),
    [
        ("hash:ip", [Entry(packed("10.0.0.1")), Entry(packed("10.0.0.2"))]),
        ("hash:ip,port", [Entry(packed("10.0.0.1"), 53, 17), Entry(packed("10.0.0.1"), 53, 6)]),
        ("hash:ip,port,ip", [Entry(packed("10.0.0.1"), 80, 6, packed("10.0.0.2"))]),
        ("hash:ip,port,net", [Entry(packed("10.0.0.1"), 80, 6, packed("10.0.0.0"), 8)]),
        ("bitmap:port", [Entry(port=80), Entry(port=65535)]),
    ],
)
def test_members_come_back(kind: str, entries: list[Entry]) -> None:
    """Whatever a type has; what is removed, or not there, is no error."""

    def case() -> None:
        sets = IpSets(AF_INET)
        try:
            sets.create("s", kind)
            sets.create("s", kind)
            assert sets.add(("s", entry) for entry in entries) == [0] * len(entries)
            assert sorted(sets.members("s") or (), key=str) == sorted(entries, key=str)
            assert sets.sizes() == {"s": len(entries)}
            sets.remove([("s", entry) for entry in entries * 2])
            assert sets.members("s") == []
            sets.destroy(["s", "missing"])
            assert sets.members("s") is None
        finally:
            sets.close()

    _where_it_can(case)


def _where_it_can(case: Callable[[], None]) -> None:
    try:
        in_a_namespace(case)
    except (KernelError, OSError) as error:
        pytest.skip(f"this kernel has no ipset: {error}")
