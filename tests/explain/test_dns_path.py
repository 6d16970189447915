"""The link dns-path: from the client to a DNS server, by what is wrong on the way."""

from collections.abc import Callable, Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.explain.evidence import COREFILE, codes, dns_objects, explained, folder, link

Body = dict[str, Any]
Edit = Callable[[Body], Body | None]
HEALTHY_LOSSES = "cpu=0 found=3 invalid=1 insert=0 insert_failed=0 drop=0 early_drop=0 error=0 search_restart=7\n"


def named(kind: str, name: str, change: Callable[[Body], None] | None) -> Edit:
    """Change one object; None: leave it out."""

    def edit(body: Body) -> Body | None:
        if (body["kind"], body["metadata"]["name"]) != (kind, name):
            return body
        if change is None:
            return None
        body = deepcopy(body)
        change(body)
        return body

    return edit


def both(*edits: Edit) -> Edit:
    """One after the other."""

    def edit(body: Body) -> Body | None:
        found: Body | None = body
        for each in edits:
            found = each(found) if found is not None else None
        return found

    return edit


def unchanged(body: Body) -> Body:
    """The cluster as it is."""
    return body


def not_ready(body: Body) -> None:
    """A DNS Pod whose readiness probe fails."""
    if body["kind"] == "EndpointSlice":
        body["endpoints"][0]["conditions"] = {"ready": False, "serving": False, "terminating": False}
    else:
        body["status"]["conditions"] = [
            {"type": "Ready", "status": "False", "reason": "ContainersNotReady", "message": "not ready: [coredns]"}
        ]


def crashing(body: Body) -> None:
    """A DNS Pod that ends again and again."""
    not_ready(body)
    body["status"]["containerStatuses"] = [
        {"name": "coredns", "ready": False, "restartCount": 12, "state": {"waiting": {"reason": "CrashLoopBackOff"}}}
    ]


def scaled_to_zero(body: Body) -> None:
    """No DNS Pods are wanted."""
    body["spec"]["replicas"] = 0


def no_endpoints(body: Body) -> None:
    """The slice of a Service without Pods."""
    body["endpoints"] = []


def typo(body: Body) -> None:
    """A selector that picks nothing."""
    body["spec"]["selector"] = {"k8s-app": "kubedns"}


def only_udp(body: Body) -> None:
    """A Service or slice without 53/TCP."""
    ports = body["spec"]["ports"] if body["kind"] == "Service" else body["ports"]
    ports[:] = [port for port in ports if port["protocol"] == "UDP"]


def only_tcp(body: Body) -> None:
    """A Service without 53/UDP."""
    body["spec"]["ports"] = body["spec"]["ports"][1:]


def port_1053(body: Body) -> None:
    """A slice that leads to another port than the server's."""
    body["ports"] = [
        {"name": "dns", "port": 1053, "protocol": "UDP"},
        {"name": "dns-tcp", "port": 1053, "protocol": "TCP"},
    ]


def moved(body: Body) -> None:
    """The DNS Service was made anew, with another address."""
    body["spec"] |= {"clusterIP": "10.96.0.99", "clusterIPs": ["10.96.0.99"]}


def renamed(body: Body) -> None:
    """Another Service, which is not DNS."""
    body["metadata"] |= {"name": "metrics-server", "labels": {}}
    body["spec"]["ports"] = [{"port": 443, "protocol": "TCP"}]


