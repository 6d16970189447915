"""With plugins in front of the cluster, the fast way gives the octets, and leaves the lines, of the chain."""

from importlib import import_module
from pathlib import Path

import pytest

from kdns.dns.api.handler import chain
from kdns.dns.api.plugin import Built, MustSee, PrecompiledAnswer, sees_nothing
from kdns.dns.plugins.kubernetes import built as cluster_built
from kdns.dns.query.responder import Responder, SocketResponder
from kdns.dns.query.router import RoutedBlock, Router
from kdns.records.answers import Answer
from kdns.wire.compose import compose_sections
from kdns.wire.name import ROOT, parse_name
from kdns.wire.numbers import AAAA, ANY, NXDOMAIN, SRV, A
from kdns.wire.query import edns_option
from tests.config.text import directives
from tests.dns.messages import Opt, query, replies
from tests.dns.parts import FakeParts
from tests.dns.plan import NAMES, OBJECTS, OPTIONS
from tests.dns.plugins.asking import question
from tests.examples import examples
from tests.records.zone_text import cluster

HOSTS = "10.9.9.9 web.shop.svc.cluster.local *.nope.svc.cluster.local\n10.96.0.9 named.test\n"
CHAINS = (
    "log",
    "log . {\n class denial\n}",
    "log . {\n class error\n}",
    "log db.shop.svc.cluster.local {\n class denial\n}",
    "log nope.shop.svc.cluster.local {\n class denial\n}\nlog . {\n class success\n}",
    "log {\n every 3\n}",
    "log . {\n class denial\n every 2\n}",
    "log . {\n rcode NXDOMAIN SERVFAIL\n every 2\n}",
    "log shop.svc.cluster.local {\n every 5\n}",
    "log nope.shop.svc.cluster.local {\n every 2\n}\nlog . {\n every 3\n}",
    "log web.shop.svc.cluster.local {\n every 2\n}\nlog cluster.local {\n class success\n every 2\n}",
    "minimal",
    "any",
    "bufsize 600",
    "bufsize",
    "local",
    "nsid here",
    "header {\n response clear aa\n}",
    "header {\n query clear rd\n}",
    "acl shop.svc.cluster.local {\n filter type A net 192.0.2.53\n}",
    "acl nope.shop.svc.cluster.local {\n block\n}",
    "acl cluster.local {\n allow type SRV\n block type AAAA\n}",
    "dns64 {\n allow_ipv4\n}",
    "dns64 {\n allow_ipv4\n translate_all\n}",
    "hosts hosts {\n fallthrough\n}",
    "hosts hosts shop.svc.cluster.local {\n fallthrough a.shop.svc.cluster.local\n}",
    "metadata",
    "loop",
    "chaos",
)


def of_siblings(names: tuple[bytes, ...]) -> list[bytes]:
    """The names, and neighbours of each that are asked for before and after it."""
    labels = (b"\4nope", b"\3web", b"\4noqe", b"\x09localhost", b"\2db")
    parents = dict.fromkeys(name[1 + name[0] :] for name in names if name[0])
    return [*names, *(label + parent for parent in parents for label in labels if len(label + parent) < 255)]


async def socket_responder(text: str, folder: Path, *, fast: bool) -> SocketResponder:
    """The plugin in front of a cluster; without the fast way, the chain alone."""
    parts = FakeParts(folder=str(folder))
    module = import_module(f"kdns.dns.plugins.{directives(text)[0].name.text}")
    made = module.build(module.parse(directives(text), parts.place), parts)
    if made.start is not None and text.startswith("hosts"):
        await made.start()
        await parts.close()
    behind = cluster_built(cluster(*OBJECTS, options=OPTIONS))
    handler = chain([each.plugin for each in (made, behind) if each.plugin is not None])
    block = RoutedBlock(zones={ROOT: "."}, handler=handler, built=(made, behind) if fast else ())
    return Responder(Router((block,))).for_socket("udp", 1, "dns://:53")


@pytest.mark.parametrize("text", CHAINS, ids=lambda text: " ".join(text.split()))
async def test_the_fast_way_is_only_faster(text: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """For every kind of question, asked twice, both ways give the same octets and the same lines.

    Each chain takes every third combination of name, type and form, its neighbours in the table take the others; with
    ``make fuzz`` each takes all.
    """
    caplog.set_level("INFO", "kdns.query")
    (tmp_path / "hosts").write_text(HOSTS)
    once = [
        query(name, rtype, opt=opt)
        for name in of_siblings(NAMES)
        for rtype in (A, AAAA, SRV, ANY)
        for opt in (None, Opt(), Opt(options=edns_option(10, b"cookie!!")), Opt(options=edns_option(3, b"")))
    ]
    messages = 2 * once[CHAINS.index(text) % 3 :: max(1, 3 // examples(1))]
    runs = []
    for fast in (True, False):
        caplog.clear()
        octets = await replies(await socket_responder(text, tmp_path, fast=fast), messages)
        runs.append((octets, [each.getMessage().rpartition(" ")[0] for each in caplog.records]))
    for message, one, other in zip(messages, runs[0][0], runs[1][0], strict=True):
        assert one == other, message.hex()
    assert runs[0][1] == runs[1][1]


def denies(must_see: MustSee, *, passing: bool) -> bool:
    """True if what is known of missing neighbours is used with such a plugin in front."""
    sections = compose_sections(parse_name("nope.a.test."))

    def find(_query: object) -> PrecompiledAnswer:
        return PrecompiledAnswer(Answer(NXDOMAIN, sections, (0, 0), shared=True), "behind", find, lambda _: None)

    asked: list[bytes] = []

    def known_children(parent: bytes) -> None:
        asked.append(parent)

    front = Built(must_see=must_see, ignores=(lambda _query, _found: True) if passing else None)
    behind = Built(precompiled=find, must_see=sees_nothing)
    site = Router((RoutedBlock(zones={ROOT: "."}, handler=chain(()), built=(front, behind)),))
    ready = site.find(question("nope.a.test."))
    if ready is None:
        return False
    site.known_children(parse_name("nope.a.test."), ready.answer._replace(known_children=known_children))
    return bool(asked)


NEIGHBOURS = (
    ("it sees nothing", lambda _name, _below: False, False, True),
    ("it sees everything", lambda _name, _below: True, False, False),
    ("it sees everything, and lets this pass", lambda _name, _below: True, True, True),
    ("it sees a neighbour only, and was not asked about this", lambda _name, below: below, True, False),
)


@pytest.mark.parametrize(("title", "must_see", "passing", "used"), NEIGHBOURS)
def test_what_passes_says_of_neighbours(title: str, must_see: MustSee, passing: bool, used: bool) -> None:
    """A "no" is taken for its neighbours only where each plugin in front would let those pass, too."""
    assert denies(must_see, passing=passing) is used, title
