"""What ``kdns records`` prints."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from dnslib import RR

from kdns.cli.main import main
from tests.running import folder, logging_as_it_was


@pytest.fixture(autouse=True)
def _outside(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Wherever the tests run, it is no cluster; and logging is put back."""
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    with logging_as_it_was():
        yield


def records(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """What ``kdns records`` prints."""
    assert main(["records", *arguments]) == 0
    return capsys.readouterr().out


def test_records_are_a_master_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """dnslib reads every line back, the SOA comes first, and each line says which object it is from."""
    text = records(capsys, "--source", folder(tmp_path), "cluster.local")
    parsed = RR.fromZone(text)
    lines = [line for line in text.splitlines() if not line.startswith(";")]
    assert len(parsed) == len(lines) > 4
    assert str(parsed[0].rname) == "cluster.local."
    assert parsed[0].rtype == 6
    web = next(line for line in lines if line.startswith("web.shop.svc.cluster.local.") and " A " in line)
    assert web.split() == ["web.shop.svc.cluster.local.", "5", "IN", "A", "10.96.0.9", ";", "Service", "shop/web"]


def test_records_of_every_zone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Without a name all zones are printed, one after the other, and no record twice."""
    lines = records(capsys, "--source", folder(tmp_path)).splitlines()[1:]
    assert len(lines) == len(set(lines))
    apexes = [line.split()[0] for line in lines if " SOA " in line]
    assert apexes == ["cluster.local.", "in-addr.arpa.", "ip6.arpa."]
    places = [next(place for place, apex in enumerate(apexes) if line.split()[0].endswith(apex)) for line in lines]
    assert places == sorted(places)
    assert any(line.startswith("9.0.96.10.in-addr.arpa.") for line in lines)


SHARED = """
apiVersion: v1
kind: Pod
metadata: {name: p, namespace: default, labels: {app: p}}
status: {phase: Running, podIP: 10.244.0.9, podIPs: [{ip: 10.244.0.9}], conditions: [{type: Ready, status: "True"}]}
---
{apiVersion: v1, kind: Service, metadata: {name: one, namespace: default}, spec: {clusterIP: None, selector: {app: p}}}
---
{apiVersion: v1, kind: Service, metadata: {name: two, namespace: default}, spec: {clusterIP: None, selector: {app: p}}}
"""


def test_records_of_a_shared_address_name_one_object_each(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A Pod of two Services has two PTR records, each derived from its own Service; JSON says so, too."""
    (tmp_path / "shared.yaml").write_text(SHARED)
    source = ("--source", str(tmp_path), "9.0.244.10.in-addr.arpa")
    lines = records(capsys, *source).splitlines()[1:]
    assert [line.split(" PTR ")[1].strip() for line in lines] == [
        f"10-244-0-9.{name}.default.svc.cluster.local. ; derived from Service default/{name}" for name in ("one", "two")
    ]
    found = json.loads(records(capsys, *source, "-o", "json"))
    assert [record["source"] for record in found] == [
        {"kind": "Service", "namespace": "default", "name": name} for name in ("one", "two")
    ]


def test_records_below_a_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A name limits the output to itself and what is below it, in any case of letters."""
    text = records(capsys, "--source", folder(tmp_path), "WEB.shop.svc.cluster.local.")
    owners = {line.split()[0] for line in text.splitlines()[1:]}
    assert owners == {"web.shop.svc.cluster.local.", "_http._tcp.web.shop.svc.cluster.local."}


IMPORT = """---
apiVersion: multicluster.x-k8s.io/v1alpha1
kind: ServiceImport
metadata: {name: web, namespace: shop}
spec: {type: ClusterSetIP, ips: [10.112.0.9], ports: [{name: http, port: 80, protocol: TCP}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata:
  name: imported-web-east
  namespace: shop
  labels: {multicluster.kubernetes.io/service-name: web, multicluster.kubernetes.io/source-cluster: east}
addressType: IPv4
ports: [{name: http, port: 8080}]
endpoints: [{addresses: [10.1.0.4], hostname: web-0}]
"""


def test_records_of_service_imports(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The Services of several clusters are in a zone of their own, if one is named."""
    (tmp_path / "imports.yaml").write_text(IMPORT)
    source = ("--source", folder(tmp_path))
    text = records(capsys, *source, "--multicluster", "clusterset.local", "web.shop.svc.clusterset.local")
    lines = [line.split() for line in text.splitlines()[1:] if " A " in line and not line.startswith("_")]
    came = [";", "ServiceImport", "shop/web"]
    assert lines == [
        ["web.shop.svc.clusterset.local.", "5", "IN", "A", "10.112.0.9", *came],
        ["web-0.east.web.shop.svc.clusterset.local.", "5", "IN", "A", "10.1.0.4", *came],
    ]
    assert "clusterset" not in records(capsys, *source)


def test_records_of_a_name_that_does_not_exist(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A name without records is an error that names a near one, not an empty file."""
    assert main(["records", "--source", folder(tmp_path), "wep.shop"]) == 1
    out, errors = capsys.readouterr()
    assert out == ""
    assert errors == "kdns: no records at or below 'wep.shop'\n  did you mean web.shop?\n"


@pytest.mark.parametrize("text", ["web.shop", "web.shop.svc", "WEB.shop."])
def test_records_of_a_short_name(text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A Service is found under what a Pod would ask for."""
    lines = records(capsys, "--source", folder(tmp_path), text).splitlines()[1:]
    assert {line.split()[0] for line in lines} == {
        "web.shop.svc.cluster.local.", "_http._tcp.web.shop.svc.cluster.local.",
    }  # fmt: skip


def test_records_of_an_address(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An address leads to the names that have it, and to its own reverse name."""
    lines = records(capsys, "--source", folder(tmp_path), "10.96.0.9").splitlines()[1:]
    assert {tuple(line.split()[index] for index in (0, 3)) for line in lines} == {
        ("web.shop.svc.cluster.local.", "A"),
        ("_http._tcp.web.shop.svc.cluster.local.", "A"),
        ("9.0.96.10.in-addr.arpa.", "PTR"),
    }


def test_records_as_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """JSON is one list of records with their source, null for what the zone brings itself."""
    found = json.loads(records(capsys, "--source", folder(tmp_path), "-o", "json"))
    assert {
        "name": "web.shop.svc.cluster.local.",
        "ttl": 5,
        "type": "A",
        "data": "10.96.0.9",
        "source": {"kind": "Service", "namespace": "shop", "name": "web"},
    } in found
    assert [record["source"] for record in found if record["type"] == "SOA"] == [None, None, None]


@pytest.mark.e2e
@pytest.mark.parametrize("services", [0, 1500], ids=["less than a buffer", "more than a pipe holds"])
def test_records_from_a_pipe_to_a_pipe_that_closes(tmp_path: Path, services: int) -> None:
    """Standard input is a source, and a reader that has seen enough is no reason for a traceback."""
    text = (Path(folder(tmp_path)) / "shop.yaml").read_text()
    many = text + "".join(
        f"\n---\napiVersion: v1\nkind: Service\nmetadata: {{name: w{number}, namespace: shop}}\n"
        f"spec: {{clusterIP: 10.97.{number // 250}.{number % 250}, ports: [{{name: http, port: 80}}]}}\n"
        for number in range(services)
    )
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb") as reader:
        process = subprocess.Popen(
            [sys.executable, "-m", "kdns", "records", "--source", "-"],
            stdin=subprocess.PIPE, stdout=writing, stderr=subprocess.PIPE,
        )  # fmt: skip
        os.close(writing)
        assert process.stdin is not None
        process.stdin.write(many.encode())
        if services:
            process.stdin.close()
            assert reader.readline().startswith(b"; kdns-")
    process.stdin.close()  # with few records the reader has gone before the first line is written
    assert process.stderr is not None
    with process.stderr as stderr:
        assert stderr.read() == b""
    assert process.wait(timeout=120) == 1


def test_an_api_server_that_is_away(capsys: pytest.CaptureFixture[str]) -> None:
    """``kdns records`` does not wait for ever: it says why there is nothing to print."""
    assert main(["records", "--source", "http://127.0.0.1:9"]) == 1
    out, errors = capsys.readouterr()
    assert out == ""
    assert errors.startswith("kdns: cannot read ")
    assert "refused" in errors
    assert "Traceback" not in errors
