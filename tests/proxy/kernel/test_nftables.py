"""Nftables mode on a real kernel: what clients see, and what is in the table."""

from collections.abc import AsyncIterator, Iterator
from os import geteuid

import pytest

from kdns.proxy.kernel.nftables import NftablesApplier
from kdns.proxy.model import Family
from tests.proxy.kernel.node_net import REFUSED, SILENT, Answer, NodeNet
from tests.proxy.nftables_plan import (
    POD_A,
    POD_B,
    POD_C,
    V4,
    V6,
    client,
    cluster_ip,
    external,
    node_address,
    node_rules,
    pod,
    rich,
    rule_set,
)

pytestmark = [pytest.mark.kernel, pytest.mark.skipif(geteuid() != 0, reason="network namespaces need root")]
FAMILIES = pytest.mark.parametrize("family", [V4, V6], ids=lambda family: family.value)


@pytest.fixture(scope="module")
def net() -> Iterator[NodeNet]:
    with NodeNet() as made:
        yield made


@pytest.fixture
async def served(net: NodeNet, family: Family) -> AsyncIterator[NodeNet]:
    """One of each Service is programmed."""
    applier = NftablesApplier(family, net.run)
    await applier.sync(rule_set(node_rules(family), rich(family).values()), None)
    yield net
    await applier.cleanup()


@FAMILIES
async def test_a_cluster_ip_leads_to_all_endpoints(served: NodeNet, family: Family) -> None:
    vip = cluster_ip(family, 1)
    assert served.many(served.node, vip, 80) == {"a", "b", "c"}
    assert served.many(served.pods[POD_A], vip, 80) == {"a", "b", "c"}
    assert served.many(served.outside, vip, 80) == {"a", "b", "c"}
    assert served.many(served.pods[POD_B], vip, 53, udp=True) == {"a", "b", "c"}


@FAMILIES
async def test_cluster_ip_traffic_is_masqueraded_unless_from_a_pod(served: NodeNet, family: Family) -> None:
    alone = cluster_ip(family, 2)
    assert served.ask(served.pods[POD_B], alone, 80) == Answer("a", pod(family, POD_B))
    assert served.ask(served.pods[POD_C], alone, 80) == Answer("a", pod(family, POD_C))
    seen = served.ask(served.outside, alone, 80)
    assert seen.pod == "a"
    assert seen.source not in {client(family), client(family, 200)}


@FAMILIES
async def test_a_pod_that_reaches_itself_is_masqueraded(served: NodeNet, family: Family) -> None:
    for address, port in ((cluster_ip(family, 2), 80), (external(family, 4), 80)):
        answers = {served.ask(served.pods[POD_A], address, port) for _ in range(16)}
        own = {answer.source for answer in answers if answer.pod == "a"}
        assert own
        assert pod(family, POD_A) not in own


@FAMILIES
async def test_node_ports_and_external_addresses_are_open_and_masqueraded(served: NodeNet, family: Family) -> None:
    for address, port in ((node_address(family), 30002), (external(family, 2), 80), (external(family, 102), 80)):
        for source in (served.outside, served.pods[POD_B], served.node):
            answer = served.ask(source, address, port)
            assert answer.pod == "a"
            assert answer.source not in {client(family), pod(family, POD_B)}
    assert served.many(served.outside, node_address(family), 30001) == {"a", "b", "c"}


@FAMILIES
async def test_loopback_takes_no_node_ports(served: NodeNet, family: Family) -> None:
    assert served.ask(served.node, "127.0.0.1" if family is V4 else "::1", 30002) == REFUSED


@FAMILIES
async def test_without_endpoints_everybody_is_refused(served: NodeNet, family: Family) -> None:
    for address, port in ((cluster_ip(family, 3), 80), (external(family, 3), 80), (node_address(family), 30003)):
        for source in (served.outside, served.pods[POD_A], served.node):
            assert served.ask(source, address, port) == REFUSED, (address, source)


@FAMILIES
async def test_unknown_ports_are_refused_and_unknown_addresses_silent(served: NodeNet, family: Family) -> None:
    for source in (served.outside, served.pods[POD_A], served.node):
        assert served.ask(source, cluster_ip(family, 1), 81) == REFUSED
    assert served.ask(served.pods[POD_A], cluster_ip(family, 99), 80) == SILENT


@FAMILIES
async def test_external_policy_local_keeps_the_clients_address(served: NodeNet, family: Family) -> None:
    for address, port in ((external(family, 4), 80), (external(family, 104), 80), (node_address(family), 30004)):
        assert {served.ask(served.outside, address, port) for _ in range(8)} == {Answer("a", client(family))}
        assert served.many(served.node, address, port) == {"a", "b", "c"}
        from_pod = {served.ask(served.pods[POD_B], address, port) for _ in range(24)}
        assert {answer.pod for answer in from_pod} == {"a", "b", "c"}
        assert Answer("a", pod(family, POD_B)) in from_pod


@FAMILIES
async def test_external_policy_local_without_local_endpoints_is_silent_outside(served: NodeNet, family: Family) -> None:
    for address, port in ((external(family, 5), 80), (node_address(family), 30005)):
        assert served.ask(served.outside, address, port) == SILENT
        assert served.ask(served.node, address, port).pod == "c"
        assert served.ask(served.pods[POD_A], address, port) == Answer("c", pod(family, POD_A))


@FAMILIES
async def test_internal_policy_local(served: NodeNet, family: Family) -> None:
    assert served.many(served.pods[POD_B], cluster_ip(family, 6), 80, 8) == {"a"}
    assert served.ask(served.pods[POD_B], cluster_ip(family, 7), 80) == SILENT


@FAMILIES
async def test_affinity_holds_for_every_frontend(served: NodeNet, family: Family) -> None:
    for number in (8, 9):
        first = served.ask(served.pods[POD_B], cluster_ip(family, number), 80).pod
        assert served.many(served.pods[POD_B], cluster_ip(family, number), 80, 8) == {first}
        assert served.many(served.pods[POD_B], external(family, number), 80, 8) == {first}
        assert served.many(served.pods[POD_B], node_address(family), 30000 + number, 8) == {first}
    assert served.many(served.outside, node_address(family), 30009, 8) == {"a"}


@FAMILIES
async def test_source_ranges(served: NodeNet, family: Family) -> None:
    for number, welcome in ((10, None), (11, REFUSED)):
        balancer = external(family, 100 + number)
        assert served.ask(served.outside, balancer, 80, source=client(family, 200)) == SILENT
        assert served.ask(served.pods[POD_A], balancer, 80) == SILENT
        answer = served.ask(served.outside, balancer, 80, source=client(family))
        assert answer.pod in "abc" if welcome is None else answer == welcome
    assert served.ask(served.outside, external(family, 10), 80, source=client(family, 200)).pod in "abc"
