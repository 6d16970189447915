"""Following a source: what is wanted, what is said, and what survives."""

import asyncio
import gc
import logging
import re
from collections.abc import AsyncIterator, Callable, Sequence
from typing import NamedTuple

import pytest

from kdns.base.errors import ConfigError
from kdns.base.objects import Change, NodeChange, Service, ServiceChange, ServiceCIDRChange, ServiceView
from kdns.config.settings import KubernetesOptions
from kdns.dns.plugins.kubernetes import schema_of
from kdns.metrics.dns import Metrics
from kdns.records.answers import Answers
from kdns.records.rrset import Result
from kdns.watch.follower import LIVE_PHASES, Follower, proxy_wants, wants
from kdns.watch.source import Deleted, Event, ListComplete, Listing, Lost, Resumed, Skipped, Upserted, Want
from kdns.wire.name import parse_name
from kdns.wire.numbers import NXDOMAIN, SERVFAIL, A
from tests.build import key, namespace, node, packed, proxied, service_cidr, states_slice
from tests.metrics.values import value

OPTIONS = KubernetesOptions()
WEB = Service(key("Service", "shop/web"), (packed("10.96.0.9"),))
DB = Service(key("Service", "shop/db"), headless=True)
NAMESPACES = (Listing("Namespace"), Upserted(namespace("shop")), ListComplete("Namespace"))
SERVICES = (Listing("Service"), Upserted(WEB), ListComplete("Service"))
SLICES = (Listing("EndpointSlice"), ListComplete("EndpointSlice"))


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (OPTIONS, [Want("Service"), Want("EndpointSlice"), Want("Namespace", optional=True)]),
        (KubernetesOptions(endpoints=False), [Want("Service"), Want("Namespace", optional=True)]),
        (
            KubernetesOptions(labels="a=b", endpoint_pod_names=True, pods="insecure"),
            [Want("Service", "a=b"), Want("EndpointSlice", "a=b", pod_names=True), Want("Namespace", optional=True)],
        ),
        (
            KubernetesOptions(namespace_labels="dns=yes"),
            [Want("Service"), Want("EndpointSlice"), Want("Namespace", "dns=yes")],
        ),
        (
            KubernetesOptions(pods="verified", labels="a=b"),
            [
                Want("Service", "a=b"),
                Want("EndpointSlice", "a=b"),
                Want("Namespace", optional=True),
                Want("Pod", "a=b", LIVE_PHASES),
            ],
        ),
        (
            KubernetesOptions(clients="node1", labels="a=b"),
            [
                Want("Service", "a=b"),
                Want("EndpointSlice", "a=b"),
                Want("Namespace", optional=True),
                Want("Pod", "", f"spec.nodeName=node1,{LIVE_PHASES}", optional=True),
            ],
        ),
    ],
)
def test_wants(options: KubernetesOptions, expected: list[Want]) -> None:
    """Only what the options need is followed, and as little of it as the server can select."""
    assert wants(options) == expected


def test_what_the_proxy_wants() -> None:
    """Services and slices that are its own, as kube-proxy selects them; its Node; ranges where there are some."""
    assert proxy_wants("node1") == [
        Want("Service", "!service.kubernetes.io/service-proxy-name", "spec.clusterIP!=None", routing=True),
        Want(
            "EndpointSlice",
            "!service.kubernetes.io/service-proxy-name,!service.kubernetes.io/headless",
            routing=True,
            named=False,
        ),
        Want("Node", field_selector="metadata.name=node1"),
        Want("ServiceCIDR", optional=True),
    ]
    (nodes,) = (want for want in proxy_wants("node1", every_node=True) if want.kind == "Node")
    assert nodes.field_selector == ""


Script = Callable[[], AsyncIterator[Event]]


class ScriptedSource:
    """A source whose streams say what they are told; the last script of each stream is repeated."""

    def __init__(self, *streams: Sequence[Script]) -> None:
        self._streams = [list(stream) for stream in streams]
        self._given = [0] * len(streams)

    def streams(self, wants: Sequence[Want]) -> Sequence[AsyncIterator[Event]]:
        """The next script of each stream."""
        return [self._run(index) for index in range(len(self._streams))]

    async def _run(self, index: int) -> AsyncIterator[Event]:
        scripts = self._streams[index]
        script = scripts[min(self._given[index], len(scripts) - 1)]
        self._given[index] += 1
        async for event in script():
            yield event

    async def close(self) -> None:
        """Nothing to let go of."""


