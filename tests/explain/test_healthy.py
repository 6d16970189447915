"""No false alarm: on every example cluster of the repository, each Service is asked for and no fault is found."""

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

import pytest

from kdns.explain.case import Case
from kdns.explain.chain import explain
from kdns.explain.cluster import KINDS, Cluster
from kdns.explain.evidence import Evidence
from kdns.explain.model import State
from kdns.explain.objects import Body, field, key_of, maps
from kdns.explain.question import parse_question
from kdns.explain.run import Request, run
from kdns.watch.manifests.folder import content, scan
from kdns.watch.manifests.reading import parse_manifests

ROOT = Path(__file__).parents[2]
CLUSTERS = ("kdns/demo", "kdns/lab/manifests", "tests/explain/cases/common.yaml")
BY_DESIGN = {("shop", "payments", "E25")}
"""What example clusters show on purpose: a Service without a ready endpoint."""


def cluster_of(path: Path) -> Cluster:
    """A cluster from a file or folder of manifests."""
    files = {name: parse_manifests(content(name) or b"", name, also=KINDS) for name in scan(path).files}
    return Cluster(files)


def questions(service: Body) -> Iterator[tuple[str, dict[str, str]]]:
    """A Service by its name, and by each of its ports and addresses."""
    key = key_of(service)
    name = f"{key.name}.{key.namespace}"
    yield name, {}
    yield f"{name}.svc.cluster.local.", {}
    for port in maps(service, "spec.ports"):
        flags = {"protocol": str(port.get("protocol") or "TCP")}
        address = field(service, "spec.clusterIP", "")
        if address and address != "None":
            yield (f"[{address}]:{port['port']}" if ":" in address else f"{address}:{port['port']}"), flags
            yield f"{name}:{port['port']}", flags


@pytest.mark.parametrize("path", CLUSTERS)
def test_example_clusters_have_no_fault(path: str) -> None:
    """Every Service of an example cluster, asked for in every form, has no fault but one that is there on purpose."""
    cluster = cluster_of(ROOT / path)
    asked = faults = 0
    for service in cluster.objects.all("Service"):
        for target, flags in questions(service):
            report = explain(Case(parse_question(target, **flags), Evidence(objects=cluster.objects), cluster))
            key = key_of(service)
            for found in report.findings:
                allowed = (key.namespace, key.name, found.code) in BY_DESIGN
                assert found.state is not State.FAULT or allowed, (target, found)
            faults += report.first_fault is not None
            asked += 1
    assert asked > 5
    assert faults < asked / 2


def test_a_healthy_bundle_is_ok() -> None:
    """With rules, objects and Corefile in the evidence the verdict is ok, and the exit status 0."""
    folder = ROOT / "tests/explain/cases/healthy-iptables"
    out = io.StringIO()

    def write(values: object, _form: str, stream: TextIO) -> None:
        json.dump(values, stream)

    request = Request(parse_question("10.96.7.7:80", from_node="worker-1"), evidence=(str(folder),), output="json")
    status = run(request, write, colour=False, out=out)
    report: dict[str, Any] = json.loads(out.getvalue())
    assert (status, report["first_fault"]) == (0, None), report