EMPTY = both(named("EndpointSlice", "kube-dns-a1", no_endpoints), named("Pod", "coredns-1", None))
UNREADY = both(named("EndpointSlice", "kube-dns-a1", not_ready), named("Pod", "coredns-1", not_ready))
CRASHING = both(named("EndpointSlice", "kube-dns-a1", not_ready), named("Pod", "coredns-1", crashing))
NO_TCP = both(named("Service", "kube-dns", only_udp), named("EndpointSlice", "kube-dns-a1", only_udp))
FULL = "net.netfilter.nf_conntrack_count = 262143\nnet.netfilter.nf_conntrack_max = 262144\n"
ROOMY = "net.netfilter.nf_conntrack_count = 812\nnet.netfilter.nf_conntrack_max = 262144\n"
LOST = "cpu=0 found=3 invalid=1 insert=0 insert_failed=51234 drop=0 early_drop=0 error=0 search_restart=7\n"
SOME = "cpu=0 insert_failed=4 drop=0 early_drop=0\ncpu=1 insert_failed=3 drop=0 early_drop=0\n"
DROPPED = "cpu=0 insert_failed=0 drop=90000 early_drop=120\n"
NODE_LOCAL = (
    "search shop.svc.cluster.local svc.cluster.local cluster.local\nnameserver 169.254.20.10\noptions ndots:5\n"
)
OLD = NODE_LOCAL.replace("169.254.20.10", "10.96.0.10")
OF_A_POD = NODE_LOCAL.replace("169.254.20.10", "10.244.1.2")
GONE = (
    "ipv4 2 udp 17 100 src=10.244.1.6 dst=10.96.0.10 sport=4000 dport=53 "
    "src=10.244.9.9 dst=10.244.1.6 sport=53 dport=4000 [ASSURED] mark=0 use=1\n"
)
UNTRANSLATED = (
    "ipv4 2 udp 17 25 src=10.244.1.6 dst=10.96.0.10 sport=4000 dport=53 [UNREPLIED] "
    "src=10.96.0.10 dst=10.244.1.6 sport=53 dport=4000 mark=0 use=1\n"
)
ALIVE = GONE.replace("10.244.9.9", "10.244.1.2")


class Case(NamedTuple):
    """An edit of the healthy cluster, files of evidence; what is said, and words of it."""

    name: str
    edit: Edit
    expected: str
    words: str
    files: Mapping[str, str] = {}

    def __str__(self) -> str:
        return self.name


RESOLV = "pod/shop/client/resolv.conf"
CASES = [
    # E16
    Case("E16: scaled to zero", both(EMPTY, named("Deployment", "coredns", scaled_to_zero)), "fault E16",
         "Deployment coredns is scaled to 0"),
    Case("E16: the Pod is not ready", UNREADY, "fault E16", "coredns-1"),
    Case("E16: the Pod crashes", CRASHING, "fault E16", "CrashLoopBackOff"),
    Case("E16: a typo in the selector", both(named("Service", "kube-dns", typo),
         named("EndpointSlice", "kube-dns-a1", no_endpoints)), "fault E16", "kubedns"),
    Case("E16: no DNS Service", named("Service", "kube-dns", renamed), "fault E16", "no Service for DNS"),
    Case("E16: an old address in resolv.conf", named("Service", "kube-dns", moved), "fault E16", "no Service has it",
         {RESOLV: OLD}),
    Case("E16: 53/UDP is missing", named("Service", "kube-dns", only_tcp), "fault E16", "no port 53/UDP"),
    Case("E16: another port than the server's", named("EndpointSlice", "kube-dns-a1", port_1053), "fault E16",
         "port 1053 of the DNS Pods, and their Corefile listens on 53"),
    Case("E16: no cache on the node", named("DaemonSet", "x", None), "unchecked", "no DaemonSet is in the evidence",
         {RESOLV: NODE_LOCAL}),
    Case("a nameserver that is a Pod", unchanged, "ok", "is Pod kube-system/coredns-1 itself", {RESOLV: OF_A_POD}),
    Case("E16: a nameserver that is a Pod which crashes", CRASHING, "fault E16", "does not answer", {RESOLV: OF_A_POD}),
    # E18
    Case("E18: the table is full", unchanged, "fault E18", "is full (100%)",
         {"node/worker-1/sysctl.txt": FULL}),
    Case("E18: inserts fail", unchanged, "fault E18", "insert_failed=51234",
         {"node/worker-1/conntrack-stats.txt": LOST}),
    Case("E18: packets are dropped", unchanged, "fault E18", "drop=90000",
         {"node/worker-1/conntrack-stats.txt": DROPPED}),
]  # fmt: skip


