"""Rule sets as IPVS wants them: virtual servers, addresses, members of sets, and the fixed rules around them."""

from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from kdns.base.objects import Network
from kdns.proxy.model import (
    Backend,
    Entry,
    Family,
    Frontend,
    LocalDetector,
    NodeRules,
    Path,
    RuleSet,
    ServicePortName,
    ServicePortRules,
)
from kdns.proxy.render.ipvs.desired import Desired, Touched
from kdns.proxy.render.ipvs.tables import restore, script, tables
from kdns.proxy.render.ipvs.virtual_servers import (
    SETS,
    Here,
    Marks,
    Member,
    PortState,
    Virtual,
    VirtualAt,
    node_port_addresses,
    port_state,
    set_name,
    states,
)


def packed(text: str) -> bytes:
    return ip_address(text).packed


def network(text: str) -> Network:
    found = ip_network(text)
    return Network(found.network_address.packed, found.prefixlen)


NODE = NodeRules(Family.IPV4, detector=LocalDetector("CIDR", network("10.244.0.0/16")))
HERE = Here(frozenset({packed("172.18.0.2")}), (packed("172.18.0.2"),))
NEAR, FAR = Backend(packed("10.244.0.5"), 8080), Backend(packed("10.244.1.7"), 8080)
CART = ServicePortName("shop", "cart", "web", "TCP")
SHORT = (Path("pod", "cluster"), Path("host", "cluster", "always"))

LOCAL_CART = ServicePortRules(
    CART,
    (
        Entry(Frontend("cluster IP", packed("10.96.7.7"), 80), (Path("any", "cluster", "not pod"),)),
        Entry(
            Frontend("load balancer IP", packed("198.51.100.20"), 80),
            (*SHORT, Path("any", "local")),
            (network("192.0.2.0/24"),),
        ),
        Entry(Frontend("node port", b"", 30080), (*SHORT, Path("any", "local"))),
    ),
    (NEAR, FAR),
    (NEAR,),
    affinity=10800,
    health_check_node_port=32000,
)

SCRIPT = """\
Prot LocalAddress:Port Scheduler Flags
  -> RemoteAddress:Port           Forward Weight
TCP  10.96.7.7:80 rr persistent 10800
  -> 10.244.0.5:8080              Masq    1
  -> 10.244.1.7:8080              Masq    1
TCP  198.51.100.20:80 rr persistent 10800
  -> 10.244.0.5:8080              Masq    1
FWM {mark} sh
  -> 10.244.0.5:8080              Masq    1
  -> 10.244.1.7:8080              Masq    1
TCP  172.18.0.2:30080 rr persistent 10800
  -> 10.244.0.5:8080              Masq    1

ip link add kube-ipvs0 type dummy
ip address add 10.96.7.7/32 dev kube-ipvs0
ip address add 198.51.100.20/32 dev kube-ipvs0

create KUBE-LOOP-BACK hash:ip,port,ip family inet
add KUBE-LOOP-BACK 10.244.0.5,tcp:8080,10.244.0.5
add KUBE-LOOP-BACK 10.244.1.7,tcp:8080,10.244.1.7
create KUBE-CLUSTER-IP hash:ip,port family inet
add KUBE-CLUSTER-IP 10.96.7.7,tcp:80
create KUBE-EXTERNAL-IP hash:ip,port family inet
create KUBE-EXTERNAL-IP-LOCAL hash:ip,port family inet
create KUBE-LOAD-BALANCER hash:ip,port family inet
add KUBE-LOAD-BALANCER 198.51.100.20,tcp:80
create KUBE-LOAD-BALANCER-LOCAL hash:ip,port family inet
add KUBE-LOAD-BALANCER-LOCAL 198.51.100.20,tcp:80
create KUBE-LOAD-BALANCER-FW hash:ip,port family inet
add KUBE-LOAD-BALANCER-FW 198.51.100.20,tcp:80
create KUBE-LOAD-BALANCER-SOURCE-CIDR hash:ip,port,net family inet
add KUBE-LOAD-BALANCER-SOURCE-CIDR 198.51.100.20,tcp:80,192.0.2.0/24
create KUBE-NODE-PORT-TCP bitmap:port range 0-65535
add KUBE-NODE-PORT-TCP 30080
create KUBE-NODE-PORT-LOCAL-TCP bitmap:port range 0-65535
add KUBE-NODE-PORT-LOCAL-TCP 30080
"""


