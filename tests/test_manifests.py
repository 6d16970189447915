"""The manifests are valid, fit each other, and ask for exactly what kdns does."""

import re
import tomllib
from collections.abc import Iterator

import kubernetes_validate
import pytest
import yaml

from kdns.cli import main as cli
from kdns.cli.serve import serve_settings
from kdns.config.settings import ServeSettings
from kdns.dns.server.plan import ServerBlockPlan, plan_corefile, process_settings
from kdns.dns.server.registry import Registry
from kdns.watch.api.client import RESOURCES
from kdns.watch.follower import wants
from tests.config.text import corefile
from tests.kustomize import HOUSE, MANIFESTS, Manifest, at, built, one, rights

VARIANTS = (
    "dns", "base",
    "overlays/kind", "overlays/kubeadm", "overlays/node", "overlays/node-local", "overlays/pods-verified",
)  # fmt: skip
WITH_DEPLOYMENT = tuple(variant for variant in VARIANTS if variant != "overlays/node")
OLDEST, NEWEST = "1.29", kubernetes_validate.latest_version()
HOST_IP = "172.18.0.2"


def plans(manifests: list[Manifest]) -> tuple[ServerBlockPlan, ...]:
    """What the Corefile of the ConfigMap would serve."""
    text = one(manifests, "ConfigMap", "kdns")["data"]["Corefile"]
    return plan_corefile(corefile(text, environ={"HOST_IP": HOST_IP}), Registry(), "/")


@pytest.mark.parametrize("version", [OLDEST, NEWEST])
@pytest.mark.parametrize("variant", VARIANTS)
def test_every_object_is_valid(variant: str, version: str) -> None:
    """Every object passes the strict schema of the oldest and the newest Kubernetes we name."""
    for manifest in built(variant):
        kubernetes_validate.validate(manifest, version, strict=True)


@pytest.mark.parametrize("variant", WITH_DEPLOYMENT)
def test_rbac_is_what_the_client_lists(variant: str) -> None:
    """The ClusterRole allows list and watch of the kinds that kdns follows with this Corefile, and nothing else."""
    manifests = built(variant)
    options = [step.options for plan in plans(manifests) for step in plan.steps if step.name == "kubernetes"]
    followed = {
        (verb, RESOURCES[want.kind].group, RESOURCES[want.kind].plural)
        for each in options
        for want in wants(each)
        for verb in ("list", "watch")
    }
    assert followed == rights(manifests, "kdns")


def test_every_file_is_used() -> None:
    """Each YAML file is named by the kustomization beside it, or is for another command."""
    beside = {"overlays/kind/cluster.yaml", "coredns-swap/patch.yaml", "kube-proxy-swap/patch.yaml"}
    named = set(beside)
    for kustomization in MANIFESTS.rglob("kustomization.yaml"):
        named.add(str(kustomization.relative_to(MANIFESTS)))
        for name in yaml.safe_load(kustomization.read_text())["resources"]:
            named.add(str((kustomization.parent / name).resolve().relative_to(MANIFESTS)))
    assert {str(path.relative_to(MANIFESTS)) for path in MANIFESTS.rglob("*.yaml")} <= named


def test_every_variant_is_tested() -> None:
    """Each folder that kustomize could be pointed at is among those that are tested here, or is only a part."""
    there = {str(path.parent.relative_to(MANIFESTS)) for path in MANIFESTS.rglob("kustomization.yaml")}
    assert there == {*VARIANTS, "proxy", "monitoring", "preflight", "collect"}  # each of these has tests of its own


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


@pytest.mark.parametrize("variant", WITH_DEPLOYMENT)
@pytest.mark.parametrize("what", [what for what, _ in selectors(built("dns"))])
def test_selectors_pick_our_pods(what: str, variant: str) -> None:
    """Each selector matches the labels of the Deployment's Pods."""
    manifests = built(variant)
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
    ("spec.template.spec.securityContext.runAsUser", 65532),
    ("spec.template.spec.securityContext.sysctls", None),
    ("spec.template.spec.containers.0.command", ["/usr/local/bin/kdns-nonroot"]),
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
    assert promised == at(one(built("dns"), "Deployment"), path)


def test_the_service_is_kube_dns() -> None:
    """The Service is kubeadm's to the letter: kubectl cannot patch ports of the same number, so none may differ."""
    service = one(built("dns"), "Service")
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
    manifests = built("dns")
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
    pod = at(one(built("dns"), "Deployment"), "spec.template.spec")
    settings = serve_settings(cli.parse(at(pod, "containers.0.args")), {"KUBERNETES_SERVICE_HOST": "10.96.0.1"})
    mount, snapshots = at(pod, "containers.0.volumeMounts")
    volume, kept = pod["volumes"]
    assert settings.source == "cluster"
    assert (mount["name"], volume["configMap"]["name"]) == (volume["name"], "kdns")
    assert settings.corefile == f"{mount['mountPath']}/Corefile"
    assert settings.snapshot == snapshots["mountPath"]
    assert "emptyDir" in kept
    assert snapshots["name"] == kept["name"]


def test_there_is_time_to_leave() -> None:
    """Lameduck is 5 s, and the grace period is well above it."""
    pod = at(one(built("dns"), "Deployment"), "spec.template.spec")
    lameduck = process_settings(plans(built("dns"))).lameduck
    assert lameduck == 5.0
    assert pod["terminationGracePeriodSeconds"] >= lameduck + 10


@pytest.mark.parametrize("variant", VARIANTS)
def test_short_names_are_answered(variant: str) -> None:
    """`nslookup kubernetes.default` from any busybox works with our manifests, and names outside are forwarded."""
    (plan,) = plans(built(variant))
    assert {"shortnames", "kubernetes", "forward", "cache", "loop", "reload"} <= {step.name for step in plan.steps}


def images(place: object) -> Iterator[str]:
    """Every image that a manifest names."""
    if isinstance(place, dict):
        for key, value in place.items():
            if key == "image":
                yield value
            else:
                yield from images(value)
    elif isinstance(place, list):
        for value in place:
            yield from images(value)


def test_image_and_manifests_agree() -> None:
    """One image everywhere, with the project's version; it sets no user, for kubeadm's Deployment."""
    version = tomllib.loads((HOUSE / "pyproject.toml").read_text())["project"]["version"]
    named = {
        image for path in MANIFESTS.rglob("*.yaml") for image in images(list(yaml.safe_load_all(path.read_text())))
    }
    assert named == {f"kdns:{version}"}
    assert not re.search(r"^USER", (HOUSE / "Dockerfile").read_text(), re.MULTILINE)


def test_commands_are_in_the_image() -> None:
    """What the Pods start is what the Dockerfile puts there."""
    links = set(re.findall(r"ln -s \S+ (\S+)", (HOUSE / "Dockerfile").read_text()))
    started = {
        container["command"][0]
        for variant in VARIANTS
        for manifest in built(variant)
        if manifest["kind"] in ("Deployment", "DaemonSet")
        for part in ("initContainers", "containers")
        for container in at(manifest, "spec.template.spec").get(part, ())
    }
    assert started == {"/usr/local/bin/kdns-nonroot", "/usr/local/bin/kube-proxy", "/usr/local/bin/kdns"}
    assert started <= links
