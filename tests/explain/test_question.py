"""What people type becomes a question."""

import pytest

from kdns.base.errors import ConfigError
from kdns.explain.model import Client, Question
from kdns.explain.question import parse_question, parse_target


@pytest.mark.parametrize(
    ("text", "flags", "expected"),
    [
        ("cart", {}, ("cart", "", None, "TCP")),
        ("cart.shop", {}, ("cart.shop", "", None, "TCP")),
        ("cart.shop.svc.cluster.local.", {}, ("cart.shop.svc.cluster.local.", "", None, "TCP")),
        ("cart.shop:8080", {}, ("cart.shop", "", 8080, "TCP")),
        ("cart.shop:http", {}, ("cart.shop", "", "http", "TCP")),
        ("http://cart.shop:8080/x?y=1", {}, ("cart.shop", "", 8080, "TCP")),
        ("http://cart.shop/x:1", {}, ("cart.shop", "", 80, "TCP")),
        ("https://user:pw@cart.shop", {}, ("cart.shop", "", 443, "TCP")),
        ("udp://kube-dns.kube-system:53", {}, ("kube-dns.kube-system", "", 53, "UDP")),
        ("10.96.0.10:53", {"protocol": "udp"}, ("", "10.96.0.10", 53, "UDP")),
        ("172.18.0.2:30080", {}, ("", "172.18.0.2", 30080, "TCP")),
        ("fd00:96::a", {}, ("", "fd00:96::a", None, "TCP")),
        ("[FD00:96:0::a]:53", {}, ("", "fd00:96::a", 53, "TCP")),
        ("svc/cart", {"namespace": "shop"}, ("cart.shop", "", None, "TCP")),
        ("service/cart", {"namespace": "shop", "port": "8080"}, ("cart.shop", "", 8080, "TCP")),
        ("cart", {"protocol": "ICMP"}, ("cart", "", None, "ICMP")),
    ],
)
def test_targets(text: str, flags: dict[str, str], expected: tuple[object, ...]) -> None:
    """Every form of the documentation is read."""
    target = parse_target(text, **flags)
    assert (target.name, target.address, target.port, target.protocol) == expected


@pytest.mark.parametrize(
    ("text", "flags", "problem"),
    [
        ("a b", {}, "neither a name nor an address"),
        ("a..b", {}, "neither a name nor an address"),
        ("", {}, "neither a name nor an address"),
        ("cart:0", {}, "invalid port"),
        ("cart:70000", {}, "invalid port"),
        ("cart:No", {}, "invalid port"),
        ("[fd00::1:53", {}, "bracket"),
        ("gopher://cart", {}, "unknown scheme"),
        ("cart", {"protocol": "quic"}, "unknown protocol"),
        ("cart", {"from_pod": "a/b", "from_node": "c"}, "more than one client"),
        ("cart", {"outside": "nowhere"}, "invalid address"),
    ],
)
def test_mistakes(text: str, flags: dict[str, str], problem: str) -> None:
    """What cannot be read is an error that names it."""
    with pytest.raises(ConfigError, match=problem):
        parse_question(text, **flags)


@pytest.mark.parametrize(
    ("flags", "client", "namespace"),
    [
        ({}, Client("any", namespace="shop"), "shop"),
        ({"namespace": "other"}, Client("any", namespace="other"), "other"),
        ({"from_pod": "web/client"}, Client("pod", namespace="web", name="client"), "web"),
        ({"from_pod": "client"}, Client("pod", namespace="default", name="client"), "default"),
        ({"from_node": "n1"}, Client("node", name="n1", node="n1"), "default"),
        ({"outside": ""}, Client("outside"), "default"),
        ({"outside": "192.0.2.7"}, Client("outside", address="192.0.2.7"), "default"),
    ],
)
def test_clients(flags: dict[str, str], client: Client, namespace: str) -> None:
    """Without a flag it is any Pod in the Namespace of the name."""
    question: Question = parse_question("cart.shop", **flags)
    assert (question.client, question.namespace) == (client, namespace)