def test_one_service_in_full() -> None:
    """What `kdns rules --mode ipvs` prints of a load-balanced Service with externalTrafficPolicy Local."""
    text = script(RuleSet(NODE, {CART: LOCAL_CART}), HERE)
    mark = f"{Marks(NODE.masquerade_mark).mark(CART):#x}"
    assert text.startswith(SCRIPT.format(mark=mark))
    assert f"add KUBE-SHORT-CIRCUIT 172.18.0.2,tcp:30080 skbmark {mark}" in text
    assert "add KUBE-HEALTH-CHECK-NODE-PORT 32000" in text
    assert text.endswith(restore(tables(NODE), {name: table.jumps for name, table in tables(NODE).items()}))


def state(*entries: Entry, **fields: object) -> PortState:
    rules = ServicePortRules(CART, entries, (NEAR,), **fields)  # type: ignore[arg-type]
    return port_state(rules, NODE, HERE, "rr", 1)


def test_local_without_local_backends_is_dropped_not_spread() -> None:
    """The virtual server has nobody, and a rule makes it silent."""
    found = state(Entry(Frontend("external IP", packed("203.0.113.5"), 80), (*SHORT, Path("any", "drop"))))
    assert found.virtuals[VirtualAt("TCP", packed("203.0.113.5"), 80)].backends == ()
    assert found.virtuals[VirtualAt("TCP", mark=1)].backends == (NEAR,)
    assert ("KUBE-NO-LOCAL", Member(80, "TCP", packed("203.0.113.5"))) in found.members


def test_without_backends_nothing_marks_or_drops() -> None:
    """A virtual server without real servers is the refusal."""
    found = state(Entry(Frontend("cluster IP", packed("10.96.0.1"), 80), (Path("any", "reject"),)))
    assert [virtual.backends for virtual in found.virtuals.values()] == [()]
    assert {name for name, _ in found.members} == {"KUBE-CLUSTER-IP", "KUBE-IPVS-IPS"}


def test_sources_from_everywhere_are_two_halves() -> None:
    """A set of networks cannot hold one without a length."""
    place = Frontend("load balancer IP", packed("203.0.113.5"), 80)
    found = state(Entry(place, (Path("any", "cluster", "always"),), (network("0.0.0.0/0"),)))
    ranges = [(m.other, m.length) for name, m in found.members if name == "KUBE-LOAD-BALANCER-SOURCE-CIDR"]
    assert ranges == [(packed("0.0.0.0"), 1), (packed("128.0.0.0"), 1)]


def test_an_address_of_the_node_is_not_put_on_the_dummy_link() -> None:
    """Its other ports stay the node's."""
    found = state(Entry(Frontend("external IP", packed("172.18.0.2"), 80), (Path("any", "cluster", "always"),)))
    assert not found.addresses
    assert not [member for name, member in found.members if name == "KUBE-IPVS-IPS"]


@pytest.mark.parametrize("protocol", ["TCP", "UDP", "SCTP"])
def test_node_ports_by_protocol(protocol: str) -> None:
    """Each protocol has its set; SCTP's knows the address."""
    name = CART._replace(protocol=protocol)  # type: ignore[arg-type]
    rules = ServicePortRules(name, (Entry(Frontend("node port", b"", 30080), (Path("any", "local"),)),), (), (NEAR,))
    found = port_state(rules, NODE, HERE, "rr", 1)
    suffix = "SCTP-HASH" if protocol == "SCTP" else protocol
    assert {f"KUBE-NODE-PORT-{suffix}", f"KUBE-NODE-PORT-LOCAL-{suffix}"} <= {name for name, _ in found.members}
    assert VirtualAt(name.protocol, packed("172.18.0.2"), 30080) in found.virtuals


