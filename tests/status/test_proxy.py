"""The pages of a proxy: its own rules, of its own node."""

import asyncio

from kdns.cli.status import proxy_site, status_port
from kdns.status.overview import Overviews
from kdns.status.parts import Parts
from kdns.status.path import service_path
from kdns.status.services import ServiceIndex
from tests.fakes.api_server import SYSTEM_COREDNS, SYSTEM_NODE_PROXIER, FakeApiServer
from tests.fakes.objects import node
from tests.proxy.test_app import NODE, endpoints, running, web
from tests.running import PATIENCE
from tests.status.serving import Served, served


async def test_a_node_shows_its_rules() -> None:
    """Mode and node, that the kernel has all, and each Service with the rules that are in force here."""
    objects = (node(NODE, "172.18.0.2"), web(), endpoints("10.244.1.3"))
    async with FakeApiServer(objects, rules=SYSTEM_NODE_PROXIER) as api, running(api) as rig:
        await rig.until(lambda: rig.kernel)
        await rig.until(lambda: not any(one.proxier.pending for one in rig.app.families))
        parts = Parts("kdns proxy", proxy=rig.app)
        page = await Overviews(parts, ServiceIndex(parts)).overview()
        assert page.dns is None
        assert page.proxy is not None
        assert (page.proxy.node, page.proxy.pending, page.proxy.failures) == (rig.app.node_name, False, 0)
        assert page.services == 1
        path = service_path(parts, "shop", "web")
        assert path is not None
        assert path.seen_from == f"the rules of this node, {rig.app.node_name}"
        assert path.owner == ""
        assert [frontend.verdict for port in path.ports for frontend in port.frontends] == ["cluster"]
        assert path.faults == ()
        port = await status_port("127.0.0.1:0", proxy_site("kdns proxy", rig.app))
        try:
            pages = Served(None, f"http://127.0.0.1:{port.port}")  # type: ignore[arg-type]  # there is no server
            assert (await pages.json("/overview.json"))["proxy"]["service_ports"] == page.proxy.service_ports
            for path_text, expected in (("/", 200), ("/services/shop/web", 200), ("/names", 404), ("/chains", 404)):
                assert (await pages.get(path_text))[0] == expected
        finally:
            await port.close()


async def test_the_last_changes_of_a_node() -> None:
    """DNS and proxy in one process each see a change by a watch of their own: the page has one line with both times."""
    objects = (node(NODE, "172.18.0.2"), web(), endpoints("10.244.1.3"))
    async with (
        FakeApiServer(objects, rules=SYSTEM_COREDNS | SYSTEM_NODE_PROXIER) as api,
        running(api) as rig,
        served(api.url) as kdns,
    ):
        await rig.until(lambda: rig.kernel)
        overviews = Overviews(parts := Parts("kdns node", kdns.app, rig.app), ServiceIndex(parts))
        assert (await overviews.overview()).changes == ()
        api.put(endpoints("10.244.1.3", "10.244.1.4"))
        await rig.until(lambda: rig.kernel == {"shop/web:http": ["10.244.1.3:8080", "10.244.1.4:8080"]})
        async with asyncio.timeout(PATIENCE):
            while not (page := await overviews.overview()).changes or page.changes[0].pending:  # noqa: ASYNC110 - pages are asked
                await asyncio.sleep(0.01)
        (change,) = page.changes
        assert (change.namespace, change.name, change.gone) == ("shop", "web", False)
        assert change.answered is not None
        assert change.in_kernel is not None
        assert 0 < change.answered < change.in_kernel
