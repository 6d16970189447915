"""``kdns collect``: evidence as a tar.gz, in the layout that `kdns.explain.bundle` reads. The edge.

Nothing secret: no Secret is read, no ConfigMap but those of DNS and the proxy, no environment of a container.
"""

import asyncio
import io
import logging
import os
import sys
import tarfile
import time
from collections.abc import Iterable, Iterator, Sequence
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Final, NamedTuple

from kdns.base.errors import ConfigError
from kdns.explain.ages import rfc3339
from kdns.explain.bundle import Raw
from kdns.explain.fetch import EVERYTHING, SYSTEM, Fetched, fetch, fetch_config_maps, fetch_logs, open_api
from kdns.explain.node_files import collect_node
from kdns.kernel.interfaces import interface_addresses

LOG: Final = logging.getLogger("kdns.explain")
DNS_LABELS: Final = frozenset({"kube-dns", "coredns", "kdns"})
"""Values of the labels ``k8s-app`` and ``app.kubernetes.io/name`` of DNS Pods."""
DNS_PODS: Final = 20
"""Pods whose logs are read at most."""


class Asked(NamedTuple):
    """What the command line asks for."""

    source: str = ""
    """An API server; empty: none, only the node."""
    node: bool = False
    node_name: str = ""
    """Of this node; empty: the Node with an address of this machine, else its host name."""
    output: str = ""
    """A file, or - for standard output; empty: ``kdns-evidence-TIME.tar.gz``."""
    root: str = "/"
    """Where the node's own files are."""


async def collect(asked: Asked) -> list[Raw]:
    """The files of the bundle. Raises ConfigError if nothing can be read at all."""
    fetched, logs = Fetched(), list[Raw]()
    if asked.source:
        async with open_api(asked.source) as api:
            fetched = await fetch(api, [(listed, "") for listed in EVERYTHING])
            await fetch_config_maps(api, fetched)
            logs = await fetch_logs(api, dns_pods(fetched), fetched)
    files = [*fetched.raws, *logs]
    if asked.node:
        name = asked.node_name or this_node(fetched.bodies("Node"))
        files += await collect_node(name, set(cluster_addresses(fetched)), root=asked.root)
    problems = [*(f"may not list {kind}" for kind in fetched.forbidden), *fetched.problems]
    for problem in problems:
        LOG.warning("not collected: %s", problem)
    return files


def dns_pods(fetched: Fetched) -> list[tuple[str, str]]:
    """Namespace and name of the Pods of cluster DNS."""
    names = []
    for body in fetched.bodies("Pod"):
        metadata = body.get("metadata") or {}
        labels = metadata.get("labels") or {}
        if {labels.get("k8s-app"), labels.get("app.kubernetes.io/name")} & DNS_LABELS:
            names.append((str(metadata.get("namespace") or SYSTEM), str(metadata.get("name") or "")))
    return sorted(names)[:DNS_PODS]


def cluster_addresses(fetched: Fetched) -> Iterator[str]:
    """Every address of a Service: their flows are kept of a large table."""
    for body in fetched.bodies("Service"):
        spec = body.get("spec") or {}
        yield from (address for address in spec.get("clusterIPs") or () if address != "None")
        yield from spec.get("externalIPs") or ()
        ingress = ((body.get("status") or {}).get("loadBalancer") or {}).get("ingress") or []
        yield from (entry["ip"] for entry in ingress if entry.get("ip"))


def this_node(nodes: Iterable[dict[str, Any]]) -> str:
    """The Node that has an address of this machine; without one, NODE_NAME or the host name."""
    own = {str(ip_address(one.address)) for one in interface_addresses()}
    for body in nodes:
        addresses = (body.get("status") or {}).get("addresses") or ()
        if any(one.get("type") == "InternalIP" and one.get("address") in own for one in addresses):
            return str(body["metadata"]["name"])
    return os.environ.get("NODE_NAME") or os.uname().nodename.lower()


def pack(files: Sequence[Raw], folder: str, now: float) -> bytes:
    """A tar.gz with all below one folder."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        for file in sorted(files):
            member = tarfile.TarInfo(f"{folder}/{file.path}")
            member.size, member.mtime, member.mode = len(file.data), int(now), 0o644
            archive.addfile(member, io.BytesIO(file.data))
    return packed.getvalue()


def run(asked: Asked, clock: float | None = None) -> str:
    """Collect, and write the file; what to tell the operator. Raises ConfigError for what cannot be read or written."""
    now = time.time() if clock is None else clock
    files = asyncio.run(collect(asked))
    if not files:
        raise ConfigError("nothing was collected", hint="give --source, --node, or both")
    files.append(Raw("collected.txt", f"{rfc3339(now)}\n".encode()))
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(now))
    folder = f"kdns-evidence-{stamp}"
    data, output = pack(files, folder, now), asked.output or f"{folder}.tar.gz"
    if output == "-":
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
        return ""
    try:
        _write(Path(output), data)
    except OSError as error:
        raise ConfigError(f"cannot write {output}: {error.strerror}") from error
    return f"{output}: {len(files)} files, {len(data):,} octets; use it: kdns explain TARGET --evidence {output}"


def _write(path: Path, data: bytes) -> None:
    """For the owner alone: it shows a whole cluster. A half-written file does not look like a bundle."""
    partial = path.with_name(f".{path.name}.part")
    with open(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(data)
    partial.replace(path)
