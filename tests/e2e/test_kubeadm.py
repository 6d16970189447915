"""A cluster made by kubeadm, with us in CoreDNS's place: dig and stub resolvers in front, a real resolver behind."""

import asyncio
import signal
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final, NamedTuple

import pytest
from prometheus_client.parser import text_string_to_metric_families

from kdns.demo.ask import Question, Reply, ask
from tests.e2e.load import Load, load
from tests.e2e.pod import POD, SERVICE, ApiServer, Pod, coredns_container, in_a_pod, output
from tests.e2e.resolver import MANY, Resolver
from tests.e2e.test_corefiles import COREFILES, demo, page, until_ready
from tests.running import Kdns

pytestmark = [pytest.mark.e2e, pytest.mark.kernel]

COREFILE: Final = (COREFILES / "kubeadm").read_text()
FILES: Final = {"coredns/..1/Corefile": COREFILE}
LIMIT: Final = 170 * 1024
"""KiB of memory that kubeadm's Deployment grants."""


class Cluster(NamedTuple):
    """What runs."""

    kdns: Kdns
    resolver: Resolver


@asynccontextmanager
async def cluster(pod: Pod) -> AsyncIterator[Cluster]:
    """The server, ready, with its Corefile in a ConfigMap volume."""
    mount(pod, "..1")
    pod.corefile.symlink_to("..data/Corefile")
    async with ApiServer(demo()) as api, Resolver(pod) as resolver:  # noqa: SIM117 - its address is known once it is up
        async with coredns_container("-conf", "/etc/coredns/Corefile", environ=api.environ) as kdns:
            await kdns.line(r"^linux/")
            await until_ready()
            yield Cluster(kdns, resolver)


def mount(pod: Pod, version: str) -> None:
    """Make a version of the ConfigMap the current one, as the kubelet does: one rename."""
    fresh = pod.corefile.parent / "..data_tmp"
    fresh.symlink_to(version)
    fresh.rename(pod.corefile.parent / "..data")


def write(pod: Pod, version: str, text: str) -> None:
    """A new version of the ConfigMap, not mounted yet."""
    folder = pod.corefile.parent / version
    folder.mkdir()
    (folder / "Corefile").write_text(text)


async def metric(name: str, **labels: str) -> float:
    """The sum of the samples of a metric with these labels."""
    _, text = await page(f"http://{POD}:9153/metrics")
    samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    return sum(each.value for each in samples if each.name == name and labels.items() <= each.labels.items())


async def dig(*arguments: str) -> str:
    """What dig prints, asking the cluster's DNS."""
    return await output("dig", f"@{SERVICE}", "+tries=1", "+timeout=15", *arguments)


async def until(question: Callable[[], Question], rcode: str) -> None:
    """Ask until that is the answer."""
    async with asyncio.timeout(120):
        while (await ask(question(), SERVICE, 53)).rcode != rcode:  # noqa: ASYNC110 - another process
            await asyncio.sleep(0.1)


class Looked(NamedTuple):
    """A command in any Pod of the cluster, and what is in its output."""

    command: str
    found: tuple[str, ...]
    status: int = 0


LOOKED: Final = (
    Looked("getent ahostsv4 kubernetes", ("10.96.0.1 ",)),
    Looked("getent ahostsv4 kubernetes.default", ("10.96.0.1 ",)),
    Looked("getent ahostsv4 web.shop", ("10.96.20.1 ",)),
    Looked("getent ahostsv4 web.shop.svc", ("10.96.20.1 ",)),
    Looked("getent ahostsv4 web.shop.svc.cluster.local", ("10.96.20.1 ",)),
    Looked("getent ahostsv4 db.data", ("10.244.0.30 ", "10.244.0.31 ", "10.244.0.32 ")),
    Looked("getent ahostsv4 my-service", ("198.18.0.54 ", "my.database.example.com")),
    Looked("getent ahosts www.example.com", ("198.18.0.80 ", "2001:db8:1::80 ")),
    Looked("getent ahostsv4 many.example.com", MANY),
    Looked("getent hosts 10.96.0.1", ("kubernetes.default.svc.cluster.local",)),
    Looked("getent hosts 198.18.0.80", ("www.example.com",)),
    Looked("getent ahosts nobody.shop", (), 2),
    Looked("getent ahosts nobody.example.com", (), 2),
    Looked("getent ahosts web.shop.", (), 2),
    Looked("busybox nslookup kubernetes.default.svc.cluster.local", ("Address: 10.96.0.1\n",)),
    Looked("busybox nslookup www.example.com", ("Address: 198.18.0.80\n", "2001:db8:1::80\n")),
    Looked("busybox nslookup 10.96.0.1", ("kubernetes.default.svc.cluster.local\n",)),
    Looked("busybox nslookup nobody.shop.svc.cluster.local", ("NXDOMAIN",), 1),
)


