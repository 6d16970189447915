"""`shortnames`: what busybox asks for is answered, and no name is taken from anyone else."""

import asyncio
from collections.abc import Mapping

import pytest

from kdns.base.errors import ConfigError, UpstreamError
from kdns.config.settings import KubernetesOptions
from kdns.dns.api.handler import Client, Handler, Request, Response, chain, end_of_chain
from kdns.dns.api.plugin import Built
from kdns.dns.plugins import shortnames
from kdns.dns.plugins.kubernetes import built
from kdns.dns.query.router import RoutedBlock, Router
from kdns.wire.name import ROOT, name_text, parse_name
from kdns.wire.numbers import AAAA, CNAME, NOERROR, NXDOMAIN, REFUSED, SERVFAIL, SRV, TXT, A
from kdns.wire.query import Query
from kdns.wire.rr import RR
from kdns.wire.types import type_text
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


SILENT = "silent"
"""An upstream that does not answer until the test says so."""


def upstream(knows: Mapping[str, Response | Exception | str], heard: asyncio.Event | None = None) -> Handler:
    """The end of the chain, as `forward`: what it knows, and NXDOMAIN for everything else.

    Where it is silent it fails once ``heard`` is set.
    """

    async def handle(request: Request) -> Response:
        reply = knows.get(name_text(request.query.name), knows.get("*", Response(NXDOMAIN, plugin="forward")))
        if isinstance(reply, str):
            await (heard or asyncio.Event()).wait()
            raise UpstreamError("i/o timeout")
        if isinstance(reply, Exception):
            raise reply
        return reply

    return handle


def site(
    following: Handler,
    denied: bytes = b"",
    *,
    down: bool = False,
    parts: FakeParts | None = None,
    cluster_of: tuple[Thing, ...] = OBJECTS,
) -> Router:
    """A server of one block: shortnames, the cluster, and what is behind them; one name is denied, as acl would.

    It has next to no patience with its upstream, unless it is to be seen ``down`` first.
    """
    answers = cluster(*cluster_of, options=KubernetesOptions())
    served: list[Router] = []

    async def lookup(request: Request) -> Response:
        return (await served[0].handle(request))[0]

    def acl(inner: Handler) -> Handler:
        async def handle(request: Request) -> Response:
            return Response(REFUSED, plugin="acl") if request.query.name == denied else await inner(request)

        return handle

    parts = parts or FakeParts()
    short_names = shortnames.ShortNames(
        parse_name("cluster.local."),
        lookup,
        down=lambda _: down,
        answered=parts.lasting(shortnames.LABELS, shortnames.AnsweredLabels),
        spawn=parts.spawn,
        patience=3600.0 if down else 0.001,
    )
    short = Built(plugin=short_names.plugin, must_see=short_names.must_see)
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
    records = [f"{name_text(rr.owner)} {type_text(rr.rtype)}" for rr in response.answer]
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
    # what the upstream says of a name that is a Service, too; the name; the reply
    (Response(NOERROR, answer=(UPSTREAM,), plugin="forward"), "web.corp.", "NOERROR web.corp. A"),
    (Response(NOERROR, plugin="forward"), "web.corp.", "NOERROR"),
    (Response(REFUSED, plugin="forward"), "kubernetes.default.", "REFUSED"),
    (Response(NXDOMAIN, plugin="forward"), "web.corp.", "NOERROR web.corp. A"),
    # it cannot say
    (Response(SERVFAIL, plugin="forward"), "kubernetes.default.", "NOERROR kubernetes.default. A"),
    (Response(SERVFAIL, plugin="cache"), "kubernetes.default.svc.", "NOERROR kubernetes.default.svc. A"),
    (UpstreamError("no healthy proxies"), "kubernetes.default.", "NOERROR kubernetes.default. A"),
    (SILENT, "kubernetes.default.", "NOERROR kubernetes.default. A"),
    (SILENT, "web.svc.", "NOERROR web.svc. A"),
    (SILENT, "web.corp.svc.", "NOERROR web.corp.svc. A"),
    # ... but other people may have such names
    (Response(SERVFAIL, plugin="forward"), "web.corp.", "SERVFAIL"),
    (UpstreamError("no healthy proxies"), "web.corp.", "UpstreamError"),
    (SILENT, "web.corp.", "UpstreamError"),
    (SILENT, "web.internal.", "UpstreamError"),
    (Response(SERVFAIL, plugin="forward"), "web.com.", "SERVFAIL"),
    (SILENT, "web.com.", "UpstreamError"),
    (SILENT, "web.dev.", "UpstreamError"),
    # ... and what the cluster does not have, it does not answer
    (Response(SERVFAIL, plugin="forward"), "nope.default.", "SERVFAIL"),
    (SILENT, "nope.default.", "UpstreamError"),
)


async def outcome(served: Router, question: str) -> str:
    """As `ask`, or the name of the error."""
    try:
        return await ask(served, question)
    except UpstreamError:
        return "UpstreamError"


