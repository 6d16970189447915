"""All endpoints of a slice in any condition, from the API's spelling."""

from typing import Any, NamedTuple

import msgspec
import pytest

from kdns.base.objects import READY, SERVING, TERMINATING, EndpointSlice
from kdns.watch.decode import packing, schema
from tests.build import State, states_slice, tcp
from tests.fakes.objects import endpoint_slice

PORTS = (tcp(8080, "http"),)


def kept(body: dict[str, Any], said: list[str], **columns: bool) -> EndpointSlice | None:
    """Decode as a watch line, and pack as the proxy has it."""
    event = schema.watch_decoder("EndpointSlice", routing=True).decode(
        msgspec.json.encode({"type": "ADDED", "object": body})
    )
    assert isinstance(event, schema.Added)
    columns = {"routing": True, "named": False} | columns
    found = packing.keeper("EndpointSlice", **columns)(event.object, said.append)
    assert isinstance(found, EndpointSlice | None)
    return found


def row(address: str, node: str | None = None, hints: Any = None, **conditions: bool | None) -> dict[str, Any]:
    """An endpoint."""
    return {"addresses": [address], "nodeName": node, "hints": hints, "conditions": conditions or None}


class Case(NamedTuple):
    """The endpoints of a slice, and the rows that are kept."""

    title: str
    endpoints: list[Any] | None
    rows: tuple[State, ...]
    warnings: tuple[str, ...] = ()


CASES = (
    Case("no conditions: ready and serving", [row("10.244.0.4")], (State("10.244.0.4"),)),
    Case(
        "null conditions: the same",
        [row("10.244.0.4", ready=None, serving=None, terminating=None)],
        (State("10.244.0.4"),),
    ),
    Case(
        "ready, serving, terminating, each by itself",
        [
            row("10.244.0.4", ready=True, serving=True, terminating=False),
            row("10.244.0.5", ready=False, serving=True, terminating=True),
            row("10.244.0.6", ready=False, serving=False, terminating=True),
            row("10.244.0.7", ready=False, serving=False, terminating=False),
            row("10.244.0.8", ready=True, serving=False, terminating=True),
            row("10.244.0.9", ready=False),
        ],
        (
            State("10.244.0.4", conditions=READY | SERVING),
            State("10.244.0.5", conditions=SERVING | TERMINATING),
            State("10.244.0.6", conditions=TERMINATING),
            State("10.244.0.7", conditions=0),
            State("10.244.0.8", conditions=READY | TERMINATING),
            State("10.244.0.9", conditions=SERVING),
        ),
    ),
    Case(
        "nodes",
        [row("10.244.0.4", "node1"), row("10.244.1.4", "node2"), row("10.244.2.4", None)],
        (State("10.244.0.4", "node1"), State("10.244.1.4", "node2"), State("10.244.2.4")),
    ),
    Case(
        "hints, where there are some",
        [
            row("10.244.0.4", hints={"forZones": [{"name": "a"}, {"name": "b"}, None, {"name": None}]}),
            row("10.244.0.5", hints={"forZones": None, "forNodes": [{"name": "node1"}]}),
            row("10.244.0.6", hints={}),
            row("10.244.0.7"),
        ],
        (
            State("10.244.0.4", zones=("a", "b")),
            State("10.244.0.5", nodes=("node1",)),
            State("10.244.0.6"),
            State("10.244.0.7"),
        ),
    ),
    Case(
        "the first address only",
        [{"addresses": ["10.244.0.4", "10.244.0.5"]}, {"addresses": []}, {"addresses": None}, {}, None],
        (State("10.244.0.4"),),
    ),
    Case(
        "an address of the other family, or none, is left out and told once",
        [row("fd00::1"), row("10.244.0.4"), row("nope")],
        (State("10.244.0.4"),),
        ("address 'fd00::1' and 1 more left out: not IPv4",),
    ),
    Case("none at all", None, ()),
)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.title)
@pytest.mark.parametrize("named", [False, True])
def test_states(case: Case, named: bool) -> None:
    """A row for each endpoint with an address; what DNS keeps beside it changes nothing."""
    said: list[str] = []
    found = kept(endpoint_slice("shop", "web", "web", endpoints=case.endpoints), said, named=named)
    assert found is not None
    wanted = states_slice("shop/web", case.rows, PORTS)
    assert found.states == wanted.states
    assert named or found == wanted
    assert tuple(said) == case.warnings


def test_both_families() -> None:
    """Addresses are of the slice's family."""
    said: list[str] = []
    body = endpoint_slice("shop", "web", "web", addressType="IPv6", endpoints=[row("fd00::1", "n"), row("10.244.0.4")])
    assert kept(body, said) == states_slice("shop/web", [("fd00::1", "n")], PORTS)
    assert said == ["address '10.244.0.4' left out: not IPv6"]


@pytest.mark.parametrize("value", ["", "true", None])
def test_a_headless_service_has_no_states(value: str | None) -> None:
    """There is nothing to route to it; DNS has its endpoints all the same."""
    body = endpoint_slice("shop", "web", "web", ["10.244.0.4"])
    body["metadata"]["labels"]["service.kubernetes.io/headless"] = value
    found = kept(body, [], named=True)
    assert found is not None
    assert (found.states, found.rows) == (None, 1)


def test_a_slice_of_no_service_is_nothing_to_the_proxy() -> None:
    """DNS keeps it, for it may yet get the label."""
    body = endpoint_slice("shop", "web", "", ["10.244.0.4"])
    assert kept(body, []) is None
    assert kept(body, [], named=True) is not None


def test_names_of_nodes_and_hints_are_shared() -> None:
    """A hundred thousand endpoints on a thousand nodes hold a thousand names, and one tuple for each set of hints."""
    keep = packing.keeper("EndpointSlice", routing=True)
    decode = schema.watch_decoder("EndpointSlice", routing=True).decode
    found = []
    for name in ("web-1", "web-2"):
        body = endpoint_slice(
            "shop", name, "web", endpoints=[row("10.244.0.4", "node1", {"forZones": [{"name": "a"}]})]
        )
        packed = keep(decode(msgspec.json.encode({"type": "ADDED", "object": body})).object, pytest.fail)
        assert isinstance(packed, EndpointSlice)
        assert packed.states is not None
        found.append(packed.states)
    assert found[0].nodes[0] is found[1].nodes[0]
    assert found[0].zone_hints[0] is found[1].zone_hints[0]
