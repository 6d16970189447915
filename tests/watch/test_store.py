"""The store: events in, changes out."""

from collections.abc import Sequence
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kdns.base.objects import (
    SERVING,
    Change,
    EndpointSlice,
    Namespace,
    NamespaceChange,
    NodeChange,
    Object,
    ObjectKey,
    Pod,
    PodChange,
    Service,
    ServiceChange,
    ServiceCIDRChange,
    ServiceView,
)
from kdns.watch.source import Deleted, Event, ListComplete, Listing, Lost, Resumed, Skipped, Upserted
from kdns.watch.store import Relisted, Store
from tests.build import State, node, proxied, service_cidr, states_slice

WEB_KEY, DB_KEY = ObjectKey("Service", "shop", "web"), ObjectKey("Service", "shop", "db")
WEB = Service(WEB_KEY, (b"\x0a\x60\x00\x09",))
MOVED_WEB = Service(WEB_KEY, (b"\x0a\x60\x00\x0a",))
SHOP = Namespace(ObjectKey("Namespace", "", "shop"))
POD = Pod(ObjectKey("Pod", "shop", "web-1"), "10.244.0.4")
NODE, ZONED = node("node1", ["172.18.0.2"]), node("node1", ["172.18.0.2"], zone="a")
CIDR = service_cidr("kubernetes", "10.96.0.0/16")
READY_ROW = states_slice("shop/web-1", ["10.244.0.4"], service="web")
UNREADY_ROW = states_slice("shop/web-1", [State("10.244.0.4", conditions=SERVING)], service="web")


def slice_of(service: str, name: str, last: int = 4) -> EndpointSlice:
    """A slice of one address, 10.244.0.`last`."""
    return EndpointSlice(ObjectKey("EndpointSlice", "shop", name), service, 4, bytes((10, 244, 0, last)))


WEB_1, WEB_2 = slice_of("web", "web-1"), slice_of("web", "web-2", 5)


class Case(NamedTuple):
    """What is known, what happens, and the changes that makes."""

    title: str
    known: Sequence[Event]
    event: Event
    changes: Sequence[Change]


