"""Alerts and dashboards: Prometheus reads them, and each metric and label that they name is one that we have."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple, get_args

import pytest
import yaml
from prometheus_client import CollectorRegistry

from kdns.config.kubeproxy.settings import METRICS_PORT
from kdns.metrics.dns import Metrics
from kdns.metrics.local_dns import LocalDnsMetrics
from kdns.metrics.proxy import Mode
from kdns.proxy.report import Watches
from tests.e2e.test_metrics import ROWS
from tests.kustomize import HOUSE, MANIFESTS, at, built
from tests.metrics.test_proxy import used

MONITORING: Final = MANIFESTS / "monitoring"
PROMTOOL: Final = shutil.which("promtool")
FROM_THE_TARGET: Final = {"namespace", "pod", "le", "__name__"}
"""Labels that Prometheus adds, and those of histograms and of its own."""
NOT_ALWAYS: Final = {"kdns_watch_snapshot_age_seconds": frozenset[str]()}
"""What is only there at times; tests/e2e/test_snapshot.py sees it."""
PROCESS: Final = {"process_resident_memory_bytes": frozenset[str](), "process_cpu_seconds_total": frozenset[str]()}
SELECTOR: Final = re.compile(r"\b((?:coredns|kdns|kubeproxy|process|rest_client)_\w+)(?:\{([^}]*)\})?")
BY_NAME: Final = re.compile(r'\{__name__=~"([^"]+)"(?:, ([^}]*))?\}')
GROUPED: Final = re.compile(r"\b(?:by|on) \(([^)]*)\)")


class Use(NamedTuple):
    """An expression, and where it is."""

    where: str
    expression: str


def rules() -> list[dict[str, Any]]:
    """The alerts."""
    spec = yaml.safe_load((MONITORING / "rules.yaml").read_text())["spec"]
    return [rule for group in spec["groups"] for rule in group["rules"]]


def dashboards() -> list[tuple[str, dict[str, Any]]]:
    """The dashboards, with the names of their files."""
    return [(path.name, json.loads(path.read_text())) for path in sorted((MONITORING / "dashboards").glob("*.json"))]


def uses() -> Iterator[Use]:
    """Every expression of alerts, panels and variables."""
    for rule in rules():
        yield Use(rule["alert"], rule["expr"])
    for name, board in dashboards():
        for panel in board["panels"]:
            for target in panel.get("targets", ()):
                yield Use(f"{name}: {panel['title']}", target["expr"])
        for variable in board["templating"]["list"]:
            yield Use(f"{name}: ${variable['name']}", variable["query"])


USES: Final = list(uses())


def _of_dns() -> dict[str, frozenset[str]]:
    """Samples of a DNS server: name -> labels; tests/e2e/test_metrics.py finds exactly these on a running one."""
    found: dict[str, frozenset[str]] = {}
    for row in ROWS.values():
        endings = {"counter": ("_total",), "histogram": ("_bucket", "_count", "_sum")}.get(row.kind, ("",))
        found |= {row.name + ending: frozenset(row.labels.split()) for ending in endings}
    return found


def _of_proxy() -> dict[str, frozenset[str]]:
    """Samples of a proxy that has done all that is counted, in any mode."""
    found: dict[str, set[str]] = {}
    for mode in get_args(Mode):
        for family in used(mode).collect():
            for sample in family.samples:
                found.setdefault(sample.name, set()).update(sample.labels)
    return {name: frozenset(labels - {"le"}) for name, labels in found.items()}


def _of_local_dns() -> dict[str, frozenset[str]]:
    """Samples of a DNS server on its node."""
    registry = CollectorRegistry()
    metrics = LocalDnsMetrics(registry)
    metrics.serve("10.96.0.10", lambda: 0.1)
    samples = [sample for family in registry.collect() for sample in family.samples]
    return {sample.name: frozenset(sample.labels) for sample in samples}


def known() -> dict[str, frozenset[str]]:
    """Everything that can be scraped."""
    watching = {
        name.removeprefix("coredns_kubernetes_"): labels
        for name, labels in _of_dns().items()
        if name.startswith("coredns_kubernetes_rest_client_")
    }
    bugs = {"kdns_proxy_bugs_total": frozenset[str]()}
    return {**_of_dns(), **_of_proxy(), **_of_local_dns(), **watching, **bugs, **NOT_ALWAYS, **PROCESS}


def selected(expression: str, names: dict[str, frozenset[str]]) -> Iterator[tuple[str, str]]:
    """The metrics of an expression, each with its matchers; a pattern of names stands for those that it matches."""
    for pattern, matchers in BY_NAME.findall(expression):
        matching = [name for name in names if re.fullmatch(pattern, name)]
        yield from ((name, matchers) for name in matching or [f"nothing matches {pattern}"])
    yield from SELECTOR.findall(BY_NAME.sub("", expression))


@pytest.mark.parametrize("use", USES, ids=[use.where for use in USES])
def test_metrics_and_labels_exist(use: Use) -> None:
    """What an expression names can be scraped; it groups by labels that all its metrics have."""
    names = known()
    metrics = list(selected(use.expression, names))
    if use.expression != "prometheus":  # the data source
        assert metrics
    assert [name for name, _ in metrics if name not in names] == []
    for name, matchers in metrics:
        assert set(re.findall(r"(\w+)=", matchers)) <= names[name] | FROM_THE_TARGET, name
    common = frozenset.intersection(*(names[name] for name, _ in metrics)) if metrics else frozenset()
    on_targets = " and on " in use.expression  # the metric after it has only the target's labels in common
    grouped = {label for labels in GROUPED.findall(use.expression) for label in re.split(r", *", labels)}
    everything = frozenset().union(*(names[name] for name, _ in metrics))
    assert grouped <= (everything if on_targets else common) | FROM_THE_TARGET


def test_values_of_labels_exist() -> None:
    """A matcher with a fixed value names one that there can be."""
    values = {"rcode": {"SERVFAIL"}, "reason": {"denied"}, "code": {"503"}, "hash": {"sha512"}}
    source = "".join(path.read_text() for path in (HOUSE / "kdns").rglob("*.py"))
    for use in USES:
        for label, value in re.findall(r'(\w+)="([^"$]*)"', use.expression):
            assert value in values[label], use.where
            assert f'"{value}"' in source or value == "503"


@pytest.mark.needs_tool("promtool")
def test_prometheus_reads_the_rules(tmp_path: Path) -> None:
    """promtool finds no mistake in any expression or template."""
    assert PROMTOOL is not None
    path = tmp_path / "rules.yaml"
    path.write_text(yaml.safe_dump(yaml.safe_load((MONITORING / "rules.yaml").read_text())["spec"]))
    done = subprocess.run((PROMTOOL, "check", "rules", str(path)), capture_output=True, check=False, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(rules())} rules found" in done.stdout


@pytest.mark.needs_tool("promtool")
def test_alerts_fire_when_they_should(tmp_path: Path) -> None:
    """promtool plays series against the rules: each alert fires on its own fault, and none on a healthy cluster."""
    assert PROMTOOL is not None
    spec = yaml.safe_load((MONITORING / "rules.yaml").read_text())["spec"]
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump(spec))
    cases = yaml.safe_load((Path(__file__).parent / "alert_cases.yaml").read_text())
    assert {case["fires"] for case in cases} - {None} == {rule["alert"] for rule in rules()}
    tests = []
    for case in cases:
        firing = [case["fires"]] if case["fires"] else []
        count = 'count by (alertname) (ALERTS{alertstate="firing"}) > 0'
        samples = [{"labels": f'{{alertname="{name}"}}', "value": 1} for name in firing]
        series = [{"series": name, "values": values} for name, values in {**case["series"]}.items()]
        if case["fires"] != "KdnsAbsent":
            series.append({"series": 'kdns_objects{namespace="n",pod="p",kind="services"}', "values": "1x90"})
        tests.append({
            "name": case["fires"] or "healthy", "interval": "1m", "input_series": series,
            "promql_expr_test": [{"expr": count, "eval_time": case.get("at", "45m"), "exp_samples": samples}],
        })  # fmt: skip
    (tmp_path / "tests.yaml").write_text(
        yaml.safe_dump({"rule_files": ["rules.yaml"], "evaluation_interval": "1m", "tests": tests})
    )
    command = (PROMTOOL, "test", "rules", str(tmp_path / "tests.yaml"))
    done = subprocess.run(command, capture_output=True, check=False, text=True)
    assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]


def test_every_alert_has_a_page_that_says_what_to_do() -> None:
    """Its runbook is a heading of docs/alerts.md, and the page has no other."""
    page = (HOUSE / "docs/alerts.md").read_text()
    headings = re.findall(r"^### (\w+)$", page, re.MULTILINE)
    assert sorted(headings) == sorted(rule["alert"] for rule in rules())
    links = {rule["alert"]: rule["annotations"]["runbook_url"] for rule in rules()}
    assert {url.rpartition("/docs/")[2] for url in links.values()} == {f"alerts.md#{name.lower()}" for name in headings}
    homes = {url.rpartition("/docs/")[0] for url in links.values()}
    assert len(homes) == 1


def test_every_alert_says_who_and_how_bad() -> None:
    """Severity, a summary that names the Pod where there is one, and what it means."""
    for rule in rules():
        assert rule["labels"]["severity"] in ("critical", "warning")
        of_many = rule["alert"] in ("KdnsAbsent", "KdnsCorefilesDiffer")
        assert ("$labels.pod" in rule["annotations"]["summary"]) != of_many, rule["alert"]
        assert rule["annotations"]["description"].endswith(".")
        assert rule["annotations"]["runbook_url"].startswith("https://")


@pytest.mark.parametrize("variant", ["dns", "base", "overlays/kubeadm", "overlays/node", "overlays/node-local"])
def test_pods_are_scraped(variant: str) -> None:
    """The PodMonitors select the Pods of every layout, and name ports that those have."""
    monitors = list(yaml.safe_load_all((MONITORING / "podmonitors.yaml").read_text()))
    for manifest in built(variant):
        if manifest["kind"] not in ("Deployment", "DaemonSet"):
            continue
        name = at(manifest, "spec.template.metadata.labels")["app.kubernetes.io/name"]
        ports = at(manifest, "spec.template.spec.containers.0.ports")
        named = {port["name"]: port["containerPort"] for port in ports}
        chosen = [
            monitor["spec"]["podMetricsEndpoints"][0]["port"]
            for monitor in monitors
            if name in at(monitor, "spec.selector.matchExpressions.0.values")
        ]
        both = name == "kdns-node" or variant == "overlays/node-local"
        expected = {"kdns": {9153}, "kdns-proxy": {METRICS_PORT}, "kdns-node": set[int]()}[name]
        if both and name != "kdns":
            expected |= {9153, METRICS_PORT}
        assert {named[port] for port in chosen if port in named} == expected  # a Pod without the port is no target


@pytest.mark.parametrize(("name", "board"), dashboards(), ids=[name for name, _ in dashboards()])
def test_a_dashboard_can_be_imported(name: str, board: dict[str, Any]) -> None:
    """Panels have ids, places that do not overlap, and the data source that the reader picks."""
    assert board["uid"] == name.removesuffix(".json")
    ids = [panel["id"] for panel in board["panels"]]
    assert len(set(ids)) == len(ids)
    taken: set[tuple[int, int]] = set()
    for panel in board["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert place["x"] + place["w"] <= 24
        assert not cells & taken, panel["title"]
        taken |= cells
        for target in panel.get("targets", ()):
            assert target["datasource"] == {"type": "prometheus", "uid": "${datasource}"}


def test_the_proxys_bugs_are_counted() -> None:
    """The one metric that `known` takes for granted is what the proxy's page has."""
    families = {family.name for family in Watches(Metrics("0", "test")).collect()}
    assert "kdns_proxy_bugs" in families


def test_kustomize_makes_a_config_map_of_the_dashboards() -> None:
    """Each dashboard is named by the kustomization."""
    kustomization = yaml.safe_load((MONITORING / "kustomization.yaml").read_text())
    (generator,) = kustomization["configMapGenerator"]
    assert sorted(generator["files"]) == [f"dashboards/{name}" for name, _ in dashboards()]
