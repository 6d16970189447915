"""The link dns-server: what becomes of a question in the server's own chain, and what its log says of the past."""

from pathlib import Path
from typing import NamedTuple

import pytest

from tests.explain.evidence import COREFILE, codes, dns_objects, explained, folder, link

OTHER_BLOCK = "shop.svc.cluster.local:53 {\n    forward . 10.0.0.9\n}\n"
CLUSTER_ALONE = "cluster.local:53 {\n    kubernetes\n}\n"
VIEW = "view office {\n        expr incidr(client_ip(), '192.0.2.0/24')\n    }\n    kubernetes cluster.local\n}\n"
HOSTS = ("hosts {", "    192.0.2.1 other.example", "    fallthrough", "}")
FILTER = ("acl shop.svc.cluster.local {", "    filter", "}")
LOG = "dns/coredns-1/log.txt"


def queried(rcode: str, name: str = "cart.shop.svc.cluster.local") -> str:
    """A line of CoreDNS's plugin log in its common format."""
    return f'[INFO] 10.244.1.6:40000 - 1 "A IN {name}. udp 45 false 512" {rcode} qr,aa,rd 140 0.0001s\n'


def with_lines(*lines: str, before: str = "    kubernetes ") -> str:
    """The Corefile with more lines in its block."""
    return COREFILE.replace(before, "".join(f"    {line}\n" for line in lines) + before, 1)


class Case(NamedTuple):
    """A Corefile, files of evidence and a target; what is said, and words of the reason."""

    name: str
    corefile: str
    target: str
    expected: str
    words: str
    files: tuple[tuple[str, str], ...] = ()

    def __str__(self) -> str:
        return self.name


CASES = [
    Case("the kubeadm Corefile answers", COREFILE, "cart.shop", "ok", "kubernetes answers 1 record"),
    Case("a name outside goes to the upstream", COREFILE, "example.org", "ok", "forwards example.org to 10.0.0.2"),
    Case("no such Service is the name's matter", COREFILE, "crat.shop", "ok", "no Service crat in Namespace shop"),
    Case("hosts passes other names on", with_lines(*HOSTS), "cart.shop", "ok", "kubernetes answers 1 record"),
    Case("rewrite is told", with_lines("rewrite name basket.shop.svc.cluster.local cart.shop.svc.cluster.local"),
         "basket.shop.svc.cluster.local.", "ok", "rewrite asks for cart.shop.svc.cluster.local. A instead"),
    # E07
    Case("E07: namespaces", COREFILE.replace("pods insecure", "namespaces default"), "cart.shop", "fault E07",
         "leave out Namespace shop"),
    Case("E07: namespace_labels", COREFILE.replace("pods insecure", "namespace_labels dns=yes"), "cart.shop",
         "fault E07", "leave out Namespace shop"),
    Case("E07: acl", with_lines("acl {", "    block net 10.244.0.0/16", "}"), "cart.shop", "fault E07", "acl takes"),
    Case("E07: acl that filters", with_lines(*FILTER), "cart.shop", "fault E07",
         "NODATA"),
    Case("E07: acl that drops", with_lines("acl {", "    drop net 10.244.1.6", "}"), "cart.shop", "fault E07",
         "dropped"),
    Case("E07: a view for others", f".:53 {{\n    {VIEW}", "cart.shop", "fault E07", "no server block takes"),
    Case("E07: a template", with_lines("template IN A cluster.local {", "    rcode NXDOMAIN", "}"), "cart.shop",
         "fault E07", "template takes"),
    Case("E07: another block", COREFILE + OTHER_BLOCK, "cart.shop",
         "fault E07", "forwards cart.shop.svc.cluster.local to 10.0.0.9"),
    Case("E08: a line of hosts", with_lines("hosts {", "    192.0.2.1 cart.shop.svc.cluster.local", "    fallthrough",
         "}"), "cart.shop", "warning E08", "hosts takes"),
    # E11
    Case("E11: CoreDNS is not synced", COREFILE, "cart.shop", "fault E11", "cannot follow the API server", (
        (LOG, "[INFO] plugin/kubernetes: waiting for Kubernetes API before starting server\n"
         "[WARNING] plugin/kubernetes: starting server with unsynced Kubernetes API\n.:53\nCoreDNS-1.11.1\n"),)),
    Case("E11: CoreDNS may not list", COREFILE, "cart.shop", "fault E11", "cannot follow the API server", (
        (LOG, "E1130 reflector.go:147] Failed to watch *v1.EndpointSlice: failed to list "
         "*v1.EndpointSlice: endpointslices.discovery.k8s.io is forbidden: User \"system:serviceaccount:kube-system:"
         "coredns\" cannot list resource\n"),)),
    Case("E11: our data is old", COREFILE, "cart.shop", "fault E11", "nothing was heard of Service for 3600 s", (
        ("dns/kdns-1/metrics.txt", 'kdns_watch_data_age_seconds{kind="Node"} 12.5\n'
         'kdns_watch_data_age_seconds{kind="Service"} 3600\n'),)),
    Case("a watch that was lost, and listed again", COREFILE, "cart.shop", "ok", "kubernetes answers", (
        (LOG, "[WARNING] plugin/kubernetes: watch of services lost: timeout: nothing heard for 150 s\n"
         "[INFO] plugin/kubernetes: services relisted: +0 -0\n"),)),
    Case("a burst at the start is over", COREFILE, "cart.shop", "ok", "kubernetes answers", (
        (LOG, "E1130 reflector.go:147] Failed to watch *v1.Service: dial tcp 10.96.0.1:443\n"
         + queried("NOERROR")),)),
    # E12
    Case("E12: NXDOMAIN in the log", COREFILE, "cart.shop", "fault E12", "answered NXDOMAIN",
         ((LOG, queried("NXDOMAIN")),)),
    Case("E12: a long denial", COREFILE.replace("cache 30", "cache {\n        denial 9984 3600\n    }"), "cart.shop",
         "fault E12", "30 s", ((LOG, "2026-11-30T12:00:00Z " + queried("NXDOMAIN", "CART.shop.svc.cluster.local")),)),
    Case("an answer since then", COREFILE, "cart.shop", "ok", "kubernetes answers", (
        (LOG, queried("NXDOMAIN") + queried("NOERROR")),)),
    Case("another name's NXDOMAIN", COREFILE, "cart.shop", "ok", "kubernetes answers",
         ((LOG, queried("NXDOMAIN", "cart.shop.shop.svc.cluster.local")),)),
    # E15
    Case("E15: a timeout in the log", COREFILE, "example.org", "fault E15", "i/o timeout", (("dns/coredns-1/log.txt",
         "[ERROR] plugin/errors: 2 example.org. A: read udp 10.244.1.2:40000->10.0.0.2:53: i/o timeout\n"),)),
    Case("E15: a loop in the log", COREFILE, "cart.shop", "fault E15", "came back to it", (("dns/coredns-1/log.txt",
         '[FATAL] plugin/loop: Loop (127.0.0.1:4000 -> :53) detected for zone ".", see https://coredns.io/\n'),)),
    Case("E15: forwards to its own Service", COREFILE.replace("10.0.0.2", "10.96.0.10"), "example.org", "fault E15",
         "the DNS Service itself"),
    Case("E15: the node's resolv.conf", COREFILE.replace("10.0.0.2", "/etc/resolv.conf"), "example.org", "fault E15",
         "127.0.0.53", (("node/worker-1/resolv.conf", "# stub\nnameserver 127.0.0.53\noptions edns0\n"),)),
    Case("E15: no upstream", COREFILE.replace("    forward . 10.0.0.2\n", ""), "example.org", "fault E15",
         "has no plugin that answers example.org"),
    Case("E15: the block serves the cluster alone", CLUSTER_ALONE, "example.org", "fault E15",
         "no server block takes example.org"),
    # what kdns cannot read
    Case("a plugin of CoreDNS behind kubernetes", with_lines("etcd skydns.local"), "cart.shop", "ok", "kubernetes"),
    Case("a plugin of CoreDNS before kubernetes", with_lines("route53 example.org.:Z1"), "cart.shop", "unchecked",
         "route53"),
    Case("no Corefile at all", "", "cart.shop", "unchecked", ""),
    Case("a Corefile with a mistake", ".:53 {\n    kubernetes\n", "cart.shop", "unchecked", "cannot be read"),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=str)
