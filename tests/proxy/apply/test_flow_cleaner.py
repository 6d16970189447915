"""Stale flows are deleted from the kernel's table, others are not, and nobody waits for it."""

import time
from collections.abc import Collection, Iterator
from ipaddress import ip_address

import pytest
from pyroute2.netlink import NETLINK_NETFILTER
from pyroute2.netlink.rtnl import RTM_NEWADDR

from kdns.base.errors import KernelError
from kdns.kernel.conntrack import list_flows
from kdns.kernel.netlink import Netlink, attribute
from kdns.proxy.apply.applier import AF
from kdns.proxy.apply.flow_cleaner import ONE_BY_ONE, Cleaned, FlowCleaner, Pace, stale_handles
from kdns.proxy.model import Family
from kdns.proxy.stale_flows import StaleFlows
from tests.proxy.apply.flows import make_flows
from tests.proxy.apply.namespaces import in_a_namespace, needs_root

pytestmark = [pytest.mark.kernel, needs_root]


def packed(address: str) -> bytes:
    return ip_address(address).packed


def stale(frontend: str | None, port: int, *keep: str, family: Family = Family.IPV4) -> StaleFlows:
    return StaleFlows(family, packed(frontend) if frontend else None, port, frozenset(map(packed, keep)))


def left(family: Family = Family.IPV4) -> dict[tuple[str, int, str], int]:
    """How many flows there are by destination, port and who answers."""
    counts: dict[tuple[str, int, str], int] = {}
    with Netlink(NETLINK_NETFILTER, "conntrack") as link:
        for flow in list_flows(link, AF[family]):
            key = (str(ip_address(flow.destination)), flow.port, str(ip_address(flow.replies_from)))
            counts[key] = counts.get(key, 0) + 1
    return counts


def clean(*flows: StaleFlows, rate: int = 1_000_000) -> FlowCleaner:
    """Have these deleted and wait for the end."""
    cleaner = FlowCleaner(rate=rate)
    cleaner.start()
    try:
        cleaner.submit(flows)
        assert cleaner.idle(30)
    finally:
        cleaner.close()
    assert cleaner.failures == 0
    return cleaner


def test_only_flows_to_the_dead_are_deleted() -> None:
    """Of a frontend's flows those of living backends stay; other frontends and ports are not touched."""

    def case() -> None:
        make_flows(30, "10.96.0.10", 53, "10.244.0.5")
        make_flows(20, "10.96.0.10", 5353, "10.244.0.5")
        make_flows(10, "10.96.0.11", 53, "10.244.0.5")
        cleaner = clean(stale("10.96.0.10", 53, "10.244.0.5"))
        assert cleaner.deleted == 0
        cleaner = clean(stale("10.96.0.10", 53, "10.244.0.6"))
        assert cleaner.deleted == 30
        assert left() == {("10.96.0.10", 5353, "10.244.0.5"): 20, ("10.96.0.11", 53, "10.244.0.5"): 10}

    in_a_namespace(case)


def test_many_frontends_at_once() -> None:
    """When more wait than are asked for singly, the result is the same."""

    def case() -> None:
        count = ONE_BY_ONE * 2
        for number in range(count):
            make_flows(3, f"10.96.1.{number}", 53, "10.244.0.5" if number % 2 else "10.244.0.6")
        clean(*(stale(f"10.96.1.{number}", 53, "10.244.0.5") for number in range(count)))
        assert left() == {(f"10.96.1.{number}", 53, "10.244.0.5"): 3 for number in range(1, count, 2)}

    in_a_namespace(case)


def test_ipv6() -> None:
    """The same in the other family."""

    def case() -> None:
        make_flows(7, "fd00:96::a", 53, "fd00:244::5")
        make_flows(7, "fd00:96::b", 53, "fd00:244::5")
        clean(stale("fd00:96::a", 53, family=Family.IPV6))
        assert left(Family.IPV6) == {("fd00:96::b", 53, "fd00:244::5"): 7}

    in_a_namespace(case)


def test_a_node_port_is_on_addresses_of_this_node_only() -> None:
    """A stranger who talks to another machine's port of that number keeps the flow."""

    def case() -> None:
        with Netlink(0, "addresses") as link:
            body = bytes((2, 24, 0, 0)) + (1).to_bytes(4, "little")
            link.command(
                RTM_NEWADDR, 0x400, body + attribute(2, packed("172.18.0.2")) + attribute(1, packed("172.18.0.2"))
            )
        make_flows(5, "172.18.0.2", 30053, "10.244.0.5")
        make_flows(5, "198.51.100.7", 30053, "198.51.100.7")
        clean(stale(None, 30053))
        assert left() == {("198.51.100.7", 30053, "198.51.100.7"): 5}

    in_a_namespace(case)


