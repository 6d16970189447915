"""`k8s_external`: what is reached from outside has a name outside."""

import pytest

from kdns.base.errors import ConfigError, UpstreamError
from kdns.config.settings import KubernetesOptions
from kdns.dns.api.handler import Response
from kdns.dns.plugins import k8s_external, kubernetes
from kdns.records.answers import Answers
from kdns.wire.numbers import NXDOMAIN, REFUSED, SERVFAIL
from tests.address_plan import NOW
from tests.build import Endpoint, Thing, change, namespace, tcp, view
from tests.config.text import directives
from tests.dns.parts import FakeParts
from tests.dns.plugins.asking import built, handler, mistakes, request, response, takes_the_fast_way, words
from tests.records.zone_text import cluster

HTTP = (tcp(80, "http"), tcp(443, "https"))
DB = view("shop/db", ips=("None",), ports=(tcp(5432, "pg"),), endpoints=(Endpoint("10.0.0.1", "db-0"), "10.0.0.2"))
OBJECTS: tuple[Thing, ...] = (
    namespace("empty"),
    view("shop/web", ips=("10.96.0.9",), ports=HTTP, outside=("203.0.113.1", "2001:db8::1", "lb.example.com")),
    view("shop/two", ips=("10.96.0.8",), ports=HTTP[:1], outside=("203.0.113.1", "203.0.113.2")),
    view("shop/named", ips=("10.96.0.7",), ports=HTTP, outside=("LB.example.com", "other.example.com")),
    view("shop/plain", ips=("10.96.0.6",), ports=HTTP, endpoints=("10.0.0.3",)),
    view("shop/bare", ips=("10.96.0.5",), outside=("203.0.113.5",)),
    view("kube-system/dns", ips=("10.96.0.10",), outside=("203.0.113.53",), endpoints=("10.0.0.53",)),
    DB,
)
SOA = f"-- example.org. 5 SOA ns1.dns.example.org. hostmaster.dns.example.org. {NOW} 7200 1800 86400 5"
REVERSE_SOA = SOA.replace("-- example.org.", "-- 203.in-addr.arpa.")
NODATA, NONE = f"NOERROR aa | {SOA}", f"NXDOMAIN aa | {SOA}"
NOWHERE = f"NXDOMAIN aa | {REVERSE_SOA}"
ZONES = "k8s_external example.org 203.0.0.0/8"

