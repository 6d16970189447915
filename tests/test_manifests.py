"""The manifests are valid, fit each other, and ask for exactly what kdns does."""

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from kdns import cli
from kdns.assemble import BlockPlan, plan_corefile, wishes
from kdns.config.settings import ServeSettings
from kdns.dns.registry import Registry
from kdns.follow import wants
from kdns.watch.client import RESOURCES
from tests.config.text import corefile

HOUSE = Path(__file__).parent.parent
MANIFESTS = HOUSE / "manifests"
VARIANTS = ("base", "pods-verified")
OLDEST, NEWEST = "1.29", kubernetes_validate.latest_version()

Manifest = dict[str, Any]


def built(variant: str) -> list[Manifest]:
    """What kustomize makes of a folder: its resources, and its JSON patches (RFC 6902 add and replace) applied."""
    folder = MANIFESTS / variant
    kustomization = yaml.safe_load((folder / "kustomization.yaml").read_text())
    found: list[Manifest] = []
    for name in kustomization["resources"]:
        path = folder / name
        found += built(path.resolve().name) if path.is_dir() else yaml.safe_load_all(path.read_text())
    for patch in kustomization.get("patches", ()):
        target = one(found, patch["target"]["kind"], patch["target"]["name"])
        for operation in yaml.safe_load(patch["patch"]):
            apply(target, operation)
    return found


def apply(target: Manifest, operation: Manifest) -> None:
    """One operation of a JSON patch, as far as ours use it."""
    *path, last = operation["path"].strip("/").split("/")
    place: Any = target
    for step in path:
        place = place[int(step)] if isinstance(place, list) else place[step]
    if operation["op"] == "add" and last == "-":
        place.append(operation["value"])
    else:
        assert operation["op"] == "replace"
        place[int(last) if isinstance(place, list) else last] = operation["value"]


def one(manifests: list[Manifest], kind: str, name: str | None = None) -> Manifest:
    """The only object of a kind, or the one of that name."""
    (found,) = (each for each in manifests if each["kind"] == kind and name in (None, each["metadata"]["name"]))
    return found


def at(manifest: Manifest, path: str) -> Any:
    """What stands at ``a.b.0.c``; a missing key is None."""
    place: Any = manifest
    for step in path.split("."):
        if place is None:
            return None
        place = place[int(step)] if isinstance(place, list) else place.get(step)
    return place


def plans(manifests: list[Manifest]) -> tuple[BlockPlan, ...]:
    """What the Corefile of the ConfigMap would serve."""
    text = one(manifests, "ConfigMap", "kdns")["data"]["Corefile"]
    return plan_corefile(corefile(text), Registry(), "/")


@pytest.mark.parametrize("version", [OLDEST, NEWEST])
@pytest.mark.parametrize("variant", VARIANTS)
def test_every_object_is_valid(variant: str, version: str) -> None:
    """Every object passes the strict schema of the oldest and the newest Kubernetes we name."""
    for manifest in built(variant):
        kubernetes_validate.validate(manifest, version, strict=True)