def test_mh_hashes_the_source_port() -> None:
    """The scheduler's flag is set, with and without affinity."""
    rules = ServicePortRules(CART, LOCAL_CART.entries, (NEAR,), affinity=5)
    found = port_state(rules, NODE, HERE, "mh", 1)
    assert found.virtuals[VirtualAt("TCP", packed("10.96.7.7"), 80)] == Virtual("mh", 0x11, 5, (NEAR,))


def test_loopback_takes_no_node_ports() -> None:
    """IPVS cannot serve it, nor link-local addresses."""
    addresses = [packed(text) for text in ("127.0.0.1", "172.18.0.2")]
    assert node_port_addresses(NODE, addresses) == (packed("172.18.0.2"),)
    node = NodeRules(Family.IPV6)
    addresses = [packed(text) for text in ("::1", "fe80::1", "fd18::2")]
    assert node_port_addresses(node, addresses) == (packed("fd18::2"),)


def test_names_of_sets_fit() -> None:
    """The kernel takes 31 characters; for IPv6 all names are others, and all differ."""
    names = [set_name(name, family) for name in SETS for family in Family]
    assert all(len(name) <= 31 for name in names)
    assert len(set(names)) == 2 * len(SETS)


@given(st.sets(st.text("ab", max_size=8), max_size=40), st.integers(0, 31))
def test_marks_never_meet(names: set[str], bit: int) -> None:
    """Each service port has a mark of its own, without the masquerade bit, also after some are gone."""
    marks = Marks(1 << bit)
    found = {name: marks.mark(CART._replace(name=name)) for name in names}
    assert len(set(found.values())) == len(names)
    assert not any(mark & 1 << bit for mark in found.values())
    for name in list(names)[::2]:
        marks.forget(CART._replace(name=name))
    again = {name: marks.mark(CART._replace(name=name)) for name in names}
    assert len(set(again.values())) == len(names)


PORTS = st.sampled_from(["a", "b", "c"]).map(lambda name: CART._replace(name=name))
ENTRIES = st.lists(
    st.sampled_from(
        [
            Entry(Frontend("cluster IP", packed("10.96.0.1"), 80), (Path("any", "cluster"),)),
            Entry(Frontend("cluster IP", packed("10.96.0.1"), 81), (Path("any", "cluster"),)),
            Entry(Frontend("external IP", packed("203.0.113.5"), 80), (*SHORT, Path("any", "local"))),
        ]
    ),
    unique=True,
    max_size=3,
)


@given(st.lists(st.tuples(PORTS, st.none() | ENTRIES), max_size=12))
def test_the_way_does_not_matter(steps: list[tuple[ServicePortName, list[Entry] | None]]) -> None:
    """After any changes the sum holds what the ports there are want, and whatever has changed was named."""
    desired = Desired()
    now: dict[ServicePortName, ServicePortRules] = {}
    kernel: set[object] = set()
    for name, entries in steps:
        touched = Touched(set(), set(), set())
        rules = None if entries is None else ServicePortRules(name, tuple(entries), (NEAR, FAR), (NEAR,))
        if rules is None:
            now.pop(name, None)
        else:
            now[name] = rules
        desired.replace(name, port_state(rules, NODE, HERE, "rr", 1) if rules else None, touched)
        for key in (*touched.virtuals, *touched.addresses, *touched.members):
            there = key in desired.virtuals or key in desired.addresses or key in desired.members
            (kernel.add if there else kernel.discard)(key)
    wanted = [port_state(rules, NODE, HERE, "rr", 1) for rules in now.values()]
    assert kernel == {key for one in wanted for key in (*one.virtuals, *one.addresses, *one.members)}