CASES = (
    # options, question, reply
    ("", "web.shop.example.org. A", "NOERROR aa | web.shop.example.org. 5 A 203.0.113.1"),
    ("", "WEB.Shop.example.org. AAAA", "NOERROR aa | web.shop.example.org. 5 AAAA 2001:db8::1"),
    ("ttl 30", "bare.shop.example.org. A", "NOERROR aa | bare.shop.example.org. 30 A 203.0.113.5"),
    ("", "bare.shop.example.org. SRV", NODATA),
    ("", "bare.shop.example.org. AAAA", NODATA),
    ("", "bare.shop.example.org. TXT", NODATA),
    ("", "web.shop.example.org. CNAME", NODATA),
    ("", "_http._tcp.web.shop.example.org. SRV",
     "NOERROR aa | _http._tcp.web.shop.example.org. 5 SRV 0 50 80 web.shop.example.org. | "
     "++ web.shop.example.org. 5 A 203.0.113.1 | ++ web.shop.example.org. 5 AAAA 2001:db8::1"),
    ("", "_http._tcp.bare.shop.example.org. SRV", NONE),
    ("", "_tcp.web.shop.example.org. A", NODATA),
    ("", "x.web.shop.example.org. A", NONE),
    ("", "a._http._tcp.web.shop.example.org. A", NONE),
    # names of load balancers
    ("", "named.shop.example.org. CNAME", "NOERROR aa | named.shop.example.org. 5 CNAME LB.example.com."),
    ("", "named.shop.example.org. A",
     "NOERROR aa | named.shop.example.org. 5 CNAME LB.example.com. | lb.example.com. 60 A 198.51.100.1"),
    ("", "_http._tcp.named.shop.example.org. SRV",
     "NOERROR aa | _http._tcp.named.shop.example.org. 5 SRV 0 100 80 LB.example.com. | "
     "++ lb.example.com. 60 A 198.51.100.1"),
    ("", "x.named.shop.example.org. A", NONE),
    # nothing outside
    ("", "plain.shop.example.org. A", NONE),
    ("", "db.shop.example.org. A", NONE),
    ("", "db-0.db.shop.example.org. A", NONE),
    ("headless", "db.shop.example.org. A",
     "NOERROR aa | db.shop.example.org. 5 A 10.0.0.1 | db.shop.example.org. 5 A 10.0.0.2"),
    ("headless", "db-0.db.shop.example.org. A", "NOERROR aa | db-0.db.shop.example.org. 5 A 10.0.0.1"),
    ("headless", "_pg._tcp.db.shop.example.org. SRV",
     "NOERROR aa | _pg._tcp.db.shop.example.org. 5 SRV 0 50 5432 db-0.db.shop.example.org. | "
     "_pg._tcp.db.shop.example.org. 5 SRV 0 50 5432 10-0-0-2.db.shop.example.org. | "
     "++ db-0.db.shop.example.org. 5 A 10.0.0.1 | ++ 10-0-0-2.db.shop.example.org. 5 A 10.0.0.2"),
    ("headless", "10-0-0-3.plain.shop.example.org. A", "NOERROR aa | 10-0-0-3.plain.shop.example.org. 5 A 10.0.0.3"),
    ("headless", "plain.shop.example.org. A", NODATA),
    ("headless", "10-0-0-53.dns.kube-system.example.org. A", NONE),
    # namespaces, and names that end alike
    ("", "shop.example.org. A", NODATA),
    ("", "empty.example.org. A", NODATA),
    ("", "web.empty.example.org. A", NONE),
    ("", "nope.example.org. A", NONE),
    ("", "web.shop.badexample.org. A", "NOERROR aa | behind.test. 5 A 192.0.2.1"),
    ("", "web.shop.example.org. A CH", "NOERROR aa | behind.test. 5 A 192.0.2.1"),
    # the zone itself
    ("", "example.org. SOA", "NOERROR aa | " + SOA.removeprefix("-- ")),
    ("", "example.org. NS",
     "NOERROR aa | example.org. 5 NS ns1.dns.example.org. | ++ ns1.dns.example.org. 5 A 203.0.113.53"),
    ("apex a.b", "example.org. NS",
     "NOERROR aa | example.org. 5 NS ns1.a.b.example.org. | ++ ns1.a.b.example.org. 5 A 203.0.113.53"),
    ("", "example.org. A", NODATA),
    ("", "ns1.dns.example.org. A", "NOERROR aa | ns1.dns.example.org. 5 A 203.0.113.53"),
    ("", "ns1.dns.example.org. AAAA", NODATA),
    ("", "dns.example.org. A", NODATA),
    ("", "ns2.dns.example.org. A", NONE),
    ("", "example.org. AXFR", "REFUSED"),
    # reverse
    ("", "5.113.0.203.in-addr.arpa. PTR", "NOERROR aa | 5.113.0.203.in-addr.arpa. 5 PTR bare.shop.example.org."),
    ("", "1.113.0.203.in-addr.arpa. PTR",
     "NOERROR aa | 1.113.0.203.in-addr.arpa. 5 PTR two.shop.example.org. | "
     "1.113.0.203.in-addr.arpa. 5 PTR web.shop.example.org."),
    ("", "5.113.0.203.in-addr.arpa. A", f"NOERROR aa | {REVERSE_SOA}"),
    ("", "113.0.203.in-addr.arpa. PTR", f"NOERROR aa | {REVERSE_SOA}"),
    ("", "9.113.0.203.in-addr.arpa. PTR", NOWHERE),
    ("", "web.shop.203.in-addr.arpa. A", NOWHERE),
    ("", "9.96.10.in-addr.arpa. PTR", "NOERROR aa | behind.test. 5 A 192.0.2.1"),
    # fallthrough
    ("fallthrough", "nope.shop.example.org. A", "NOERROR aa | behind.test. 5 A 192.0.2.1"),
    ("fallthrough in-addr.arpa", "9.113.0.203.in-addr.arpa. PTR", "NOERROR aa | behind.test. 5 A 192.0.2.1"),
    ("fallthrough in-addr.arpa", "nope.shop.example.org. A", NONE),
    ("fallthrough", "web.shop.example.org. TXT", NODATA),
)  # fmt: skip


def parts(answers: Answers | None) -> FakeParts:
    """A server whose lookups know the load balancer."""

    async def lookup(_: object) -> Response:
        return response("lb.example.com. 60 A 198.51.100.1")

    return FakeParts(lookup=lookup, offers={"kubernetes": answers} if answers else {})


def shop(**options: object) -> Answers:
    """The cluster, in which this server is a Pod."""
    return cluster(*OBJECTS, options=KubernetesOptions(external=True), own=("10.0.0.53",), **options)  # type: ignore[arg-type]


@pytest.mark.parametrize(("options", "question", "reply"), CASES)
async def test_replies(options: str, question: str, reply: str) -> None:
    """Each kind of name, as it is there and as it is not."""
    made = built(k8s_external, f"{ZONES} {{\n{options}\n}}", parts(shop()))
    expected = reply.replace("86400 5", "86400 30").replace(" 5 SOA", " 30 SOA") if options == "ttl 30" else reply
    assert words(await handler(made)(request(question))) == expected


