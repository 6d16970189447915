"""metadata: what is known of a question before it is answered."""

import pytest
from msgspec.structs import replace

from kdns.config.settings import KubernetesOptions, PodMode
from kdns.dns.api.handler import Request
from kdns.dns.plugins import metadata
from kdns.dns.plugins.metadata import of_cluster_names
from kdns.records.clients import Client, Unidentified
from kdns.wire.name import parse_name
from kdns.wire.numbers import A
from tests.address_plan import NOW
from tests.build import Thing, change, packed, pod
from tests.dns.parts import FakeParts
from tests.dns.plugins.asking import built, handler, mistakes, request, takes_the_fast_way
from tests.records.zone_text import cluster

KEYS = ("port-name", "protocol", "endpoint", "service", "namespace", "kind")
NAMES = (
    ("web.shop.svc.cluster.local.", "service=web namespace=shop kind=svc"),
    ("_http._tcp.web.shop.svc.cluster.local.", "port-name=http protocol=tcp service=web namespace=shop kind=svc"),
    ("db-0.db.shop.svc.cluster.local.", "endpoint=db-0 service=db namespace=shop kind=svc"),
    ("10-1-0-7.shop.pod.cluster.local.", "service=10-1-0-7 namespace=shop kind=pod"),
    ("shop.svc.cluster.local.", "namespace=shop kind=svc"),
    ("svc.cluster.local.", "kind=svc"),
    ("cluster.local.", ""),
    ("a.b.c.web.shop.svc.cluster.local.", "parse-error=invalid request"),
    ("web.shop.cluster.local.", "parse-error=invalid request"),
)


@pytest.mark.parametrize(("name", "said"), NAMES)
def test_what_a_name_of_the_cluster_says(name: str, said: str) -> None:
    """Its parts, under kubernetes/; empty ones are there as well."""
    asked = request(name)
    of_cluster_names((parse_name("cluster.local."),))(asked)
    found = {key.removeprefix("kubernetes/"): value for key, value in asked.metadata.items() if value}
    assert " ".join(f"{key}={found[key]}" for key in (*KEYS, "parse-error") if key in found) == said
    assert set(asked.metadata) in ({f"kubernetes/{key}" for key in KEYS}, {"kubernetes/parse-error"})


NAMES_OF_SETS = (
    ("web-0.east.db.shop.svc.set.local.", "endpoint=web-0 cluster=east service=db namespace=shop kind=svc"),
    ("_http.tcp.db.shop.svc.set.local.", "port-name=http protocol=tcp service=db namespace=shop kind=svc"),
    ("eu.a.pin._zone.db.shop.svc.cluster.local.", "zone=eu.a service=db namespace=shop kind=svc"),
    ("a.near._zone.db.shop.svc.cluster.local.", "parse-error=invalid request"),
)


@pytest.mark.parametrize(("name", "said"), NAMES_OF_SETS)
def test_names_with_more_parts(name: str, said: str) -> None:
    """Endpoints of ServiceImports have a cluster, and some names a topology zone."""
    asked = request(name)
    imports = parse_name("set.local.")
    of_cluster_names((parse_name("cluster.local."), imports), frozenset((imports,)), zonal=True)(asked)
    found = {key.removeprefix("kubernetes/"): value for key, value in asked.metadata.items() if value}
    order = (*KEYS[:3], "cluster", "zone", *KEYS[3:], "parse-error")
    assert " ".join(f"{key}={found[key]}" for key in order if key in found) == said


async def client_of(
    *things: Thing, address: str = "10.0.0.7", pods: PodMode = "verified", labelled: bool = True
) -> str:
    """What `kubernetes` beside `metadata` tells of a client."""
    answers = cluster(*things, options=KubernetesOptions(pods=pods, by_client=True, labelled=labelled))
    made = built(metadata, "metadata", FakeParts(zones=(".",), offers={"kubernetes": answers}))
    asked = request("web.test.")
    asked = asked._replace(client=asked.client._replace(address=address))
    await handler(made)(asked)
    return " ".join(f"{key.removeprefix('kubernetes/client-')}={value}" for key, value in asked.metadata.items())


WEB = replace(pod("shop/web-0", "10.0.0.7"), labels=(("app", "web"), ("example.org/tier", "front")))
OTHER = pod("shop/other", "10.0.0.7")
SIX = pod("shop/six", "fd00::7")
TOLD = "namespace=shop pod-name=web-0 label/app=web label/example.org/tier=front"


async def test_the_client() -> None:
    """The Pod that has the client's address, for names of any zone; nothing if several Pods have it, or none."""
    assert await client_of(WEB, SIX) == TOLD
    assert await client_of(WEB, SIX, address="::ffff:10.0.0.7") == TOLD
    assert await client_of(WEB, SIX, address="fd00::7") == "namespace=shop pod-name=six"
    assert await client_of(WEB, SIX, address="10.0.0.8") == ""
    assert await client_of(WEB, OTHER) == ""
    assert await client_of(WEB, pods="insecure") == ""


def test_a_client_that_changes() -> None:
    """Labels that change are told as they are now, and are no change of any name."""
    answers = cluster(WEB, options=KubernetesOptions(pods="verified", by_client=True, labelled=True))
    found = answers.find(parse_name("10-0-0-7.shop.pod.cluster.local."), A)
    assert found is not None
    answers.apply(change(WEB, newer := replace(WEB, labels=(("app", "api"),))), NOW)
    live = [found.live]
    clients = answers.zone.cluster.clients
    assert clients.lookup(packed("10.0.0.7")) == Client(newer.key, newer.labels, "")
    answers.apply(change(newer, None), NOW)
    assert [*live, found.live] == [True, False]
    assert clients.lookup(packed("10.0.0.7")) is Unidentified.UNKNOWN


def test_a_name_elsewhere_says_nothing() -> None:
    """A name outside of the cluster's zones has no such metadata."""
    asked = request("web.test.")
    of_cluster_names((parse_name("cluster.local."),))(asked)
    assert asked.metadata == {}


def tell(asked: Request) -> None:
    """What some plugin knows."""
    asked.metadata["forward/colour"] = "blue"


@pytest.mark.parametrize(
    ("text", "name", "told"),
    [
        ("metadata", "a.test.", True),
        ("metadata", "a.other.", False),
        ("metadata other", "a.other.", True),
        ("metadata other", "a.test.", False),
        ("metadata other", "another.", False),
    ],
)
async def test_plugins_are_asked_in_its_zones(text: str, name: str, told: bool) -> None:
    """What plugins offer is there for names in its zones; those of the block if it has none."""
    made = built(metadata, text, FakeParts(zones=("test.",), offers={"metadata/forward": tell}))
    asked = request(name)
    await handler(made)(asked)
    assert asked.metadata == ({"forward/colour": "blue"} if told else {})


def test_the_fast_way() -> None:
    """It makes no difference to what is ready."""
    assert takes_the_fast_way(built(metadata, "metadata", FakeParts()), "web.test.")


MISTAKES = (
    ("metadata a..b", "1:10 no zone: empty label in 'a..b'"),
    ("metadata {\n x\n}", "2:2 'metadata' has no block"),
    ("metadata\nmetadata", "2:1 'metadata' stands twice in this server block"),
)


@pytest.mark.parametrize(("text", "problem"), MISTAKES)
def test_mistakes_have_places(text: str, problem: str) -> None:
    """What is wrong with the directive is told at its place."""
    assert mistakes(metadata, text, FakeParts()) == problem
