"""`autopath`: one question instead of five, and nobody gets what a walk of his own would not have got him."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from kdns.base.errors import ConfigError, UpstreamError
from kdns.config.settings import KubernetesOptions, PodMode
from kdns.dns.api.handler import Handler, Request, Response, chain
from kdns.dns.plugins import acl, autopath
from kdns.dns.plugins.kubernetes import built as kubernetes_built
from kdns.records.answers import Answers
from kdns.records.clients import Unidentified
from kdns.wire.name import name_text
from kdns.wire.numbers import NXDOMAIN, SERVFAIL
from tests.address_plan import NOW
from tests.build import Thing, change, packed, pod, view
from tests.dns.parts import FakeParts
from tests.dns.plugins.asking import built, client, mistakes, ready, request, response, takes_the_fast_way, words
from tests.records.zone_text import cluster

POD = pod("shop/client-0", "10.1.0.7")
OBJECTS: tuple[Thing, ...] = (
    POD,
    pod("shop/six", "fd00::7"),
    pod("shop/node-a", "192.0.2.1"),
    pod("infra/node-b", "192.0.2.1"),
    pod("shop/host-a", "192.0.2.2"),
    pod("shop/host-b", "192.0.2.2"),
    view("shop/web", ips=("10.96.0.9",)),
    view("infra/log", ips=("10.96.0.8",)),
    view("com/example", ips=("10.96.0.7",)),
)
OUTSIDE: Mapping[str, Response | Exception] = {
    "www.example.com.": response("www.example.com. 60 A 198.51.100.1"),
    "alias.test.": response("alias.test. 60 CNAME real.test.", "real.test. 5 A 198.51.100.2"),
    "empty.test.": response(),
    "intra.corp.test.": response("intra.corp.test. 60 A 198.51.100.3"),
    "broken.test.": Response(SERVFAIL, plugin="forward"),
    "bug.test.": UpstreamError("down"),
    "nobody.test.": Response(SERVFAIL, unclaimed=True),
    "dropped.test.": Response(dropped=True),
}
ZONE = "svc.cluster.local."


def outside(asked: list[str]) -> Handler:
    """The end of the chain."""

    async def handle(asker: Request) -> Response:
        name = name_text(asker.query.name)
        asked.append(name)
        found = OUTSIDE.get(name, Response(NXDOMAIN, plugin="forward"))
        if isinstance(found, Exception):
            raise found
        return found

    return handle


def shop() -> Answers:
    """A cluster that knows its Pods."""
    return cluster(*OBJECTS, options=KubernetesOptions(pods="verified", by_client=True))


async def walk(
    question: str, address: str = "10.1.0.7", *, rules: str = "", search: str = "", answers: Answers | None = None
) -> tuple[str, list[str], float]:
    """The reply, the names that were asked outside, and what was counted."""
    answers = answers or shop()
    parts = FakeParts(offers={"kubernetes": answers})
    path = built(autopath, "autopath @kubernetes", parts)
    plugins = [path.plugin, built(acl, rules, parts).plugin if rules else None, kubernetes_built(answers).plugin]
    asked: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(autopath, "_read", lambda _: search)
        assert path.start is not None
        await path.start()
    handler = chain([plugin for plugin in plugins if plugin is not None], outside(asked))
    reply = words(await handler(request(question, asker=client(address))))
    soa = reply.split(" | -- ", maxsplit=1)
    return soa[0], asked, parts.value("coredns_autopath_success_total") or 0.0


CASES: tuple[tuple[str, str, list[str], int], ...] = (
    # question, reply, names asked outside, counted
    (f"www.example.com.shop.{ZONE} A",
     f"NOERROR aa | www.example.com.shop.{ZONE} 60 CNAME www.example.com. | www.example.com. 60 A 198.51.100.1",
     ["www.example.com."], 1),
    (f"WWW.example.com.Shop.{ZONE} A",
     f"NOERROR aa | www.example.com.shop.{ZONE} 60 CNAME www.example.com. | www.example.com. 60 A 198.51.100.1",
     ["www.example.com."], 1),
    (f"alias.test.shop.{ZONE} A",
     f"NOERROR aa | alias.test.shop.{ZONE} 60 CNAME alias.test. | alias.test. 60 CNAME real.test. | "
     "real.test. 5 A 198.51.100.2", ["alias.test."], 1),
    (f"empty.test.shop.{ZONE} AAAA", "NOERROR aa", ["empty.test."], 1),
    (f"nope.test.shop.{ZONE} A", "NXDOMAIN aa", ["nope.test."], 0),
    (f"broken.test.shop.{ZONE} A", "SERVFAIL", ["broken.test."], 1),
    (f"nobody.test.shop.{ZONE} A", "NXDOMAIN aa", ["nobody.test."], 0),
    (f"dropped.test.shop.{ZONE} A", "dropped", ["dropped.test."], 1),
    # in the cluster
    (f"web.shop.{ZONE} A", f"NOERROR aa | web.shop.{ZONE} 5 A 10.96.0.9", [], 0),
    (f"web.shop.{ZONE} AAAA", "NOERROR aa", [], 0),
    (f"log.infra.shop.{ZONE} A",
     f"NOERROR aa | log.infra.shop.{ZONE} 5 CNAME log.infra.{ZONE} | log.infra.{ZONE} 5 A 10.96.0.8", [], 1),
    (f"log.infra.svc.shop.{ZONE} A",
     f"NOERROR aa | log.infra.svc.shop.{ZONE} 5 CNAME log.infra.{ZONE} | log.infra.{ZONE} 5 A 10.96.0.8", [], 1),
    # not below the first element
    (f"shop.{ZONE} A", "NOERROR aa", [], 0),
    (f"www.example.com.{ZONE} A", "NXDOMAIN aa", [], 0),
    (f"www.example.com.infra.{ZONE} A", "NXDOMAIN aa", [], 0),
    ("www.example.com. A", "NOERROR aa | www.example.com. 60 A 198.51.100.1", ["www.example.com."], 0),
    (f"www.example.com.badshop.{ZONE} A", "NXDOMAIN aa", [], 0),
)  # fmt: skip


@pytest.mark.parametrize(("question", "reply", "asked", "counted"), CASES)
async def test_walks(question: str, reply: str, asked: list[str], counted: int) -> None:
    """The first name that is not NXDOMAIN, under the name that was asked."""
    assert await walk(question) == (reply, asked, counted)


@pytest.mark.parametrize(
    ("address", "known"),
    [("10.1.0.7", True), ("fd00::7", True), ("::ffff:10.1.0.7", True), ("192.0.2.2", True),
     ("10.1.0.8", False), ("192.0.2.1", False), ("fe80::1%eth0", False)],
)  # fmt: skip
async def test_clients(address: str, known: bool) -> None:
    """Only whose Namespace is known: not strangers, nor those on a node's network with Pods of several Namespaces."""
    reply, asked, _ = await walk(f"www.example.com.shop.{ZONE} A", address)
    assert bool(asked) is known
    assert reply.startswith("NOERROR" if known else "NXDOMAIN")