async def test_addresses_take_turns_and_changes_count_at_once() -> None:
    """As with cluster names; and a Service that loses its addresses loses its names, the reverse one too."""
    answers = shop()
    made = built(k8s_external, ZONES, parts(answers))
    ask = handler(made)
    firsts = {(await ask(request("two.shop.example.org. A"))).answer[0].rdata for _ in range(2)}
    assert len(firsts) == 2
    bare = view("shop/bare", ips=("10.96.0.5",))
    before = next(one for one in OBJECTS if one == view("shop/bare", ips=("10.96.0.5",), outside=("203.0.113.5",)))
    answers.apply(change(before, bare), NOW)
    for question, reply in (("bare.shop.example.org. A", NONE), ("5.113.0.203.in-addr.arpa. PTR", NOWHERE)):
        assert words(await ask(request(question))) == reply


@pytest.mark.parametrize(
    ("found", "reply"),
    [
        (Response(NXDOMAIN), "NXDOMAIN aa | named.shop.example.org. 5 CNAME LB.example.com."),
        (Response(REFUSED), "NOERROR aa | named.shop.example.org. 5 CNAME LB.example.com."),
        (UpstreamError("down"), "SERVFAIL aa | named.shop.example.org. 5 CNAME LB.example.com."),
    ],
)
async def test_a_name_that_leads_nowhere(found: Response | UpstreamError, reply: str) -> None:
    """The CNAME is there all the same, with the rcode of its end (RFC 6604 section 2.1)."""
    server = parts(shop())

    async def lookup(_: object) -> Response:
        if isinstance(found, UpstreamError):
            raise found
        return found

    server.answer_lookup = lookup
    made = built(k8s_external, ZONES, server)
    assert words(await handler(made)(request("named.shop.example.org. A"))) == reply


@pytest.mark.parametrize("found", [Response(NXDOMAIN), Response(SERVFAIL, unclaimed=True), UpstreamError("down")])
async def test_srv_of_a_host_that_cannot_be_looked_up(found: Response | UpstreamError) -> None:
    """The SRV records stand without addresses (RFC 2782: they "should" be there); CoreDNS leaves them out, too."""
    server = parts(shop())

    async def lookup(_: object) -> Response:
        if isinstance(found, UpstreamError):
            raise found
        return found

    server.answer_lookup = lookup
    made = built(k8s_external, ZONES, server)
    reply = words(await handler(made)(request("_http._tcp.named.shop.example.org. SRV")))
    assert reply == "NOERROR aa | _http._tcp.named.shop.example.org. 5 SRV 0 100 80 LB.example.com."


async def test_unsynced() -> None:
    """As long as not everything is known, what is not found may be there."""
    made = built(k8s_external, ZONES, parts(shop(synced=False)))
    assert words(await handler(made)(request("nope.shop.example.org. A"))).startswith("SERVFAIL aa")


def test_no_cluster() -> None:
    """Without `kubernetes` in its block there is nothing to answer from."""
    with pytest.raises(ConfigError, match="no cluster"):
        built(k8s_external, ZONES, parts(None))


def test_the_cluster_keeps_what_is_needed() -> None:
    """`kubernetes` behind it asks for external addresses, and does not without it."""
    asked: list[KubernetesOptions] = []

    def give(options: KubernetesOptions) -> Answers:
        asked.append(options)
        return cluster(options=options)

    for before in ({"options/k8s_external": k8s_external.Options(zones=("example.org.",))}, {}):
        server = FakeParts(zones=("cluster.local.",), cluster=give, offers=before)
        kubernetes.build(kubernetes.parse(directives("kubernetes"), server.place), server)
    assert [options.external for options in asked] == [True, False]


def test_the_fast_way() -> None:
    """Only its own zones are seen, by whole labels."""
    made = built(k8s_external, ZONES, parts(shop()))
    names = ("web.shop.example.org.", "example.org.", "1.113.0.203.in-addr.arpa.", "web.shop.badexample.org.", "org.")
    assert [takes_the_fast_way(made, name) for name in names] == [False, False, False, True, True]
    assert made.must_see(b"\3org\0", True)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("k8s_external 10.0.0.0/8", "1:1 at least one zone must be a forward zone"),
        ("k8s_external example.org {\n ttl 3601\n}", "2:6 3601 is out of range"),
        ("k8s_external example.org {\n ttl\n}", "2:2 'ttl' needs 1 argument, got 0"),
        ("k8s_external example.org {\n apex .\n}", "2:7 the apex needs a label of its own"),
        ("k8s_external example.org {\n apex a..b\n}", "2:7 no name: empty label in 'a..b'"),
        ("k8s_external example.org {\n headless yes\n}", "2:11 'headless' takes no argument"),
        ("k8s_external example.org {\n headles\n}", "2:2 'k8s_external' has no property 'headles'"),
        ("k8s_external a.test\nk8s_external b.test", "2:1 'k8s_external' stands twice in this server block"),
    ],
)
def test_mistakes(text: str, told: str) -> None:
    """Each with its place."""
    assert mistakes(k8s_external, text, parts(None)) == told
