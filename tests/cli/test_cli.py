"""The command line: what it makes of flags, what it says of mistakes, and what ``kdns records`` prints."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from dnslib import RR
from msgspec.structs import replace

from kdns import __version__
from kdns.base.errors import ConfigError
from kdns.cli.main import main, parse, serve_settings
from kdns.config.settings import KubernetesOptions, ServeSettings
from kdns.config.source import pick_source
from tests.running import folder, logging_as_it_was

IN_CLUSTER = {"KUBERNETES_SERVICE_HOST": "10.96.0.1"}
DEFAULTS = ServeSettings(source="cluster")


@pytest.fixture(autouse=True)
def _outside(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Wherever the tests run, it is no cluster; and logging is put back."""
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    with logging_as_it_was():
        yield


def kubernetes(**changes: Any) -> ServeSettings:
    """The defaults but for these options of the kubernetes plugin."""
    return replace(DEFAULTS, kubernetes=replace(KubernetesOptions(), **changes))


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ("", DEFAULTS),
        ("--listen 127.0.0.1 --listen [::1] --port 1053", replace(DEFAULTS, listen=("127.0.0.1", "::1"), port=1053)),
        ("--zone cluster.local --zone 10.96.0.0/12", kubernetes(zones=("cluster.local.", "10.96.0.0/12"))),
        ("--ttl 0", kubernetes(ttl=0)),
        ("--ttl=3600", kubernetes(ttl=3600)),
        ("--pods verified", kubernetes(pods="verified")),
        ("--namespace a --namespace b", kubernetes(namespaces=("a", "b"))),
        ("--namespace-labels dns=yes,!x", kubernetes(namespace_labels="dns=yes,!x")),
        ("--labels a=b", kubernetes(labels="a=b")),
        ("--endpoint-pod-names --ignore-empty-service", kubernetes(endpoint_pod_names=True, ignore_empty_service=True)),
        (
            "--multicluster clusterset.local --zone cluster.local --zone clusterset.local",
            kubernetes(zones=("cluster.local.", "clusterset.local."), multicluster=("clusterset.local.",)),
        ),
        (
            "--multicluster clusterset.local",
            kubernetes(zones=(*KubernetesOptions().zones, "clusterset.local."), multicluster=("clusterset.local.",)),
        ),
        ("--no-endpoints", kubernetes(endpoints=False)),
        ("--fallthrough", kubernetes(fallthrough=(".",))),
        ("--fallthrough in-addr.arpa ip6.arpa.", kubernetes(fallthrough=("in-addr.arpa.", "ip6.arpa."))),
        ("--startup-timeout 1m30s", kubernetes(startup_timeout=90.0)),
        ("--health= --ready 127.0.0.1:1 --metrics :2", replace(DEFAULTS, health="", ready="127.0.0.1:1", metrics=":2")),
        ("--lameduck 500ms --watch-timeout 10", replace(DEFAULTS, lameduck=0.5, watch_timeout=10.0)),
        ("--log-format json", replace(DEFAULTS, log_format="json")),
    ],
)
def test_flags(flags: str, expected: ServeSettings) -> None:
    """Each flag of ``kdns serve`` sets what its name says, and nothing else."""
    assert serve_settings(parse(["serve", *flags.split()]), IN_CLUSTER) == expected


@pytest.mark.parametrize(
    ("text", "environ", "expected"),
    [
        ("", IN_CLUSTER, "cluster"),
        ("cluster", {}, "cluster"),
        ("kubeconfig", IN_CLUSTER, "kubeconfig"),
        ("kubeconfig:/some/where@context", {}, "kubeconfig:/some/where@context"),
        ("http://127.0.0.1:8001", {}, "http://127.0.0.1:8001"),
        ("-", {}, "-"),
        ("/", IN_CLUSTER, "/"),
    ],
)
def test_sources(text: str, environ: dict[str, str], expected: str) -> None:
    """A source is taken as it is said; without a word it is the cluster that kdns runs in."""
    assert pick_source(text, environ) == expected


