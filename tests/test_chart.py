"""The Helm chart, rendered by helm itself, is the objects of the kustomizations; wrong values are refused."""

import json
import shutil
import subprocess
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import kubernetes_validate
import pytest
import yaml

from kdns.dns.server.plan import plan_corefile
from kdns.dns.server.registry import Registry
from tests.config.text import corefile
from tests.fakes.helm_server import helm_server
from tests.kustomize import HOUSE, MANIFESTS, Manifest, at, built, one

CHART: Final = HOUSE / "charts/kdns"
HELM: Final = shutil.which("helm") or shutil.which("helm", path=Path.home() / "go/bin")
KUBERNETES: Final = "1.29.0", "1.35.0"
"""The oldest that we name, and a new one: helm without a cluster must be given one."""
TWINS: Final = {
    "dns": "dns",
    "base": "base",
    "node": "overlays/node",
    "node-local": "overlays/node-local",
    "kubeadm": "overlays/kubeadm",
    "kind": "overlays/kind",
    "pods-verified": "overlays/pods-verified",
}
"""The values of ``ci/NAME-values.yaml``, and the kustomization that makes the same objects."""
KEEP: Final = "helm.sh/resource-policy"
"""The one difference: an uninstalled chart leaves Service kube-dns, which kustomize does not delete either."""

LAYOUTS: Final = (*TWINS, "proxy", "monitoring")
OPERATORS: Final = {"PodMonitor", "PrometheusRule"}
"""Kinds of the Prometheus operator, which Kubernetes' schemas do not have."""
SCHEMAS: Final = {"1.29.0": "1.29", "1.35.0": kubernetes_validate.latest_version()}
POD: Final = "spec.template.spec"
CONTAINER: Final = f"{POD}.containers.0"
DIGEST: Final = f"sha256:{'0f' * 32}"
NAMED: Final = {
    f"{prefix}{name}" for prefix in ("", "system:") for name in ("kdns", "kdns-proxy", "kdns-node", "kdns-clients")
}  # fmt: skip
"""Our objects' names, and the labels that are like them."""


def needs_helm(test: Callable[..., None]) -> Callable[..., None]:
    """Mark a test that renders; `.ci/run` installs helm wherever Go is, so a machine without both may skip it."""
    missing = "helm is not here: go install helm.sh/helm/v3/cmd/helm@v3.22.0"
    skipped: Callable[..., None] = pytest.mark.skipif(HELM is None, reason=missing)(test)
    marked: Callable[..., None] = pytest.mark.not_about_tools(skipped)
    return marked


def helm(*words: str, refused: bool = False) -> str:
    """What helm prints: on standard output, or on standard error where it is to refuse."""
    assert HELM is not None
    done = subprocess.run((HELM, *words), capture_output=True, check=False, text=True, timeout=120)
    assert (done.returncode != 0) == refused, done.stdout[-2000:] + done.stderr[-2000:]
    return done.stderr if refused else done.stdout


def rendered(*words: str, release: str = "kdns", version: str = KUBERNETES[0]) -> list[Manifest]:
    """The objects of the chart; ``words`` are further arguments of `helm template`."""
    text = helm("template", release, str(CHART), "--namespace", "kube-system", "--kube-version", version, *words)
    return [manifest for manifest in yaml.safe_load_all(text) if manifest]


def values(name: str) -> tuple[str, str]:
    """The arguments for one of the files below ci."""
    return "--values", str(CHART / f"ci/{name}-values.yaml")


def comparable(manifests: list[Manifest]) -> dict[tuple[str, str], Manifest]:
    """By kind and name, with the proxy's configuration read, and without what only helm understands."""
    for manifest in manifests:
        manifest["metadata"].get("annotations", {}).pop(KEEP, None)
        if "Corefile" in manifest.get("data", {}):
            manifest["data"]["Corefile"] = manifest["data"]["Corefile"].rstrip("\n")
        if "config.conf" in manifest.get("data", {}):
            manifest["data"]["config.conf"] = yaml.safe_load(manifest["data"]["config.conf"])
    return {(manifest["kind"], manifest["metadata"]["name"]): manifest for manifest in manifests}