def test_the_link_says_what_becomes_of_the_question(tmp_path: Path, case: Case) -> None:
    """Each Corefile and log leads to its code, with the reason in words and a piece of evidence."""
    path = folder(tmp_path, dns_objects(corefile=case.corefile), dict(case.files))
    values = explained(path, case.target, from_pod="shop/client")
    assert codes(values, "dns-server") == [case.expected]
    (finding,) = link(values, "dns-server")
    assert case.words in finding["says"]
    assert finding["state"] == "unchecked" or finding["evidence"]


def test_coredns_answers_are_told_where_coredns_runs(tmp_path: Path) -> None:
    """An ExternalName with an address is NXDOMAIN in CoreDNS and NODATA in kdns (docs/coming-from-coredns.md)."""
    path = folder(tmp_path, dns_objects(), {})
    assert "NXDOMAIN" in link(explained(path, "billing.shop"), "dns-server")[0]["says"]

    def ours(body: dict[str, object]) -> dict[str, object]:
        text = repr(body).replace("registry.k8s.io/coredns/coredns:v1.11.1", "example.org/kdns:0.1.0")
        edited: dict[str, object] = eval(text)
        return edited

    path = folder(tmp_path, dns_objects(ours), {})
    assert "NODATA" in link(explained(path, "billing.shop"), "dns-server")[0]["says"]


def test_the_line_of_the_corefile_is_evidence(tmp_path: Path) -> None:
    """The directive that decided is named with its line."""
    corefile = with_lines("acl {", "    block net 10.244.0.0/16", "}")
    (finding,) = link(explained(folder(tmp_path, dns_objects(corefile=corefile), {}), "cart.shop"), "dns-server")
    assert finding["evidence"] == [
        {"object": "ConfigMap/kube-system/coredns", "field": "data.Corefile", "text": "line 7: acl {"}
    ]
    assert finding["next"] == "kubectl -n kube-system get configmap coredns -o jsonpath='{.data.Corefile}'"
