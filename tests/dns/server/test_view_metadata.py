"""What a view reads is known before the chain: which server block answers depends on who asks, and for what.

Expected values are CoreDNS's (view README, and core/dnsserver/server.go, which collects metadata before the filter);
what cannot be known is a mistake of the Corefile here.
"""

from pathlib import Path
from typing import Final

import pytest
from msgspec.structs import replace
from prometheus_client import CollectorRegistry

from kdns.base.errors import ConfigError, UpstreamError
from kdns.config.settings import KubernetesOptions
from kdns.dns.query.router import Router
from kdns.dns.server.block import RunningServerBlock, routers
from kdns.dns.server.clusters import Clusters
from kdns.dns.server.context import ServerContext
from kdns.metrics.dns import Metrics
from kdns.records.answers import Answers
from kdns.wire.rcodes import RCODE_TEXT
from tests.address_plan import NOW
from tests.build import Thing, change, namespace, pod, tcp, view
from tests.dns.plugins.asking import client, request, words
from tests.dns.server.test_plan import no_source, plans
from tests.records.zone_text import cluster

OBJECTS: Final[tuple[Thing, ...]] = (
    *(namespace(name) for name in ("team-a", "team-b", "shop")),
    replace(pod("team-a/client", "10.1.0.7"), labels=(("app", "web"), ("example.org/tier", "front"))),
    pod("team-b/other", "10.1.0.8"),
    pod("team-a/one", "10.1.0.9"),
    pod("team-b/two", "10.1.0.9"),
    view("shop/web", ips=("10.96.0.2",), ports=(tcp(80, "http"),)),
)


class GivenClusters(Clusters):
    """Every ``kubernetes`` has these objects; nothing is followed."""

    def __init__(self, *things: Thing, synced: bool = True) -> None:
        super().__init__(no_source, Metrics())
        self._things, self._synced = things, synced
        self.made: list[Answers] = []

    def answers(self, options: KubernetesOptions) -> Answers:
        """A cluster of its own for each block."""
        found = cluster(*self._things, options=options)
        found.synced = self._synced
        self.made.append(found)
        return found


def context(clusters: Clusters) -> ServerContext:
    """What the blocks share."""
    return ServerContext(Metrics(), CollectorRegistry(), clusters, lambda _: None)


def served(text: str, clusters: Clusters | None = None, folder: str = "") -> list[Router]:
    """A Corefile, built: what is served in each place."""
    shared = context(clusters or GivenClusters(*OBJECTS))
    return list(routers([RunningServerBlock(plan, shared) for plan in plans(text, folder)]).values())


def corefile(expressions: str, kubernetes: str = "pods verified", first: str = "metadata", key: str = "corp") -> str:
    """A first block with a view, in which everything is blocked, and a second one that answers."""
    lines = "\n".join(f"expr {each}" for each in expressions.splitlines())
    return (
        f"{key}:53 {{\n{first}\nview special {{\n{lines}\n}}\nkubernetes cluster.local corp {{\n{kubernetes}\n}}\n"
        f"acl {{\nblock\n}}\n}}\n"
        f"{key}:53 {{\nhosts {{\n10.0.0.2 secret.corp web.shop.svc.corp\n}}\n}}\n"
    )


BLOCKED, ANSWERED = "REFUSED", "NOERROR aa | secret.corp. 3600 A 10.0.0.2"
A_IS_A = "metadata('kubernetes/client-namespace') == 'team-a'"
CASES = (
    # the expressions, who asks, what is answered
    (A_IS_A, "10.1.0.7", BLOCKED),
    (A_IS_A, "::ffff:10.1.0.7", BLOCKED),
    (A_IS_A, "10.1.0.8", ANSWERED),
    (A_IS_A, "192.0.2.1", ANSWERED),
    (A_IS_A, "10.1.0.9", ANSWERED),
    ("metadata('kubernetes/client-namespace') != 'team-a'", "10.1.0.7", ANSWERED),
    ("metadata('kubernetes/client-namespace') != 'team-a'", "10.1.0.8", BLOCKED),
    ("metadata('kubernetes/client-namespace') in ['team-a', 'team-b']", "10.1.0.8", BLOCKED),
    ("metadata('kubernetes/client-namespace') in ['team-a', 'team-b']", "192.0.2.1", ANSWERED),
    ("metadata('kubernetes/client-pod-name') == 'client'", "10.1.0.7", BLOCKED),
    ("metadata('kubernetes/client-label/app') == 'web'", "10.1.0.7", BLOCKED),
    ("metadata('kubernetes/client-label/example.org/tier') startsWith 'fr'", "10.1.0.7", BLOCKED),
    ("metadata('kubernetes/client-label/app') == 'web'", "10.1.0.8", ANSWERED),
    ("metadata('view/name') == 'special'", "192.0.2.1", BLOCKED),
    (f"{A_IS_A}\ntype() == 'AAAA'", "10.1.0.7", ANSWERED),
    (f"{A_IS_A}\ntype() == 'A'", "10.1.0.7", BLOCKED),
    (f"type() == 'A' && {A_IS_A}", "10.1.0.7", BLOCKED),
)