def renamed(value: Any) -> Any:
    """The same value as a release called blue would have it."""
    match value:
        case dict():
            return {renamed(key): renamed(inner) for key, inner in value.items()}
        case list():
            return [renamed(inner) for inner in value]
        case str() if value in NAMED:
            return value.replace("kdns", "blue", 1)
    return value


@pytest.mark.parametrize("name", TWINS)
@needs_helm
def test_the_objects_are_those_of_the_kustomization(name: str) -> None:
    """A release called kdns differs in nothing."""
    ours, theirs = comparable(rendered(*values(name))), comparable(built(TWINS[name]))
    assert ours.keys() == theirs.keys()
    assert {key: ours[key] for key in theirs if ours[key] != theirs[key]} == {}


@pytest.mark.parametrize("name", TWINS)
@needs_helm
def test_another_release_has_other_names(name: str) -> None:
    """Objects, and all that refers to them, begin with the release's name; Service kube-dns is the cluster's."""
    ours = comparable(rendered(*values(name), release="blue"))
    theirs = comparable([_renamed_object(manifest) for manifest in built(TWINS[name])])
    assert ours.keys() == theirs.keys()
    assert {key: ours[key] for key in theirs if ours[key] != theirs[key]} == {}


def _renamed_object(manifest: Manifest) -> Manifest:
    """As `renamed`, but containers and the API server's ConfigMap keep their names."""
    after: Manifest = renamed(manifest)
    before_pod, after_pod = at(manifest, "spec.template.spec"), at(after, "spec.template.spec")
    for part in ("initContainers", "containers"):
        for before, container in zip((before_pod or {}).get(part, ()), (after_pod or {}).get(part, ()), strict=True):
            container["name"] = before["name"]
    return after


@pytest.mark.parametrize("version", KUBERNETES)
@pytest.mark.parametrize("name", LAYOUTS)
@needs_helm
def test_every_object_is_valid(name: str, version: str) -> None:
    """Each object passes the strict schema of its Kubernetes."""
    for manifest in rendered(*values(name), version=version):
        if manifest["kind"] not in OPERATORS:
            kubernetes_validate.validate(manifest, SCHEMAS[version], strict=True)


@needs_helm
def test_the_proxy_alone_is_the_base_without_dns() -> None:
    """The layout proxy brings none of DNS's objects."""
    ours, both = comparable(rendered(*values("proxy"))), comparable(built("base"))
    assert ours == {key: manifest for key, manifest in both.items() if key not in comparable(built("dns"))}


@needs_helm
def test_monitoring_is_that_of_the_manifests() -> None:
    """PodMonitors, rules and dashboards come on top of the layout, and the proxy's page is opened for Prometheus."""
    ours, base = comparable(rendered(*values("monitoring"))), comparable(built("base"))
    more = {key: ours[key] for key in ours if ours[key] != base.get(key)}
    config = more.pop(("ConfigMap", "kdns-proxy"))["data"]["config.conf"]
    folder = MANIFESTS / "monitoring"
    assert config == {**base["ConfigMap", "kdns-proxy"]["data"]["config.conf"], "metricsBindAddress": "0.0.0.0:10249"}
    boards = more.pop(("ConfigMap", "kdns-dashboards"))
    assert boards["metadata"]["labels"] == {"grafana_dashboard": "1"}
    assert boards["data"] == {path.name: path.read_text() for path in (folder / "dashboards").iterdir()}
    theirs = [
        manifest
        for name in ("podmonitors.yaml", "rules.yaml")
        for manifest in yaml.safe_load_all((folder / name).read_text())
    ]
    assert more == comparable(theirs)


@needs_helm
def test_alerts_may_have_a_page_of_your_own() -> None:
    """monitoring.runbookBase stands in every alert instead of the project's page, before the alert's heading."""
    (ours,) = [made for made in rendered(*values("monitoring")) if made["kind"] == "PrometheusRule"]
    base = "https://wiki.example/kdns/alerts"
    changed = rendered(*values("monitoring"), f"--set=monitoring.runbookBase={base}")
    (theirs,) = [made for made in changed if made["kind"] == "PrometheusRule"]
    runbooks = [rule["annotations"]["runbook_url"] for group in ours["spec"]["groups"] for rule in group["rules"]]
    assert len(runbooks) > 20
    assert [rule["annotations"]["runbook_url"] for group in theirs["spec"]["groups"] for rule in group["rules"]] == [
        f"{base}#{runbook.partition('#')[2]}" for runbook in runbooks
    ]


