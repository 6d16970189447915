"""The command line: what it makes of flags, and what it says of mistakes."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from kdns import __version__
from kdns.base.errors import ConfigError
from kdns.cli.main import main, parse
from kdns.cli.serve import serve_settings
from kdns.config.settings import KubernetesOptions, ServeSettings
from kdns.config.source import pick_source
from tests.running import logging_as_it_was

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
    ("serv", "unknown command 'serv'", "did you mean serve?"),
    (
        "whatever",
        "unknown command 'whatever'",
        "there are serve, proxy, node, explain, collect, preflight, check, records, ",
    ),
    ("--versio", "kdns: unknown flag --versio", "did you mean --version?"),
    ("serve", "no source", "--source cluster, --source kubeconfig[:PATH[@CONTEXT]], or --source PATH"),
    ("records", "no source", "--source cluster, --source kubeconfig"),
    ("serve --sorce x", "kdns serve: unknown flag --sorce", "did you mean --source?"),
    ("serve --qqq", "kdns serve: unknown flag --qqq", "kdns serve --help"),
    ("serve more", "kdns serve: unexpected argument 'more'", "kdns serve --help"),
    ("serve --source", "--source: expected one argument", ""),
    ("lab", "kdns lab: no action given", "choose from up, run, status, exec, down"),
    ("lab rn", "ACTION: invalid choice 'rn'", "did you mean run?"),
    ("lab run --mode nftable", "--mode: invalid choice 'nftable'", "did you mean nftables?"),
    ("rules --mode nftable", "--mode: 'nftable' is none of iptables, nftables, ipvs", "did you mean nftables?"),
    ("rules --cleanup", "kdns rules: unknown flag --cleanup", "kdns rules --help"),
    ("proxy --cluser-cidr=x", "kdns proxy: unknown flag --cluser-cidr", "did you mean --cluster-cidr?"),
    ("serve --source clustr", "--source: no file or folder 'clustr'", "did you mean cluster?"),
    ("serve --source kubconfig:x", "--source: no file or folder", "did you mean kubeconfig?"),
    ("serve --source /no/where", "--source: no file or folder '/no/where'", "--source cluster"),
    ("serve --source kubeconfig@kind-kind", "--source: no file or folder", "did you mean kubeconfig:@kind-kind?"),
    ("serve --ttl 3601", "--ttl: must be between 0 and 3600 seconds, got 3601", "one hour"),
    ("serve --ttl -1", "--ttl: invalid number of seconds '-1'", "0 to 3600"),
    ("serve --ttl 5s", "--ttl: invalid number of seconds '5s'", "0 to 3600"),
    ("serve --pods verifed", "--pods: 'verifed' is none of disabled, insecure, verified", "did you mean verified?"),
    ("serve --zone a..b", "--zone: empty label in 'a..b'", ""),
    ("serve --zone b\u00fccher", "--zone: 'b\u00fccher' is not a zone", "xn--"),
    ("serve --zone a.b,c.d", "--zone: 'a.b,c.d' is not a zone", "repeatable"),
    ("serve --zone=", "--zone: a zone is not empty", "the root is a dot"),
    ("serve --zone 10.96.0.0/33", "--zone: '10.96.0.0/33'", ""),
    (
        "serve --source - --multicluster 10.in-addr.arpa",
        "--multicluster: multicluster 10.in-addr.arpa. is not one of the forward zones",
        "",
    ),
    ("records --source - --zone in-addr.arpa", "--zone: at least one zone must be a forward zone", ""),
    ("serve --labels a=(", "--labels: label selector", "such as"),
    ("serve --namespace Shop", "--namespace: invalid Namespace 'Shop'", "lower-case"),
    ("serve --source - --namespace a --namespace-labels b", "--namespace and --namespace-labels exclude", "keep one"),
    ("serve --listen localhost", "--listen: invalid IP address 'localhost'", "--port"),
    ("serve --port 65536", "--port: invalid port '65536'", "0 to 65535"),
    ("serve --lameduck 5parsecs", "--lameduck: invalid duration '5parsecs'", "500ms"),
    ("serve --lameduck 1m30", "--lameduck: invalid duration '1m30'", "unit"),
    ("serve --watch-timeout 0", "--watch-timeout: '0' is too short", "90s"),
    ("serve --log-format jsn", "--log-format: 'jsn' is none of text, json", "did you mean json?"),
    ("serve --source / --health 8080", "--health: invalid ADDRESS:PORT '8080'", ":8080"),
    ("serve --source cluster --port 0", "not inside a cluster", "--source"),
    ("serve --source kubeconfig:/no/where", "no kubeconfig at /no/where", "KUBECONFIG"),
    ("records -o zon", "-o/--output: 'zon' is none of zone, json, yaml", "did you mean zone?"),
    ("records --source / a..b", "invalid name 'a..b': empty label in 'a..b'", ""),
    ("records --source https://example.org/a.yaml", "--source: https://example.org/a.yaml: a URL is an API", "curl -L"),
    ("demo --prot 1", "kdns demo: unknown flag --prot", "did you mean --port?"),
    ("demo --port x", "--port: invalid port 'x'", ""),
)


FAILURES = {"serve --source / --health 8080", "serve --source cluster --port 0", "serve --source kubeconfig:/no/where"}
"""Lines that can be read, and ask for what is not there."""


@pytest.mark.parametrize(("line", "problem", "hint"), MISTAKES, ids=[line or "nothing" for line, _, _ in MISTAKES])
def test_mistakes(
    line: str, problem: str, hint: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:  # fmt: skip
    """A mistake is one line on stderr that names it, at most one hint, and exit status 2; 1 for later failures."""
    monkeypatch.chdir(tmp_path)
    arguments = [str(tmp_path) if word == "/" else word for word in line.split()]
    assert main(arguments) == (1 if line in FAILURES else 2)
    out, errors = capsys.readouterr()
    first, *others = errors.splitlines()
    assert first.startswith(f"kdns: {problem}")
    assert hint in "\n".join(others)
    assert len(others) <= 1
    assert "Traceback" not in out + errors


@pytest.mark.parametrize("arguments", [["version"], ["--version"], ["-V"], ["--version", "serve"]])
def test_version(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Both ways to ask for the version say the same."""
    assert main(arguments) == 0
    assert capsys.readouterr().out.startswith(f"kdns-{__version__}\n")


def test_config_errors_are_not_swallowed() -> None:
    """Parsing raises what main prints, so that other programs may use it."""
    with pytest.raises(ConfigError, match="unknown command"):
        parse(["nonsense"])