def says(*events: Event | Exception) -> Script:
    """A script: these events, then an exception if one is given, else silence."""

    async def script() -> AsyncIterator[Event]:
        for event in events:
            if isinstance(event, Exception):
                raise event
            yield event
        await asyncio.Event().wait()

    return script


class Parts(NamedTuple):
    """A follower and what it writes to."""

    follower: Follower
    answers: Answers
    metrics: Metrics

    def rcode(self, name_text: str) -> int | None:
        """What an A question for the name is answered with."""
        found = self.answers.lookup(parse_name(name_text), A)
        return found.rcode if isinstance(found, Result) else None


def parts(*streams: Sequence[Script], options: KubernetesOptions = OPTIONS) -> Parts:
    """A follower of scripted streams."""
    answers, metrics = Answers(schema_of(options)), Metrics()
    return Parts(Follower(ScriptedSource(*streams), wants(options), (answers,), metrics), answers, metrics)


def objects(made: "Parts", kind: str) -> float:
    """How many are kept, as a scrape shows it."""
    return value(made.metrics.cluster, "kdns_objects", kind=kind)


async def run(follower: Follower, until: Callable[[], bool]) -> None:
    """Follow until something holds, 20 seconds at most."""
    async with asyncio.TaskGroup() as tasks:
        streams = follower.start(tasks)
        for _ in range(2000):
            if until():
                break
            await asyncio.sleep(0.01)
        else:
            pytest.fail("it did not happen within 20 s")
        for stream in streams:
            stream.cancel()


async def test_synced_when_every_kind_is_listed(caplog: pytest.LogCaptureFixture) -> None:
    """A name that is not found is SERVFAIL until every kind was listed, and NXDOMAIN from then on."""
    made = parts([says()])
    caplog.set_level(logging.INFO, "kdns")
    for event in (*NAMESPACES, *SERVICES):
        made.follower.take(event, 1000.0)
    assert made.rcode("nobody.shop.svc.cluster.local") == SERVFAIL
    for event in SLICES:
        made.follower.take(event, 1000.0)
    assert made.rcode("nobody.shop.svc.cluster.local") == NXDOMAIN
    assert made.follower.synced.is_set()
    assert [message.partition(": ")[2] for message in caplog.messages] == ["1 service, 0 endpoint slices, 1 namespace"]


@pytest.mark.parametrize(
    ("events", "said"),
    [
        ((Listing("Service"), Upserted(WEB), ListComplete("Service")), ["services relisted: +0 -0"]),
        ((Listing("Service"), Upserted(DB), ListComplete("Service")), ["services relisted: +1 -1"]),
        (
            (Listing("Service"), Upserted(Service(WEB.key, (packed("10.96.0.8"),))), ListComplete("Service")),
            ["services relisted: +0 -0 ~1"],
        ),
        (
            (Lost("Service", "reset"), Listing("Service"), Lost("Service", "refused"), Lost("Service", "reset")),
            ["watch of services lost: reset", "watch of services lost: refused"],
        ),
        (
            (Lost("Service", "reset"), Resumed("Service")),
            ["watch of services lost: reset", "watch of services resumed"],
        ),
        (
            (Lost("Service", "lost: cut"), Resumed("Service"), Lost("Service", "lost: cut")),
            ["watch of services lost: cut", "watch of services resumed", "watch of services lost: cut"],
        ),
        ((Skipped("Namespace", "403: no"),), ["not following namespaces: 403: no"]),
        ((Upserted(DB), Deleted(DB.key), Deleted(DB.key)), []),
    ],
)
async def test_one_line_a_change_of_state(
    caplog: pytest.LogCaptureFixture, events: Sequence[Event], said: list[str]
) -> None:
    """What happens to a watch is told once; what happens to objects is not told at all."""
    made = parts([says()])
    for before in (*NAMESPACES, *SERVICES, *SLICES):
        made.follower.take(before, 1000.0)
    caplog.set_level(logging.INFO, "kdns")
    caplog.clear()
    for event in events:
        made.follower.take(event, 1001.0)
    assert caplog.messages == said


