"""A cluster without a way outside: the upstream is there in resolv.conf, and silent.

As on a real cluster of one node, where `nslookup kubernetes.default` of busybox timed out.
"""

import asyncio
import socket
from pathlib import Path
from typing import Final

import pytest

from kdns.demo.ask import Question, ask
from tests.e2e.pod import SERVICE, ApiServer, Pod, coredns_container, in_a_pod, output
from tests.e2e.test_corefiles import demo, until_ready

pytestmark = pytest.mark.e2e

UPSTREAM: Final = ("127.0.0.1", 5399)
COREFILE: Final = f"""\
.:53 {{
    errors
    ready
    shortnames
    kubernetes cluster.local in-addr.arpa ip6.arpa {{
        pods insecure
        fallthrough in-addr.arpa ip6.arpa
    }}
    forward . {UPSTREAM[0]}:{UPSTREAM[1]}
    cache 30
}}
"""


def test_the_cluster_answers_for_its_services(tmp_path: Path) -> None:
    """The short name is answered while the upstream says nothing; what may be another's name is not."""
    found: list[str] = []

    async def life(_: Pod) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
            silent.bind(UPSTREAM)
            async with (
                ApiServer(demo()) as api,
                coredns_container("-conf", "/etc/coredns/Corefile", environ=api.environ) as kdns,
            ):
                await kdns.line(r"^linux/")
                await until_ready()
                found.append(await output("busybox", "nslookup", "-type=a", "kubernetes.default", SERVICE))
                for name in ("kubernetes.default", "kubernetes.default.svc", "kubernetes.corp", "www.example.com"):
                    async with asyncio.timeout(120):
                        found.append((await ask(Question(name, "A"), SERVICE, 53)).rcode)

    in_a_pod(tmp_path, {"coredns/Corefile": COREFILE}, life)
    assert "Name:\tkubernetes.default\nAddress: 10.96.0.1\n" in found.pop(0)
    assert found == ["NOERROR", "NOERROR", "SERVFAIL", "SERVFAIL"]
