"""The pages for people at 10,000 Services of 10 endpoints each: how long every page takes, first and later."""

import http.client
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Final, NamedTuple

from bench import machine, plan
from bench.cluster import wait_until_ready
from bench.peers import free_port, kdns_command, started
from bench.report import Target, table

KEY: Final = "pages"
ENDPOINTS: Final = 10
"""Of each Service."""
ASKED: Final = 20
"""Times that a page is asked for after the first."""
LIMIT: Final = 0.1
"""Seconds that a page may take."""
PAGES: Final = (
    "/", "/services", "/services?page=200", "/services?q=svc-99", "/services?state=fault", "/services/ns-1/svc-1",
    "/names?name=svc-1.ns-1", "/top", "/chains", "/overview.json", "/services.json", "/live.json",
)  # fmt: skip
"""In the order in which they are asked for: the first one makes the index of Services."""


class Timed(NamedTuple):
    """One page, in seconds."""

    path: str
    first: float
    later: float
    """The median."""


def measure(folder: Path) -> tuple[str, list[Target]]:
    """Of one server; a table and the verdict."""
    manifests = folder / "pages.json"
    manifests.write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": list(_objects())}))
    ready, status = f"127.0.0.1:{free_port()}", f"127.0.0.1:{free_port()}"
    words = ("--source", str(manifests), "--startup-timeout", "60s", "--status", status)
    argv = kdns_command(free_port(), *words, ready=ready)
    log = folder / "kdns-pages.log"
    with started(argv, log, env=dict(os.environ)) as process:
        wait_until_ready(ready, process, log)
        time.sleep(1)  # what sync leaves behind is frozen by then
        timed = [_timed(status, path) for path in PAGES]
    rows = [(f"`{page.path}`", f"{page.first * 1000:.0f}", f"{page.later * 1000:.1f}") for page in timed]
    text = f"Pages at {plan.SERVICES:,} Services of {ENDPOINTS} endpoints each:\n\n"
    text += table(("page", "first ms", f"median of {ASKED} more, ms"), rows)
    slowest = max(max(page.first, page.later) for page in timed)
    target = Target("every page in at most 100 ms, the first time too", f"{slowest * 1000:.0f} ms", slowest <= LIMIT)
    return text, [target]


def _timed(at: str, path: str) -> Timed:
    connection = http.client.HTTPConnection(at, timeout=60)
    seconds = []
    for _ in range(ASKED + 1):
        began = machine.now()
        connection.request("GET", path)
        answer = connection.getresponse()
        answer.read()
        seconds.append(machine.now() - began)
        if answer.status != http.client.OK:
            raise RuntimeError(f"{path} was answered with {answer.status}")
    connection.close()
    return Timed(path, seconds[0], median(seconds[1:]))


def _objects() -> Iterator[dict[str, object]]:
    yield from plan.objects()
    for number in range(plan.SERVICES):
        name, namespace = plan.service_name(number), plan.namespace_name(number)
        yield {
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
            "metadata": {"name": f"{name}-1", "namespace": namespace, "labels": {"kubernetes.io/service-name": name}},
            "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}],
            "endpoints": [_endpoint(number * ENDPOINTS + row) for row in range(ENDPOINTS)],
        }  # fmt: skip


def _endpoint(number: int) -> dict[str, object]:
    return {"addresses": [plan.pod_ip(number)], "nodeName": f"node-{number % 100}", "conditions": {"ready": True}}