@pytest.mark.parametrize(("expressions", "address", "expected"), CASES)
@pytest.mark.parametrize("proto", ["udp", "tls", "https"])
async def test_who_asks_decides(expressions: str, address: str, expected: str, proto: str) -> None:
    """The Pod that has the client's address is known to the view, whatever the transport."""
    (router,) = served(corefile(expressions))
    asked = request("secret.corp. A", None, client(address, proto))
    response, _ = await router.handle(asked)
    assert words(response).split(" | ++")[0] == expected


NAMES = (
    ("metadata('kubernetes/namespace') == 'shop'", "web.shop.svc.corp. A", BLOCKED),
    ("metadata('kubernetes/service') == 'web'", "web.shop.svc.corp. A", BLOCKED),
    ("metadata('kubernetes/kind') == 'svc'", "web.shop.svc.corp. A", BLOCKED),
    ("metadata('kubernetes/service') == 'web'", "secret.corp. A", ANSWERED),
    ("metadata('kubernetes/parse-error') != ''", "secret.corp. A", BLOCKED),
    (A_IS_A, "web.shop.svc.corp. A", BLOCKED),
)


@pytest.mark.parametrize(("expression", "name", "expected"), NAMES)
async def test_what_is_asked_decides(expression: str, name: str, expected: str) -> None:
    """The parts of a cluster's name are known to the view; names that could be answered fast are no exception."""
    (router,) = served(corefile(expression))
    asked = request(name, None, client("10.1.0.7"))
    assert router.find(asked.query) is None
    response, _ = await router.handle(asked)
    assert words(response) == expected


async def test_the_zones_of_metadata_hold() -> None:
    """Names outside of them have no metadata, as in the chain."""
    (router,) = served(corefile(A_IS_A, first="metadata other.corp"))
    response, _ = await router.handle(request("secret.corp. A", None, client("10.1.0.7")))
    assert words(response) == ANSWERED
    response, _ = await router.handle(request("x.other.corp. A", None, client("10.1.0.7")))
    assert words(response) == BLOCKED


async def test_a_pod_that_comes_later_is_known() -> None:
    """The next question sees the change."""
    clusters = GivenClusters(*OBJECTS)
    (router,) = served(corefile(A_IS_A), clusters)
    asked = request("secret.corp. A", None, client("10.1.0.77"))
    assert words((await router.handle(asked))[0]) == ANSWERED
    clusters.made[0].apply(change(None, pod("team-a/late", "10.1.0.77")), NOW)
    assert words((await router.handle(asked))[0]) == BLOCKED


async def test_not_knowing_is_no_no() -> None:
    """Before the first sync it is not known who asks: the next block must not answer."""
    (router,) = served(corefile(A_IS_A), GivenClusters(*OBJECTS, synced=False))
    with pytest.raises(UpstreamError) as raised:
        await router.handle(request("secret.corp. A", None, client("10.1.0.7")))
    assert RCODE_TEXT[raised.value.rcode] == "SERVFAIL"


async def test_the_block_sees_the_view_it_is_in() -> None:
    """What a view that did not want the request has read is gone; the chosen one's stays for the chain."""
    text = corefile(A_IS_A) + corefile("metadata('kubernetes/client-namespace') == 'team-b'").replace("special", "b")
    third = text.split("corp:53")
    (router,) = served("corp:53".join((*third[:2], third[3])))
    asked = request("secret.corp. A", None, client("10.1.0.8"))
    await router.handle(asked)
    assert asked.metadata["view/name"] == "b"
    assert asked.metadata["kubernetes/client-namespace"] == "team-b"