@needs_helm
def test_a_packed_chart_has_its_files(tmp_path: Path) -> None:
    """Alerts and dashboards are links in the repository, and files in what is released."""
    helm("package", str(CHART), "--destination", str(tmp_path))
    (packed,) = tmp_path.glob("kdns-*.tgz")
    text = helm("template", "kdns", str(packed), "--namespace", "kube-system", "--kube-version", KUBERNETES[0],
                *values("monitoring"))  # fmt: skip
    assert [manifest for manifest in yaml.safe_load_all(text) if manifest] == rendered(*values("monitoring"))


@needs_helm
def test_monitors_have_the_labels_that_prometheus_selects() -> None:
    """On rules, too."""
    wanted = rendered(*values("monitoring"), "--set=monitoring.labels.release=prom")
    labels = [manifest["metadata"]["labels"] for manifest in wanted if manifest["kind"] in OPERATORS]
    assert labels == [{"release": "prom"}] * 3


@pytest.mark.parametrize("name", LAYOUTS)
@needs_helm
def test_lint_finds_nothing(name: str) -> None:
    """`helm lint --strict` with each file of values."""
    helm("lint", "--strict", str(CHART), *values(name))


def test_every_file_of_values_is_tested() -> None:
    """The files below ci are the ones named here."""
    assert {path.name.removesuffix("-values.yaml") for path in (CHART / "ci").iterdir()} == set(LAYOUTS)


CHANGED = (
    (("dns.replicas=3",), "Deployment", "kdns", "spec.replicas", 3),
    (("service.clusterIP=fd00::a",), "Service", "kube-dns", "spec.clusterIP", "fd00::a"),
    (
        ("image.repository=r.test/kdns", "image.tag=v2"),
        "Deployment",
        "kdns",
        f"{CONTAINER}.image",
        "r.test/kdns:v2",
    ),
    ((f"image.digest={DIGEST}",), "Deployment", "kdns", f"{CONTAINER}.image", f"kdns@{DIGEST}"),
    (("imagePullSecrets[0].name=mine",), "Deployment", "kdns", f"{POD}.imagePullSecrets", [{"name": "mine"}]),
    (("dns.podAnnotations.a=b",), "Deployment", "kdns", "spec.template.metadata.annotations", {"a": "b"}),
    (("dns.resources.limits.memory=1Gi",), "Deployment", "kdns", f"{CONTAINER}.resources.limits.memory", "1Gi"),
    (("dns.extraArgs={--quiet}",), "Deployment", "kdns", f"{CONTAINER}.args.3", "--quiet"),
    (("layout=proxy", "proxy.extraArgs={-v=4}"), "DaemonSet", "kdns-proxy", f"{CONTAINER}.args.3", "-v=4"),
    (("layout=node", "node.extraArgs={--quiet}"), "DaemonSet", "kdns-node", f"{CONTAINER}.args.5", "--quiet"),
)


@pytest.mark.parametrize(("words", "kind", "name", "path", "value"), CHANGED)
@needs_helm
def test_values_arrive(words: tuple[str, ...], kind: str, name: str, path: str, value: object) -> None:
    """What a value is for changes with it."""
    assert at(one(rendered(*(f"--set={word}" for word in words)), kind, name), path) == value


COREFILES = (
    ("dns.clusterDomain=corp.test", "kubernetes corp.test in-addr.arpa"),
    ("dns.forward=192.0.2.1 192.0.2.2", "forward . 192.0.2.1 192.0.2.2 {"),
    ("dns.ttl=5", "ttl 5"),
    ("dns.extraServerBlocks=stub.test:53 { forward . 192.0.2.3 }", "stub.test:53 { forward . 192.0.2.3 }"),
    ("dns.corefile=.:53 { whoami }", ".:53 { whoami }"),
)


@pytest.mark.parametrize(("word", "line"), COREFILES)
@needs_helm
def test_the_corefile_is_made_of_values(word: str, line: str) -> None:
    """It has the line, and kdns reads it without a mistake."""
    text = at(one(rendered(f"--set={word}".replace("{", "{")), "ConfigMap", "kdns"), "data.Corefile")
    assert line in text
    assert plan_corefile(corefile(text), Registry(), "/")


