"""A Pod and its node on this machine: networks and files of their own, which go away with those who live in them.

::

    the Pod: 10.244.0.53, ...  (pod0) ── veth ── (node0) 192.0.2.53: the node, with its resolver on port 53
    /etc and /run are folders of the test

Nothing has a name outside, so nothing can be left behind: a namespace ends with its last process or thread.
"""

import asyncio
import ctypes
import os
import shutil
import subprocess
import threading
from collections.abc import Callable, Coroutine, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest

from kdns.watch.api.credentials import SERVICE_ACCOUNT
from tests.fakes.api_server import FakeApiServer
from tests.fakes.certificates import SERVER, server_context
from tests.running import Kdns

CLONE_NEWNS: Final = 0x0002_0000
CLONE_NEWNET: Final = 0x4000_0000
POD, SERVICE, CLUSTER_DNS, LOCAL = "10.244.0.53", "10.96.0.10", "10.96.0.11", "169.254.20.10"
"""The Pod itself; the Services kube-dns and kube-dns-upstream; NodeLocal DNSCache."""
NODE: Final = "192.0.2.53"
TOKEN: Final = "a-token-of-the-service-account"
LIFE: Final = 50.0
"""Seconds that a Pod may live."""
OUTSIDE: Final = f"nameserver {NODE}\n"
"""The Pod's own resolv.conf: with dnsPolicy Default it is the node's."""
INSIDE: Final = f"""\
search default.svc.cluster.local svc.cluster.local cluster.local
nameserver {SERVICE}
options ndots:5
"""
"""What the kubelet writes for Pods with dnsPolicy ClusterFirst."""
NEEDED: Final = ("passwd", "group", "ld.so.cache", "ld.so.conf", "ld.so.conf.d", "ssl", "alternatives", "localtime")
"""What programs of this machine want from /etc."""


class Pod(NamedTuple):
    """Where to write, and how to reach the node."""

    etc: Path
    """What is /etc inside."""
    node: int
    """A process that lives in the node's network."""

    @property
    def corefile(self) -> Path:
        """The Corefile, as the test may write it."""
        return self.etc / "coredns" / "Corefile"

    def on_the_node(self, *command: str) -> tuple[str, ...]:
        """A command that runs in the node's network."""
        return ("nsenter", f"--net=/proc/{self.node}/ns/net", *command)

    def with_search_list(self, *command: str) -> tuple[str, ...]:
        """A command that runs with the resolv.conf of any Pod of the cluster."""
        client = self.etc / "client.conf"
        client.write_text(INSIDE)
        return ("unshare", "-m", "sh", "-c", 'mount --bind "$0" /etc/resolv.conf && exec "$@"', str(client), *command)


Life = Callable[[Pod], Coroutine[Any, Any, None]]


def in_a_pod(folder: Path, files: Mapping[str, str], life: Life) -> None:
    """Run a test inside: ``files`` are those below /etc. Skips where there is no root."""
    if os.geteuid():
        pytest.skip("no network namespaces without root")
    failures: list[BaseException] = []

    def run() -> None:
        try:
            node = _build(folder, files)
            try:
                asyncio.run(asyncio.wait_for(life(Pod(folder / "etc", node.pid)), LIFE))
            finally:
                node.kill()
                node.communicate()
        except BaseException as failure:  # noqa: BLE001 - handed to the test
            failures.append(failure)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    if failures:
        raise failures[0]


def _build(folder: Path, files: Mapping[str, str]) -> subprocess.Popen[bytes]:
    """Move this thread into a Pod; the node's process, which ends when nobody holds its standard input."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWNET | CLONE_NEWNS):
        pytest.skip(f"no namespaces to be had: {os.strerror(ctypes.get_errno())}")
    _run("mount --make-rprivate /")
    etc, run = folder / "etc", folder / "run"
    account = run / SERVICE_ACCOUNT.relative_to("/var/run")
    for path in (etc, account):
        path.mkdir(parents=True)
    for name in NEEDED:
        original = Path("/etc", name)
        if original.is_dir():
            shutil.copytree(original, etc / name, symlinks=True)
        elif original.exists():
            shutil.copy(original, etc / name)
    own = {"resolv.conf": OUTSIDE, "hosts": "127.0.0.1 localhost\n", "nsswitch.conf": "hosts: files dns\n"}
    for name, text in (own | dict(files)).items():
        (etc / name).parent.mkdir(parents=True, exist_ok=True)
        (etc / name).write_text(text)
    (account / "token").write_text(TOKEN)
    shutil.copy(SERVER.cert, account / "ca.crt")
    _run(f"mount --bind {etc} /etc")
    _run(f"mount --bind {run} /run")
    _run("ip link set lo up")
    node = subprocess.Popen(("unshare", "--net", "sh", "-c", "echo; exec cat"), stdin=-1, stdout=-1)
    assert node.stdout is not None
    node.stdout.readline()  # it is there
    inside = f"nsenter --net=/proc/{node.pid}/ns/net"
    _run(f"ip link add pod0 type veth peer name node0 netns {node.pid}")
    _run(f"{inside} ip address add {NODE}/24 dev node0")
    _run(f"{inside} ip link set node0 up")
    _run(f"{inside} ip link set lo up")
    _run("ip link set pod0 up")
    for address in (POD, SERVICE, CLUSTER_DNS, LOCAL):
        _run(f"ip address add {address}/32 dev lo")
    _run("ip address add 192.0.2.1/24 dev pod0")
    return node


def _run(command: str) -> None:
    done = subprocess.run(command.split(), capture_output=True, check=False, text=True)
    assert done.returncode == 0, f"{command}: {done.stderr}"


class ApiServer(FakeApiServer):
    """The API server as a Pod sees it: TLS, and a token."""

    def __init__(self, objects: Any) -> None:
        super().__init__(objects, token=TOKEN, tls=server_context())

    @property
    def environ(self) -> dict[str, str]:
        """What the kubelet tells every container."""
        host, _, port = self.url.removeprefix("https://").rpartition(":")
        return {"KUBERNETES_SERVICE_HOST": host, "KUBERNETES_SERVICE_PORT": port}


def coredns_container(*arguments: str, environ: Mapping[str, str]) -> Kdns:
    """Our process with what kubeadm's Deployment gives CoreDNS: one capability, and no file it could write."""
    capability = "-all,+net_bind_service"
    rights = ("setpriv", f"--bounding-set={capability}", f"--inh-caps={capability}", "--no-new-privs")
    read_only = (
        "unshare",
        "-m",
        "sh",
        "-c",
        'mount -o remount,bind,ro / && mount -o remount,bind,ro /etc && exec "$@"',
        "sh",
    )
    return Kdns(*arguments, within=(*read_only, *rights), environ={**os.environ, **environ})


async def output(*command: str, status: int = 0) -> str:
    """What a command prints; it must end so."""
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    try:
        text, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == status, f"{command}: {process.returncode}: {text.decode()}"
    return text.decode()