async def test_shorter_zones_are_tried() -> None:
    """If no view of the longest zone wants a request, the blocks of shorter zones may answer, as in CoreDNS."""
    longer = corefile(A_IS_A).split("corp:53")[1]
    (router,) = served(f"corp:53{longer}.:53 {{\nhosts {{\n10.0.0.3 secret.corp\n}}\n}}\n")
    response, zone = await router.handle(request("secret.corp. A", None, client("10.1.0.8")))
    assert (words(response), zone) == ("NOERROR aa | secret.corp. 3600 A 10.0.0.3", ".")
    response, zone = await router.handle(request("secret.corp. A", None, client("10.1.0.7")))
    assert (words(response), zone) == (BLOCKED, "corp.")


UNKNOWABLE = (
    # expression, the kubernetes block, the plugins in front; the problem, the hint
    ("metadata('forward/upstream') == ''", "pods verified", "metadata", "a view cannot read forward/upstream", "chain"),
    ("metadata('log/class') == 'x'", "pods verified", "metadata", "a view cannot read log/class", "chain"),
    (
        "metadata('kubernetes/weather') == ''",
        "pods verified",
        "metadata",
        "has metadata 'kubernetes/weather'",
        "such as",
    ),
    ("metadata('kubernetes/client-namespce') == ''", "pods verified", "metadata", "has metadata", "client-namespace?"),
    ("metadata('geo/country') == ''", "pods verified", "metadata", "has metadata 'geo/country'", "such as"),
    ("metadata('') == ''", "pods verified", "metadata", "has metadata ''", "such as"),
    (A_IS_A, "pods verified", "errors", "nothing collects kubernetes/client-namespace", "metadata"),
    (A_IS_A, "pods insecure", "metadata", "needs the Pods: pods is insecure", "pods verified"),
    (A_IS_A, "pods disabled", "metadata", "needs the Pods: pods is disabled", "pods verified"),
    ("metadata('kubernetes/cluster') == ''", "pods verified", "metadata", "only with multicluster", "multicluster"),
    ("metadata('kubernetes/zone') == ''", "pods verified", "metadata", "only with zonal", "zonal"),
    ("metadata(name()) == ''", "pods verified", "metadata", "not known before a question comes", "'string'"),
    ("!(metadata('forward/upstream') in ['x'])", "pods verified", "metadata", "cannot read forward/upstream", "chain"),
)


@pytest.mark.parametrize(("expression", "kubernetes", "first", "problem", "hint"), UNKNOWABLE)
def test_what_cannot_be_known_is_a_mistake(
    expression: str, kubernetes: str, first: str, problem: str, hint: str
) -> None:
    """kdns does not start, and says at which word, why, and what to do."""
    with pytest.raises(ConfigError) as raised:
        served(corefile(expression, kubernetes, first))
    assert problem in raised.value.problem
    assert hint in raised.value.hint
    assert raised.value.at is not None
    assert raised.value.at.line == 4


def test_without_the_cluster_there_is_no_client() -> None:
    """The plugin that would know is named."""
    with pytest.raises(ConfigError, match="needs the plugin kubernetes"):
        served(f".:53 {{\nmetadata\nview a {{\nexpr {A_IS_A}\n}}\n}}\n")


GEO = """
from kdns.dns.api.plugin import Built
NAME = "geo"
BEFORE = "{where}"

def parse(directives, place):
    return None

def build(options, parts):
    if {offers}:
        parts.offer("metadata/geo", lambda request: request.metadata.update({{"geo/country": "XX"}}))
    return Built()
"""


@pytest.mark.parametrize("where", ["metadata", "forward"])
async def test_metadata_of_a_plugin_from_a_folder(tmp_path: Path, where: str) -> None:
    """It is there wherever the plugin stands."""
    (tmp_path / "geo.py").write_text(GEO.format(where=where, offers=True))
    text = corefile("metadata('geo/country') == 'XX'", first="metadata\ngeo")
    (router,) = served(text, folder=str(tmp_path))
    assert words((await router.handle(request("secret.corp. A")))[0]) == BLOCKED


async def test_a_plugin_from_a_folder_that_offers_none(tmp_path: Path) -> None:
    """The block does not start: the key would be empty for ever."""
    (tmp_path / "geo.py").write_text(GEO.format(where="forward", offers=False))
    text = corefile("metadata('geo/country') == 'XX'", first="metadata\ngeo")
    live = RunningServerBlock(plans(text, str(tmp_path))[0], context(GivenClusters(*OBJECTS)))
    with pytest.raises(ConfigError, match="plugin geo offers no metadata"):
        await live.start()