async def test_a_bug_in_a_stream_is_survived(caplog: pytest.LogCaptureFixture) -> None:
    """A stream that dies is logged with its traceback, counted, and started again; others do not notice."""
    made = parts(
        [
            says(*SERVICES, ZeroDivisionError("a bug")),
            says(Listing("Service"), Upserted(WEB), Upserted(DB), ListComplete("Service")),
        ],
        [says(*NAMESPACES, *SLICES)],
    )
    await run(made.follower, lambda: objects(made, "Service") == 2)
    assert made.metrics.panics == 1
    assert value(made.metrics.cluster, "kdns_watch_relists_total", kind="Service") == 1
    record = next(record for record in caplog.records if record.exc_info)
    assert "a bug" in caplog.text
    assert record.levelno == logging.ERROR


async def test_a_stream_that_ends_is_started_again() -> None:
    """No stream is ever silently gone."""

    async def ends() -> AsyncIterator[Event]:
        for event in SERVICES:
            yield event

    made = parts([ends, says(Listing("Service"), Upserted(DB), ListComplete("Service"))])
    await run(made.follower, lambda: value(made.metrics.cluster, "kdns_watch_relists_total", kind="Service") == 1)
    assert made.metrics.panics == 1


async def test_a_mistake_of_the_operator_ends_it() -> None:
    """A ConfigError is not retried: whoever starts the process must see it."""
    made = parts([says(ConfigError("the kubeconfig has expired"))])
    with pytest.raises(ExceptionGroup) as error:
        await run(made.follower, lambda: False)
    assert error.group_contains(ConfigError, match="expired")


async def test_a_long_list_leaves_others_their_turn() -> None:
    """While thousands of objects are listed without a pause, other work of the loop goes on."""
    services = [
        Upserted(Service(key("Service", f"shop/web-{number}"), ((0x0A600000 + number).to_bytes(4, "big"),)))
        for number in range(20_000)
    ]
    made = parts([says(Listing("Service"), *services, ListComplete("Service"))])
    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    ticking = asyncio.create_task(others())
    await run(made.follower, lambda: objects(made, "Service") == 20_000 and turns > 0)
    ticking.cancel()
    assert turns > 10


@pytest.mark.parametrize(
    ("service", "triggered", "kind"),
    [(WEB, 990.0, "cluster_ip"), (DB, 990.0, "headless_with_selector"), (WEB, None, "")],
)
async def test_programming_duration(service: Service, triggered: float | None, kind: str) -> None:
    """The time from the cluster's change to our answer is noted by the kind of Service, when the cluster says it."""
    made = parts([says()])
    made.follower.take(Upserted(service, triggered), 1000.0)
    name = "coredns_kubernetes_dns_programming_duration_seconds_sum"
    assert value(made.metrics.cluster, name) == (10.0 if kind else 0.0)
    assert not kind or value(made.metrics.cluster, name, service_kind=kind) == 10.0


SELECTED = Service(key("Service", "shop/db"), headless=True, selected=True)
ALIAS = Service(key("Service", "shop/alias"), external_name="www.example.org")


@pytest.mark.parametrize(
    ("event", "kind", "since", "seconds"),
    [
        (Upserted(WEB, 990.0, 40.0), "cluster_ip", "trigger", 10.0),
        (Upserted(WEB, None, 40.0), "cluster_ip", "arrival", 2.0),
        (Upserted(DB, 990.0, 40.0), "headless_with_selector", "trigger", 10.0),
        (Upserted(DB, None, 40.0), "headless_without_selector", "arrival", 2.0),
        (Upserted(SELECTED, None, 40.0), "headless_with_selector", "arrival", 2.0),
        (Upserted(ALIAS, None, 40.0), "external_name", "arrival", 2.0),
        (Deleted(WEB.key, 40.0), "cluster_ip", "arrival", 2.0),
        (Upserted(WEB), "", "", 0.0),
        (Upserted(namespace("shop"), None, 40.0), "", "", 0.0),
    ],
)
async def test_every_kind_of_service_is_timed(event: Upserted | Deleted, kind: str, since: str, seconds: float) -> None:
    """From the trigger where there is one, else from the octets' arrival; what a list says is no change."""
    made = parts([says()])
    if isinstance(event, Deleted):
        made.follower.take(Upserted(WEB), 999.0)
    made.metrics.cluster.clock = lambda: 42.0
    made.follower.take(event, 1000.0)
    registry = made.metrics.registry()
    labels = {"service_kind": kind, "since": since}
    sums = {
        (sample.labels["service_kind"], sample.labels["since"]): sample.value
        for family in registry.collect()
        for sample in family.samples
        if sample.name == "kdns_dns_programming_duration_seconds_sum"
    }
    assert sums == ({tuple(labels.values()): seconds} if kind else {})


