"""The C library of this machine walks a search list through kdns, as in a Pod.

glibc (res_search) goes on after NXDOMAIN, NODATA and SERVFAIL, and gives the list up after any other rcode. CoreDNS
answers SERVFAIL at the end of a chain, so with it these names are found.
"""

import asyncio
import os
from pathlib import Path
from typing import Final

import pytest

from tests.e2e.pod import POD, Pod, coredns_container, in_a_pod, output

pytestmark = pytest.mark.e2e

HOSTS: Final = "hosts {\n 10.0.0.5 registry.dc.lan\n fallthrough\n}"
NO: Final = "template ANY ANY cluster.local {\n rcode NXDOMAIN\n}"
CASES: Final = (
    # plugins of the `.` block, search list
    (f"{HOSTS}\n{NO}", "cluster.local corp.lan dc.lan"),
    (f"{HOSTS}\n{NO}", "corp.lan cluster.local dc.lan"),
    (f"{HOSTS}\n{NO}", "dc.lan corp.lan cluster.local"),
    (f"{HOSTS}\nforward . 127.0.0.1:1 {{\n except corp.lan cluster.local\n}}", "cluster.local corp.lan dc.lan"),
    (f"{HOSTS}\nforward far.lan 127.0.0.1:1", "corp.lan dc.lan"),
    (f"{HOSTS}\nrewrite name suffix .corp.lan .nowhere.lan answer auto", "corp.lan dc.lan"),
)


@pytest.mark.parametrize(("plugins", "search"), CASES)
def test_a_search_list_is_walked_to_its_end(tmp_path: Path, plugins: str, search: str) -> None:
    """`getent hosts registry` and getaddrinfo find registry.dc.lan, wherever dc.lan stands in the list."""
    found: list[str] = []

    async def life(pod: Pod) -> None:
        conf = pod.etc / "client.conf"
        conf.write_text(f"nameserver {POD}\nsearch {search}\noptions ndots:5 timeout:2\n")
        client = ("unshare", "-m", "sh", "-c", 'mount --bind "$0" /etc/resolv.conf && exec "$@"', str(conf))
        async with coredns_container("-conf", "/etc/coredns/Corefile", environ=os.environ) as kdns:
            await kdns.line(r"^linux/")
            async with asyncio.timeout(120):
                found.append(await output(*client, "getent", "ahostsv4", "registry"))
                found.append(await output(*client, "getent", "hosts", "registry"))

    in_a_pod(tmp_path, {"coredns/Corefile": f".:53 {{\n{plugins}\n}}\n"}, life)
    assert [text.split()[0] for text in found] == ["10.0.0.5", "10.0.0.5"]
