"""Who asks what."""

import struct
from typing import Any

from kdns.base.objects import ObjectKey, Pod
from kdns.dns.query.top import FAILURES, HOST_NETWORK, NOT_KNOWN, RATE, Top, TopMetrics, who_by
from kdns.records.clients import ClientIndex
from kdns.wire.name import parse_name
from kdns.wire.numbers import NOERROR, NXDOMAIN, SERVFAIL, A


class Clock:
    """Seconds as the test says."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def message(name: str, number: int = 0) -> bytes:
    """A query."""
    return struct.pack("!6H", number, 0x0100, 1, 0, 0, 0) + parse_name(name) + struct.pack("!2H", A, 1)


def reply(query: bytes, rcode: int = NOERROR) -> bytes:
    """A header is enough."""
    return query[:2] + struct.pack("!H", 0x8000 | rcode) + query[4:]


def counted(top: Top, kind: str, window: str = "1m") -> dict[str, int]:
    """Key -> questions."""
    values: dict[str, Any] = top.values()["windows"][window][kind]
    return {one["key"]: one["questions"] for one in values["top"]}


def test_samples_stand_for_those_that_were_passed_over() -> None:
    """The weight of a sampled message is how many there are of its kind."""
    top = Top(Clock(), Clock())
    top.who = {"10.244.0.5": ("shop", "web-1")}.get  # type: ignore[assignment]
    query = message("WEB.shop.svc.cluster.local.")
    top.sample(query, reply(query), "10.244.0.5", 8)
    assert counted(top, "name") == {"web.shop.svc.cluster.local.": 8}
    assert counted(top, "pod") == {"shop/web-1": 8}
    assert counted(top, "namespace") == {"shop": 8}
    assert counted(top, "rcode") == {"NOERROR": 8}


def test_a_name_with_an_octet_zero_ends_where_it_ends() -> None:
    """Labels may hold any octet (RFC 2181 section 11)."""
    top = Top(Clock(), Clock())
    query = struct.pack("!6H", 0, 0x0100, 1, 0, 0, 0) + b"\x03a\0b\0" + struct.pack("!2H", A, 1)
    top.sample(query, reply(query, NXDOMAIN), "10.0.0.1", 1)
    assert counted(top, "name") == {"a\\000b.": 1}


def test_own_questions_are_not_shown() -> None:
    """A node's own DNS asks itself twelve times a second, which would be the first of every list."""
    top = Top(Clock(), Clock())
    top.own = parse_name("heartbeat.kdns.invalid.")
    for name in ("heartbeat.kdns.invalid.", "web.shop.svc.cluster.local."):
        top.chain("10.96.0.10", parse_name(name), A, NOERROR, "", "", 0.001)
    assert counted(top, "name") == {"web.shop.svc.cluster.local.": 1}


def test_the_sample_follows_the_rate() -> None:
    """More than 1,000 in a second: a quarter is looked at, at once; few: twice as many in the next second."""
    clock = Clock()
    top = Top(clock, clock)
    query = message("a.test.")
    for count, skipped in ((2 * RATE, 0), (1, 3), (RATE, 3), (1, 15), (RATE + 1, 63)):
        for _ in range(count):
            top.sample(query, reply(query), "10.0.0.1", 1)
        assert top.skipped == skipped
    for second in range(4, 20):
        clock.now = float(second)
        top.sample(query, reply(query), "10.0.0.1", 1)
    assert top.skipped == 0


def test_wasted_questions_are_those_of_search_lists() -> None:
    """A name in the cluster's zone that does not exist is counted for who asked; one outside is not."""
    top = Top(Clock(), Clock())
    top.zones = (parse_name("cluster.local."),)
    top.chain("10.244.0.5", parse_name("www.example.com.shop.svc.cluster.local."), A, NXDOMAIN, "", "", 0.0)
    top.chain("10.244.0.5", parse_name("www.example.com."), A, NXDOMAIN, "", "dns://192.0.2.1:53", 0.1)
    assert counted(top, "wasted") == {"10.244.0.5": 1}
    assert counted(top, "upstream") == {"dns://192.0.2.1:53": 1}


def test_failures_are_a_ring() -> None:
    """The last 200, with who, what, why and how long; answers and NXDOMAIN are none."""
    top = Top(Clock(), lambda: 1_800_000_000.0)
    top.chain("10.244.0.5", parse_name("a.test."), A, NOERROR, "", "", 0.0)
    top.chain("10.244.0.5", parse_name("a.test."), A, NXDOMAIN, "", "", 0.0)
    assert top.values()["failures"] == []
    for number in range(FAILURES + 1):
        top.chain("10.244.0.5", parse_name(f"n{number}.test."), A, SERVFAIL, "timeout", "", 2.0)
    failures = top.values()["failures"]
    assert len(failures) == FAILURES
    assert failures[0]["name"] == "n1.test."
    assert failures[-1] == {
        "at": 1_800_000_000.0, "client": "10.244.0.5", "namespace": "", "pod": "", "name": f"n{FAILURES}.test.",
        "rtype": "A", "rcode": "SERVFAIL", "why": "timeout", "seconds": 2.0,
    }  # fmt: skip


def test_clients_are_pods_where_those_are_followed() -> None:
    """A Pod, the host's network, and addresses that no Pod has."""
    index = ClientIndex()
    index.update(None, Pod(ObjectKey("Pod", "shop", "web-1"), "10.244.0.5"))
    index.update(None, Pod(ObjectKey("Pod", "kube-system", "agent"), "172.18.0.2", host_network=True))
    who = who_by([index])
    assert who("10.244.0.5") == ("shop", "web-1")
    assert who("172.18.0.2") == HOST_NETWORK
    assert who("192.0.2.1") == NOT_KNOWN
    assert who("not an address") == NOT_KNOWN


def test_metrics_are_few() -> None:
    """None unless they are asked for; then so many of each kind."""
    top = Top(Clock(), Clock())
    metrics = TopMetrics(top)
    for number in range(50):
        top.chain("10.244.0.5", parse_name(f"n{number}.test."), A, NOERROR, "", "", 0.0)
    assert list(metrics.collect()) == []
    metrics.most = 3
    samples = [sample for family in metrics.collect() for sample in family.samples]
    assert sum(sample.labels["kind"] == "name" for sample in samples) == 3


def test_a_client_that_is_refused_is_named() -> None:
    """Among the failures, without a name that was asked; refused again and again, it does not push out the others."""
    top = Top(Clock(), Clock())
    top.who = lambda address: ("shop", "web-1") if address == "10.244.0.5" else NOT_KNOWN
    top.chain("10.244.0.6", parse_name("a.test."), A, SERVFAIL, "timeout", "", 2.0)
    for _ in range(2 * FAILURES):
        top.refused("10.244.0.5", "too many")
    assert [(one["client"], one["pod"], one["why"]) for one in top.values()["failures"][1:]] == [
        ("10.244.0.5", "web-1", "too many")
    ]
