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
    await applier.sync(rule_set(node_rules(family), rich(family)), None)
    yield net
    await applier.cleanup()


@FAMILIES
async def test_a_cluster_ip_leads_to_all_endpoints(served: NodeNet, family: Family) -> None:
    """Pods, the node and clients outside reach every endpoint, over TCP and UDP."""
    vip = cluster_ip(family, 1)
    assert served.many(served.node, vip, 80) == {"a", "b", "c"}
    assert served.many(served.pods[POD_A], vip, 80) == {"a", "b", "c"}
    assert served.many(served.outside, vip, 80) == {"a", "b", "c"}
    assert served.many(served.pods[POD_B], vip, 53, udp=True) == {"a", "b", "c"}


@FAMILIES
async def test_cluster_ip_traffic_is_masqueraded_unless_from_a_pod(served: NodeNet, family: Family) -> None:
    """Endpoints see a pod's own address, and the node's instead of anybody else's."""
    alone = cluster_ip(family, 2)
    assert served.ask(served.pods[POD_B], alone, 80) == Answer("a", pod(family, POD_B))
    assert served.ask(served.pods[POD_C], alone, 80) == Answer("a", pod(family, POD_C))
    seen = served.ask(served.outside, alone, 80)
    assert seen.pod == "a"
    assert seen.source not in {client(family), client(family, 200)}


@FAMILIES
async def test_a_pod_that_reaches_itself_is_masqueraded(served: NodeNet, family: Family) -> None:
    """Hairpin, through a frontend that masquerades nobody else among pods."""
    for address, port in ((cluster_ip(family, 2), 80), (external(family, 4), 80)):
        answers = {served.ask(served.pods[POD_A], address, port) for _ in range(16)}
        own = {answer.source for answer in answers if answer.pod == "a"}
        assert own
        assert pod(family, POD_A) not in own


@FAMILIES
async def test_node_ports_and_external_addresses_are_open_and_masqueraded(served: NodeNet, family: Family) -> None:
    """Policy Cluster: endpoints never see who asked."""
    for address, port in ((node_address(family), 30002), (external(family, 2), 80), (external(family, 102), 80)):
        for source in (served.outside, served.pods[POD_B], served.node):
            answer = served.ask(source, address, port)
            assert answer.pod == "a"
            assert answer.source not in {client(family), pod(family, POD_B)}
    assert served.many(served.outside, node_address(family), 30001) == {"a", "b", "c"}


@FAMILIES
async def test_loopback_takes_no_node_ports(served: NodeNet, family: Family) -> None:
    """Node ports are not at 127.0.0.1 or ::1 in this mode."""
    assert served.ask(served.node, "127.0.0.1" if family is V4 else "::1", 30002) == REFUSED


@FAMILIES
async def test_without_endpoints_everybody_is_refused(served: NodeNet, family: Family) -> None:
    """At every frontend, at once."""
    frontends = ((cluster_ip(family, 3), 80), (external(family, 3), 80), (node_address(family), 30003))
    sources = (served.outside, served.pods[POD_A], served.node)
    asked = [(source, *frontend) for source in sources for frontend in frontends]
    assert await served.ask_all(asked) == [REFUSED] * len(asked)


@FAMILIES
async def test_unknown_ports_are_refused_and_unknown_addresses_silent(served: NodeNet, family: Family) -> None:
    """What is in the ServiceCIDR does not leave the node."""
    known, nobodys = (cluster_ip(family, 1), 81), (cluster_ip(family, 99), 80)
    asked = [(source, *known) for source in (served.outside, served.pods[POD_A], served.node)]
    answers = await served.ask_all([*asked, (served.pods[POD_A], *nobodys), (served.node, *nobodys)])
    assert answers == [REFUSED, REFUSED, REFUSED, SILENT, SILENT]


@FAMILIES
async def test_external_policy_local_keeps_the_clients_address(served: NodeNet, family: Family) -> None:
    """Clients get local endpoints, the node and pods the short way to all."""
    for address, port in ((external(family, 4), 80), (external(family, 104), 80), (node_address(family), 30004)):
        assert {served.ask(served.outside, address, port) for _ in range(8)} == {Answer("a", client(family))}
        assert served.many(served.node, address, port) == {"a", "b", "c"}
        from_pod = {served.ask(served.pods[POD_B], address, port) for _ in range(24)}
        assert {answer.pod for answer in from_pod} == {"a", "b", "c"}
        assert Answer("a", pod(family, POD_B)) in from_pod


@FAMILIES
async def test_external_policy_local_without_local_endpoints_is_silent_outside(served: NodeNet, family: Family) -> None:
    """Dropped outside, and still the short way inside."""
    for address, port in ((external(family, 5), 80), (node_address(family), 30005)):
        assert served.ask(served.outside, address, port) == SILENT
        assert served.ask(served.node, address, port).pod == "c"
        assert served.ask(served.pods[POD_A], address, port) == Answer("c", pod(family, POD_A))


@FAMILIES
async def test_internal_policy_local(served: NodeNet, family: Family) -> None:
    """Local endpoints only; silence if there are none here."""
    assert served.many(served.pods[POD_B], cluster_ip(family, 6), 80, 8) == {"a"}
    assert served.ask(served.pods[POD_B], cluster_ip(family, 7), 80) == SILENT


@FAMILIES
async def test_affinity_holds_for_every_frontend(served: NodeNet, family: Family) -> None:
    """Where a client went, it goes again, whichever way it comes."""
    for number in (8, 9):
        first = served.ask(served.pods[POD_B], cluster_ip(family, number), 80).pod
        assert served.many(served.pods[POD_B], cluster_ip(family, number), 80, 8) == {first}
        assert served.many(served.pods[POD_B], external(family, number), 80, 8) == {first}
        assert served.many(served.pods[POD_B], node_address(family), 30000 + number, 8) == {first}
    assert served.many(served.outside, node_address(family), 30009, 8) == {"a"}


@FAMILIES
async def test_source_ranges(served: NodeNet, family: Family) -> None:
    """At load balancer IPs only, for everybody, and even without endpoints."""
    welcome, stranger = client(family), client(family, 200)
    served_one, empty_one = external(family, 110), external(family, 111)
    answers = await served.ask_all(
        [
            (served.outside, served_one, 80, stranger),
            (served.outside, empty_one, 80, stranger),
            (served.pods[POD_A], served_one, 80),
            (served.node, served_one, 80),
            (served.outside, empty_one, 80, welcome),
            (served.outside, served_one, 80, welcome),
            (served.outside, external(family, 10), 80, stranger),
            (served.outside, node_address(family), 30010, stranger),
        ]
    )
    assert answers[:5] == [SILENT, SILENT, SILENT, SILENT, REFUSED]
    assert all(answer.pod in {"a", "b", "c"} for answer in answers[5:])