@pytest.mark.parametrize(
    ("each", "rounding", "seconds"),
    [(0.0, 0.0, 2.0), (0.003, 0.0, 2.0), (0.006, 0.0, 3.0), (0.0, 0.004, 2.0)],
    ids=["idle", "half busy", "slower than the rate", "pauses are rounded up"],
)
def test_a_pace_is_kept_with_few_pauses(each: float, rounding: float, seconds: float) -> None:
    """200 at a time, 50,000 a second: 100,000 take two seconds, or as long as the work itself does.

    ``each``: seconds of work for a batch; ``rounding``: by how much the kernel lengthens each pause.
    """
    now, pauses = 100.0, 0
    pace = Pace(50_000, now)
    for _ in range(500):
        now += each
        if pause := pace.pause(200, now):
            pauses += 1
            now += pause + rounding
    assert now - 100 == pytest.approx(seconds, abs=0.02)
    assert pauses <= 200


def test_deleting_keeps_to_its_rate_and_submitting_does_not_wait() -> None:
    """Two thousand flows at two thousand per second take about a second, of which the caller notices nothing."""

    def case() -> None:
        make_flows(2000, "10.96.0.10", 53, "10.244.0.5")
        rounds: list[Cleaned] = []
        cleaner = FlowCleaner(rounds.append, rate=2000)
        cleaner.start()
        try:
            started = time.monotonic()
            cleaner.submit([stale("10.96.0.10", 53)])
            assert not cleaner.idle(0)
            assert cleaner.idle(120)
            assert time.monotonic() - started > 0.8
        finally:
            cleaner.close()
        assert [(done.family, done.deleted) for done in rounds] == [(Family.IPV4, 2000)]
        assert left() == {}

    in_a_namespace(case)


def test_a_large_table_is_walked_in_the_kernel() -> None:
    """Among tens of thousands of flows the few of one frontend are found without listing the rest."""

    def case() -> None:
        make_flows(60_000, "10.96.0.10", 53, "10.244.0.5")
        make_flows(10, "10.96.0.11", 53, "10.244.0.5")
        with Netlink(NETLINK_NETFILTER, "conntrack") as link:
            started = time.thread_time()
            assert sum(1 for _ in list_flows(link, AF[Family.IPV4])) == 60_010
            all_of_them = time.thread_time() - started
            started = time.thread_time()
            assert sum(1 for _ in list_flows(link, AF[Family.IPV4], packed("10.96.0.11"), 53)) == 10
            assert time.thread_time() - started < all_of_them
        clean(stale("10.96.0.11", 53))
        assert left() == {("10.96.0.10", 53, "10.244.0.5"): 60_000}

    in_a_namespace(case)


def test_what_waits_for_one_frontend_is_merged() -> None:
    """The newest word on a frontend replaces what was not begun yet."""
    cleaner = FlowCleaner()
    cleaner.submit([stale("10.96.0.10", 53)])
    cleaner.submit([stale("10.96.0.10", 53, "10.244.0.5"), stale("10.96.0.11", 53)])

    def case() -> None:
        make_flows(4, "10.96.0.10", 53, "10.244.0.5")
        make_flows(4, "10.96.0.11", 53, "10.244.0.5")
        cleaner.start()
        try:
            assert cleaner.idle(10)
        finally:
            cleaner.close()
        assert left() == {("10.96.0.10", 53, "10.244.0.5"): 4}

    in_a_namespace(case)


def test_what_fails_is_tried_again() -> None:
    """A refusal by the kernel is counted, and the flows are deleted by a later attempt."""
    refusals = [KernelError(("netlink", "conntrack"), 16, "busy")]

    def refuse(link: Netlink, family: Family, wanted: Collection[StaleFlows]) -> Iterator[bytes]:
        if refusals:
            raise refusals.pop()
        return stale_handles(link, family, wanted)

    def case() -> None:
        make_flows(4, "10.96.0.10", 53, "10.244.0.5")
        cleaner = FlowCleaner(retry=0.1, find=refuse)
        cleaner.start()
        try:
            cleaner.submit([stale("10.96.0.10", 53)])
            assert cleaner.idle(10)
        finally:
            cleaner.close()
        assert (cleaner.failures, cleaner.deleted) == (1, 4)
        assert left() == {}

    in_a_namespace(case)


def test_a_bug_does_not_end_the_thread(caplog: pytest.LogCaptureFixture) -> None:
    """It is logged, what it was about is given up, and what comes later is done."""
    done: list[Family] = []

    def stumble(_link: Netlink, family: Family, _wanted: Collection[StaleFlows]) -> Iterator[bytes]:
        done.append(family)
        if len(done) == 1:
            raise LookupError("a message that is not known")
        return iter(())

    cleaner = FlowCleaner(retry=0.1, find=stumble)
    cleaner.start()
    try:
        for _ in range(2):
            cleaner.submit([stale("10.96.0.10", 53)])
            assert cleaner.idle(10)
    finally:
        cleaner.close()
    assert (cleaner.failures, len(done)) == (1, 2)
    assert "a message that is not known" in caplog.text


def test_too_many_are_counted() -> None:
    """The queue is bounded; what waits already is still replaced."""
    cleaner = FlowCleaner(limit=2)
    cleaner.submit([stale("10.96.0.10", 53), stale("10.96.0.11", 53), stale("10.96.0.12", 53), stale("10.96.0.11", 53)])
    assert cleaner.left_out == 1