async def test_pods_come_and_go() -> None:
    """An address belongs to the Pod that has it now."""
    answers = shop()
    answers.apply(change(POD, None), NOW)
    assert (await walk(f"www.example.com.shop.{ZONE} A", answers=answers))[1] == []
    answers.apply(change(None, pod("infra/other", "10.1.0.7")), NOW)
    assert (await walk(f"www.example.com.shop.{ZONE} A", answers=answers))[1] == []
    assert (await walk(f"www.example.com.infra.{ZONE} A", answers=answers))[1] == ["www.example.com."]
    answers.apply(change(pod("infra/other", "10.1.0.7"), None), NOW)
    assert answers.zone.cluster.clients.lookup(packed("10.1.0.7")) is Unidentified.UNKNOWN


async def test_the_hosts_search_list() -> None:
    """It comes behind the cluster's and before the name alone; of several lines the last one counts."""
    search = "nameserver 192.0.2.53\nsearch old.test\ndomain corp.test ignored\n"
    reply, asked, _ = await walk(f"intra.shop.{ZONE} A", search=search)
    assert asked == ["intra.corp.test."]
    assert reply.split(" | ")[1] == f"intra.shop.{ZONE} 60 CNAME intra.corp.test."
    assert (await walk(f"none.shop.{ZONE} A", search=search))[1] == ["none.corp.test.", "none."]


