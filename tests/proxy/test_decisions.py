"""What is left out of the rules is a value beside them, as long as it lasts."""

from kdns.base.objects import ObjectKey, ServiceView
from kdns.proxy.decisions import Decisions, decided
from tests.build import State, key, packed, proxied, tcp, view_key
from tests.proxy.walk import policy, view_of

WEB = key("Service", "shop/web")


def service(path: str, *external: str, **more: object) -> ServiceView:
    """A Service with a port and an endpoint."""
    made = proxied(path, ("10.96.0.9" if path == "shop/web" else "10.96.0.8",), (tcp(80, "http"),),
                   external_ips=external, **more)  # type: ignore[arg-type]  # fmt: skip
    return view_of(made, (State("10.244.0.5"), State("127.0.0.1")))


def by_key(*views: ServiceView) -> dict[ObjectKey, ServiceView]:
    """As the store has them."""
    return {view_key(view): view for view in views}


def test_each_thing_is_news_once_and_a_value_as_long_as_it_lasts() -> None:
    """Reserved addresses of either side, a frontend that another has, rules that the kernel refuses."""
    older = service("shop/a", "203.0.113.5")
    decisions = decided(by_key(older, service("shop/web", "169.254.169.254", "203.0.113.5")), policy())
    expected = [
        ("AddressLeftOut", (packed("169.254.169.254"),)),
        ("EndpointsLeftOut", (packed("127.0.0.1"),)),
        ("FrontendTaken", (packed("203.0.113.5"),)),
    ]
    assert [(thing.reason, thing.addresses) for thing in decisions.left_out(WEB)] == expected
    assert [thing.reason for about, thing in decisions.take_news() if about == WEB] == [name for name, _ in expected]
    decisions.decide(WEB, service("shop/web", "169.254.169.254", "203.0.113.5"))
    assert decisions.take_news() == []
    decisions.decide(view_key(older), None)
    assert [thing.reason for thing in decisions.left_out(WEB)] == ["AddressLeftOut", "EndpointsLeftOut"]
    (name,) = (port.name for port in decisions.services[WEB].ports)
    assert decisions.refuse(name, "no such protocol")
    assert decisions.left_out(WEB)[-1] == decisions.take_news()[-1][1]
    assert decisions.left_out(WEB)[-1].message == "port http left out: no such protocol"
    assert name not in decisions.rule_set().ports
    decisions.retry_refused()
    assert name in decisions.rule_set().ports
    decisions.decide(WEB, None)
    assert decisions.left_out(WEB) == ()
    assert not decisions.refuse(name, "it is gone")


def test_a_health_check_that_a_node_port_hides_is_news() -> None:
    """Load balancers would ask an endpoint of the other Service (kubernetes/kubernetes issue 63617)."""
    checked = proxied("shop/web", ("10.96.0.9",), (tcp(80, "http", 30080),), etp="Local", health=31000)
    other = proxied("shop/other", ("10.96.0.8",), (tcp(80, "http", 31000),))
    decisions = Decisions(policy())
    for made in (checked, other):
        decisions.decide(made.key, view_of(made, ()))
    ((about, left_out),) = decisions.take_news()
    assert (about, left_out.reason) == (WEB, "HealthCheckPortTaken")
    assert left_out.message == "health check node port 31000 is not reached: shop/other:http has that node port"
    decisions.decide(other.key, None)
    assert decisions.left_out(WEB) == ()
