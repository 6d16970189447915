"""A Corefile as a process: kubeadm's served unchanged but for ports, read again, and plugins from a folder."""

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from kdns.demo.ask import Question, Reply, ask
from tests.fakes.api_server import FakeApiServer
from tests.fakes.objects import endpoint_slice, namespace, service
from tests.fakes.upstream import FakeUpstream
from tests.running import HTTP, LOOPBACK, NOBODY, PATIENCE, WEB, Kdns, folder

pytestmark = pytest.mark.e2e

KUBEADM = """
.:0 {{
    bind 127.0.0.1
    errors
    health 127.0.0.1:0 {{
       lameduck 1s
    }}
    ready 127.0.0.1:0
    kubernetes cluster.local in-addr.arpa ip6.arpa {{
       pods insecure
       fallthrough in-addr.arpa ip6.arpa
       ttl 30
    }}
    prometheus 127.0.0.1:0
    forward . {upstream} {{
       max_concurrent 1000
    }}
    cache 30 {{
       disable success cluster.local
       disable denial cluster.local
    }}
    loop
    reload
    loadbalance
}}
"""
SHOP = (
    namespace("shop"),
    service("shop", "web", "10.96.0.9"),
    endpoint_slice("shop", "web-1", "web", ("10.1.0.1",)),
)
FOUND = Reply("NOERROR", ("10.96.0.9",))
OUTSIDE = Question("www.example.org", "A")


class Served(Kdns):
    """A process that serves a Corefile."""

    def __init__(self, path: Path, *arguments: str) -> None:
        super().__init__("-conf", str(path), *arguments)
        self.path = path

    async def port(self) -> int:
        """The port of the first block."""
        found = await self.line(r"^\S+\.?:(\d+) on 127\.0\.0\.1$")
        await self.line(r"^linux/")
        return int(found[1])

    async def reload(self, text: str) -> None:
        """Write the Corefile, ask for a reload, and wait until it is done or refused."""
        before = self._ends()
        self.path.write_text(text)
        self.send(signal.SIGUSR1)
        for _ in range(int(PATIENCE / 0.02)):
            if self._ends() > before:
                return
            await asyncio.sleep(0.02)
        raise AssertionError(f"no reload in {self.out}")

    def _ends(self) -> int:
        return sum("Reloading complete" in line or "reload failed" in line for line in self.out)

    async def value(self, name: str, /, **labels: str) -> float:
        """A sample of /metrics; 0 if it is not there."""
        _, text = await self.get("/metrics")
        samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
        return sum(one.value for one in samples if one.name == name and labels.items() <= one.labels.items())


@asynccontextmanager
async def kubeadm(path: Path) -> AsyncIterator[tuple[Served, FakeUpstream, FakeApiServer, str]]:
    """kubeadm's Corefile in front of an API server and an upstream."""
    async with FakeUpstream() as upstream, FakeApiServer(SHOP) as api:
        upstream.zone["www.example.org."] = ("192.0.2.7",)
        text = KUBEADM.format(upstream=upstream.text)
        corefile = path / "Corefile"
        corefile.write_text(text)
        async with Served(corefile, "--source", api.url) as kdns:
            yield kdns, upstream, api, text


async def test_kubeadm(tmp_path: Path) -> None:
    """Cluster names, outside names, negative answers, pages, metrics, log lines, lameduck, and the end."""
    async with kubeadm(tmp_path) as (kdns, upstream, _, _text):
        assert await kdns.ask(WEB) == FOUND
        assert await kdns.ask(WEB._replace(proto="tcp")) == FOUND
        assert (await kdns.ask(NOBODY)).rcode == "NXDOMAIN"
        assert await kdns.ask(OUTSIDE) == Reply("NOERROR", ("192.0.2.7",))
        assert (await kdns.ask(Question("nobody.example.org", "A"))).rcode == "NXDOMAIN"
        assert await kdns.ask(Question("9.0.96.10.in-addr.arpa", "PTR")) == Reply(
            "NOERROR", ("web.shop.svc.cluster.local.",)
        )
        assert await kdns.get("/health") == (200, "OK")
        assert await kdns.get("/ready") == (200, "OK")
        asked = upstream.names.count("www.example.org.")
        for _ in range(5):
            assert await kdns.ask(OUTSIDE) == Reply("NOERROR", ("192.0.2.7",))
        assert upstream.names.count("www.example.org.") == asked
        server = f"dns://127.0.0.1:{await kdns.port()}"
        assert await kdns.value("coredns_dns_responses_total", server=server, zone=".", plugin="kubernetes") >= 4
        assert await kdns.value("coredns_plugin_enabled", server=server, zone=".", name="forward") == 1
        assert await kdns.value("coredns_cache_hits_total", server=server, type="success") >= 5
        assert await kdns.value("coredns_reload_version_info", hash="sha512") == 1
        assert await kdns.value("coredns_reload_failed_total") == 0
        await kdns.line(r"^\[INFO\] plugin/reload: Running configuration SHA512 = [0-9a-f]{128}$")
        kdns.send(signal.SIGTERM)
        await kdns.line(r"^\[INFO\] plugin/health: Going into lameduck mode for 1s$")
        assert await kdns.get("/ready") == (503, "Shutting down")
        assert await kdns.ask(WEB) == FOUND
        assert await kdns.ended() == (0, "")