def dns_path(tmp_path: Path, edit: Edit, files: Mapping[str, str] = {}, corefile: str = COREFILE) -> list[Body]:
    """What is said of the link for ``cart.shop``, asked by the Pod shop/client."""
    values = explained(folder(tmp_path, dns_objects(edit, corefile), files), "cart.shop", from_pod="shop/client")
    return link(values, "dns-path")


@pytest.mark.parametrize("case", CASES, ids=str)
def test_what_is_on_the_way_to_dns(tmp_path: Path, case: Case) -> None:
    """Each break of the way has its code, its reason in words, and a piece of evidence."""
    first = dns_path(tmp_path, case.edit, case.files)[0]
    assert f"{first['state']} {first['code'] or ''}".strip() == case.expected
    assert case.words in first["says"]


def test_a_healthy_way_needs_the_nodes_rules(tmp_path: Path) -> None:
    """The objects are fine; what the kernel does was not looked at, and it is said what would show it."""
    (finding,) = dns_path(tmp_path, unchanged)
    assert (finding["state"], finding["code"]) == ("unchecked", None)
    assert "kdns collect --node" in finding["needs"]


@pytest.mark.parametrize(
    "files",
    [{"node/worker-1/conntrack-stats.txt": HEALTHY_LOSSES}, {"node/worker-1/sysctl.txt": ROOMY},
     {"node/worker-1/conntrack.txt": ALIVE}],
)  # fmt: skip
def test_what_a_healthy_node_has_is_no_fault(tmp_path: Path, files: Mapping[str, str]) -> None:
    """Zero losses, room in the table, a flow to a DNS Pod that is there."""
    assert {finding["state"] for finding in dns_path(tmp_path, unchanged, files)} == {"unchecked"}


def test_a_few_losses_are_a_warning(tmp_path: Path) -> None:
    """Counters show what was since the node started; every busy node has some."""
    found = dns_path(tmp_path, unchanged, {"node/worker-1/conntrack-stats.txt": SOME})
    assert [f"{one['state']} {one['code']}" for one in found if one["code"]] == ["warning E18"]
    assert "insert_failed=7" in found[0]["says"]


@pytest.mark.parametrize("flows", [GONE, UNTRANSLATED], ids=["to a Pod that is gone", "not translated"])
def test_a_flow_that_leads_nowhere(tmp_path: Path, flows: str) -> None:
    """E19: the client's UDP flow stays with a DNS Pod that is gone, or with the Service's address itself."""
    found = dns_path(tmp_path, unchanged, {"node/worker-1/conntrack.txt": flows})
    assert ("fault", "E19") in {(one["state"], one["code"]) for one in found}


def policy(**spec: Any) -> Body:
    """A NetworkPolicy of Namespace shop that selects the client."""
    return {
        "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
        "metadata": {"name": "egress", "namespace": "shop"},
        "spec": {"podSelector": {"matchLabels": {"app": "client"}}, "policyTypes": ["Egress"], **spec},
    }  # fmt: skip


@pytest.mark.parametrize(
    ("egress", "expected"),
    [
        ([], "fault E17"),
        ([{"to": [{"podSelector": {}}]}], "fault E17"),
        ([{"ports": [{"port": 443, "protocol": "TCP"}]}], "fault E17"),
        ([{"ports": [{"port": 53, "protocol": "UDP"}]}], "warning E17"),
        ([{"ports": [{"port": 53, "protocol": "UDP"}, {"port": 53, "protocol": "TCP"}]}], ""),
        ([{"to": [{"namespaceSelector": {}}]}], ""),
    ],
    ids=["nothing", "own Namespace", "another port", "UDP alone", "port 53", "all Namespaces"],
)
def test_policies_on_port_53(tmp_path: Path, egress: list[Body], expected: str) -> None:
    """E17: egress without port 53; where only TCP is kept, that is a warning."""
    path = folder(tmp_path, [*dns_objects(), policy(egress=egress)], {})
    found = [text for text in codes(explained(path, "cart.shop", from_pod="shop/client"), "dns-path") if " " in text]
    assert found == ([expected] if expected else [])


