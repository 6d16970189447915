"""`kdns collect`: what is in the bundle, what never is, and what becomes of that which cannot be read."""

import asyncio
import io
import json
import sys
import tarfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from kdns.base.errors import ConfigError
from kdns.explain.bundle import Raw, read_bundle
from kdns.explain.collect import Asked, cluster_addresses, collect, pack, this_node
from kdns.explain.evidence import Evidence
from kdns.explain.fetch import CONFIG_MAPS, EVERYTHING, Fetched, open_api
from kdns.explain.live import NARROW, WIDE, read_objects
from kdns.explain.node_files import NotInstalled, collect_node, concerns, run_bounded
from kdns.explain.question import parse_question
from tests.explain.evidence import dns_objects
from tests.fakes.api_server import FakeApiServer

Json = dict[str, Any]
READ = {("list", listed.resource.group, listed.resource.plural) for listed in EVERYTHING}
RULES = READ | {("get", "", "configmaps")}


def secretive(body: Json) -> Json:
    """The cluster with what must not be in a bundle."""
    if body["kind"] == "Pod":
        body["spec"]["containers"][0]["env"] = [{"name": "PASSWORD", "value": "hunter2"}]
        body["metadata"]["labels"]["env"] = "production"
    body["metadata"]["annotations"] = {"kubectl.kubernetes.io/last-applied-configuration": "hunter2", "kept": "yes"}
    body["metadata"]["managedFields"] = [{"manager": "hunter2"}]
    return body


async def test_a_bundle_has_the_cluster_and_no_secrets() -> None:
    """Kinds, the ConfigMaps of DNS by name; no annotation of kubectl, no environment of a workload's container."""
    async with FakeApiServer(dns_objects(secretive), rules=RULES) as server:
        files = await collect(Asked(source=server.url))
        asked = {(one.verb, one.plural) for one in server.asked}
    assert ("list", "configmaps") not in asked
    assert not {plural for _, plural in asked} & {"secrets"}
    by_name = {file.path: json.loads(file.data) for file in files if file.path.endswith(".json")}
    assert {body["metadata"]["name"] for body in by_name["configmaps.json"]["items"]} == {"coredns"}
    pods = {body["metadata"]["name"]: body for body in by_name["pods.json"]["items"]}
    assert pods["client"]["kind"] == "Pod"
    assert pods["client"]["metadata"]["labels"] == {"app": "client", "env": "production"}
    assert pods["client"]["metadata"]["annotations"] == {"kept": "yes"}
    shop = json.dumps([body for body in pods.values() if body["metadata"]["namespace"] == "shop"])
    assert "hunter2" not in shop
    assert "managedFields" not in shop


async def test_what_was_collected_explains(tmp_path: Path) -> None:
    """The tar.gz of a bundle is read by explain, below its folder."""
    async with FakeApiServer(dns_objects(), rules=RULES) as server:
        files = await collect(Asked(source=server.url))
    path = tmp_path / "evidence.tar.gz"
    path.write_bytes(pack(files, "kdns-evidence-1", 0.0))
    with tarfile.open(path) as archive:
        assert {name.partition("/")[0] for name in archive.getnames()} == {"kdns-evidence-1"}
    evidence = Evidence()
    manifests = read_bundle(str(path), evidence)
    assert "services.json" in {raw.path for raw in manifests}


async def test_a_list_that_is_forbidden_is_named() -> None:
    """The rest is collected, and it is said what is not in the bundle."""
    async with FakeApiServer(dns_objects(), rules=RULES - {("list", "networking.k8s.io", "networkpolicies")}) as server:
        question = parse_question("cart.shop")
        async with open_api(server.url) as api:
            fetched = await read_objects(api, question)
    assert [text.partition(" in ")[0] for text in fetched.forbidden] == ["networkpolicies"] * 2
    assert fetched.bodies("Service")