def test_stub_resolvers_find_what_they_look_for(tmp_path: Path) -> None:
    """glibc walks the search list with ndots:5, busybox asks names as they stand; both get what there is."""

    async def life(pod: Pod) -> None:
        async with cluster(pod):
            for looked in LOOKED:
                text = await output(*pod.with_search_list(*looked.command.split()), status=looked.status)
                missing = [each for each in looked.found if each not in text]
                assert not missing, f"{looked.command}: {missing} not in {text}"

    in_a_pod(tmp_path, FILES, life)


def test_busybox_finds_names_without_a_search_list(tmp_path: Path) -> None:
    """With one word more in the Corefile, `nslookup kubernetes.default` answers from any busybox."""

    async def life(pod: Pod) -> None:
        async with cluster(pod):
            for name, status in (("kubernetes.default", 0), ("web.shop.svc", 0), ("nobody.shop", 1)):
                text = await output(*pod.with_search_list("busybox", "nslookup", name), status=status)
                assert ("NXDOMAIN" if status else f"Name:\t{name}\nAddress: 10.96.") in text, text

    in_a_pod(tmp_path, {"coredns/..1/Corefile": COREFILE.replace("    loop\n", "    loop\n    shortnames\n")}, life)


def test_dig_sees_headers_and_sections(tmp_path: Path) -> None:
    """Truncation and the way out of it, negative answers with their SOA, caching, and who has authority."""

    async def life(pod: Pod) -> None:
        async with cluster(pod):
            cut = await dig("+ignore", "many.example.com")
            assert " tc " in cut.partition("flags:")[2].partition(";")[0]
            assert len((await dig("+short", "many.example.com")).split()) == len(MANY)
            assert len((await dig("+short", "+tcp", "many.example.com")).split()) == len(MANY)
            first = await dig("nobody.example.com")
            assert "status: NXDOMAIN" in first
            assert "IN\tSOA\tns.example.com. admin.example.com. 1 3600 600 86400 60" in first
            hits = await metric("coredns_cache_hits_total", type="denial")
            assert "status: NXDOMAIN" in await dig("nobody.example.com")
            assert await metric("coredns_cache_hits_total", type="denial") == hits + 1
            nodata = await dig("www.example.com", "MX")
            assert "status: NOERROR" in nodata
            assert "ANSWER: 0, AUTHORITY: 1" in nodata
            assert "IN\tSOA\t" in await dig("nobody.shop.svc.cluster.local")
            cached = await dig("www.example.com")
            assert "\n;; flags: qr aa rd ra;" in await dig("web.shop.svc.cluster.local") + cached
            assert int(cached.partition("\nwww.example.com.")[2].split()[0]) <= 30
            assert "web.shop.svc.cluster.local. 30\tIN\tA\t10.96.20.1" in await dig("web.shop.svc.cluster.local")

    in_a_pod(tmp_path, FILES, life)


@pytest.mark.parametrize("how", ["dies", "falls silent"])
def test_the_upstream_goes_and_comes_back(tmp_path: Path, how: str) -> None:
    """Without it: cluster names and cached ones as before, SERVFAIL for others; with it again, all is well."""
    numbers = iter(range(1000))

    def fresh() -> Question:
        return Question(f"n{next(numbers)}.fresh.example.com", "A")

    async def life(pod: Pod) -> None:
        async with cluster(pod) as (_, resolver):
            www, web = Question("www.example.com", "A"), Question("web.shop.svc.cluster.local", "A")
            assert (await ask(www, SERVICE, 53)).rcode == "NOERROR"
            await (resolver.die() if how == "dies" else resolver.pause())
            assert "status: SERVFAIL" in await dig(fresh().name)
            assert await ask(www, SERVICE, 53) == Reply("NOERROR", ("198.18.0.80",))
            assert await ask(web, SERVICE, 53) == Reply("NOERROR", ("10.96.20.1",))
            assert (await page(f"http://{POD}:8181/ready"))[0] == 200
            await (resolver.live() if how == "dies" else resolver.go_on())
            await until(fresh, "NOERROR")
            assert await metric("coredns_panics_total") == 0

    in_a_pod(tmp_path, FILES, life)


