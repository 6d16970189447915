"""Addresses beside those of the Corefile: which server blocks answer there, and the end without a question lost."""

import asyncio
from pathlib import Path

import pytest

from kdns.config.load import load
from kdns.dns.server.local_listeners import LocalListeners, until_quiet
from kdns.dns.server.plan import ServerBlockPlan, plan_corefile
from kdns.dns.server.registry import Registry
from kdns.metrics.dns import Counted, Metrics, SocketCounts
from kdns.nodelocal.rules import IptablesLocalRules, NftablesLocalRules

HEARTBEAT = "heartbeat.kdns.invalid."
VIPS = ("10.96.0.10", "fd00:10:96::a")


def plans(text: str, tmp_path: Path) -> tuple[ServerBlockPlan, ...]:
    """The plans of a Corefile."""
    (tmp_path / "Corefile").write_text(text)
    registry = Registry("")
    corefile = load(str(tmp_path / "Corefile"), environ={}, port=53, known=set(registry.names()))
    return plan_corefile(corefile, registry, "")


@pytest.mark.parametrize(
    ("block", "addresses"),
    [
        (". {\n whoami\n}", VIPS),
        (".:53 {\n bind 127.0.0.1\n whoami\n}", (*VIPS, "127.0.0.1")),
        (".:5353 {\n bind 127.0.0.1\n whoami\n}", ("127.0.0.1",)),
        (".:5353 {\n whoami\n}", ("",)),
    ],
)
def test_blocks_of_port_53_answer_there(tmp_path: Path, block: str, addresses: tuple[str, ...]) -> None:
    """One without bind answers nowhere else; other ports stay as they are."""
    local = LocalListeners(HEARTBEAT, lambda: None, 0.3)
    local.listen(VIPS)
    extended = local.extend(plans(block, tmp_path))
    assert extended[0].addresses == addresses


def test_own_questions_have_a_block_of_their_own(tmp_path: Path) -> None:
    """It is on the local addresses alone, and has no plugin that logs or counts."""
    local = LocalListeners(HEARTBEAT, lambda: None, 0.3)
    local.listen(VIPS)
    own = local.extend(plans(". {\n log\n whoami\n}", tmp_path))[-1]
    assert ([key.zone for key in own.keys], own.addresses) == ([HEARTBEAT], VIPS)
    assert [step.name for step in own.steps] == ["whoami"]


def test_without_an_address_yet_nothing_is_listened_on(tmp_path: Path) -> None:
    """Until the cluster says its address, a block without bind has no place."""
    extended = LocalListeners(HEARTBEAT, lambda: None, 0.3).extend(plans(". {\n whoami\n}", tmp_path))
    assert [plan.addresses for plan in extended] == [()]


def test_a_change_is_passed_on() -> None:
    """The server listens again when there are other addresses."""
    asked = asyncio.Event()
    local = LocalListeners(HEARTBEAT, asked.set, 0.3)
    local.listen(VIPS)
    assert (asked.is_set(), local.addresses) == (True, VIPS)


async def test_the_end_waits_while_questions_come() -> None:
    """It is over with the first stretch in which none was answered."""
    numbers = iter([1, 2, 5, 5, 9])
    await until_quiet(lambda: next(numbers), asyncio.Event(), 0.001)
    assert list(numbers) == [9]


async def test_a_second_signal_waits_for_nothing() -> None:
    """As at every other step of the end."""
    at_once = asyncio.Event()
    at_once.set()
    counted = iter(range(10))
    await until_quiet(counted.__next__, at_once, 3600.0)
    assert next(counted) <= 2


@pytest.mark.parametrize("rules", [NftablesLocalRules, IptablesLocalRules])
def test_the_end_is_no_sooner_than_the_kernel_goes_around(rules: type[NftablesLocalRules | IptablesLocalRules]) -> None:
    """Sockets that close while the kernel still sends questions here would lose those."""
    alive = rules.liveness.longest
    assert LocalListeners(HEARTBEAT, lambda: None, alive).quiet > alive


def test_own_questions_are_not_in_the_metrics() -> None:
    """Twelve of them a second would be in every graph of requests."""
    metrics, counts = Metrics("0", "cpython"), SocketCounts("dns://:53", "udp", 1)
    metrics.sockets.append(counts)
    metrics.unreported = HEARTBEAT
    for zone, times in ((HEARTBEAT, 3), (".", 2)):
        for _ in range(times):
            counts.note(Counted(zone, 1, 0, False, 0, "whoami"), 40, 60)
    assert metrics.answered() == 2
    requests = next(family for family in metrics.collect() if family.name == "coredns_dns_requests")
    assert {sample.labels["zone"]: sample.value for sample in requests.samples} == {".": 2}