REFUSED = (
    ("layout=all", "layout"),
    ("dns.replica=3", "replica"),
    ("dns.replicas=two", "replicas"),
    ("dns.pods=some", "pods"),
    ("proxy.config.mode=userspace", "mode"),
    ("proxy.config.kind=Other", "kind"),
    ("image.digest=latest", "digest"),
    ("apiServer.port=0", "port"),
    ("service.clusterIP=kube-dns", "clusterIP"),
    ("dns.forward=", "forward"),
    ("dns.clusterDomain=Cluster Local", "clusterDomain"),
)


@pytest.mark.parametrize(("word", "named"), REFUSED)
@needs_helm
def test_wrong_values_are_refused(word: str, named: str) -> None:
    """Before anything is rendered, with the name of the value."""
    words = ("template", "kdns", str(CHART), "--kube-version", KUBERNETES[0], "--set", word)
    assert named in helm(*words, refused=True)


@needs_helm
def test_a_service_that_is_there_stays() -> None:
    """Without `service.create` the chart has none; with it, uninstalling leaves it to the Pods that ask it."""
    assert "Service" not in {manifest["kind"] for manifest in rendered("--set=service.create=false")}
    assert at(one(rendered(), "Service"), "metadata.annotations")[KEEP] == "keep"


NOTED = (
    (("layout=dns",), "rollout status deployment/kdns", "configmap"),
    (("layout=dns", "service.create=false"), "stays as it is", "daemonset"),
    (("layout=both",), "create configmap kdns-api-server", "kdns-node"),
    (("layout=both", "apiServer.host=192.0.2.1"), "rollout status daemonset/kdns-proxy", "configmap"),
    (("layout=node",), "rollout status daemonset/kdns-node", "deployment/"),
)


def installed(server: str, *words: str, mode: str = "client", refused: bool = False) -> str:
    """What `helm install` prints that stops before it writes anything."""
    return helm(
        "install", "kdns", str(CHART), "--namespace", "kube-system", f"--dry-run={mode}", "--kube-apiserver", server,
        "--disable-openapi-validation", *(f"--set={word}" for word in words), refused=refused,
    )  # fmt: skip


@pytest.mark.parametrize(("words", "noted", "not_noted"), NOTED)
@needs_helm
def test_notes_say_what_to_check(words: tuple[str, ...], noted: str, not_noted: str) -> None:
    """After an installation helm prints what to look at in this layout, and nothing about others."""
    with helm_server() as server:
        text = installed(server, *words).partition("NOTES:")[2]
    assert noted in text
    assert not_noted not in text


@needs_helm
def test_a_service_of_another_is_not_taken_over() -> None:
    """Where the cluster has Service kube-dns, installing stops at once and says which value helps."""
    metadata: Manifest = {"name": "kube-dns", "namespace": "kube-system"}
    there = {"kind": "Service", "apiVersion": "v1", "metadata": metadata}
    with helm_server((there,)) as server:
        assert "--set service.create=false" in installed(server, mode="server", refused=True)
        assert "kind: Deployment" in installed(server, "service.create=false", mode="server")
    metadata["labels"] = {"app.kubernetes.io/managed-by": "Helm"}
    metadata["annotations"] = {"meta.helm.sh/release-name": "kdns", "meta.helm.sh/release-namespace": "kube-system"}
    with helm_server((there,)) as server:
        assert "kind: Service" in installed(server, mode="server")


def test_versions_agree() -> None:
    """Chart and application have the project's version."""
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    version = tomllib.loads((HOUSE / "pyproject.toml").read_text())["project"]["version"]
    assert (chart["version"], chart["appVersion"]) == (version, version)


def test_every_value_is_in_the_schema() -> None:
    """And the schema has no other, so that a typing error is refused and a page about values can be trusted."""
    schema = json.loads((CHART / "values.schema.json").read_text())
    defaults = yaml.safe_load((CHART / "values.yaml").read_text())
    assert set(schema["properties"]) - {"global"} == set(defaults)
    for name, value in defaults.items():
        known = schema["properties"][name]
        known = schema["definitions"][known["$ref"].rpartition("/")[2]] if "$ref" in known else known
        if isinstance(value, dict):
            assert set(known["properties"]) == set(value), name