@pytest.mark.parametrize("variant", VARIANTS)
def test_rbac_is_what_the_client_lists(variant: str) -> None:
    """The ClusterRole allows list and watch of the kinds that kdns follows with this Corefile, and nothing else."""
    manifests = built(variant)
    options = [step.options for plan in plans(manifests) for step in plan.steps if step.name == "kubernetes"]
    followed = {
        (RESOURCES[want.kind].group, RESOURCES[want.kind].plural, verb)
        for each in options
        for want in wants(each)
        for verb in ("list", "watch")
    }
    allowed = {
        (group, resource, verb)
        for rule in one(manifests, "ClusterRole")["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }
    assert followed == allowed


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_file_is_used(variant: str) -> None:
    """A kustomization names every file beside it."""
    folder = MANIFESTS / variant
    named = set(yaml.safe_load((folder / "kustomization.yaml").read_text())["resources"])
    assert {path.name for path in folder.glob("*.yaml")} - {"kustomization.yaml"} == named - {"../base"}


def selectors(manifests: list[Manifest]) -> Iterator[tuple[str, dict[str, str]]]:
    """Everything that picks our Pods by labels."""
    deployment = one(manifests, "Deployment")
    pod = "spec.template.spec"
    affinity = "affinity.podAntiAffinity.preferredDuringSchedulingIgnoredDuringExecution.0.podAffinityTerm"
    yield "Deployment", at(deployment, "spec.selector.matchLabels")
    yield "anti-affinity", at(deployment, f"{pod}.{affinity}.labelSelector.matchLabels")
    yield "spread", at(deployment, f"{pod}.topologySpreadConstraints.0.labelSelector.matchLabels")
    yield "PodDisruptionBudget", at(one(manifests, "PodDisruptionBudget"), "spec.selector.matchLabels")
    yield "Service", at(one(manifests, "Service"), "spec.selector")


@pytest.mark.parametrize("what", [what for what, _ in selectors(built("base"))])
def test_selectors_pick_our_pods(what: str) -> None:
    """Each selector matches the labels of the Deployment's Pods."""
    manifests = built("base")
    labels = at(one(manifests, "Deployment"), "spec.template.metadata.labels")
    picked = dict(selectors(manifests))[what]
    assert picked
    assert picked.items() <= labels.items()


PROMISES = (
    ("spec.replicas", 2),
    ("spec.template.spec.serviceAccountName", "kdns"),
    ("spec.template.spec.priorityClassName", "system-cluster-critical"),
    ("spec.template.spec.dnsPolicy", "Default"),
    ("spec.template.spec.hostNetwork", None),
    ("spec.template.spec.securityContext.runAsNonRoot", True),
    ("spec.template.spec.securityContext.seccompProfile", {"type": "RuntimeDefault"}),
    (
        "spec.template.spec.securityContext.sysctls",
        [{"name": "net.ipv4.ip_unprivileged_port_start", "value": "0"}],
    ),
    ("spec.template.spec.containers.0.resources.limits.memory", "170Mi"),
    ("spec.template.spec.containers.0.securityContext.readOnlyRootFilesystem", True),
    ("spec.template.spec.containers.0.securityContext.allowPrivilegeEscalation", False),
    ("spec.template.spec.containers.0.securityContext.capabilities", {"drop": ["ALL"], "add": ["NET_BIND_SERVICE"]}),
    ("spec.template.spec.containers.0.readinessProbe.httpGet", {"path": "/ready", "port": "ready"}),
    ("spec.template.spec.containers.0.livenessProbe.httpGet", {"path": "/health", "port": "health"}),
)


@pytest.mark.parametrize(("path", "promised"), PROMISES, ids=[path.rpartition(".")[2] for path, _ in PROMISES])
def test_the_deployment_keeps_its_promises(path: str, promised: object) -> None:
    """What is promised of the Pods stands in the manifest."""
    assert promised == at(one(built("base"), "Deployment"), path)


def test_the_service_is_kube_dns() -> None:
    """The Service is kubeadm's to the letter: kubectl cannot patch ports of the same number, so none may differ."""
    service = one(built("base"), "Service")
    assert service["metadata"]["name"] == "kube-dns"
    assert at(service, "spec.clusterIP") == "10.96.0.10"
    assert at(service, "spec.selector") == {"k8s-app": "kube-dns"}
    assert at(service, "spec.ports") == [
        {"name": "dns", "port": 53, "protocol": "UDP", "targetPort": 53},
        {"name": "dns-tcp", "port": 53, "protocol": "TCP", "targetPort": 53},
        {"name": "metrics", "port": 9153, "protocol": "TCP", "targetPort": 9153},
    ]


def test_ports_have_the_numbers_that_kdns_listens_on() -> None:
    """The container's ports are kdns' defaults, and the Service's targets are among them."""
    manifests = built("base")
    ports = at(one(manifests, "Deployment"), "spec.template.spec.containers.0.ports")
    settings = ServeSettings()
    assert {port["name"]: port["containerPort"] for port in ports} == {
        "dns": settings.port,
        "dns-tcp": settings.port,
        "metrics": int(settings.metrics.rpartition(":")[2]),
        "health": int(settings.health.rpartition(":")[2]),
        "ready": int(settings.ready.rpartition(":")[2]),
    }
    targets = {(port["targetPort"], port["protocol"]) for port in at(one(manifests, "Service"), "spec.ports")}
    assert targets <= {(port["containerPort"], port["protocol"]) for port in ports}


def test_the_corefile_is_mounted_where_it_is_read() -> None:
    """The arguments are kdns' own, and name a file of the ConfigMap that the Pods mount."""
    pod = at(one(built("base"), "Deployment"), "spec.template.spec")
    settings = cli.serve_settings(cli.parse(at(pod, "containers.0.args")), {"KUBERNETES_SERVICE_HOST": "10.96.0.1"})
    (mount,) = at(pod, "containers.0.volumeMounts")
    (volume,) = pod["volumes"]
    assert settings.source == "cluster"
    assert (mount["name"], volume["configMap"]["name"]) == (volume["name"], "kdns")
    assert settings.corefile == f"{mount['mountPath']}/Corefile"


def test_there_is_time_to_leave() -> None:
    """Lameduck is 5 s, and the grace period is well above it."""
    pod = at(one(built("base"), "Deployment"), "spec.template.spec")
    lameduck = wishes(plans(built("base"))).lameduck
    assert lameduck == 5.0
    assert pod["terminationGracePeriodSeconds"] >= lameduck + 10


@pytest.mark.parametrize("variant", VARIANTS)
def test_short_names_are_answered(variant: str) -> None:
    """`nslookup kubernetes.default` from any busybox works with our manifests, and names outside are forwarded."""
    (plan,) = plans(built(variant))
    assert {"shortnames", "kubernetes", "forward", "cache", "loop", "reload"} <= {step.name for step in plan.steps}


def test_image_and_manifests_agree() -> None:
    """The image's tag is the project's version; it sets no user, for kubeadm's Deployment; our Pods are not root."""
    pod = at(one(built("base"), "Deployment"), "spec.template.spec")
    version = tomllib.loads((HOUSE / "pyproject.toml").read_text())["project"]["version"]
    assert pod["containers"][0]["image"] == f"kdns:{version}"
    assert not re.search(r"^USER", (HOUSE / "Dockerfile").read_text(), re.MULTILINE)
    assert (pod["securityContext"]["runAsUser"], pod["securityContext"]["runAsGroup"]) == (65532, 65532)
