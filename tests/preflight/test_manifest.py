"""The Job that looks at a cluster."""

import kubernetes_validate
import pytest

from kdns.cli import kubeproxy
from kdns.cli import main as cli
from kdns.config.settings import KubernetesOptions
from kdns.preflight import cluster
from kdns.watch.api.client import RESOURCES
from kdns.watch.follower import proxy_wants, wants
from tests.kustomize import at, built, one, rights
from tests.test_manifests import NEWEST, OLDEST

VARIANT = "preflight"


@pytest.mark.parametrize("version", [OLDEST, NEWEST])
def test_every_object_is_valid(version: str) -> None:
    """In the oldest and the newest Kubernetes that we name."""
    for manifest in built(VARIANT):
        kubernetes_validate.validate(manifest, version, strict=True)


def test_its_rights_are_what_it_looks_at() -> None:
    """List and watch of what DNS and proxy follow; single objects of kube-system by their names; no writes."""
    followed = {RESOURCES[want.kind] for want in (*wants(KubernetesOptions()), *proxy_wants("node-1"))}
    expected = {(verb, each.group, each.plural) for each in followed for verb in ("list", "watch")}
    assert rights(built(VARIANT), "kdns-preflight") == expected
    role = one(built(VARIANT), "Role")
    named = {(plural, name) for rule in role["rules"] for plural in rule["resources"] for name in rule["resourceNames"]}
    assert {verb for rule in role["rules"] for verb in rule["verbs"]} == {"get"}
    workloads = {tuple(path.split("/")[-2:]) for _, path in cluster.WORKLOADS}
    assert workloads | {("configmaps", "coredns"), ("services", "kube-dns")} <= named


def test_its_arguments_are_ours() -> None:
    """It looks at both parts, in the cluster, as the node that it is on."""
    container = at(one(built(VARIANT), "Job"), "spec.template.spec.containers.0")
    arguments = cli.parse(container["args"])
    assert (arguments.command, arguments.what, arguments.conf) == ("preflight", "node", "")
    assert kubeproxy.proxy_command(arguments).settings.hostname_override.upper() == "$(NODE_NAME)"
    assert at(one(built(VARIANT), "Job"), "spec.template.spec.hostPID")
