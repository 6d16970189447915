"""The image: its steps are run, and each entry point is started as the Pod specs that it is for would start it."""

import asyncio
import os
import re
import subprocess
import time
import tomllib
from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

import aiohttp
import pytest
import yaml

from kdns.demo.ask import Question, Reply, ask
from tests import kubeadm
from tests.config.kubeproxy import files
from tests.e2e.confined import NET_BIND_SERVICE, Security
from tests.e2e.image import HOUSE, Build, Image, needs_root, run
from tests.e2e.kubelet import HOST_IP, NODE_NAME, ConfigMaps, Container, container
from tests.e2e.pod import ApiServer
from tests.e2e.test_corefiles import COREFILES, demo
from tests.fakes.api_server import SYSTEM_COREDNS, SYSTEM_NODE_PROXIER, Rule
from tests.fakes.objects import Json, endpoint_slice
from tests.kustomize import Manifest, built, one, rights
from tests.proxy.apply.namespaces import in_a_namespace

pytestmark = [pytest.mark.e2e, pytest.mark.kernel, pytest.mark.timeout(900)]

PATIENCE: Final = 120.0
LIMIT: Final = 170 * 1024
"""KiB, of the memory limit of kubeadm's Deployment."""
CHAIN: Final = "KUBE-SVC-ODX2UBAZM7RQWOIU"
"""kube-proxy's chain for default/hostnames:default over TCP."""
HOSTNAMES: Final = "10.96.80.80"


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Image]:
    """Built once."""
    needs_root()
    build = Build(tmp_path_factory.mktemp("image"))
    try:
        yield build.build()
    finally:
        build.close()


def objects() -> list[Json]:
    """The demo cluster as its API server has it, and the node that we are."""
    pods = ("10.244.0.5", "10.244.0.6", "10.244.0.7")
    node = {
        "kind": "Node",
        "apiVersion": "v1",
        "metadata": {"name": NODE_NAME},
        "spec": {"podCIDR": "10.244.0.0/24", "podCIDRs": ["10.244.0.0/24"]},
        "status": {"addresses": [{"type": "InternalIP", "address": HOST_IP}]},
    }
    return [*demo(), endpoint_slice("default", "hostnames-a", "hostnames", pods, [("default", 9376)]), node]


def in_a_cluster(rules: Iterable[Rule], life: Callable[[ApiServer], Coroutine[Any, Any, None]]) -> None:
    """Run a test in a network of its own, which has the node's address and an API server with these rules."""

    async def live() -> None:
        async with ApiServer(objects()) as api:
            api.rules = set(rules)
            await life(api)

    def begin() -> None:
        run("ip", "link", "set", "lo", "up")
        run("ip", "address", "add", f"{HOST_IP}/32", "dev", "lo")
        asyncio.run(live())

    in_a_namespace(begin)


def texts(manifests: list[Manifest]) -> ConfigMaps:
    """What the ConfigMaps say."""
    return {each["metadata"]["name"]: each["data"] for each in manifests if each["kind"] == "ConfigMap"}


async def until(process: subprocess.Popen[str], true: Callable[[], Coroutine[Any, Any, bool]]) -> None:
    """Wait for something that a process must do; its output, if it does not."""
    end = time.monotonic() + PATIENCE
    while not await true():
        if process.poll() is not None or time.monotonic() > end:
            process.kill()
            raise AssertionError(process.communicate()[0])
        await asyncio.sleep(0.2)


async def finish(process: subprocess.Popen[str], *, kill: bool = False) -> str:
    """End it, as the kubelet does; what it has printed."""
    if kill:
        process.kill()
    else:
        process.terminate()
    out, _ = await asyncio.to_thread(process.communicate, timeout=PATIENCE)
    return str(out)


