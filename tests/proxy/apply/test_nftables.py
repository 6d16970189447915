"""Nftables mode on a real kernel: what clients see, and what is in the table."""

from collections.abc import AsyncIterator, Iterator
from os import geteuid

import pytest
from msgspec.structs import replace

from kdns.proxy.model import Family, LocalDetector, Protocol, RuleChange
from tests.proxy.apply.node_net import REFUSED, SILENT, Answer, NodeNet
from tests.proxy.nftables_plan import (
    CLUSTER_IP,
    OUTSIDE,
    POD_A,
    POD_B,
    POD_C,
    V4,
    V6,
    backends,
    client,
    cluster_ip,
    entry,
    external,
    node_address,
    node_rules,
    of_kind,
    packed,
    pod,
    port_rules,
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
    applier = net.applier(family)
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


@FAMILIES
async def test_changes_are_for_new_connections_and_a_restart_for_none(net: NodeNet, family: Family) -> None:
    """An established connection outlives the removal of its endpoint from the rules, a restart, and a foreign flush."""
    applier, node, vip = net.applier(family), node_rules(family), cluster_ip(family, 2)
    before = of_kind(family, "alone", 2)
    after = replace(before, cluster=backends(family, (POD_B,)))
    await applier.sync(rule_set(node, [before]), None)
    with net.connect(net.outside, vip, 80) as connection:
        assert connection.recv(100).startswith(b"a ")

        def alive() -> bool:
            connection.sendall(b"still there?")
            return connection.recv(100) == b"still there?"

        await applier.sync(rule_set(node, [after]), [RuleChange(before.name, before, after)])
        assert net.many(net.outside, vip, 80, 6) == {"b"}
        assert alive()
        again = net.applier(family)
        await again.sync(rule_set(node, [after]), None)
        assert net.many(net.outside, vip, 80, 6) == {"b"}
        assert alive()
        await net.run(["nft", "flush", "ruleset"])
        assert not await again.intact()
        await again.sync(rule_set(node, [after]), None)
        assert net.many(net.outside, vip, 80, 6) == {"b"}
        assert alive()
        await again.sync(rule_set(node, []), [RuleChange(after.name, after, None)])
        assert net.ask(net.outside, vip, 80) == SILENT
    await again.cleanup()


@FAMILIES
async def test_a_number_of_endpoints_that_is_new_works_for_every_protocol(net: NodeNet, family: Family) -> None:
    """nft 1.0.6 reads maps back before it adds a rule, and must not take the rule for one of another protocol."""
    applier, node = net.applier(family), node_rules(family)
    await applier.sync(rule_set(node, []), None)
    both = backends(family, (POD_A, POD_B))
    frontends = [entry("cluster IP", cluster_ip(family, 20), 80, CLUSTER_IP), entry("node port", "", 30020, OUTSIDE)]
    protocols: tuple[Protocol, ...] = ("TCP", "UDP")
    for protocol in protocols:
        port = port_rules("late", frontends, both, protocol=protocol)
        await applier.sync(rule_set(node, [port]), [RuleChange(port.name, None, port)])
        udp = protocol == "UDP"
        assert net.many(net.pods[POD_C], cluster_ip(family, 20), 80, 12, udp=udp) == {"a", "b"}
        assert net.many(net.outside, node_address(family), 30020, 12, udp=udp) == {"a", "b"}
        await applier.sync(rule_set(node, []), [RuleChange(port.name, port, None)])
    await applier.cleanup()


@FAMILIES
async def test_node_ports_only_at_the_given_addresses(net: NodeNet, family: Family) -> None:
    """Elsewhere on the node the port is nobody's."""
    applier, port = net.applier(family), of_kind(family, "alone", 2)
    for given, answer in ((node_address(family), "a"), (client(family), "refused")):
        node = node_rules(family, node_port_addresses=(packed(given),))
        await applier.sync(rule_set(node, [port]), None)
        assert net.ask(net.outside, node_address(family), 30002).pod == answer
    await applier.cleanup()


@FAMILIES
@pytest.mark.parametrize("kind", ["bridge", "prefix"])
async def test_pods_can_be_told_by_their_interface(net: NodeNet, family: Family, kind: str) -> None:
    """Behind the given link, or one of that beginning; the node itself has none, and is no pod."""
    applier, port = net.applier(family), of_kind(family, "alone", 2)
    detector = LocalDetector("bridge", None, "pod1") if kind == "bridge" else LocalDetector("prefix", None, "pod")
    await applier.sync(rule_set(node_rules(family, detector=detector), [port]), None)
    vip = cluster_ip(family, 2)
    assert net.ask(net.pods[POD_B], vip, 80) == Answer("a", pod(family, POD_B))
    other = net.ask(net.pods[POD_C], vip, 80)
    assert (other.source == pod(family, POD_C)) is (kind == "prefix")
    assert net.ask(net.outside, vip, 80).source != client(family)
    assert net.ask(net.node, vip, 80).pod == "a"
    await applier.cleanup()
