"""What a lab's cluster and nodes have, as a folder of evidence for `kdns explain`, in the layout of `kdns collect`."""

import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from kdns.lab.cluster import Cluster
from kdns.lab.workloads import key_of
from kdns.lab.written import virtual_servers
from kdns.proxy.model import Family

KINDS: Final = (
    "Namespace", "Node", "Service", "EndpointSlice", "Pod", "ConfigMap", "Deployment", "DaemonSet", "StatefulSet",
    "ReplicaSet", "NetworkPolicy", "ServiceCIDR",
)  # fmt: skip
TOOLS: Final = {
    "iptables-save.txt": ("iptables-save",),
    "ip6tables-save.txt": ("ip6tables-save",),
    "iptables-legacy-save.txt": ("iptables-legacy-save",),
    "ip6tables-legacy-save.txt": ("ip6tables-legacy-save",),
    "nft.txt": ("nft", "list", "ruleset"),
    "ipset.txt": ("ipset", "save"),
    "addresses.txt": ("ip", "-o", "addr"),
    "routes.txt": ("ip", "route", "show", "table", "all"),
    "sysctl.txt": ("sysctl", "-a"),
}


@contextmanager
def evidence(cluster: Cluster) -> Iterator[Path]:
    """The folder, gone at the end."""
    with tempfile.TemporaryDirectory(prefix="kdns-lab-evidence-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        items = [body for kind in KINDS for body in cluster.objects(kind)]
        (folder / "objects.json").write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": items}))
        for node in cluster.plan.nodes:
            _write(cluster, node.name, folder / "node" / node.name, TOOLS)
            network = cluster.network.parts[node.name].network
            lines = [line for family in Family for line in virtual_servers(network, family)]
            if lines:  # netlink, since ipvsadm is a package that a lab does without
                (folder / "node" / node.name / "ipvsadm.txt").write_text("\n".join(lines) + "\n")
        for pod in cluster.pods():
            namespace, part = key_of(pod)
            _write(cluster, part, folder / "pod" / namespace / part, {"resolv.conf": ("cat", "/etc/resolv.conf")})
        yield folder


def _write(cluster: Cluster, part: str, folder: Path, tools: dict[str, tuple[str, ...]]) -> None:
    """Each tool's output; none of a tool that is not there or finds nothing."""
    if part not in cluster.network.parts:
        return
    folder.mkdir(parents=True)
    for name, argv in tools.items():
        done = cluster.network.run(part, ["sh", "-c", f"command -v {argv[0]} > /dev/null && exec {' '.join(argv)}"])
        if done.returncode == 0 and done.stdout.strip():
            (folder / name).write_text(done.stdout)
