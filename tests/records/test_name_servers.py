"""NS records and ns.dns: by which names this server is reached (facts: CoreDNS a.6)."""

from typing import NamedTuple

import pytest

from tests.build import Endpoint, namespace, tcp, udp, view
from tests.records.zone_text import ask, cluster, expected, present

KUBE_DNS = view(
    "kube-system/kube-dns",
    ips=("10.96.0.10", "fd00:10:96::a"),
    ports=(udp(53, "dns"), tcp(53, "dns-tcp")),
    endpoints=("10.244.0.2", "10.244.1.2"),
)
HEADLESS = view(
    "kube-system/dns-peers",
    ips=("None",),
    endpoints=(Endpoint("10.244.0.2", "first"), Endpoint("10.244.1.2", "second")),
)


class Case(NamedTuple):
    title: str
    own: tuple[str, ...]
    headless: bool
    question: str
    answer: str


CLUSTER_IP = """
    cluster.local. 5 IN NS kube-dns.kube-system.svc.cluster.local.
    ; additional
    kube-dns.kube-system.svc.cluster.local. 5 IN A 10.96.0.10
    kube-dns.kube-system.svc.cluster.local. 5 IN AAAA fd00:10:96::a
"""

CASES = (
    Case("behind a Service with a cluster IP", ("10.244.0.2",), False, "cluster.local. NS", CLUSTER_IP),
    Case(
        "ns.dns has the cluster IP then",
        ("10.244.0.2",),
        False,
        "ns.dns.cluster.local. A",
        "ns.dns.cluster.local. 5 IN A 10.96.0.10",
    ),
    Case(
        "in both families",
        ("10.244.0.2",),
        False,
        "ns.dns.cluster.local. AAAA",
        "ns.dns.cluster.local. 5 IN AAAA fd00:10:96::a",
    ),
    Case(
        "behind a headless Service the endpoints are the name servers",
        ("10.244.0.2",),
        True,
        "cluster.local. NS",
        """
        cluster.local. 5 IN NS first.dns-peers.kube-system.svc.cluster.local.
        cluster.local. 5 IN NS second.dns-peers.kube-system.svc.cluster.local.
        ; additional
        first.dns-peers.kube-system.svc.cluster.local. 5 IN A 10.244.0.2
        second.dns-peers.kube-system.svc.cluster.local. 5 IN A 10.244.1.2
        """,
    ),
    Case(
        "an address of nobody's is ns.dns itself",
        ("192.0.2.1", "2001:db8::1"),
        False,
        "cluster.local. NS",
        """
        cluster.local. 5 IN NS ns.dns.cluster.local.
        ; additional
        ns.dns.cluster.local. 5 IN A 192.0.2.1
        ns.dns.cluster.local. 5 IN AAAA 2001:db8::1
        """,
    ),
    Case(
        "and answers as such",
        ("192.0.2.1", "2001:db8::1"),
        False,
        "ns.dns.cluster.local. A",
        "ns.dns.cluster.local. 5 IN A 192.0.2.1",
    ),
    Case("ns.dns has nothing else", ("192.0.2.1",), False, "ns.dns.cluster.local. TXT", "NODATA"),
    Case("also not the other family", ("192.0.2.1",), False, "ns.dns.cluster.local. AAAA", "NODATA"),
    Case(
        "the cluster IP alone does not make us that Service", ("10.96.0.10",), False, "dns.cluster.local. A", "NODATA"
    ),
    Case(
        "an NS question below the apex", ("10.244.0.2",), False, "kube-dns.kube-system.svc.cluster.local. NS", "NODATA"
    ),
)


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.question}: {case.title}")
def test_name_servers(case: Case) -> None:
    """This question has exactly this answer on a server with these addresses."""
    answers = cluster(HEADLESS if case.headless else KUBE_DNS, own=case.own)
    assert present(ask(answers, case.question)) == expected(case.answer)


def test_every_name_server_that_is_ours_has_an_address() -> None:
    """Whatever names NS points to inside the zone, an address question for each is answered (RFC 1034 4.2.1)."""
    for things, own in (((KUBE_DNS,), "10.244.0.2"), ((HEADLESS,), "10.244.1.2"), ((namespace("a"),), "192.0.2.1")):
        answers = cluster(*things, own=(own,))
        for apex in ("cluster.local.", "in-addr.arpa.", "ip6.arpa."):
            lines = present(ask(answers, f"{apex} NS"))
            targets = [line.split()[4] for line in lines if " NS " in line]
            assert targets
            assert all(ask(answers, f"{target} A").answer for target in targets)


def test_a_new_own_address_shows_at_once() -> None:
    """What was compiled for the old addresses is not answered after `set_own_addresses`."""
    answers = cluster(KUBE_DNS, own=("192.0.2.1",))
    before = answers.find(b"\7cluster\5local\0", 2)
    answers.set_own_addresses([bytes((10, 244, 0, 2))])
    assert before is not None
    assert not before.live
    assert present(ask(answers, "cluster.local. NS")) == expected(CLUSTER_IP)
