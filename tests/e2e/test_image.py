"""The image: its steps are run, and each entry point is started as the Pod specs that it is for would start it."""

import os
import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from tests.e2e.confined import NET_BIND_SERVICE, Security, start
from tests.e2e.image import Build, Image, needs_root, run

pytestmark = [pytest.mark.e2e, pytest.mark.kernel, pytest.mark.timeout(400)]

PATIENCE: Final = 30.0
LIMIT: Final = 170 * 1024
"""KiB, of the memory limit of kubeadm's Deployment."""
COREFILE: Final = """
.:53 {
    errors
    health
    ready
    hosts {
        10.96.0.1 kubernetes.default.svc.cluster.local
    }
    cache 30
}
"""


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Image]:
    """Built once."""
    needs_root()
    build = Build(tmp_path_factory.mktemp("image"))
    try:
        yield build.build()
    finally:
        build.close()


def mounted(image: Image, tmp_path: Path, inside: str, text: str) -> dict[str, Path]:
    """A ConfigMap in a folder of the Pod: what the mount point is inside, and what is there."""
    (tmp_path / Path(inside).name).write_text(text)
    tmp_path.chmod(0o755)
    folder = str(Path(inside).parent)
    (image.root / folder.lstrip("/")).mkdir(parents=True, exist_ok=True)
    return {folder: tmp_path}


def found(image: Image, command: str) -> str:
    """Where a command is, as the container runtime finds it: what runs first must be it, not a shell."""
    for folder in image.environ["PATH"].split(":"):
        if os.path.lexists(f"{image.root}{folder}/{command}"):
            return f"{folder}/{command}"
    raise AssertionError(f"no {command} in the image's PATH")


def peak(pid: int) -> int:
    """KiB that a process had at most."""
    most = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert most is not None
    return int(most[1])


def ask(process: subprocess.Popen[str], name: str, *more: str) -> str:
    """What dig prints in the network of a process, once it answers."""
    command = (
        "nsenter",
        f"--net=/proc/{process.pid}/ns/net",
        "dig",
        "+short",
        "+tries=1",
        "+time=1",
        "@127.0.0.1",
        name,
        *more,
    )
    until = time.monotonic() + PATIENCE
    while True:
        done = subprocess.run(command, capture_output=True, check=False, text=True)
        if done.returncode == 0:
            return done.stdout.strip()
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < until, done.stdout
        time.sleep(0.2)


AS_COREDNS = Security(0, (NET_BIND_SERVICE,), no_new_privs=True, read_only=True)
"""kubeadm's Deployment of CoreDNS: no user of its own, NET_BIND_SERVICE alone, allowPrivilegeEscalation: false."""
AS_OURS = Security(65532, (NET_BIND_SERVICE,), no_new_privs=True, read_only=True)
"""manifests/dns/deployment.yaml."""


@pytest.mark.parametrize(
    ("entry", "security"),
    [((), AS_COREDNS), (("kdns-nonroot",), AS_OURS)],
    ids=["in CoreDNS's Deployment", "in ours"],
)
def test_dns_binds_port_53_and_stays_small(
    image: Image, tmp_path: Path, entry: tuple[str, ...], security: Security
) -> None:
    """With a read-only root, without any capability but one."""
    mounts = mounted(image, tmp_path, "/etc/coredns/Corefile", COREFILE)
    argv = [found(image, *(entry or image.entrypoint)), "-conf", "/etc/coredns/Corefile"]
    process = start(image.root, argv, image.environ, security, mounts)
    try:
        assert ask(process, "kubernetes.default.svc.cluster.local") == "10.96.0.1"
        assert ask(process, "kubernetes.default.svc.cluster.local", "+tcp") == "10.96.0.1"
        status = Path(f"/proc/{process.pid}/status").read_text()
        assert re.search(rf"^Uid:\t{security.user}\t", status, re.MULTILINE)
        assert re.search(r"^CapBnd:\t0+400$", status, re.MULTILINE)
        assert peak(process.pid) < LIMIT
        process.terminate()
        assert process.wait(PATIENCE) == 0
    finally:
        process.kill()
        process.communicate()


def test_without_the_capability_port_53_is_not_to_be_had(image: Image, tmp_path: Path) -> None:
    """So the test above shows what it says."""
    mounts = mounted(image, tmp_path, "/etc/coredns/Corefile", COREFILE)
    argv = [found(image, "kdns"), "-conf", "/etc/coredns/Corefile"]
    process = start(image.root, argv, image.environ, AS_OURS, mounts)
    out, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == 1
    assert "ermission denied" in out


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