def large(body: Body) -> Body | None:
    """The Service is headless, with 200 endpoints: its answer has 3,200 octets and more."""
    if (body["kind"], body["metadata"]["name"]) == ("Service", "cart"):
        body["spec"] |= {"clusterIP": "None", "clusterIPs": ["None"]}
    if (body["kind"], body["metadata"]["name"]) == ("EndpointSlice", "cart-a1"):
        ready = {"conditions": {"ready": True}}
        body["endpoints"] = [{"addresses": [f"10.244.2.{number}"], **ready} for number in range(1, 201)]
    return body


def test_a_large_answer_needs_tcp(tmp_path: Path) -> None:
    """E13: 200 addresses do not fit into 1,232 octets, and the Service has no way for TCP 53."""
    found = dns_path(tmp_path, both(large, NO_TCP))
    assert ("fault", "E13") in {(one["state"], one["code"]) for one in found}


@pytest.mark.parametrize("edit", [NO_TCP, named("EndpointSlice", "kube-dns-a1", only_udp)], ids=["Service", "slice"])
def test_a_small_answer_does_not_need_tcp(tmp_path: Path, edit: Edit) -> None:
    """E13 is a warning where this answer fits."""
    found = dns_path(tmp_path, edit)
    assert ("warning", "E13") in {(one["state"], one["code"]) for one in found}
    assert "fault" not in {one["state"] for one in found}


def test_a_large_answer_with_tcp_is_well(tmp_path: Path) -> None:
    """Nothing is said where both transports are there."""
    assert not [one for one in dns_path(tmp_path, large) if one["code"]]


CACHE = {
    "apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": {"name": "node-local-dns", "namespace": "kube-system"},
    "spec": {"selector": {"matchLabels": {"k8s-app": "node-local-dns"}},
             "template": {"metadata": {"labels": {"k8s-app": "node-local-dns"}}, "spec": {"containers": []}}},
}  # fmt: skip


def cache_pod(node: str, ready: str) -> Body:
    """A Pod of that DaemonSet."""
    return {
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": f"cache-{node}", "namespace": "kube-system", "labels": {"k8s-app": "node-local-dns"}},
        "spec": {"nodeName": node, "hostNetwork": True, "containers": [{"name": "node-cache"}]},
        "status": {"phase": "Running", "podIP": "172.18.0.9", "conditions": [{"type": "Ready", "status": ready}]},
    }  # fmt: skip


@pytest.mark.parametrize(
    ("more", "files", "expected"),
    [
        ([CACHE, cache_pod("worker-1", "True")], {}, "ok"),
        ([CACHE, cache_pod("worker-1", "False")], {}, "fault E16"),
        ([CACHE, cache_pod("worker-2", "True")], {}, "fault E16"),
        ([{**CACHE, "metadata": {"name": "fluentd", "namespace": "kube-system"}}], {}, "fault E16"),
        ([CACHE, cache_pod("worker-1", "True")],
         {"node/worker-1/addresses.txt": "1: lo    inet 127.0.0.1/8 scope host lo\n"}, "fault E16"),
    ],
    ids=["runs", "not ready", "on another node", "no such DaemonSet", "no such address"],
)  # fmt: skip
def test_a_cache_on_the_node(tmp_path: Path, more: list[Body], files: Mapping[str, str], expected: str) -> None:
    """E16 for 169.254.20.10: its DaemonSet, its Pod on the client's node, the address there."""
    path = folder(tmp_path, [*dns_objects(), *more], {RESOLV: NODE_LOCAL, **files})
    assert codes(explained(path, "cart.shop", from_pod="shop/client"), "dns-path") == [expected]


ONLY_SHOP = COREFILE.replace("pods insecure", "namespaces shop")
DEFAULT_ELSEWHERE = COREFILE + "default.svc.cluster.local:53 {\n    template IN A {\n        rcode NXDOMAIN\n    }\n}\n"


