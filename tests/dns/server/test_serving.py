"""What is served is exchanged: blocks that say the same are kept, and a failure leaves everything as it was."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from kdns.base.errors import ConfigError
from kdns.demo.ask import Question, ask
from kdns.dns.server.context import ServerContext
from kdns.dns.server.plan import plan_corefile
from kdns.dns.server.registry import Registry
from kdns.dns.server.serving import Serving
from tests.config.text import corefile
from tests.dns.server.test_plan import server_context
from tests.ports import free_port
from tests.running import until

SCRIPTED = """
from kdns.dns.api.handler import Response
from kdns.dns.api.plugin import Built

NAME = "scripted"
BEFORE = "forward"
STEPS = []

def parse(directives, place):
    return directives[0].args[0].text

def build(options, parts):
    async def start():
        STEPS.append(f"start {options}")
        if options == "fails":
            raise OSError("nothing there")

    async def close():
        STEPS.append(f"close {options}")

    def plugin(following):
        async def handle(request):
            return Response(int(options)) if options.isdigit() else Response(5)
        return handle

    return Built(plugin=plugin, start=start, close=close)
"""


@pytest.fixture
async def serving() -> AsyncIterator[Serving]:
    """Nothing is served yet."""
    made = Serving(server_context())
    yield made
    await made.close()


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    """With a plugin that answers with the rcode it is given."""
    (tmp_path / "scripted.py").write_text(SCRIPTED)
    return Registry(str(tmp_path))


async def install(serving: Serving, registry: Registry, text: str) -> None:
    """Serve a Corefile."""
    await serving.install(serving.build(plan_corefile(corefile(text), registry, "/")))


async def rcode(serving: Serving, name: str = "x.a.test", address: str = "127.0.0.1") -> str:
    """What is answered."""
    bound = next(one for one in serving.bound if one.address in {address, "0.0.0.0"})
    return (await ask(Question(name, "A"), address, bound.port)).rcode


async def test_blocks_that_say_the_same_are_kept(serving: Serving, registry: Registry) -> None:
    """Only the block that changed is started and closed, and each socket stays."""
    kept = "b.test:0 {\n bind 127.0.0.1\n scripted 2\n}\n"
    await install(serving, registry, "a.test:0 {\n bind 127.0.0.1\n scripted 3\n}\n" + kept)
    first, second = serving.blocks
    bound = serving.bound
    assert await rcode(serving) == "NXDOMAIN"
    await install(serving, registry, kept + "# moved\na.test:0 {\n bind 127.0.0.1\n scripted 0\n}\n")
    assert serving.blocks[0] is second
    assert serving.blocks[1] is not first
    assert serving.bound == bound
    assert await rcode(serving) == "NOERROR"
    assert await rcode(serving, "x.b.test") == "SERVFAIL"
    await serving.close()
    steps = vars(serving.blocks[0].plan.steps[1].module)["STEPS"]
    assert steps[:3] == ["start 3", "start 2", "start 0"]
    assert sorted(steps[3:]) == ["close 0", "close 2", "close 3"]


@pytest.mark.parametrize("failure", ["scripted fails", "bind 192.0.2.1\n scripted 0"])
async def test_a_failure_leaves_all_as_it_was(serving: Serving, registry: Registry, failure: str) -> None:
    """A plugin that cannot start, or an address that is not there: what was served is served."""
    await install(serving, registry, "a.test:0 {\n bind 127.0.0.1\n scripted 3\n}\n")
    blocks, bound = serving.blocks, serving.bound
    text = "a.test:0 {{\n bind 127.0.0.1\n scripted 0\n}}\nb.test:0 {{\n {}{}\n}}"
    text = text.format("" if "bind" in failure else "bind 127.0.0.1\n ", failure)
    with pytest.raises(ConfigError):
        await install(serving, registry, text)
    assert (serving.blocks, serving.bound) == (blocks, bound)
    assert await rcode(serving) == "NXDOMAIN"


async def test_from_every_address_to_one(serving: Serving, registry: Registry) -> None:
    """A port goes from all addresses to one of them and back, and stays where it was if that fails."""
    port = free_port()
    await install(serving, registry, f"a.test:{port} {{\n scripted 3\n}}\n")
    await install(serving, registry, f"a.test:{port} {{\n bind 127.0.0.1\n scripted 0\n}}\n")
    assert [one.address for one in serving.bound] == ["127.0.0.1"]
    assert await rcode(serving) == "NOERROR"
    with pytest.raises(ConfigError):
        await install(serving, registry, f"a.test:{port} {{\n bind 192.0.2.1\n scripted 0\n}}\n")
    assert await rcode(serving) == "NOERROR"
    await install(serving, registry, f"a.test:{port} {{\n scripted 2\n}}\n")
    assert await rcode(serving) == "SERVFAIL"


async def test_what_plugins_count_is_made_once(registry: Registry) -> None:
    """The same metric in two blocks is one; as another kind it is a bug."""
    shared: ServerContext = server_context()
    made = Serving(shared).build(plan_corefile(corefile("a.test {\n}\nb.test {\n}"), registry, "/"))
    first, second = (live.parts for live in made)
    assert first.counter("kdns_x", "Text.", ("server",)) is second.counter("kdns_x", "Text.", ("server",))
    with pytest.raises(TypeError, match="kdns_x"):
        first.gauge("kdns_x", "Text.")


async def test_lookups_do_not_go_in_circles(serving: Serving, tmp_path: Path) -> None:
    """A plugin that asks the server what it is asked itself gets an error, not an endless loop."""
    (tmp_path / "circle.py").write_text(
        "from kdns.dns.api.plugin import Built\nNAME = 'circle'\nAFTER = 'cache'\n"
        "def parse(directives, place):\n    return None\n"
        "def build(options, parts):\n    return Built(plugin=lambda following: parts.lookup)\n"
    )
    await install(serving, Registry(str(tmp_path)), "a.test:0 {\n bind 127.0.0.1\n errors\n circle\n}\n")
    assert await rcode(serving) == "SERVFAIL"


async def test_what_is_being_prepared_keeps_its_cluster(serving: Serving, registry: Registry) -> None:
    """While one exchange ends, the clusters of the next one are not let go of; of one that is given up they are."""
    text = "cluster.local:0 {{\n bind 127.0.0.1\n kubernetes {{\n  ttl {}\n }}\n}}\n"
    shared = serving.build(plan_corefile(corefile(text.format(1)), registry, "/"))
    await serving.install(shared)
    clusters = serving.blocks[0].parts.clusters
    await install(serving, registry, text.format(2))
    serving.build(plan_corefile(corefile(text.format(3)), registry, "/"))
    await until(lambda: len(clusters.all_answers()) == 2)
    assert [answers.schema.ttl for answers in clusters.all_answers()] == [2, 3]
    await serving.abandon()
    assert [answers.schema.ttl for answers in clusters.all_answers()] == [2]