async def test_a_question_reads_only_its_namespaces() -> None:
    """Pods and slices of client, target and DNS; Services of the whole cluster, since the name may be elsewhere."""
    other = {"kind": "Pod", "apiVersion": "v1", "metadata": {"name": "x", "namespace": "elsewhere"}, "spec": {}}
    async with FakeApiServer([*dns_objects(), other], rules=RULES) as server, open_api(server.url) as api:
        fetched = await read_objects(api, parse_question("cart.shop", from_pod="default/client"))
    namespaces = {body["metadata"]["namespace"] for body in fetched.bodies("Pod")}
    assert namespaces == {"shop", "kube-system"}
    assert {body["metadata"]["namespace"] for body in fetched.bodies("Service")} == {"default", "kube-system", "shop"}


class Waiting(FakeApiServer):
    """Answers no request before so many requests are under way."""

    def __init__(self, count: int) -> None:
        super().__init__(dns_objects(), rules=RULES)
        self._count, self._here, self._all_here = count, 0, asyncio.Event()

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        self._here += 1
        if self._here == self._count:
            self._all_here.set()
        await self._all_here.wait()
        return await super()._handle(request)


async def test_what_a_question_needs_is_asked_at_once() -> None:
    """Lists and ConfigMaps are one round trip: each kind once for the cluster or for each of two Namespaces."""
    needed = len(WIDE) + len(NARROW) * len({"shop", "kube-system"}) + len(CONFIG_MAPS)
    async with asyncio.timeout(60), Waiting(needed) as server, open_api(server.url) as api:
        fetched = await read_objects(api, parse_question("cart.shop:8080"))
    assert len(server.asked) == needed
    assert not fetched.problems
    assert {body["metadata"]["name"] for body in fetched.bodies("ConfigMap")} == {"coredns"}


async def test_an_address_leads_to_its_namespace() -> None:
    """For a cluster IP the Namespace is that of the Service that has it."""
    async with FakeApiServer(dns_objects(), rules=RULES) as server, open_api(server.url) as api:
        fetched = await read_objects(api, parse_question("10.96.7.7:8080"))
    assert "shop" in {body["metadata"]["namespace"] for body in fetched.bodies("Pod")}


async def test_no_rights_at_all_is_an_error() -> None:
    """Where nothing can be read there is nothing to explain, and the API server's words are the reason."""
    async with FakeApiServer(dns_objects(), rules=()) as server:
        with pytest.raises(ConfigError, match="nothing can be read"):
            await collect(Asked(source=server.url))


class FakeTools:
    """Runs nothing: prints what it was given, or raises it."""

    def __init__(self, **outputs: bytes | Exception) -> None:
        self.outputs = outputs

    async def __call__(self, argv: Sequence[str], keep: Any = None) -> bytes:
        """The output of a tool."""
        output = self.outputs.get(argv[0].replace("-", "_"), NotInstalled(argv[0]))
        if isinstance(output, Exception):
            raise output
        lines = output.splitlines(keepends=True)
        return b"".join(line for line in lines if keep is None or keep(line))


async def no_page(url: str) -> bytes:
    """No proxy listens."""
    raise ConnectionRefusedError(f"{url}: refused")


async def test_each_tool_is_a_file_of_the_node(tmp_path: Path) -> None:
    """Its output, its error, or, where it is not installed, no file and a line about that."""
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/resolv.conf").write_text("nameserver 192.0.2.53\n")
    tools = FakeTools(iptables_save=b"*nat\nCOMMIT\n", nft=OSError("nft list ruleset: Operation not permitted"),
                      ip6tables_save=b"", sysctl=TimeoutError("sysctl -a took more than 20 s"))  # fmt: skip
    files = await collect_node("worker-1", root=str(tmp_path), run=tools, get=no_page)
    texts = {file.path.removeprefix("node/worker-1/"): file.data.decode() for file in files}
    assert texts["iptables-save.txt"] == "*nat\nCOMMIT\n"
    assert texts["ip6tables-save.txt"] == "# ip6tables-save -c printed nothing\n"
    assert texts["nft.txt"] == "error: nft list ruleset: Operation not permitted\n"
    assert texts["sysctl.txt"].startswith("error: ")
    assert texts["proxy-mode.txt"].startswith("error: http://127.0.0.1:10249/proxyMode")
    assert texts["resolv.conf"] == "nameserver 192.0.2.53\n"
    assert "ipset is not installed\n" in texts["not-installed.txt"]
    assert "ipset.txt" not in texts