MISTAKES: Sequence[tuple[str, str, str]] = (  # command line, what is wrong, what to do
    ("", "say what to do: serve, proxy, node, check, demo, lab, records, rules, plugins, version", "--help"),
    ("serv", "'serv' is no command", "did you mean serve?"),
    ("whatever", "'whatever' is no command", "there are serve, proxy, node, check, demo, lab, records, rules, plugins"),
    ("--versio", "'--versio' is no flag of kdns", "did you mean --version?"),
    ("serve", "no source", "--source cluster, --source kubeconfig[:PATH[@CONTEXT]], or --source PATH"),
    ("records", "no source", "--source cluster, --source kubeconfig"),
    ("serve --sorce x", "'--sorce' is no flag of kdns serve", "did you mean --source?"),
    ("serve --qqq", "'--qqq' is no flag of kdns serve", "kdns serve --help"),
    ("serve more", "kdns serve takes no 'more'", "kdns serve --help"),
    ("serve --source", "--source: expected one argument", ""),
    ("lab", "ACTION is missing", "kdns lab --help"),
    ("lab rn", "ACTION: 'rn' is none of up, run, ", "did you mean run?"),
    ("lab run --mode nftable", "--mode: 'nftable' is none of nftables, iptables, ", "did you mean nftables?"),
    ("rules --mode nftable", "--mode: 'nftable' is none of iptables, nftables, ipvs", "did you mean nftables?"),
    ("rules --cleanup", "'--cleanup' is no flag of kdns rules", "kdns rules --help"),
    ("proxy --cluser-cidr=x", "'--cluser-cidr' is no flag of kdns proxy", "did you mean --cluster-cidr?"),
    ("serve --source clustr", "--source: no file or folder 'clustr'", "did you mean cluster?"),
    ("serve --source kubconfig:x", "--source: no file or folder", "did you mean kubeconfig?"),
    ("serve --source /no/where", "--source: no file or folder '/no/where'", "--source cluster"),
    ("serve --source kubeconfig@kind-kind", "--source: no file or folder", "did you mean kubeconfig:@kind-kind?"),
    ("serve --ttl 3601", "--ttl: must be between 0 and 3600 seconds, got 3601", "one hour"),
    ("serve --ttl -1", "--ttl: '-1' is no number of seconds", "0 to 3600"),
    ("serve --ttl 5s", "--ttl: '5s' is no number of seconds", "0 to 3600"),
    ("serve --pods verifed", "--pods: 'verifed' is none of disabled, insecure, verified", "did you mean verified?"),
    ("serve --zone a..b", "--zone: empty label in 'a..b'", ""),
    ("serve --zone b\u00fccher", "--zone: 'b\u00fccher' is no zone", "xn--"),
    ("serve --zone a.b,c.d", "--zone: 'a.b,c.d' is no zone", "again for more"),
    ("serve --zone=", "--zone: an empty text is no zone", "the root is a dot"),
    ("serve --zone 10.96.0.0/33", "--zone: '10.96.0.0/33'", ""),
    (
        "serve --source - --multicluster 10.in-addr.arpa",
        "--multicluster: multicluster 10.in-addr.arpa. is not one of the forward zones",
        "",
    ),
    ("records --source - --zone in-addr.arpa", "--zone: at least one zone must be a forward zone", ""),
    ("serve --labels a=(", "--labels: label selector", "such as"),
    ("serve --namespace Shop", "--namespace: 'Shop' is no name of a Namespace", "lower-case"),
    ("serve --source - --namespace a --namespace-labels b", "--namespace and --namespace-labels exclude", "keep one"),
    ("serve --listen localhost", "--listen: 'localhost' is no IP address", "--port"),
    ("serve --port 65536", "--port: '65536' is no port", "up to 65535"),
    ("serve --lameduck 5parsecs", "--lameduck: '5parsecs' is no duration", "500ms"),
    ("serve --lameduck 1m30", "--lameduck: '1m30' is no duration", "unit"),
    ("serve --watch-timeout 0", "--watch-timeout: '0' is too short", "90s"),
    ("serve --log-format jsn", "--log-format: 'jsn' is none of text, json", "did you mean json?"),
    ("serve --source / --health 8080", "--health: '8080' is no ADDRESS:PORT", ":8080"),
    ("serve --source cluster --port 0", "not inside a cluster", "--source"),
    ("serve --source kubeconfig:/no/where", "no kubeconfig at /no/where", "KUBECONFIG"),
    ("records -o zon", "-o/--output: 'zon' is none of zone, json", "did you mean zone?"),
    ("records --source / a..b", "no name: empty label in 'a..b'", ""),
    ("demo --prot 1", "'--prot' is no flag of kdns demo", "did you mean --port?"),
    ("demo --port x", "--port: 'x' is no port", ""),
)


@pytest.mark.parametrize(("line", "problem", "hint"), MISTAKES, ids=[line or "nothing" for line, _, _ in MISTAKES])
def test_mistakes(
    line: str, problem: str, hint: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:  # fmt: skip
    """A mistake is one line on stderr that names it, at most one with a hint, and exit status 1."""
    monkeypatch.chdir(tmp_path)
    arguments = [str(tmp_path) if word == "/" else word for word in line.split()]
    assert main(arguments) == 1
    out, errors = capsys.readouterr()
    first, *others = errors.splitlines()
    assert first.startswith(f"kdns: {problem}")
    assert hint in "\n".join(others)
    assert len(others) <= 1
    assert "Traceback" not in out + errors


@pytest.mark.parametrize("arguments", [["version"], ["--version"], ["--version", "serve"]])
def test_version(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Both ways to ask for the version say the same."""
    assert main(arguments) == 0
    assert capsys.readouterr().out.startswith(f"kdns-{__version__}\n")


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
    """A name without records, or half a name, is a mistake that is told, not an empty file."""
    assert main(["records", "--source", folder(tmp_path), "web"]) == 1
    out, errors = capsys.readouterr()
    assert out == ""
    assert errors.startswith("kdns: no records at or below 'web'\n")


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
    assert process.wait(timeout=30) == 1


def test_an_api_server_that_is_away(capsys: pytest.CaptureFixture[str]) -> None:
    """``kdns records`` does not wait for ever: it says why there is nothing to print."""
    assert main(["records", "--source", "http://127.0.0.1:9"]) == 1
    out, errors = capsys.readouterr()
    assert out == ""
    assert errors.startswith("kdns: cannot read ")
    assert "refused" in errors
    assert "Traceback" not in errors


def test_config_errors_are_not_swallowed() -> None:
    """Parsing raises what main prints, so that other programs may use it."""
    with pytest.raises(ConfigError, match="no command"):
        parse(["nonsense"])
