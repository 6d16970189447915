"""A Pod's address that a new Pod has while the old one terminates: what is made of both rows."""

from itertools import permutations

import pytest

from kdns.base.objects import READY, SERVING, TERMINATING, EndpointSlice, Service, ServicePort, ServiceView
from kdns.proxy.rules import ServiceRules, rule_set, service_rules
from tests.build import State, packed, proxied, states_slice, tcp, udp
from tests.proxy.walk import NODE, OTHER, lined, policy, walks

ADDRESS, ANOTHER = "10.244.0.9", "10.244.1.7"
OLD, NEW = TERMINATING, READY | SERVING
WEB = proxied("shop/web", ("10.96.0.9",), (tcp(80),))
FROM_OUTSIDE = proxied(
    "shop/web", ("10.96.0.9",), (tcp(80, "", 30080),), lb=("198.51.100.20",), etp="Local", health=32000
)
INSIDE_LOCAL = proxied("shop/web", ("10.96.0.9",), (tcp(80),), itp="Local")
DNS = proxied("shop/web", ("10.96.0.9",), (udp(53),))


def views(service: Service, rows: tuple[State, ...]) -> list[ServiceView]:
    """Every order of the rows, in one slice and in several."""
    ports = tuple(ServicePort(port.name, port.protocol, 8080) for port in service.ports)

    def slice_of(name: str, some: tuple[State, ...]) -> EndpointSlice:
        return states_slice(name, some, ports, service="web")

    orders = list(permutations(rows))
    together = [ServiceView(service, (slice_of("shop/web", order),)) for order in orders]
    apart = [
        ServiceView(service, tuple(slice_of(f"shop/web-{n}", (row,)) for n, row in enumerate(order)))
        for order in orders
    ]
    return together + apart


def decided(service: Service, rows: tuple[State, ...]) -> ServiceRules:
    """What the rows come to, which is the same for every order of them."""
    first, *others = (service_rules(view, policy()) for view in views(service, rows))
    assert all(other == first for other in others)
    return first


@pytest.mark.parametrize(
    ("service", "rows", "lines"),
    [
        (WEB, (State(ADDRESS, NODE, OLD), State(ADDRESS, OTHER, NEW)), "pod 10.96.0.9:80 -> 10.244.0.9"),
        (WEB, (State(ADDRESS, OTHER, OLD), State(ADDRESS, OTHER, NEW)), "pod 10.96.0.9:80 -> 10.244.0.9"),
        (WEB, (State(ADDRESS, OTHER, 0), State(ADDRESS, OTHER, NEW)), "pod 10.96.0.9:80 -> 10.244.0.9"),
        (
            WEB,
            (State(ADDRESS, NODE, OLD | SERVING), State(ADDRESS, OTHER, NEW), State(ANOTHER, OTHER, NEW)),
            "pod 10.96.0.9:80 -> 10.244.0.9 10.244.1.7",
        ),
        (
            FROM_OUTSIDE,
            (State(ADDRESS, NODE, OLD), State(ADDRESS, NODE, NEW)),
            "client 198.51.100.20:80 -> 10.244.0.9\nclient 172.18.0.2:30080 -> 10.244.0.9",
        ),
        (
            FROM_OUTSIDE,  # the new Pod is elsewhere, so from here nothing may go there
            (State(ADDRESS, NODE, OLD | SERVING), State(ADDRESS, OTHER, NEW)),
            "client 198.51.100.20:80 -> DROP\npod 198.51.100.20:80 -> 10.244.0.9",
        ),
        (
            INSIDE_LOCAL,
            (State(ADDRESS, OTHER, OLD), State(ADDRESS, NODE, NEW)),
            "pod 10.96.0.9:80 -> 10.244.0.9",
        ),
        (INSIDE_LOCAL, (State(ADDRESS, NODE, OLD), State(ADDRESS, OTHER, NEW)), "pod 10.96.0.9:80 -> DROP"),
    ],
)
def test_the_row_of_the_new_pod_decides(service: Service, rows: tuple[State, ...], lines: str) -> None:
    """Under each policy, connections go where the row that is not terminating says."""
    rules = rule_set(decided(service, rows).ports, policy().node)
    assert walks(rules, "\n".join(lined(lines))) == lined(lines)


@pytest.mark.parametrize(
    ("rows", "count"),
    [
        ((State(ADDRESS, NODE, OLD), State(ADDRESS, NODE, NEW)), 1),
        ((State(ADDRESS, NODE, NEW | TERMINATING), State(ADDRESS, OTHER, NEW)), 0),
        ((State(ADDRESS, OTHER, OLD), State(ADDRESS, NODE, NEW), State(ADDRESS, NODE, OLD)), 1),
    ],
)
def test_the_health_check_counts_the_row_of_the_new_pod(rows: tuple[State, ...], count: int) -> None:
    """A node with the new Pod stays with the load balancer; one with the old Pod only leaves it."""
    assert decided(FROM_OUTSIDE, rows).local_ready == count


@pytest.mark.parametrize(
    ("rows", "serving"),
    [
        ((State(ADDRESS, NODE, OLD), State(ADDRESS, OTHER, NEW)), {ADDRESS}),
        ((State(ADDRESS, NODE, OLD | SERVING), State(ADDRESS, OTHER, 0)), set()),
        ((State(ADDRESS, NODE, OLD | SERVING), State(ADDRESS, OTHER, OLD)), {ADDRESS}),
    ],
)
def test_udp_flows_stay_where_the_row_that_counts_serves(rows: tuple[State, ...], serving: set[str]) -> None:
    """Flows to an address that the new Pod does not serve yet are stale."""
    (addresses,) = decided(DNS, rows).udp.values()
    assert addresses == {packed(text) for text in serving}


def test_hints_of_the_old_pod_do_not_count() -> None:
    """Its zone hint would keep connections from the only endpoint that is ready in our zone."""
    rows = (
        State(ADDRESS, OTHER, OLD, ("b",)),
        State(ADDRESS, NODE, NEW, ("a",)),
        State(ANOTHER, OTHER, NEW, ("b",)),
    )
    rules = rule_set(decided(WEB, rows).ports, policy().node)
    assert walks(rules, "pod 10.96.0.9:80") == ["pod 10.96.0.9:80 -> 10.244.0.9"]


def test_when_the_old_row_goes_nothing_changes() -> None:
    """Then there is nothing to write."""
    old, new = State(ADDRESS, NODE, OLD), State(ADDRESS, OTHER, NEW)
    assert decided(FROM_OUTSIDE, (old, new)) == decided(FROM_OUTSIDE, (new,))