FLOWS = (
    b"ipv4 2 udp 17 29 src=10.244.1.6 dst=10.96.0.10 sport=4000 dport=53 src=10.244.1.2 sport=53\n",
    b"ipv4 2 tcp 6 99 ESTABLISHED src=10.244.1.6 dst=10.96.7.7 sport=1 dport=8080 src=10.244.1.5\n",
    b"ipv4 2 tcp 6 99 ESTABLISHED src=192.0.2.1 dst=192.0.2.2 sport=1 dport=443 src=192.0.2.2\n",
    b"ipv4 2 tcp 6 99 ESTABLISHED src=192.0.2.1 dst=192.0.2.2 sport=530 dport=443 src=192.0.2.2\n",
)  # fmt: skip


def test_of_a_large_table_the_clusters_flows_are_kept() -> None:
    """Those of port 53 and those of the cluster's addresses; of a port that only begins with 53 not."""
    keep = concerns({b"10.96.7.7"})
    assert [keep(line) for line in FLOWS] == [True, True, False, False]


async def test_a_tool_that_hangs_is_ended() -> None:
    """It is killed when its time is over, and the error says how long that was."""
    with pytest.raises(TimeoutError, match=r"sleep 60 took more than 0\.05 s"):
        await run_bounded(("sleep", "60"), patience=0.05)
    with pytest.raises(NotInstalled):
        await run_bounded(("no-such-tool-of-any-node",))
    with pytest.raises(OSError, match="exit status 1"):
        await run_bounded(("false",))


def test_the_addresses_of_services() -> None:
    """Cluster, external and load balancer IPs; a headless Service has none."""
    services = [
        {"kind": "Service", "spec": {"clusterIPs": ["10.96.0.1", "fd00::1"], "externalIPs": ["192.0.2.9"]},
         "status": {"loadBalancer": {"ingress": [{"ip": "192.0.2.10"}, {"hostname": "lb"}]}}},
        {"kind": "Service", "spec": {"clusterIPs": ["None"]}},
    ]  # fmt: skip
    fetched = Fetched([Raw("services.json", json.dumps({"items": services}).encode())])
    assert list(cluster_addresses(fetched)) == ["10.96.0.1", "fd00::1", "192.0.2.9", "192.0.2.10"]


def test_the_node_is_the_one_with_an_address_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """By InternalIP; where none fits, by the name that a DaemonSet hands down."""
    here = {"metadata": {"name": "here"}, "status": {"addresses": [{"type": "InternalIP", "address": "127.0.0.1"}]}}
    there = {"metadata": {"name": "there"}, "status": {"addresses": [{"type": "InternalIP", "address": "192.0.2.1"}]}}
    assert this_node([there, here]) == "here"
    monkeypatch.setenv("NODE_NAME", "worker-7")
    assert this_node([there]) == "worker-7"


def test_a_member_of_the_archive_is_a_plain_file() -> None:
    """Readable by whoever may read the archive, without a path that leads out of the folder."""
    with tarfile.open(fileobj=io.BytesIO(pack([Raw("node/a/nft.txt", b"x")], "f", 1.0))) as archive:
        (member,) = archive.getmembers()
        assert (member.name, member.mode, member.isfile()) == ("f/node/a/nft.txt", 0o644, True)


async def test_explain_reads_a_live_cluster() -> None:
    """`kdns explain TARGET --source URL` answers from the API server, in a process of its own."""
    async with FakeApiServer(dns_objects(), rules=RULES) as server:
        argv = (sys.executable, "-m", "kdns", "explain", "cart.shop:8080", "--source", server.url, "-o", "json")
        process = await asyncio.create_subprocess_exec(*argv, stdout=asyncio.subprocess.PIPE)
        out, _ = await process.communicate()
    links = {entry["link"]: entry for entry in json.loads(out)["links"]}
    assert links["dns-server"]["state"] == "ok"
    assert links["service"]["state"] == "ok"
