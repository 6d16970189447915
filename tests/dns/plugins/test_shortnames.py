"""`shortnames`: what busybox asks for is answered, and nothing is taken from anybody."""

from collections.abc import Mapping

import pytest

from kdns.base.errors import ConfigError, UpstreamError
from kdns.config.settings import KubernetesOptions
from kdns.dns.api.handler import Client, Handler, Request, Response, chain, refuse
from kdns.dns.plugins import shortnames
from kdns.dns.plugins.kubernetes import built
from kdns.dns.query.router import RoutedBlock, Router
from kdns.wire.name import ROOT, name_text, parse_name
from kdns.wire.numbers import AAAA, CNAME, NOERROR, NXDOMAIN, REFUSED, SERVFAIL, SRV, TXT, A, rtype_text
from kdns.wire.query import Query
from kdns.wire.rr import RR
from tests.build import Thing, namespace, tcp, view
from tests.config.text import directives
from tests.dns.parts import FakeParts
from tests.records.zone_text import cluster

OBJECTS: tuple[Thing, ...] = (
    *(namespace(name) for name in ("default", "com", "dev", "svc", "corp", "empty")),
    view("default/kubernetes", ips=("10.96.0.1",), ports=(tcp(443, "https"),)),
    view("default/outside", external="www.example.com"),
    view("default/alias", external="kubernetes.default.svc.cluster.local"),
    view("default/db", ips=("None",), endpoints=("10.244.1.1", "10.244.1.2")),
    view("com/web", ips=("10.96.0.2",)),
    view("dev/web", ips=("10.96.0.3",)),
    view("svc/web", ips=("10.96.0.4",)),
    view("corp/web", ips=("10.96.0.5",)),
)
CLIENT = Client("10.244.0.9", 40000, "10.96.0.10", "udp", 1)
UPSTREAM = RR(parse_name("web.corp."), A, 60, b"\xc0\0\2\1")


def upstream(knows: Mapping[str, Response | Exception]) -> Handler:
    """The end of the chain, as `forward`: what it knows, and NXDOMAIN for everything else."""

    async def handle(request: Request) -> Response:
        reply = knows.get(name_text(request.query.name), Response(NXDOMAIN, plugin="forward"))
        if isinstance(reply, Exception):
            raise reply
        return reply

    return handle


def site(following: Handler, corefile: str = "shortnames", denied: bytes = b"") -> Router:
    """A server of one block: shortnames, the cluster, and what is behind them; one name is denied, as acl would."""
    answers = cluster(*OBJECTS, options=KubernetesOptions())
    served: list[Router] = []

    async def lookup(request: Request) -> Response:
        return (await served[0].handle(request))[0]

    def acl(inner: Handler) -> Handler:
        async def handle(request: Request) -> Response:
            return Response(REFUSED, plugin="acl") if request.query.name == denied else await inner(request)

        return handle

    parts = FakeParts(lookup=lookup)
    short = shortnames.build(shortnames.parse(directives(corefile), parts.place), parts)
    kubernetes = built(answers)
    assert short.plugin is not None
    assert kubernetes.plugin is not None
    handler = chain((acl, short.plugin, kubernetes.plugin), following)
    served.append(Router((RoutedBlock(zones={ROOT: "."}, handler=handler, built=(short, kubernetes)),)))
    return served[0]


def query(name: str, rtype: int) -> Query:
    """A plain query."""
    folded = parse_name(name)
    return Query(7, 0x0100, folded + rtype.to_bytes(2, "big") + b"\0\1", folded, rtype, 1)


async def ask(served: Router, question: str) -> str:
    """``rcode owner TYPE rdata-in-hex...`` of the reply."""
    name, _, rtype = question.partition(" ")
    numbers = {"A": A, "AAAA": AAAA, "SRV": SRV, "TXT": TXT, "CNAME": CNAME}
    response, _ = await served.handle(Request(query(name, numbers[rtype]), CLIENT, 40, "dns://:53", {}))
    records = [f"{name_text(rr.owner)} {rtype_text(rr.rtype)}" for rr in response.answer]
    soa = ["SOA"] if response.authority else []
    return " ".join([{0: "NOERROR", 2: "SERVFAIL", 3: "NXDOMAIN", 5: "REFUSED"}[response.rcode], *records, *soa])