async def page(url: str) -> tuple[int, str]:
    """Status and text; 0 while nobody listens."""
    try:
        async with aiohttp.ClientSession() as session, session.get(url) as response:
            return response.status, await response.text()
    except aiohttp.ClientConnectionError:
        return 0, ""


def status_of(process: subprocess.Popen[str], field: str) -> str:
    """A field of /proc/PID/status."""
    found = re.search(rf"^{field}:\s+(\S+)", Path(f"/proc/{process.pid}/status").read_text(), re.MULTILINE)
    assert found is not None
    return found[1]


def as_promised(process: subprocess.Popen[str], security: Security) -> None:
    """It is who it should be, can do no more than it may, and is small."""
    bits = sum(1 << number for number in security.capabilities)
    assert int(status_of(process, "Uid")) == security.user
    bounding, effective = (int(status_of(process, field), 16) for field in ("CapBnd", "CapEff"))
    assert bounding == effective == (bounding & bits if security.privileged else bits)
    assert int(status_of(process, "NoNewPrivs")) == security.no_new_privs
    assert int(status_of(process, "VmHWM")) < LIMIT


DNS: Final = built("dns")
AS_COREDNS: Final = (kubeadm.coredns(), {"coredns": {"Corefile": (COREFILES / "kubeadm").read_text()}}, SYSTEM_COREDNS)
AS_OURS: Final = (one(DNS, "Deployment"), texts(DNS), rights(DNS, "kdns"))
Spec = tuple[Manifest, ConfigMaps, Iterable[Rule]]


async def answers(address: str) -> None:
    """The cluster's names are there, over UDP and TCP."""
    for proto in ("udp", "tcp"):
        found = await ask(Question("kubernetes.default.svc.cluster.local", "A", proto), address, 53)
        assert found == Reply("NOERROR", ("10.96.0.1",))
    assert (await ask(Question("nobody.shop.svc.cluster.local", "A"), address, 53)).rcode == "NXDOMAIN"


@pytest.mark.parametrize("spec", [AS_COREDNS, AS_OURS], ids=["in CoreDNS's Deployment", "in ours"])
def test_dns_binds_port_53_and_stays_small(image: Image, tmp_path: Path, spec: Spec) -> None:
    """With a read-only root, without any capability but one, while it follows the demo cluster."""
    workload, configs, rules = spec

    async def life(api: ApiServer) -> None:
        found = container(image, workload, tmp_path, configs, api.environ)
        assert found.security.capabilities == (NET_BIND_SERVICE,)
        assert found.security.read_only
        assert found.security.no_new_privs
        process = found.start()
        try:
            await until(process, ready)
            await answers("127.0.0.1")
            as_promised(process, found.security)
            await finish(process)
            assert process.returncode == 0
        finally:
            process.kill()
            process.wait()

    async def ready() -> bool:
        return (await page("http://127.0.0.1:8181/ready"))[0] == 200

    in_a_cluster(rules, life)


def test_without_the_capability_port_53_is_not_to_be_had(image: Image, tmp_path: Path) -> None:
    """So the test above shows what it says: the other entry has none."""
    workload, configs, rules = AS_OURS

    async def life(api: ApiServer) -> None:
        found = container(image, workload, tmp_path, configs, api.environ)
        other = found._replace(argv=("/usr/local/bin/kdns", *found.argv[1:]))
        process = other.start()
        out, _ = await asyncio.to_thread(process.communicate, timeout=PATIENCE)
        assert process.returncode == 1
        assert "ermission denied" in out or "no permission" in out

    in_a_cluster(rules, life)


KIND: Final = built("overlays/kind")
KUBECONFIG: Final = """\
apiVersion: v1
kind: Config
clusters:
  - name: default
    cluster:
      certificate-authority: /var/run/secrets/kubernetes.io/serviceaccount/ca.crt
      server: https://{KUBERNETES_SERVICE_HOST}:{KUBERNETES_SERVICE_PORT}
contexts:
  - name: default
    context: {{cluster: default, namespace: default, user: default}}
current-context: default
users:
  - name: default
    user:
      tokenFile: /var/run/secrets/kubernetes.io/serviceaccount/token
"""
"""As kubeadm writes it into the ConfigMap kube-proxy."""


