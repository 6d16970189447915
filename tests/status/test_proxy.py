"""The pages of a proxy: its own rules, of its own node."""

from kdns.cli.status import proxy_site, status_port
from kdns.status.overview import Overviews
from kdns.status.parts import Parts
from kdns.status.path import service_path
from kdns.status.services import ServiceIndex
from tests.fakes.api_server import SYSTEM_NODE_PROXIER, FakeApiServer
from tests.fakes.objects import node
from tests.proxy.test_app import NODE, endpoints, running, web
from tests.status.serving import Served


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