@pytest.mark.parametrize("corefile", [ONLY_SHOP, DEFAULT_ELSEWHERE], ids=["namespaces", "another block"])
def test_kubernetes_default_does_not_resolve(tmp_path: Path, corefile: str) -> None:
    """E20: a warning where the client's own name resolves, a fault where there is no such Service."""
    found = [one for one in dns_path(tmp_path, unchanged, corefile=corefile) if one["code"]]
    assert [f"{one['state']} {one['code']}" for one in found] == ["warning E20"]
    assert "look at DNS first" in found[0]["says"]


@pytest.mark.parametrize("rcode", ["NXDOMAIN", "SERVFAIL"])
def test_kubernetes_default_failed_in_the_log(tmp_path: Path, rcode: str) -> None:
    """E20: the server's own log says so; the name that was asked does not exist, so that is a fault."""
    line = (
        f'[INFO] 10.244.1.6:1 - 1 "A IN kubernetes.default.svc.cluster.local. udp 60 false 512" {rcode} qr 150 0.1s\n'
    )
    path = folder(tmp_path, dns_objects(), {"dns/coredns-1/log.txt": line})
    assert "fault E20" in codes(explained(path, "crat.shop", from_pod="shop/client"), "dns-path")


LOCAL_DNS = """\
table inet kdns-local-dns {
	set alive-ip {
		type ipv4_addr
		size 64
		flags dynamic,timeout
		timeout 300ms
		elements = { 10.96.0.10 expires 220ms }
	}

	chain prerouting {
		type filter hook prerouting priority raw; policy accept;
		iifname "lo" ip saddr 10.96.0.10 ip daddr 10.96.0.10 udp dport 53 notrack accept
		iifname "lo" ip saddr 10.96.0.10 meta l4proto { tcp, udp } th sport 53 notrack accept
		ip daddr @alive-ip meta l4proto { tcp, udp } th dport 53 socket transparent 0 notrack
	}

	chain output {
		type filter hook output priority raw; policy accept;
		ip saddr 10.96.0.10 ip daddr 10.96.0.10 udp sport 53 update @alive-ip { ip saddr timeout 300ms }
		ip saddr 10.96.0.10 ip daddr 10.96.0.10 udp dport 53 notrack accept
		ip saddr 10.96.0.10 meta l4proto { tcp, udp } th sport 53 notrack accept
		ip daddr @alive-ip meta l4proto { tcp, udp } th dport 53 notrack
	}
}
"""
"""As nft 1.0.6 lists it on a node with `overlays/node-local`."""
OTHER = LOCAL_DNS.replace("kdns-local-dns", "fast")


PROXY = """\
*nat
:PREROUTING ACCEPT [0:0]
:INPUT ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:POSTROUTING ACCEPT [0:0]
:KUBE-SERVICES - [0:0]
-A PREROUTING -j KUBE-SERVICES
-A OUTPUT -j KUBE-SERVICES
-A KUBE-SERVICES -d 10.96.0.10/32 -p udp -m udp --dport 53 -j DNAT --to-destination 10.244.1.2:53
-A KUBE-SERVICES -d 10.96.0.10/32 -p tcp -m tcp --dport 53 -j DNAT --to-destination 10.244.1.2:53
COMMIT
"""


@pytest.mark.parametrize(
    ("rules", "expected"), [(LOCAL_DNS, set()), (OTHER, {"E33"})], ids=["ours", "another program's"]
)
def test_the_nodes_own_dns_is_no_fault(tmp_path: Path, rules: str, expected: set[str]) -> None:
    """Its rules have the questions not tracked, and that is right: the node answers. Another program's are E33."""
    files = {"node/worker-1/nft.txt": rules, "node/worker-1/iptables-save.txt": PROXY}
    found = dns_path(tmp_path, unchanged, files)
    assert {one["code"] for one in found if one["code"]} & {"E31", "E33"} == expected
    assert not [one for one in found if "not known" in one["says"]]