@pytest.mark.parametrize("down", [False, True])
@pytest.mark.parametrize(("said", "name", "reply"), BEHIND)
async def test_what_stands_behind_comes_first(
    said: Response | Exception | str, name: str, reply: str, down: bool
) -> None:
    """The cluster answers after NXDOMAIN, or where the upstream cannot say and no one else is likely to have the name.

    With an upstream that is known to be down, it does so without patience.
    """
    heard = asyncio.Event()
    parts = FakeParts()
    served = site(upstream({name: said}, heard), down=down, parts=parts)
    asked = asyncio.create_task(outcome(served, f"{name} A"))
    if said == SILENT and reply == "UpstreamError":
        done, _ = await asyncio.wait((asked,), timeout=0.1)
        assert not done, "it waits for the upstream"
        heard.set()
    assert await asked == reply
    await parts.close()


@pytest.mark.parametrize("label", sorted(shortnames.PRIVATE))
async def test_private_labels_need_the_upstreams_no(label: bytes) -> None:
    """What people call their own networks is answered only where the upstream itself says NXDOMAIN."""
    text = label[1:].decode()
    served = {
        said: site(upstream({"*": reply}), cluster_of=(namespace(text), view(f"{text}/web", ips=("10.96.0.9",))))
        for said, reply in (("no", Response(NXDOMAIN, plugin="forward")), ("?", Response(SERVFAIL, plugin="forward")))
    }
    assert await ask(served["no"], f"web.{text}. A") == f"NOERROR web.{text}. A"
    assert await ask(served["?"], f"web.{text}. A") == "SERVFAIL"


async def test_labels_under_which_the_upstream_answered_are_its_own() -> None:
    """Once a name was answered under a label, a failure is no reason to answer from the cluster, reload or not."""
    parts = FakeParts()
    knows: dict[str, Response | Exception | str] = {
        "www.shop.default.": Response(
            NOERROR, answer=(UPSTREAM._replace(owner=parse_name("www.shop.default.")),), plugin="forward"
        ),
        "*": UpstreamError("i/o timeout"),
    }
    served = site(upstream(knows), parts=parts)
    assert await outcome(served, "kubernetes.default. A") == "NOERROR kubernetes.default. A"
    assert await outcome(served, "www.shop.default. A") == "NOERROR www.shop.default. A"
    assert await outcome(served, "kubernetes.default. A") == "UpstreamError"
    assert await outcome(site(upstream(knows), parts=parts), "kubernetes.default. A") == "UpstreamError"
    assert await outcome(served, "web.svc. A") == "NOERROR web.svc. A"


@pytest.mark.parametrize(
    ("plugin", "learned"), [("forward", True), ("of_my_own", True), ("hosts", False), ("cache", False), ("file", False)]
)
async def test_only_upstreams_have_labels(plugin: str, learned: bool) -> None:
    """A line of `hosts` under a Namespace's name takes nothing from the cluster."""
    knows: dict[str, Response | Exception | str] = {
        "registry.default.": Response(NOERROR, answer=(UPSTREAM,), plugin=plugin),
        "*": Response(SERVFAIL, plugin="forward"),
    }
    served = site(upstream(knows))
    assert await ask(served, "registry.default. A") == "NOERROR web.corp. A"
    assert await ask(served, "kubernetes.default. A") == ("SERVFAIL" if learned else "NOERROR kubernetes.default. A")


async def test_an_upstream_that_answers_everything_has_every_label() -> None:
    """The memory is bounded, and what does not fit in is the upstream's."""
    labels = shortnames.AnsweredLabels()
    for number in range(2 * shortnames.MAX_LABELS):
        labels.add(b"%d" % number)
    assert b"never" in labels


async def test_an_answer_that_comes_late_still_counts() -> None:
    """What the upstream says after the cluster has answered is waited for, and remembered."""
    heard = asyncio.Event()
    parts = FakeParts()

    async def late(request: Request) -> Response:
        await heard.wait()
        return Response(NOERROR, answer=(UPSTREAM._replace(owner=request.query.name),), plugin="forward")

    served = site(late, parts=parts)
    assert await ask(served, "kubernetes.default. A") == "NOERROR kubernetes.default. A"
    heard.set()
    await parts.settled()
    assert parse_name("default.")[:-1] in parts.lasting(shortnames.LABELS, shortnames.AnsweredLabels)


async def test_a_client_that_is_gone_ends_the_question_behind() -> None:
    """Cancelling the answer cancels what waits behind it."""
    cancelled = asyncio.Event()

    async def behind(_: Request) -> Response:
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()
        raise AssertionError

    asked = asyncio.create_task(ask(site(behind, down=False), "web.corp. A"))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    asked.cancel()
    await asyncio.wait_for(cancelled.wait(), 120)


async def test_without_an_upstream_the_cluster_answers() -> None:
    """At the end of the chain no one else knows the name; what is not the cluster's ends as every chain does."""
    assert await ask(site(end_of_chain), "kubernetes.default. A") == "NOERROR kubernetes.default. A"
    assert await ask(site(end_of_chain), "nope.default. A") == "SERVFAIL"


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
    parts = FakeParts()
    short = shortnames.build(shortnames.Options(), parts)
    names = ("web.corp.", "web.corp.svc.", "web.com.", "web.", "a.b.c.", "www.example.com.", "cluster.local.")
    seen = {name for name in (*names, "web.corp.svc.cluster.local.") if short.must_see(parse_name(name), False)}
    assert seen == {"web.corp.", "web.corp.svc."}
    below = {name for name in (".", "corp.", "corp.svc.", "example.com.", "default.svc.cluster.local.", "com.a.b.c.")
             if short.must_see(parse_name(name), True)}  # fmt: skip
    assert below == {".", "corp.", "corp.svc."}