async def test_a_reload_loses_nothing(tmp_path: Path) -> None:
    """While the Corefile changes ten times each question is answered; a broken one is told, counted, and not served."""
    async with kubeadm(tmp_path) as (kdns, _, api, text):
        port = await kdns.port()
        answers: list[str] = []
        over = asyncio.Event()

        async def client(question: Question) -> None:
            while not over.is_set():
                answers.append((await ask(question, "127.0.0.1", port)).rcode)

        async with asyncio.TaskGroup() as tasks:
            for question in (WEB, OUTSIDE, WEB._replace(proto="tcp"), Question("x.example.org", "AAAA")):
                tasks.create_task(client(question))
            for number in range(10):
                await kdns.reload(text.replace("ttl 30", f"ttl {number}"))
            over.set()
        assert set(answers) == {"NOERROR", "NXDOMAIN"}
        assert len(answers) > 40
        assert sum(asked.verb == "watch" and asked.plural == "services" for asked in api.asked) == 1
        await kdns.reload(text.replace("forward .", "foward ."))
        await kdns.line(r"^\[ERROR\] plugin/reload: .*unknown plugin 'foward'")
        assert await kdns.ask(WEB) == FOUND
        assert await kdns.value("coredns_reload_failed_total") == 1
        kdns.send(signal.SIGHUP)
        kdns.send(signal.SIGUSR2)
        assert await kdns.ask(WEB) == FOUND


async def test_a_reload_moves_ports_and_pages(tmp_path: Path) -> None:
    """A block that comes is listened for, one that goes is not; the others, and their caches, stay."""
    async with kubeadm(tmp_path) as (kdns, upstream, _, text):
        assert await kdns.ask(OUTSIDE) == Reply("NOERROR", ("192.0.2.7",))
        await kdns.reload(text + "extra.test:0 {\n bind 127.0.0.2\n errors\n}\n")
        port = await kdns.port()
        assert (await ask(Question("a.extra.test", "A"), "127.0.0.2", port)).rcode == "SERVFAIL"
        asked = upstream.names.count("www.example.org.")
        assert await kdns.ask(OUTSIDE) == Reply("NOERROR", ("192.0.2.7",))
        assert upstream.names.count("www.example.org.") == asked
        await kdns.reload(text)
        assert await kdns.ask(WEB) == FOUND


async def test_a_mounted_config_map_changes(tmp_path: Path) -> None:
    """The kubelet swaps a link to a folder; a look at the file finds the new one without being asked."""
    text = "cluster.local:0 {{\n bind 127.0.0.1\n kubernetes {{\n  ttl {}\n }}\n reload 2s 0\n}}\n"
    for number in (1, 2):
        (tmp_path / f"..v{number}").mkdir()
        (tmp_path / f"..v{number}" / "Corefile").write_text(text.format(number))
    (tmp_path / "..data").symlink_to("..v1")
    (tmp_path / "Corefile").symlink_to("..data/Corefile")
    (tmp_path / "objects").mkdir()
    async with Served(tmp_path / "Corefile", "--source", folder(tmp_path / "objects")) as kdns:
        assert await kdns.ask(WEB) == FOUND
        (tmp_path / "..new").symlink_to("..v2")
        (tmp_path / "..new").replace(tmp_path / "..data")
        await kdns.line("^\\[INFO\\] Reloading complete$")
        assert await kdns.ask(WEB) == FOUND