def test_the_first_claimant_keeps_an_address_and_port() -> None:
    """Two Services want the same external IP and port: the second gets it when the first goes."""
    entry = Entry(Frontend("external IP", packed("203.0.113.5"), 80), (Path("any", "cluster", "always"),))
    first, second = CART, CART._replace(name="other")
    rules = RuleSet(
        NODE,
        {
            first: ServicePortRules(first, (entry,), (NEAR,)),
            second: ServicePortRules(second, (entry,), (FAR,)),
        },
    )
    spelled = states(rules, HERE, "rr")
    desired, touched = Desired(), Touched(set(), set(), set())
    for name, one in spelled.items():
        desired.replace(name, one, touched)
    at = VirtualAt("TCP", packed("203.0.113.5"), 80)
    assert desired.virtuals.get(at) == Virtual("rr", 0, 0, (NEAR,))
    assert desired.virtuals.owner(at) == first
    desired.replace(first, None, touched)
    assert desired.virtuals.get(at) == Virtual("rr", 0, 0, (FAR,))
    assert desired.addresses.get(packed("203.0.113.5"))


DETECTORS = {
    "-s 10.244.0.0/16": LocalDetector("CIDR", network("10.244.0.0/16")),
    "-i cbr0": LocalDetector("bridge", interface="cbr0"),
    "-i veth+": LocalDetector("prefix", interface="veth"),
}


@pytest.mark.parametrize("text", DETECTORS)
def test_pods_are_told_by_each_detector(text: str) -> None:
    """Who is not a pod is masqueraded at cluster IPs; pods take the short circuit."""
    found = tables(NodeRules(Family.IPV4, detector=DETECTORS[text]))
    assert any(rule.startswith(f"! {text} -m set") for rule in found["nat"].chains["KUBE-SERVICES"])
    assert found["mangle"].chains["KUBE-TRAFFIC-POLICY"][0].startswith(f"{text} -m set")


def test_without_a_detector_only_the_dummy_link_is_masqueraded() -> None:
    """A source that is a service address is the node itself."""
    chain = tables(NodeRules(Family.IPV4))["nat"].chains["KUBE-SERVICES"]
    assert "-m set --match-set KUBE-CLUSTER-IP src,dst -j KUBE-MARK-MASQ" in chain
    chain = tables(NodeRules(Family.IPV4, masquerade_all=True))["nat"].chains["KUBE-SERVICES"]
    assert "-m set --match-set KUBE-CLUSTER-IP dst,dst -j KUBE-MARK-MASQ" in chain


def test_node_ports_are_where_they_are_accepted() -> None:
    """With nodePortAddresses, the same port of another address of the node is not masqueraded."""
    anywhere = tables(NODE)["nat"].chains["KUBE-SERVICES"]
    assert "-m addrtype --dst-type LOCAL -j KUBE-NODE-PORT" in anywhere
    limited = NodeRules(Family.IPV4, node_port_addresses=(ip_address("172.18.0.2").packed,))
    chain = tables(limited)["nat"].chains["KUBE-SERVICES"]
    assert [rule for rule in chain if "KUBE-NODE-PORT" in rule] == ["-d 172.18.0.2/32 -j KUBE-NODE-PORT"]


def test_other_nodes_addresses_stay_off_the_dummy_link() -> None:
    """This node could not reach them any more; what is asked of them here is served all the same (k3s issue 2804)."""
    other = packed("172.18.0.3")
    entries = (
        Entry(Frontend("cluster IP", packed("10.96.7.7"), 80), (Path("any", "cluster"),)),
        Entry(Frontend("load balancer IP", other, 80), (Path("any", "cluster", "always"),)),
    )
    rules = ServicePortRules(CART, entries, (NEAR,))
    found = port_state(rules, replace(NODE, other_nodes=frozenset({other})), HERE, "rr", 1)
    assert found.addresses == {packed("10.96.7.7")}
    assert ("KUBE-IPVS-IPS", Member(address=other)) not in found.members
    assert found.virtuals[VirtualAt("TCP", other, 80)].backends == (NEAR,)
    assert port_state(rules, NODE, HERE, "rr", 1).addresses == {packed("10.96.7.7"), other}