def all_well(found: Load) -> None:
    """None was lost, each has its records."""
    assert found.lost == []
    assert set(found.rcodes) == {"NOERROR"}


OTHER: Final = (
    COREFILE.replace("ttl 30", "ttl 7")
    .replace("max_concurrent 1000", "policy sequential")
    .replace("    loadbalance\n", "    log . {\n        class error\n    }\n")
    .replace("    reload\n", "    reload 2s 1s\n")
) + "stub.test:53 {\n    errors\n    cache 30\n    forward . 192.0.2.53\n}\n"
"""Another chain, another upstream policy, one more server block, and a look at the file every two seconds."""
BROKEN: Final = COREFILE.replace("ttl 30", "ttl 9000")


def test_a_reload_loses_no_query(tmp_path: Path) -> None:
    """The ConfigMap changes three times under load, once to something broken: each query is answered, and rightly."""

    async def life(pod: Pod) -> None:
        async with cluster(pod) as (kdns, resolver):
            write(pod, "..2", OTHER)
            write(pod, "..3", BROKEN)
            async with load(SERVICE) as found:
                await resolver.pause()  # so that queries are on their way while chains are exchanged
                mount(pod, "..2")
                kdns.send(signal.SIGUSR1)
                await kdns.line("Reloading complete")
                await resolver.go_on()
                await found.another(300)
                assert "cluster.local. 7\t" in await dig("web.shop.svc.cluster.local")
                assert "status: NXDOMAIN" in await dig("nobody.stub.test")
                mount(pod, "..3")
                await kdns.line(r"reload failed.*/Corefile:10:12: 9000 is out of range")
                await found.another(300)
                assert await metric("coredns_reload_failed_total") == 1
                mount(pod, "..1")
                await until_ttl(30)
                await found.another(300)
            all_well(found)
            assert await metric("coredns_panics_total") == 0
            assert rss(kdns.pid) < LIMIT

    in_a_pod(tmp_path, FILES, life)


async def until_ttl(seconds: int) -> None:
    """Wait until cluster names have that TTL."""
    async with asyncio.timeout(120):
        while f"cluster.local. {seconds}\t" not in await dig("web.shop.svc.cluster.local"):  # noqa: ASYNC110
            await asyncio.sleep(0.1)


def rss(pid: int) -> int:
    """KiB of memory in use."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0])


def test_the_lame_duck_answers(tmp_path: Path) -> None:
    """From SIGTERM on /ready says no, and for five seconds every query is still answered; then it ends well."""

    async def life(pod: Pod) -> None:
        async with cluster(pod) as (kdns, _):
            async with load(SERVICE) as found:
                started = time.monotonic()
                kdns.send(signal.SIGTERM)
                await kdns.line(r"plugin/health: Going into lameduck mode for 5s")
                assert await page(f"http://{POD}:8181/ready") == (503, "Shutting down")
                assert (await page(f"http://{POD}:8080/health"))[0] == 200
                await found.another(100)
                await asyncio.sleep(max(0.0, started + 3 - time.monotonic()))
            all_well(found)
            assert await kdns.ended() == (0, "")
            assert time.monotonic() - started > 4.5

    in_a_pod(tmp_path, FILES, life)


def test_names_outside_do_not_wait_for_the_api_server(tmp_path: Path) -> None:
    """Started while the API server is away: outside names resolve, the cluster's are SERVFAIL until it is there."""

    async def life(pod: Pod) -> None:
        www, web, nobody = (
            Question(name, "A")
            for name in ("www.example.com", "web.shop.svc.cluster.local", "nobody.shop.svc.cluster.local")
        )
        async with ApiServer(demo()) as api, Resolver(pod):
            await api.down()
            async with coredns_container("-conf", "/etc/coredns/Corefile", environ=api.environ) as kdns:
                await kdns.line(r"^linux/")
                assert await ask(www, SERVICE, 53) == Reply("NOERROR", ("198.18.0.80",))
                assert (await ask(web, SERVICE, 53)).rcode == "SERVFAIL"
                assert (await ask(nobody, SERVICE, 53)).rcode == "SERVFAIL"
                assert (await page(f"http://{POD}:8181/ready"))[0] == 503
                assert (await page(f"http://{POD}:8080/health"))[0] == 200
                await api.up()
                await until_ready()
                assert await ask(web, SERVICE, 53) == Reply("NOERROR", ("10.96.20.1",))
                assert (await ask(nobody, SERVICE, 53)).rcode == "NXDOMAIN"

    in_a_pod(tmp_path, {"coredns/Corefile": COREFILE}, life)