CASES = (
    Case("a Service", [], Upserted(WEB), [ServiceChange(WEB_KEY, None, ServiceView(WEB))]),
    Case(
        "another address",
        [Upserted(WEB)],
        Upserted(MOVED_WEB),
        [ServiceChange(WEB_KEY, ServiceView(WEB), ServiceView(MOVED_WEB))],
    ),
    Case("the same again", [Upserted(WEB)], Upserted(Service(WEB_KEY, (b"\x0a\x60\x00\x09",))), []),
    Case(
        "a slice before its Service",
        [],
        Upserted(WEB_1, 7.5),
        [ServiceChange(WEB_KEY, None, ServiceView(None, (WEB_1,)), 7.5)],
    ),
    Case(
        "a Service after its slice",
        [Upserted(WEB_1)],
        Upserted(WEB),
        [ServiceChange(WEB_KEY, ServiceView(None, (WEB_1,)), ServiceView(WEB, (WEB_1,)))],
    ),
    Case(
        "slices stand in the order of their names",
        [Upserted(WEB), Upserted(WEB_2)],
        Upserted(WEB_1),
        [ServiceChange(WEB_KEY, ServiceView(WEB, (WEB_2,)), ServiceView(WEB, (WEB_1, WEB_2)))],
    ),
    Case(
        "a Service is deleted, its slices are left",
        [Upserted(WEB), Upserted(WEB_1)],
        Deleted(WEB_KEY),
        [ServiceChange(WEB_KEY, ServiceView(WEB, (WEB_1,)), ServiceView(None, (WEB_1,)))],
    ),
    Case(
        "the last slice without a Service",
        [Upserted(WEB_1)],
        Deleted(WEB_1.key),
        [ServiceChange(WEB_KEY, ServiceView(None, (WEB_1,)), None)],
    ),
    Case(
        "a slice goes from one Service to another",
        [Upserted(WEB), Upserted(WEB_1)],
        Upserted(slice_of("db", "web-1")),
        [
            ServiceChange(WEB_KEY, ServiceView(WEB, (WEB_1,)), ServiceView(WEB)),
            ServiceChange(DB_KEY, None, ServiceView(None, (slice_of("db", "web-1"),))),
        ],
    ),
    Case(
        "a slice loses its label",
        [Upserted(WEB), Upserted(WEB_1)],
        Upserted(slice_of("", "web-1")),
        [ServiceChange(WEB_KEY, ServiceView(WEB, (WEB_1,)), ServiceView(WEB))],
    ),
    Case("a slice of nobody", [], Upserted(slice_of("", "lone")), []),
    Case("what was never there is gone", [Upserted(WEB)], Deleted(DB_KEY), []),
    Case("a Namespace", [], Upserted(SHOP), [NamespaceChange(SHOP.key, None, SHOP)]),
    Case("a Namespace goes", [Upserted(SHOP)], Deleted(SHOP.key), [NamespaceChange(SHOP.key, SHOP, None)]),
    Case(
        "a Pod gets another address",
        [Upserted(POD)],
        Upserted(Pod(POD.key, "10.244.0.9")),
        [PodChange(POD.key, POD, Pod(POD.key, "10.244.0.9"))],
    ),
    Case("a Node", [], Upserted(NODE), [NodeChange(NODE.key, None, NODE)]),
    Case("a Node gets a zone", [Upserted(NODE)], Upserted(ZONED), [NodeChange(NODE.key, NODE, ZONED)]),
    Case("a Node with nothing new for us", [Upserted(NODE)], Upserted(node("node1", ["172.18.0.2"])), []),
    Case("a Node goes", [Upserted(NODE)], Deleted(NODE.key), [NodeChange(NODE.key, NODE, None)]),
    Case("a range of cluster IPs", [], Upserted(CIDR), [ServiceCIDRChange(CIDR.key, None, CIDR)]),
    Case(
        "a list without the range",
        [Upserted(CIDR), Listing("ServiceCIDR")],
        ListComplete("ServiceCIDR"),
        [ServiceCIDRChange(CIDR.key, CIDR, None)],
    ),
    Case(
        "the way traffic goes",
        [Upserted(WEB)],
        Upserted(proxied("shop/web", ["10.96.0.9"], etp="Local")),
        [ServiceChange(WEB_KEY, ServiceView(WEB), ServiceView(proxied("shop/web", ["10.96.0.9"], etp="Local")))],
    ),
    Case(
        "only the condition of an endpoint",
        [Upserted(READY_ROW)],
        Upserted(UNREADY_ROW),
        [ServiceChange(WEB_KEY, ServiceView(None, (READY_ROW,)), ServiceView(None, (UNREADY_ROW,)))],
    ),
    Case(
        "a list that does not mention it",
        [Upserted(WEB), Upserted(SHOP), Listing("Service")],
        ListComplete("Service"),
        [ServiceChange(WEB_KEY, ServiceView(WEB), None)],
    ),
    Case("a list that mentions it", [Upserted(WEB), Listing("Service"), Upserted(WEB)], ListComplete("Service"), []),
    Case(
        "a list that broke off does not count",
        [Upserted(WEB), Listing("Service"), Upserted(WEB), Listing("Service")],
        ListComplete("Service"),
        [ServiceChange(WEB_KEY, ServiceView(WEB), None)],
    ),
    Case(
        "deleted while the list is under way",
        [Upserted(WEB), Listing("Service"), Deleted(WEB_KEY)],
        ListComplete("Service"),
        [],
    ),
    Case("an outage forgets nothing", [Upserted(WEB)], Lost("Service", "refused: no"), []),
    Case("nor does its end", [Upserted(WEB), Lost("Service", "refused: no")], Resumed("Service"), []),
)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.title)
def test_changes(case: Case) -> None:
    """Each event makes exactly these changes, before and after included."""
    store = Store()
    for event in case.known:
        store.apply(event)
    assert list(store.apply(case.event)) == list(case.changes)


