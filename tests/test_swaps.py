"""The patches that put our image into the Deployment of CoreDNS and the DaemonSet of kube-proxy."""

import sys
from copy import deepcopy

import kubernetes_validate
import pytest
import yaml

from kdns.cli import kubeproxy as cli_proxy
from kdns.cli import main as cli
from kdns.cli.serve import serve_settings
from kdns.config.kubeproxy.flags import proxy_command
from kdns.config.settings import ServeSettings
from tests import kubeadm
from tests.config.kubeproxy import files
from tests.kustomize import HOUSE, MANIFESTS, Manifest, at, merge

CONTAINER = "spec.template.spec.containers.0"
SWAPS = {"coredns": kubeadm.coredns(), "kube-proxy": kubeadm.kube_proxy()}


def swapped(name: str) -> Manifest:
    """The object after the patch."""
    found = deepcopy(SWAPS[name])
    merge(found, yaml.safe_load((MANIFESTS / f"{name}-swap" / "patch.yaml").read_text()))
    return found


@pytest.mark.parametrize("name", SWAPS)
def test_only_the_image_is_another(name: str) -> None:
    """Nothing else of kubeadm's object changes, and what comes out is valid."""
    before, after = SWAPS[name], swapped(name)
    kubernetes_validate.validate(after, kubernetes_validate.latest_version(), strict=True)
    assert at(before, f"{CONTAINER}.image") != at(after, f"{CONTAINER}.image")
    after["spec"]["template"]["spec"]["containers"][0]["image"] = at(before, f"{CONTAINER}.image")
    assert after == before


@pytest.mark.parametrize("name", SWAPS)
def test_both_ways_are_documented(name: str) -> None:
    """The file says how it is applied and how to go back, and a page says the same."""
    kind = SWAPS[name]["kind"].lower()
    there = f"kubectl -n kube-system patch {kind} {name} --patch-file manifests/{name}-swap/patch.yaml"
    back = f"kubectl -n kube-system rollout undo {kind}/{name}"
    page = (HOUSE / f"docs/coming-from-{name}.md").read_text()
    patch = (MANIFESTS / f"{name}-swap" / "patch.yaml").read_text()
    assert {text for text in (there, back) if text not in patch or text not in page} == set()


def test_the_arguments_of_coredns_are_ours() -> None:
    """They name the Corefile in the ConfigMap, and its port and source are what a Pod has."""
    arguments = cli.parse(at(swapped("coredns"), f"{CONTAINER}.args"))
    settings = serve_settings(arguments, {"KUBERNETES_SERVICE_HOST": "10.96.0.1"})
    assert settings == ServeSettings(source="cluster", corefile="/etc/coredns/Corefile")


def test_the_command_of_kube_proxy_is_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    """The command is one of the image's names, and means `kdns proxy` with kubeadm's configuration."""
    command = at(swapped("kube-proxy"), f"{CONTAINER}.command")
    assert f" {command[0]} " in (HOUSE / "Dockerfile").read_text()
    monkeypatch.setattr(sys, "argv", [word.replace("$(NODE_NAME)", "node-1") for word in command])
    arguments = cli.parse(cli_proxy.argv_for_program_name())
    assert arguments.command == "proxy"
    found = proxy_command(vars(arguments), {}, {"/var/lib/kube-proxy/config.conf": files.KUBEADM}.__getitem__)
    assert found.warnings == ()
    assert found.settings.client_connection.kubeconfig == "/var/lib/kube-proxy/kubeconfig.conf"
    assert found.settings.node_name("another") == "node-1"