@pytest.mark.parametrize(
    ("rules", "reply"),
    [
        ("acl example.com {\n block\n}", "REFUSED"),
        ("acl example.com {\n filter\n}", "NOERROR aa"),
        ("acl example.com {\n drop\n}", "dropped"),
        ("acl cluster.local {\n block\n}", "REFUSED"),
    ],
)
async def test_acl_decides_on_each_name(rules: str, reply: str) -> None:
    """A name that is denied is not reached through a walk."""
    found, asked, _ = await walk(f"www.example.com.shop.{ZONE} A", rules=rules)
    assert found.replace(" aa", "") == reply.replace(" aa", "")
    assert asked == []


async def test_a_lookup_that_fails_ends_the_walk() -> None:
    """Not knowing is not "no"."""
    with pytest.raises(UpstreamError):
        await walk(f"bug.test.shop.{ZONE} A")


async def test_a_name_that_grows_too_long_is_left_out() -> None:
    """Names of over 255 octets are skipped; the others are asked."""
    left = ".".join(["x" * 60] * 3)
    search = f"search {'y' * 50}.{'z' * 50}.test"
    assert (await walk(f"{left}.shop.{ZONE} A", search=search))[1] == [f"{left}."]


async def test_a_file(tmp_path: Path) -> None:
    """Its list is everybody's."""
    (tmp_path / "resolv.conf").write_text("search a.test corp.test\n")
    made = built(autopath, "autopath a.test resolv.conf", FakeParts(folder=str(tmp_path)))
    assert made.start is not None
    assert made.plugin is not None
    await made.start()
    asked: list[str] = []
    handler = chain((made.plugin,), outside(asked))
    reply = words(await handler(request("intra.a.test. A", asker=client("203.0.113.9"))))
    assert reply.startswith("NOERROR aa | intra.a.test. 60 CNAME intra.corp.test.")
    assert asked == ["intra.a.test.", "intra.corp.test."]
    await handler(request("x.b.test. A"))
    assert asked[2:] == ["x.b.test."]
    missing = built(autopath, "autopath missing.conf", FakeParts(folder=str(tmp_path)))
    assert missing.start is not None
    with pytest.raises(ConfigError, match=r"missing\.conf: No such file"):
        await missing.start()


def test_the_fast_way() -> None:
    """What exists is sent at once; a "no" below a Namespace may be the beginning of a walk."""
    made = built(autopath, "autopath @kubernetes", FakeParts(offers={"kubernetes": shop()}))
    no = ready(rcode=NXDOMAIN)
    assert takes_the_fast_way(made, f"web.shop.{ZONE}")
    assert not takes_the_fast_way(made, f"nope.shop.{ZONE}", no)
    assert takes_the_fast_way(made, "nope.cluster.local.", no)
    assert takes_the_fast_way(made, f"nope.bad{ZONE}", no)


def test_there_must_be_a_cluster() -> None:
    """Said when the block is built."""
    with pytest.raises(ConfigError, match="no cluster to know clients from"):
        built(autopath, "autopath @kubernetes", FakeParts())


@pytest.mark.parametrize("pods", ["disabled", "insecure"])
def test_a_cluster_that_does_not_know_clients(pods: PodMode) -> None:
    """As in CoreDNS there is no walk, and no answer depends on one: it is a warning, and the fast path stays."""
    parts = FakeParts(offers={"kubernetes": cluster(*OBJECTS, options=KubernetesOptions(pods=pods))})
    made = built(autopath, "autopath @kubernetes", parts)
    (warning,) = parts.warnings
    assert "1:10: autopath @kubernetes is left out: without `pods verified`" in warning
    assert made.plugin is None
    assert takes_the_fast_way(made, f"nope.shop.{ZONE}", ready(rcode=NXDOMAIN))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("autopath", "1:1 'autopath' needs at least 1 argument, got 0"),
        ("autopath @erratic", "1:10 '@erratic' knows no search lists"),
        ("autopath a..b @kubernetes", "1:10 no zone: empty label in 'a..b'"),
        ("autopath @kubernetes {\n x\n}", "2:2 'autopath' has no block"),
        ("autopath @kubernetes\nautopath @kubernetes", "2:1 'autopath' stands twice in this server block"),
    ],
)
def test_mistakes(text: str, told: str) -> None:
    """Each with its place."""
    assert mistakes(autopath, text, FakeParts()) == told
