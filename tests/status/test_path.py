"""The path of a Service, and its drawing."""

from pathlib import Path

import pytest

from kdns.status.drawing import draw
from kdns.status.graph import ENDPOINTS, graph
from kdns.status.parts import Parts
from kdns.status.path import ServicePath, service_path
from tests.status.serving import CLUSTER, cluster, served

LARGE = """---
apiVersion: v1
kind: Service
metadata: {{name: large, namespace: shop}}
spec: {{clusterIP: 10.96.0.12, clusterIPs: [10.96.0.12], ports: [{{port: 80, protocol: TCP}}]}}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {{name: large-1, namespace: shop, labels: {{kubernetes.io/service-name: large}}}}
addressType: IPv4
ports: [{{name: "", port: 80, protocol: TCP}}]
endpoints: [{endpoints}]
"""


async def path_of(tmp_path: Path, name: str, text: str = CLUSTER) -> ServicePath:
    """The path of a Service of Namespace shop."""
    async with served(cluster(tmp_path, text)) as kdns:
        found = service_path(Parts("kdns serve", kdns.app), "shop", name)
    assert found is not None
    return found


async def test_a_service_that_is_well(tmp_path: Path) -> None:
    """Name, record, both frontends with their rules, every endpoint with its node and state, and no fault."""
    path = await path_of(tmp_path, "web")
    assert path.owner == "web.shop.svc.cluster.local."
    assert [(record.type, record.data, record.source) for record in path.records] == [
        ("A", "10.96.0.9", "Service shop/web")
    ]
    (port,) = path.ports
    assert [(frontend.kind, frontend.address, frontend.verdict) for frontend in port.frontends] == [
        ("cluster IP", "10.96.0.9:80", "cluster"),
        ("node port", ":30080", "cluster"),
    ]
    assert [(one.address, one.node, one.state, one.used) for one in port.endpoints] == [
        ("10.244.0.5:8080", "node-a", "ready", True),
        ("10.244.1.5:8080", "node-b", "ready", True),
        ("10.244.1.6:8080", "node-b", "terminating, serving", False),
    ]
    assert path.faults == ()
    drawing = draw(graph(path))
    assert {box.state for box in drawing.boxes} == {"ok", "warn"}
    assert {line.state for line in drawing.lines} == {"ok"}


@pytest.mark.parametrize(
    ("name", "says", "red"),
    [
        (
            "broken",
            ["no ready endpoint; 1 is there, and not ready", "cluster IP 10.96.0.10:80/TCP: refused, as there is no"],
            {"refuse", "10.244.0.7:8080"},
        ),
        ("empty", ["no ready endpoint", "cluster IP 10.96.0.11:80/TCP: refused"], {"refuse", "no ready endpoint"}),
        ("peers", ["Service shop/peers is headless and has no ready endpoint", "no ready"], {"no record", "no ready"}),
    ],
)
async def test_a_fault_is_red_where_it_is(tmp_path: Path, name: str, says: list[str], red: set[str]) -> None:
    """What is wrong is said in words, and drawn where it is; what is well stays as it is."""
    path = await path_of(tmp_path, name)
    assert len(path.faults) == len(says)
    for fault, sentence in zip(path.faults, says, strict=True):
        assert fault.says.startswith(sentence)
    boxes = {box.lines[0] for box in draw(graph(path)).boxes if box.state == "fault"}
    assert all(any(line.startswith(start) for line in boxes) for start in red)
    assert f"{name}" not in boxes


async def test_an_alias(tmp_path: Path) -> None:
    """An ExternalName has a CNAME and nothing behind it, which is no fault."""
    path = await path_of(tmp_path, "elsewhere")
    assert [(record.type, record.data) for record in path.records] == [("CNAME", "db.example.com.")]
    assert path.ports == ()
    assert path.faults == ()


async def test_what_explain_finds_is_on_the_path(tmp_path: Path) -> None:
    """Its faults stand first, at the stage of their link, and replace ours of the same stage."""
    report = {"links": [{"link": "endpoints", "state": "fault", "code": "E25", "says": "the Pod is not ready"},
                        {"link": "name", "state": "ok", "code": None, "says": "fine"}]}  # fmt: skip
    async with served(cluster(tmp_path)) as kdns:
        path = service_path(Parts("kdns serve", kdns.app), "shop", "broken", report)
    assert path is not None
    assert [(fault.stage, fault.code, fault.says[:11]) for fault in path.faults] == [
        ("endpoints", "E25", "the Pod is "),
        ("rule", "", "cluster IP "),
    ]


async def test_a_large_service_is_drawn_in_part(tmp_path: Path) -> None:
    """A few endpoints are drawn and one box says how many more there are; lists end, too, and say so."""
    endpoints = ", ".join(f"{{addresses: [10.244.{number // 250}.{number % 250 + 1}]}}" for number in range(900))
    path = await path_of(tmp_path, "large", CLUSTER + LARGE.format(endpoints=endpoints))
    (port,) = path.ports
    assert (len(port.endpoints), port.total) == (100, 900)
    drawing = draw(graph(path))
    assert sum(box.lines == (f"and {900 - ENDPOINTS} more",) for box in drawing.boxes) == 1
    assert drawing.height < 500