class Case(NamedTuple):
    """A proxy in a Pod, and where its rules are."""

    workload: Manifest
    mode: str
    saved: tuple[str, ...]
    """Prints the rules."""
    rule: str
    """A pattern of what they must be."""
    hint: tuple[str, ...] = ()
    """What the kubelet has done before."""


BALANCED: Final = rf"-A {CHAIN} .*--probability 0\.3333.* -j KUBE-SEP-"
CASES: Final = {
    "in kube-proxy's DaemonSet": Case(kubeadm.kube_proxy(), "iptables", ("iptables-nft-save", "-t", "nat"), BALANCED),
    "in ours": Case(one(KIND, "DaemonSet"), "iptables", ("iptables-nft-save", "-t", "nat"), BALANCED),
    "in ours, legacy": Case(
        one(KIND, "DaemonSet"), "iptables", ("iptables-legacy-save", "-t", "nat"), BALANCED,
        ("iptables-legacy", "-t", "mangle", "-N", "KUBE-IPTABLES-HINT"),
    ),
    "in ours, nftables": Case(
        one(KIND, "DaemonSet"), "nftables", ("nft", "list", "table", "ip", "kube-proxy"),
        rf"{HOSTNAMES} \. 80 \. \S+ : 10\.244\.0\.5 \. 9376",
    ),
}  # fmt: skip


def proxy_configs(mode: str, environ: Mapping[str, str]) -> ConfigMaps:
    """kubeadm's ConfigMap as kind has it (the host's table of flows is left alone), and ours."""
    config = yaml.safe_load(files.KUBEADM) | {"mode": mode, "conntrack": {"maxPerCore": 0}}
    ours = yaml.safe_load(texts(KIND)["kdns-proxy"]["config.conf"]) | {"mode": mode}
    assert ours["conntrack"]["maxPerCore"] == 0
    return {
        "kube-proxy": {"config.conf": yaml.dump(config), "kubeconfig.conf": KUBECONFIG.format(**environ)},
        "kdns-proxy": {"config.conf": yaml.dump(ours)},
    }


def sysctl(name: str) -> str:
    """What the network of the calling thread has."""
    return Path("/proc/sys", name).read_text().strip()


async def initialized(found: Container) -> None:
    """The init container has done its work: it ends well, and the network has what it should set."""
    process = found.start()
    out, _ = await asyncio.to_thread(process.communicate, timeout=PATIENCE)
    assert process.returncode == 0, out
    assert sysctl("net/netfilter/nf_conntrack_tcp_timeout_close_wait") == "3600"


@pytest.mark.parametrize("what", CASES)
def test_the_proxy_writes_its_rules(image: Image, tmp_path: Path, what: str) -> None:
    """In the node's network, with the capabilities that its Pod has, from the mounted configuration; and is small."""
    case = CASES[what]
    ours = "kdns" in case.workload["metadata"]["name"]

    async def life(api: ApiServer) -> None:
        if case.hint:
            run(*case.hint)
        configs = proxy_configs(case.mode, api.environ)
        found = container(image, case.workload, tmp_path, configs, api.environ)
        if ours:
            await initialized(container(image, case.workload, tmp_path, configs, api.environ, part="initContainers"))
        process = found.start()
        try:
            await until(process, written)
            assert (await page("http://127.0.0.1:10249/proxyMode")) == (200, case.mode)
            for path in ("healthz", "livez"):
                assert (await page(f"http://{HOST_IP}:10256/{path}"))[0] == 200
            as_promised(process, found.security)
            out = await finish(process)
            assert process.returncode == 0
            assert set(re.findall(r"cannot set (\S+)", out)) <= {"/proc/self/oom_score_adj"}  # the kubelet's to set
            assert await written()
        finally:
            process.kill()
            process.wait()

    async def written() -> bool:
        return re.search(case.rule, saved(case)) is not None

    in_a_cluster(rights(KIND, "kdns-proxy") if ours else SYSTEM_NODE_PROXIER, life)


