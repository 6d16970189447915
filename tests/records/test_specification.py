"""Each record form of the Kubernetes DNS specification, schema version 1.1.0, in its order."""

from typing import NamedTuple

import pytest

from tests.records.shop import SHOP
from tests.records.zone_text import ask, cluster, expected, present


class Case(NamedTuple):
    title: str
    question: str
    answer: str


CASES = (
    # 2.2 Record for Schema Version
    Case(
        "the schema version, with a ttl of its own",
        "dns-version.cluster.local. TXT",
        'dns-version.cluster.local. 28800 IN TXT "1.1.0"',
    ),
    # 2.3.1 A/AAAA of a Service with ClusterIP
    Case(
        "a cluster IP is an A record",
        "web.shop.svc.cluster.local. A",
        "web.shop.svc.cluster.local. 5 IN A 10.96.0.9",
    ),
    Case(
        "an IPv6 cluster IP of the same Service is an AAAA record",
        "web.shop.svc.cluster.local. AAAA",
        "web.shop.svc.cluster.local. 5 IN AAAA fd00:10:96::9",
    ),
    Case("no cluster IP of this family is NODATA", "six.shop.svc.cluster.local. A", "NODATA"),
    # 2.3.2 SRV of a Service with ClusterIP
    Case(
        "a named port has an SRV record, and the Service's addresses come along",
        "_http._tcp.web.shop.svc.cluster.local. SRV",
        """
        _http._tcp.web.shop.svc.cluster.local. 5 IN SRV 0 50 80 web.shop.svc.cluster.local.
        ; additional
        web.shop.svc.cluster.local. 5 IN A 10.96.0.9
        web.shop.svc.cluster.local. 5 IN AAAA fd00:10:96::9
        """,
    ),
    Case(
        "a UDP port is under _udp",
        "_dns._udp.six.shop.svc.cluster.local. SRV",
        """
        _dns._udp.six.shop.svc.cluster.local. 5 IN SRV 0 100 53 six.shop.svc.cluster.local.
        ; additional
        six.shop.svc.cluster.local. 5 IN AAAA fd00:10:96::6
        """,
    ),
    Case("and not under _tcp", "_dns._tcp.six.shop.svc.cluster.local. SRV", "NXDOMAIN"),
    Case(
        "the bare Service name has the SRV records of all its ports, the weight shared by port and address",
        "web.shop.svc.cluster.local. SRV",
        """
        web.shop.svc.cluster.local. 5 IN SRV 0 25 80 web.shop.svc.cluster.local.
        web.shop.svc.cluster.local. 5 IN SRV 0 25 443 web.shop.svc.cluster.local.
        ; additional
        web.shop.svc.cluster.local. 5 IN A 10.96.0.9
        web.shop.svc.cluster.local. 5 IN AAAA fd00:10:96::9
        """,
    ),
    Case(
        "a port's name has the Service's addresses",
        "_http._tcp.web.shop.svc.cluster.local. A",
        "_http._tcp.web.shop.svc.cluster.local. 5 IN A 10.96.0.9",
    ),
    Case(
        "the underscores of port and protocol may be left out",
        "https.tcp.web.shop.svc.cluster.local. AAAA",
        "https.tcp.web.shop.svc.cluster.local. 5 IN AAAA fd00:10:96::9",
    ),
    Case(
        "_ alone stands for any port",
        "_._tcp.web.shop.svc.cluster.local. SRV",
        """
        _._tcp.web.shop.svc.cluster.local. 5 IN SRV 0 25 80 web.shop.svc.cluster.local.
        _._tcp.web.shop.svc.cluster.local. 5 IN SRV 0 25 443 web.shop.svc.cluster.local.
        ; additional
        web.shop.svc.cluster.local. 5 IN A 10.96.0.9
        web.shop.svc.cluster.local. 5 IN AAAA fd00:10:96::9
        """,
    ),
    Case(
        "the unnamed one too, which has addresses",
        "_._tcp.plain.shop.svc.cluster.local. A",
        "_._tcp.plain.shop.svc.cluster.local. 5 IN A 10.96.0.11",
    ),
    # 2.3.3 PTR of a Service with ClusterIP
    Case(
        "a cluster IP points back to its Service",
        "9.0.96.10.in-addr.arpa. PTR",
        "9.0.96.10.in-addr.arpa. 5 IN PTR web.shop.svc.cluster.local.",
    ),
    Case(
        "an IPv6 cluster IP does so by its nibbles",
        "9.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.6.9.0.0.0.1.0.0.0.0.d.f.ip6.arpa. PTR",
        "9.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.6.9.0.0.0.1.0.0.0.0.d.f.ip6.arpa. "
        "5 IN PTR web.shop.svc.cluster.local.",
    ),
    # 2.4.1 A/AAAA of a headless Service
    Case(
        "a headless Service has an A record for each ready endpoint",
        "db.shop.svc.cluster.local. A",
        """
        db.shop.svc.cluster.local. 5 IN A 10.244.1.10
        db.shop.svc.cluster.local. 5 IN A 10.244.2.10
        """,
    ),
    Case(
        "and an AAAA record for each with an IPv6 address",
        "anon.shop.svc.cluster.local. AAAA",
        """
        anon.shop.svc.cluster.local. 5 IN AAAA fd00:10:244:1::20
        anon.shop.svc.cluster.local. 5 IN AAAA fd00:10:244:2::
        """,
    ),
    Case("a headless Service without a ready endpoint is NXDOMAIN", "dead.shop.svc.cluster.local. A", "NXDOMAIN"),
    Case("for every type", "dead.shop.svc.cluster.local. SRV", "NXDOMAIN"),
    Case("and everywhere below", "_http._tcp.dead.shop.svc.cluster.local. SRV", "NXDOMAIN"),
    Case(
        "a hostname names its endpoint",
        "db-0.db.shop.svc.cluster.local. A",
        "db-0.db.shop.svc.cluster.local. 5 IN A 10.244.1.10",
    ),
    Case(
        "in each family it has",
        "db-0.db.shop.svc.cluster.local. AAAA",
        "db-0.db.shop.svc.cluster.local. 5 IN AAAA fd00:10:244:1::a",
    ),
    Case("a hostname with one family only is NODATA for the other", "db-1.db.shop.svc.cluster.local. AAAA", "NODATA"),
    Case("a hostname nobody has is NXDOMAIN", "db-2.db.shop.svc.cluster.local. A", "NXDOMAIN"),
    Case(
        "an endpoint with a hostname is not named after its address besides",
        "10-244-1-10.db.shop.svc.cluster.local. A",
        "NXDOMAIN",
    ),
    Case(
        "an endpoint without a hostname is named after its address",
        "10-244-1-20.anon.shop.svc.cluster.local. A",
        "10-244-1-20.anon.shop.svc.cluster.local. 5 IN A 10.244.1.20",
    ),
    Case(
        "an IPv6 address gives its colons up for dashes",
        "fd00-10-244-1--20.anon.shop.svc.cluster.local. AAAA",
        "fd00-10-244-1--20.anon.shop.svc.cluster.local. 5 IN AAAA fd00:10:244:1::20",
    ),
    Case(
        "and gets a 0 when it would end in a dash",
        "fd00-10-244-2--0.anon.shop.svc.cluster.local. AAAA",
        "fd00-10-244-2--0.anon.shop.svc.cluster.local. 5 IN AAAA fd00:10:244:2::",
    ),
    Case("without the 0 it is no name", "fd00-10-244-2--.anon.shop.svc.cluster.local. AAAA", "NXDOMAIN"),
    Case(
        "the endpoints of a Service with a cluster IP have names too",
        "10-244-2-4.web.shop.svc.cluster.local. A",
        "10-244-2-4.web.shop.svc.cluster.local. 5 IN A 10.244.2.4",
    ),
    Case(
        "a headless Service without ports has its addresses",
        "portless.shop.svc.cluster.local. A",
        "portless.shop.svc.cluster.local. 5 IN A 10.244.1.40",
    ),
    Case(
        "and the names of its endpoints",
        "10-244-1-40.portless.shop.svc.cluster.local. A",
        "10-244-1-40.portless.shop.svc.cluster.local. 5 IN A 10.244.1.40",
    ),
    Case("but no SRV", "portless.shop.svc.cluster.local. SRV", "NODATA"),
    # 2.4.2 SRV of a headless Service
    Case(
        "each ready endpoint and named port is an SRV record, one for a hostname in both families",
        "_pg._tcp.db.shop.svc.cluster.local. SRV",
        """
        _pg._tcp.db.shop.svc.cluster.local. 5 IN SRV 0 33 5432 db-0.db.shop.svc.cluster.local.
        _pg._tcp.db.shop.svc.cluster.local. 5 IN SRV 0 33 5432 db-1.db.shop.svc.cluster.local.
        ; additional
        db-0.db.shop.svc.cluster.local. 5 IN A 10.244.1.10
        db-0.db.shop.svc.cluster.local. 5 IN AAAA fd00:10:244:1::a
        db-1.db.shop.svc.cluster.local. 5 IN A 10.244.2.10
        """,
    ),
    Case(
        "three endpoints and two ports are six SRV records at the Service's name",
        "anon.shop.svc.cluster.local. SRV",
        """
        anon.shop.svc.cluster.local. 5 IN SRV 0 16 9000 10-244-1-20.anon.shop.svc.cluster.local.
        anon.shop.svc.cluster.local. 5 IN SRV 0 16 9000 fd00-10-244-1--20.anon.shop.svc.cluster.local.
        anon.shop.svc.cluster.local. 5 IN SRV 0 16 9000 fd00-10-244-2--0.anon.shop.svc.cluster.local.
        anon.shop.svc.cluster.local. 5 IN SRV 0 16 9001 10-244-1-20.anon.shop.svc.cluster.local.
        anon.shop.svc.cluster.local. 5 IN SRV 0 16 9001 fd00-10-244-1--20.anon.shop.svc.cluster.local.
        anon.shop.svc.cluster.local. 5 IN SRV 0 16 9001 fd00-10-244-2--0.anon.shop.svc.cluster.local.
        ; additional
        10-244-1-20.anon.shop.svc.cluster.local. 5 IN A 10.244.1.20
        fd00-10-244-1--20.anon.shop.svc.cluster.local. 5 IN AAAA fd00:10:244:1::20
        fd00-10-244-2--0.anon.shop.svc.cluster.local. 5 IN AAAA fd00:10:244:2::
        """,
    ),
    Case(
        "one port alone has the endpoints of that port",
        "_gossip._udp.anon.shop.svc.cluster.local. SRV",
        """
        _gossip._udp.anon.shop.svc.cluster.local. 5 IN SRV 0 33 9001 10-244-1-20.anon.shop.svc.cluster.local.
        _gossip._udp.anon.shop.svc.cluster.local. 5 IN SRV 0 33 9001 fd00-10-244-1--20.anon.shop.svc.cluster.local.
        _gossip._udp.anon.shop.svc.cluster.local. 5 IN SRV 0 33 9001 fd00-10-244-2--0.anon.shop.svc.cluster.local.
        ; additional
        10-244-1-20.anon.shop.svc.cluster.local. 5 IN A 10.244.1.20
        fd00-10-244-1--20.anon.shop.svc.cluster.local. 5 IN AAAA fd00:10:244:1::20
        fd00-10-244-2--0.anon.shop.svc.cluster.local. 5 IN AAAA fd00:10:244:2::
        """,
    ),
    Case(
        "the name of a port has the addresses of its endpoints",
        "_pg._tcp.db.shop.svc.cluster.local. A",
        """
        _pg._tcp.db.shop.svc.cluster.local. 5 IN A 10.244.1.10
        _pg._tcp.db.shop.svc.cluster.local. 5 IN A 10.244.2.10
        """,
    ),
    Case(
        "an endpoint's own name has the SRV records of that endpoint, with the port it listens on",
        "10-244-1-4.web.shop.svc.cluster.local. SRV",
        """
        10-244-1-4.web.shop.svc.cluster.local. 5 IN SRV 0 50 8080 10-244-1-4.web.shop.svc.cluster.local.
        10-244-1-4.web.shop.svc.cluster.local. 5 IN SRV 0 50 8443 10-244-1-4.web.shop.svc.cluster.local.
        ; additional
        10-244-1-4.web.shop.svc.cluster.local. 5 IN A 10.244.1.4
        """,
    ),
    # 2.4.3 PTR of a headless Service
    Case(
        "an endpoint's address points to its hostname",
        "10.1.244.10.in-addr.arpa. PTR",
        "10.1.244.10.in-addr.arpa. 5 IN PTR db-0.db.shop.svc.cluster.local.",
    ),
    Case(
        "an endpoint without a hostname is pointed to by its dashed name",
        "4.1.244.10.in-addr.arpa. PTR",
        "4.1.244.10.in-addr.arpa. 5 IN PTR 10-244-1-4.web.shop.svc.cluster.local.",
    ),
    Case(
        "an IPv6 endpoint does so by its nibbles",
        "a.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.1.0.0.0.4.4.2.0.0.1.0.0.0.0.d.f.ip6.arpa. PTR",
        "a.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.1.0.0.0.4.4.2.0.0.1.0.0.0.0.d.f.ip6.arpa. "
        "5 IN PTR db-0.db.shop.svc.cluster.local.",
    ),
    # 2.5 External Name
    Case(
        "an ExternalName is a CNAME, spelled as in the object",
        "outside.shop.svc.cluster.local. CNAME",
        "outside.shop.svc.cluster.local. 5 IN CNAME WWW.Example.com.",
    ),
)


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.question}: {case.title}")
def test_the_specification(case: Case) -> None:
    """This question has exactly this answer."""
    assert present(ask(cluster(*SHOP), case.question)) == expected(case.answer)