async def test_a_name_that_leads_outside(tmp_path: Path) -> None:
    """The target of an ExternalName Service is looked up through the whole chain, and is in the answer."""
    async with kubeadm(tmp_path) as (kdns, _, api, _text):
        api.put(service("shop", "db", type="ExternalName", externalName="www.example.org"))
        question = Question("db.shop.svc.cluster.local", "A")
        for _ in range(int(PATIENCE / 0.05)):
            if (found := await kdns.ask(question)).rcode != "NXDOMAIN":
                break
            await asyncio.sleep(0.05)
        assert found == Reply("NOERROR", ("CNAME www.example.org.", "192.0.2.7"))


BAD = """
import time
from kdns.dns.api.plugin import Built, sees_all

NAME = "bad"
BEFORE = "kubernetes"

def parse(directives, place):
    return None

def build(options, parts):
    def plugin(following):
        async def handle(request):
            if request.query.name.startswith(b"\\4slow"):
                time.sleep(0.2)
            if request.query.name.startswith(b"\\5raise"):
                raise RuntimeError("bug")
            if request.query.name.startswith(b"\\5leave"):
                raise SystemExit(1)
            return await following(request)
        return handle
    return Built(plugin=plugin)
"""


async def test_a_bad_plugin_from_a_folder(tmp_path: Path) -> None:
    """It is named in log and metrics, costs its own queries only, and the server goes on."""
    (tmp_path / "plugins").mkdir()
    (tmp_path / "plugins/bad.py").write_text(BAD)
    (tmp_path / "plugins/never.py").write_text("raise SystemExit('imported')")
    corefile = tmp_path / "Corefile"
    corefile.write_text("cluster.local:0 {\n bind 127.0.0.1\n bad\n kubernetes\n prometheus 127.0.0.1:0\n errors\n}\n")
    (tmp_path / "objects").mkdir()
    arguments = ("--source", folder(tmp_path / "objects"), "--plugins", str(tmp_path / "plugins"))
    async with Served(corefile, *arguments) as kdns:
        assert await kdns.ask(WEB) == FOUND
        for name in ("raise", "leave"):
            assert (await kdns.ask(Question(f"{name}.svc.cluster.local", "A"))).rcode == "SERVFAIL"
        assert (await kdns.ask(Question("slow.svc.cluster.local", "A"))).rcode == "NXDOMAIN"
        assert await kdns.ask(WEB) == FOUND
        assert await kdns.value("kdns_plugin_failures_total", plugin="bad") == 2
        assert await kdns.value("kdns_plugin_slow_total", plugin="bad") == 1
        assert await kdns.value("coredns_panics_total") == 2
        await kdns.line(r"^\[ERROR\] plugin bad has a bug")
        await kdns.line(r"^\[WARNING\] plugin bad held up the server for 2\d\d ms")


async def test_one_watch_for_blocks_that_name_one_server(tmp_path: Path) -> None:
    """Blocks that name the same endpoint share its watch, and the endpoint wins over --source."""
    async with FakeApiServer(SHOP) as api:
        block = "{zone}:0 {{\n bind 127.0.0.1\n kubernetes {{\n  endpoint {url}\n  ttl {ttl}\n }}\n}}\n"
        corefile = tmp_path / "Corefile"
        corefile.write_text(
            block.format(zone="cluster.local", url=api.url, ttl=5) + block.format(zone="other.test", url=api.url, ttl=6)
        )
        async with Served(corefile, "--source", "http://127.0.0.1:9") as kdns:
            assert await kdns.ask(WEB) == FOUND
            assert await kdns.ask(Question("web.shop.svc.other.test", "A")) == FOUND
        assert sum(asked.verb == "watch" and asked.plural == "services" for asked in api.asked) == 1


async def test_flags_alone_ignore_a_wish_to_reload(tmp_path: Path) -> None:
    """Without a Corefile there is nothing to read again, and SIGUSR1 does no harm."""
    async with Kdns("serve", "--source", folder(tmp_path), *LOOPBACK, *HTTP) as kdns:
        assert await kdns.ask(WEB) == FOUND
        kdns.send(signal.SIGUSR1)
        assert await kdns.ask(WEB) == FOUND
        kdns.send(signal.SIGQUIT)
        assert await kdns.ended() == (0, "")