async def test_the_cluster_is_out_of_the_collectors_sight() -> None:
    """Once synced, and again after a relist, no round of the garbage collector walks what is kept."""
    known = parts([says(*NAMESPACES, *SLICES, *SERVICES)])
    relist = (Listing("Service"), Upserted(DB), ListComplete("Service"))
    try:
        gc.unfreeze()
        await run(known.follower, known.follower.synced.is_set)
        first = gc.get_freeze_count()
        assert first > 0
        mark: dict[str, list[int]] = {"a dictionary": []}
        assert any(each is mark for each in gc.get_objects())
        for event in relist:
            known.follower.take(event, 1.0)
        assert not any(each is mark for each in gc.get_objects())
        assert gc.get_freeze_count() > first
    finally:
        gc.unfreeze()


async def test_each_kind_is_counted() -> None:
    """Objects, losses, relists and the last event are told by kind."""
    made = parts([says()])
    lost = (Lost("Service", "a"), Lost("Service", "b"))
    for event in (*NAMESPACES, *SERVICES, *SLICES, *lost, *SERVICES):
        made.follower.take(event, 1234.5)
    names = ("kdns_objects", "kdns_watch_losses_total", "kdns_watch_relists_total")
    counts = {
        kind: [value(made.metrics.cluster, name, kind=kind) for name in names] for kind in ("Service", "EndpointSlice")
    }
    assert counts == {"Service": [1, 1, 1], "EndpointSlice": [0, 0, 0]}
    assert value(made.metrics.cluster, "kdns_watch_last_event_timestamp_seconds", kind="Service") == 1234.5


class Taken:
    """Takes changes, as the proxy does."""

    def __init__(self) -> None:
        self.synced = False
        self.changes: list[tuple[Change, bool]] = []

    def apply(self, change: Change, now: int) -> None:
        """Remember it, and whether everything was known by then."""
        self.changes.append((change, self.synced))


async def test_the_proxy_follows_too(caplog: pytest.LogCaptureFixture) -> None:
    """It is told every change of what it wants, is synced when all is listed or waived, and is not measured as DNS."""
    caplog.set_level(logging.INFO, "kdns")
    taken, metrics = Taken(), Metrics()
    follower = Follower(ScriptedSource([says()]), proxy_wants("node1"), (taken,), metrics, names=False)
    web, web_1 = proxied("shop/web", ["10.96.0.9"], etp="Local"), states_slice("shop/web", [("10.244.0.5", "node1")])
    events: list[Event] = [
        *(Listing("Service"), Upserted(web), ListComplete("Service")),
        *(Listing("Node"), Upserted(node("node1", zone="a")), ListComplete("Node")),
        *(Listing("EndpointSlice"), ListComplete("EndpointSlice")),
        Skipped("ServiceCIDR", "404: no such resource"),
        Upserted(web_1, 1000.0),
        *(Listing("ServiceCIDR"), Upserted(service_cidr("kubernetes", "10.96.0.0/16")), ListComplete("ServiceCIDR")),
    ]
    for event in events:
        follower.take(event, 1001.0)
    assert taken.synced
    assert [(type(change), synced) for change, synced in taken.changes] == [
        (ServiceChange, False),
        (NodeChange, False),
        (ServiceChange, True),
        (ServiceCIDRChange, True),
    ]
    last = taken.changes[2][0]
    assert isinstance(last, ServiceChange)
    assert (last.after, last.triggered) == (ServiceView(web, (web_1,)), 1000.0)
    assert value(metrics.cluster, "coredns_kubernetes_dns_programming_duration_seconds_count") == 0
    assert [re.sub(r"in \S+ s", "in 1 s", message) for message in caplog.messages] == [
        "not following servicecidrs: 404: no such resource",
        "synced in 1 s: 1 service, 0 endpoint slices, 1 node",
    ]
