"""metadata: what is known of a question before it is answered."""

import pytest

from kdns.dns.handler import Request
from kdns.dns.plugins import metadata
from kdns.dns.plugins.metadata import of_cluster_names
from kdns.wire.name import parse_name
from tests.dns.parts import FakeParts
from tests.dns.plugins.asking import built, handler, mistakes, request, takes_the_fast_way

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