def test_synced_after_the_first_complete_list_or_without() -> None:
    """A list that has begun is not complete; what we live without is not waited for."""
    store = Store()
    for event, synced in (
        (Upserted(WEB), False),
        (Listing("Service"), False),
        (ListComplete("Service"), True),
        (Listing("Service"), True),
    ):
        store.apply(event)
        assert store.synced("Service") is synced
    assert not store.synced("Namespace")
    store.apply(Skipped("Namespace", "403"))
    assert store.synced("Namespace")


def test_a_relist_is_counted() -> None:
    """What a list changed is told in three numbers, for the log."""
    store = Store()
    db = Service(DB_KEY)
    api = Service(ObjectKey("Service", "shop", "api"))
    for event in (Listing("Service"), Upserted(WEB), Upserted(db), ListComplete("Service")):
        store.apply(event)
    assert store.relisted("Service") == Relisted(2, 0, 0)
    for event in (Listing("Service"), Upserted(MOVED_WEB), Upserted(api), ListComplete("Service")):
        store.apply(event)
    assert store.relisted("Service") == Relisted(1, 1, 1)
    assert store.count("Service") == 2
    assert store.relisted("Pod") is None


def test_a_relist_keeps_the_objects_it_has() -> None:
    """Equal objects of a new list are dropped, so that memory does not hold two copies."""
    store = Store()
    first, again = slice_of("web", "web-1"), slice_of("web", "web-1")
    for event in (Upserted(first), Listing("EndpointSlice"), Upserted(again), ListComplete("EndpointSlice")):
        store.apply(event)
    view = store.view(WEB_KEY)
    assert view is not None
    assert view.slices[0] is first


OBJECTS: Sequence[Object] = (
    WEB,
    MOVED_WEB,
    Service(DB_KEY, headless=True),
    WEB_1,
    WEB_2,
    slice_of("db", "web-1"),
    slice_of("", "web-2"),
    slice_of("db", "db-1"),
    SHOP,
    POD,
    NODE,
    ZONED,
    CIDR,
    READY_ROW,
    UNREADY_ROW,
)
EVENTS = st.one_of(
    st.sampled_from([Upserted(kept) for kept in OBJECTS]),
    st.sampled_from([Deleted(kept.key) for kept in OBJECTS]),
)
ENDS = st.fixed_dictionaries({}, optional={kept.key: st.just(kept) for kept in OBJECTS})


@given(st.lists(EVENTS, max_size=30), ENDS, st.randoms(use_true_random=False))
def test_any_order_that_ends_in_the_same_objects(
    events: list[Event], ends: dict[ObjectKey, Object], random: object
) -> None:
    """Any history, then a list of each kind in any order: the store is as if the objects had come at once, and the
    changes it told are a chain from nothing to what is there."""
    store, told = Store(), dict[ObjectKey, object]()
    final = list(ends.values())
    random.shuffle(final)  # type: ignore[attr-defined]
    lists: list[Event] = []
    for kind in ("Pod", "EndpointSlice", "Namespace", "Service", "Node", "ServiceCIDR"):
        lists += [Listing(kind), *(Upserted(kept) for kept in final if kept.key.kind == kind), ListComplete(kind)]
    for event in (*events, *lists):
        for change in store.apply(event):
            assert change.before == told.get(change.key)
            assert change.before != change.after
            told[change.key] = change.after
    at_once = Store()
    for kept in ends.values():
        at_once.apply(Upserted(kept))
    assert dict(store.views()) == dict(at_once.views())
    assert set(store.pods()) == set(at_once.pods())
    assert set(store.namespaces()) == set(at_once.namespaces())
    assert set(store.nodes()) == set(at_once.nodes())
    assert set(store.service_cidrs()) == set(at_once.service_cidrs())
    assert {change.key: change for change in store.changes()} == {change.key: change for change in at_once.changes()}
    views = {key: after for key, after in told.items() if key.kind == "Service" and after is not None}
    assert views == dict(at_once.views())