CASES = (
    # question, reply
    ("kubernetes.default. A", "NOERROR kubernetes.default. A"),
    ("KUBERNETES.Default. A", "NOERROR kubernetes.default. A"),
    ("kubernetes.default. AAAA", "NOERROR"),
    ("kubernetes.default.svc. A", "NOERROR kubernetes.default.svc. A"),
    ("kubernetes.default.svc. AAAA", "NOERROR"),
    ("db.default. A", "NOERROR db.default. A db.default. A"),
    ("web.svc. A", "NOERROR web.svc. A"),
    ("web.svc.svc. A", "NOERROR web.svc.svc. A"),
    ("web.com.svc. A", "NOERROR web.com.svc. A"),
    ("web.dev.svc. A", "NOERROR web.dev.svc. A"),
    ("web.corp. A", "NOERROR web.corp. A"),
    ("alias.default. A", "NOERROR alias.default. CNAME kubernetes.default.svc.cluster.local. A"),
    ("outside.default. A", "NOERROR outside.default. CNAME"),
    # not the form, or no such Service
    ("nope.default. A", "NXDOMAIN"),
    ("kubernetes.nope. A", "NXDOMAIN"),
    ("kubernetes. A", "NXDOMAIN"),
    ("default.svc. A", "NXDOMAIN"),
    ("x.kubernetes.default. A", "NXDOMAIN"),
    ("a.kubernetes.default.svc. A", "NXDOMAIN"),
    (". A", "NXDOMAIN"),
    # delegated top-level domains are never touched
    ("web.com. A", "NXDOMAIN"),
    ("web.dev. A", "NXDOMAIN"),
    # what is in the cluster's zone is the cluster's
    ("kubernetes.default.svc.cluster.local. A", "NOERROR kubernetes.default.svc.cluster.local. A"),
    ("cluster.local. A", "NOERROR SOA"),
)


@pytest.mark.parametrize(("question", "reply"), CASES)
async def test_short_names(question: str, reply: str) -> None:
    """The upstream knows none of these names; the cluster answers what is its own."""
    assert await ask(site(upstream({})), question) == reply


BEHIND = (
    # what the upstream says of web.corp., which is a Service too, and the reply
    (Response(NOERROR, answer=(UPSTREAM,), plugin="forward"), "NOERROR web.corp. A"),
    (Response(NOERROR, plugin="forward"), "NOERROR"),
    (Response(SERVFAIL, plugin="forward"), "SERVFAIL"),
    (Response(REFUSED, plugin="forward"), "REFUSED"),
    (Response(NXDOMAIN, plugin="forward"), "NOERROR web.corp. A"),
)


@pytest.mark.parametrize(("said", "reply"), BEHIND)
async def test_whoever_is_behind_comes_first(said: Response, reply: str) -> None:
    """Only a NXDOMAIN from behind lets the cluster answer; a failure is no "no"."""
    served = site(upstream({"web.corp.": said}))
    assert await ask(served, "web.corp. A") == reply
    if said.answer:
        response, _ = await served.handle(Request(query("web.corp.", A), CLIENT, 40, "dns://:53", {}))
        assert response.answer == (UPSTREAM,)


async def test_a_dead_upstream_is_no_no() -> None:
    """What the upstream could not say stays unsaid."""
    with pytest.raises(UpstreamError):
        await ask(site(upstream({"web.corp.": UpstreamError("no answer")})), "web.corp. A")


async def test_without_an_upstream_the_cluster_answers() -> None:
    """At the end of the chain nobody knows the name, so nothing is taken from anybody."""
    assert await ask(site(refuse), "kubernetes.default. A") == "NOERROR kubernetes.default. A"
    assert await ask(site(refuse), "nope.default. A") == "REFUSED"


@pytest.mark.parametrize("denied", ["kubernetes.default.", "kubernetes.default.svc.cluster.local."])
async def test_a_denied_name_is_not_reached_by_its_other_form(denied: str) -> None:
    """acl decides on the short name and on the full one."""
    served = site(upstream({}), denied=parse_name(denied))
    assert await ask(served, "kubernetes.default. A") == "REFUSED"


async def test_it_is_counted_under_its_name() -> None:
    """Metrics say who answered."""
    response, zone = await site(upstream({})).handle(Request(query("kubernetes.default.", A), CLIENT, 40, "", {}))
    assert (response.plugin, zone) == ("shortnames", ".")


def test_another_zone_may_be_named() -> None:
    """``shortnames ZONE`` looks in that zone."""
    parts = FakeParts()
    assert shortnames.parse(directives("shortnames Cluster.Example"), parts.place).zone == "cluster.example."
    for wrong in ("shortnames a b", "shortnames {\n x\n}", "shortnames\nshortnames", "shortnames 10.0.0.0/15"):
        with pytest.raises(ConfigError):
            shortnames.parse(directives(wrong), parts.place)


def test_the_fast_way_passes_names_of_the_form_on() -> None:
    """A name that may be short is never served from octets that a plugin behind has ready; all others may be."""
    short = shortnames.ShortNames(parse_name("cluster.local."), refuse)
    names = ("web.corp.", "web.corp.svc.", "web.com.", "web.", "a.b.c.", "www.example.com.", "cluster.local.")
    seen = {name for name in (*names, "web.corp.svc.cluster.local.") if short.sees(parse_name(name), False)}
    assert seen == {"web.corp.", "web.corp.svc."}
    below = {name for name in (".", "corp.", "corp.svc.", "example.com.", "default.svc.cluster.local.", "com.a.b.c.")
             if short.sees(parse_name(name), True)}  # fmt: skip
    assert below == {".", "corp.", "corp.svc."}