def saved(case: Case) -> str:
    """The rules there are; none while there is no table."""
    return subprocess.run(case.saved, capture_output=True, check=False, text=True).stdout


def test_both_in_one_process(image: Image, tmp_path: Path) -> None:
    """As the overlay `node` has it: DNS on the node's address alone, and rules."""
    manifests = built("overlays/node")

    async def life(api: ApiServer) -> None:
        configs = {**texts(manifests), **proxy_configs("iptables", api.environ)}
        found = container(image, one(manifests, "DaemonSet"), tmp_path, configs, api.environ)
        process = found.start()
        try:
            await until(process, ready)
            await until(process, written)
            await answers(HOST_IP)
            with pytest.raises(ConnectionRefusedError):
                await asyncio.open_connection("127.0.0.1", 53)
            assert (await page(f"http://{HOST_IP}:10256/livez"))[0] == 200
            as_promised(process, found.security)
            await finish(process)
            assert process.returncode == 0
        finally:
            process.kill()
            process.wait()

    async def ready() -> bool:
        return (await page(f"http://{HOST_IP}:8181/ready"))[0] == 200

    async def written() -> bool:
        return re.search(BALANCED, saved(CASES["in ours"])) is not None

    in_a_cluster(rights(manifests, "kdns"), life)


def test_there_is_no_compiler_and_all_is_compiled(image: Image) -> None:
    """Slim, and nothing is written at the first start."""
    for tool in ("gcc", "cc", "pip", "make"):
        done = subprocess.run(
            ("chroot", str(image.root), "sh", "-c", f"command -v {tool}"), capture_output=True, check=False
        )
        assert done.returncode, f"{tool} is in the image"
    package = next(image.root.glob("opt/kdns/lib/python3.*/site-packages/kdns"))
    sources, compiled = list(package.rglob("*.py")), list(package.rglob("*.pyc"))
    assert len(sources) == len(compiled) > 100


def test_both_names_and_all_tools_are_there(image: Image) -> None:
    """`kdns`, `kube-proxy`, iptables in both variants, nft."""
    for tool in (
        "kdns --version",
        "iptables-nft -V",
        "iptables-legacy -V",
        "ip6tables-nft -V",
        "nft -v",
        "modprobe -V",
    ):
        path = image.environ["PATH"]
        assert run("chroot", str(image.root), "/usr/bin/env", f"PATH={path}", "sh", "-c", tool)


def test_no_program_has_rights_of_its_own(image: Image) -> None:
    """No file is setuid or setgid, and of file capabilities there is the one of DNS without root."""
    assert run("find", str(image.root), "-xdev", "-type", "f", "-perm", "/6000") == ""
    files = run("find", str(image.root), "-xdev", "-type", "f").splitlines()
    capable = [path for path in files if "security.capability" in os.listxattr(path)]
    assert capable == [str(image.root / "opt/kdns/bin/python-nonroot")]


def test_labels_say_what_it_is(image: Image) -> None:
    """In the words of the OCI, with the project's version and licence, and the base image that it was built from."""
    project = tomllib.loads((HOUSE / "pyproject.toml").read_text())["project"]
    prefix = "org.opencontainers.image."
    said = {name.removeprefix(prefix): value for name, value in image.labels.items()}
    assert (said["version"], said["licenses"]) == (project["version"], project["license"])
    assert f"ARG BASE={said['base.name']}\n" in (HOUSE / "Dockerfile").read_text()
    assert (said["url"], said["documentation"]) == (project["urls"]["Homepage"], project["urls"]["Documentation"])
