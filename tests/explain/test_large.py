"""Dumps of large clusters: what a question does not need is neither decoded nor kept."""

import json
from pathlib import Path

import pytest
import yaml

from bench import dump
from kdns.explain.question import parse_question
from kdns.explain.run import Request, read_case
from tests.effort import processor_time
from tests.explain.evidence import explained, link

SERVICES, ENDPOINTS = 1_000, 10


@pytest.fixture(scope="module")
def evidence(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tenth of the cluster that the benchmark has: 23 MB of objects and rules."""
    folder = tmp_path_factory.mktemp("large") / "evidence"
    dump.write_dump(folder, SERVICES, ENDPOINTS)
    return folder


def test_one_service_of_many(evidence: Path) -> None:
    """The answer is right, and takes a small part of a second for 10,000 Pods and 43,000 rules: 0.4 s here."""
    with processor_time(4):
        values = explained(evidence, dump.target(47), from_node=dump.NODE)
    assert [entry["state"] for name in ("name", "endpoints", "rules") for entry in link(values, name)] == ["ok"] * 3
    assert "10 endpoints" in link(values, "rules")[0]["says"]


@pytest.mark.parametrize("form", ["json", "yaml"])
def test_only_what_is_needed_is_kept(evidence: Path, tmp_path: Path, form: str) -> None:
    """Of Pods and slices, those of the Namespaces of the question are kept; a Namespace that was passed over exists."""
    for name in ("services", "pods", "endpointslices", "namespaces"):
        text = (evidence / f"{name}.json").read_text()
        items = json.loads(text)["items"][:300]
        whole = {"apiVersion": "v1", "items": items, "kind": "List"}
        shown = json.dumps(whole) if form == "json" else yaml.dump(whole, Dumper=yaml.CSafeDumper)
        (tmp_path / f"{name}.{form}").write_text(shown)
    question = parse_question(dump.target(7), namespace="ns-8")
    objects = read_case(Request(question, evidence=(str(tmp_path),), large=0)).objects
    assert {body["metadata"]["namespace"] for body in objects.all("Pod")} == {"ns-7", "ns-8"}
    assert {body["metadata"]["namespace"] for body in objects.all("EndpointSlice")} == {"ns-7", "ns-8"}
    assert len(list(objects.all("Service"))) == 300
    assert objects.dumped("Pod", "ns-9")
    assert not objects.dumped("NetworkPolicy", "ns-9")


@pytest.mark.parametrize(
    ("target", "flags", "namespaces"),
    [
        ("10.97.0.5:80", {}, {"default", "ns-5"}),
        ("svc-5", {}, {"ns-5"}),
        ("svc-5.ns-6", {}, {"ns-5", "ns-6"}),
        ("10.128.0.55:8080", {}, {"default", "ns-5"}),
        ("svc-6.ns-6", {"outside": "10.128.0.55"}, {"ns-5", "ns-6"}),
    ],
    ids=["cluster IP", "short name", "wrong Namespace", "address of a Pod", "address of the client"],
)
def test_addresses_and_short_names_lead_to_namespaces(
    evidence: Path, target: str, flags: dict[str, str], namespaces: set[str]
) -> None:
    """Whatever the question names is read: by its address, its name, or the Service of that name elsewhere."""
    case = read_case(Request(parse_question(target, **flags), evidence=(str(evidence),), large=0))
    pods = {body["metadata"]["namespace"] for body in case.objects.all("Pod")}
    assert pods == namespaces - {"default"}
