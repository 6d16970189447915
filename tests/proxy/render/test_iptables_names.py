"""Names of chains are kube-proxy's."""

import pytest

from kdns.proxy.model import Backend, Protocol
from kdns.proxy.render.iptables.names import endpoint_chain, service_hash
from tests.proxy.iptables_plan import backend, named, packed


@pytest.mark.parametrize(
    ("name", "protocol", "hashed"),
    [
        ("default/hostnames:default", "TCP", "ODX2UBAZM7RQWOIU"),
        ("ns5/svc5:p80", "TCP", "NUKIZ6OKUXPJNT4C"),
        ("ns1/svc1", "TCP", "AQI2S6QIMU7PVVRP"),
        ("default/hostnames", "TCP", "YN5D6RYVEVZOH44Q"),
        ("default/hello-world", "TCP", "DZ6LTOHRG6HQWHYE"),
        ("kube-system/kube-dns:dns", "UDP", "TCOU7JCQXEZGVUNU"),
    ],
)
def test_hash_of_a_service_port(name: str, protocol: Protocol, hashed: str) -> None:
    """The hash is that of name, port name if there is one, and protocol in lower case."""
    assert service_hash(named(name, protocol)) == hashed


@pytest.mark.parametrize(
    ("name", "where", "chain"),
    [
        ("default/hostnames:default", "10.244.1.3:9376", "KUBE-SEP-KQXJIRBK6P6QLVPN"),
        ("ns4/svc4:p80", "10.180.0.4:80", "KUBE-SEP-UKSFD7AGPMPPLUHC"),
        ("shop/cart:web", "10.244.1.7:8080", "KUBE-SEP-X2YSSGDVGIPFJN7N"),
    ],
)
def test_chain_of_an_endpoint(name: str, where: str, chain: str) -> None:
    """An endpoint's chain has the address and port in its hash."""
    assert endpoint_chain(named(name), backend(where)) == chain


def test_chain_of_an_endpoint_in_ipv6() -> None:
    """IPv6 endpoints stand in brackets; the same octets spelt otherwise are the same chain, another port another."""
    name = named("ns1/svc1:p80")
    short = Backend(packed("fd00::7"), 80)
    assert str(short) == "[fd00::7]:80"
    assert endpoint_chain(name, short) == endpoint_chain(name, backend("[fd00:0:0::0:7]:80"))
    assert endpoint_chain(name, short) != endpoint_chain(name, backend("[fd00::7]:81"))
    assert len(endpoint_chain(name, short)) == len("KUBE-SEP-") + 16
