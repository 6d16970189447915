"""The manifests of the proxy, alone and in one process with DNS."""

import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from kdns.cli import kubeproxy as cli_proxy
from kdns.cli import main as cli
from kdns.config.kubeproxy.flags import ProxyCommand, proxy_command
from kdns.config.kubeproxy.settings import HEALTHZ_PORT
from kdns.config.settings import KubernetesOptions
from kdns.dns.server.local_listeners import LocalListeners
from kdns.dns.server.plan import plan_corefile, process_settings
from kdns.dns.server.registry import Registry
from kdns.nodelocal.heartbeat import NAME
from kdns.watch.api.client import EVENTS, RESOURCES
from kdns.watch.api.credentials import ServiceAccount
from kdns.watch.follower import proxy_wants, wants
from tests.config.kubeproxy import files
from tests.config.text import corefile
from tests.fakes.api_server import SYSTEM_NODE_PROXIER
from tests.fakes.certificates import SERVER
from tests.kustomize import MANIFESTS, Manifest, at, built, one, rights

POD = "spec.template.spec"
NAMES = {
    "base": "kdns-proxy", "overlays/kind": "kdns-proxy", "overlays/kubeadm": "kdns-proxy", "overlays/node": "kdns-node",
    "overlays/node-local": "kdns-proxy",
}  # fmt: skip
"""The DaemonSet of each variant that has a proxy."""
WITH_DNS = {"overlays/node", "overlays/node-local"}
"""Those whose DaemonSet is DNS, too."""
HOST_IP = "172.18.0.2"


def daemonset(variant: str) -> Manifest:
    """The one DaemonSet."""
    return one(built(variant), "DaemonSet", NAMES[variant])


def container(variant: str, part: str = "containers") -> Manifest:
    """Its only container, or init container."""
    (found,) = at(daemonset(variant), f"{POD}.{part}")
    return dict(found)


def mounts(pod: Manifest, one_of_them: Manifest) -> dict[str, dict[str, Any]]:
    """What a container sees: path -> the volume."""
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    return {mount["mountPath"]: {**mount, **volumes[mount["name"]]} for mount in one_of_them["volumeMounts"]}


def commanded(variant: str, monkeypatch: pytest.MonkeyPatch, part: str = "containers") -> tuple[str, ProxyCommand]:
    """What a container of the Pod is told: the command of kdns, and what the flags and the mounted file say."""
    manifests, found = built(variant), container(variant, part)
    pod = at(one(manifests, "DaemonSet"), POD)
    words = [word.replace("$(NODE_NAME)", "node-1") for word in (*found["command"], *found.get("args", ()))]
    monkeypatch.setattr(sys, "argv", words)
    arguments = cli.parse(cli_proxy.argv_for_program_name())

    def read(path: str) -> str:
        folder, _, key = path.rpartition("/")
        name = mounts(pod, found)[folder]["configMap"]["name"]
        if name == "kube-proxy":  # kubeadm's, not ours
            return {"config.conf": files.KUBEADM}[key]
        return str(one(manifests, "ConfigMap", name)["data"][key])

    return arguments.command, proxy_command(vars(arguments), {}, read)


def allowed_to_proxy() -> set[tuple[str, str, str]]:
    """What the proxy asks of an API server."""
    followed = (RESOURCES[want.kind] for want in proxy_wants("node-1"))
    reading = {(verb, each.group, each.plural) for each in followed for verb in ("list", "watch")}
    return reading | {(verb, EVENTS.group, EVENTS.plural) for verb in ("create", "patch")}


@pytest.mark.parametrize("variant", ["base", "overlays/kind", "overlays/kubeadm"])
def test_rbac_is_what_the_proxy_asks(variant: str) -> None:
    """It may do what it does, and nothing that Kubernetes' own system:node-proxier may not do."""
    assert at(daemonset(variant), f"{POD}.serviceAccountName") == "kdns-proxy"
    assert rights(built(variant), "kdns-proxy") == allowed_to_proxy()
    assert allowed_to_proxy() <= SYSTEM_NODE_PROXIER


def test_one_process_has_the_rights_of_both() -> None:
    """In the node layout, and there is no other account."""
    manifests = built("overlays/node")
    dns = (RESOURCES[want.kind] for want in wants(KubernetesOptions()))
    reading = {(verb, each.group, each.plural) for each in dns for verb in ("list", "watch")}
    assert at(daemonset("overlays/node"), f"{POD}.serviceAccountName") == "kdns"
    assert rights(manifests, "kdns") == reading | allowed_to_proxy()
    one(manifests, "ServiceAccount")


PROMISES = {
    f"{POD}.hostNetwork": True,
    f"{POD}.dnsPolicy": "Default",
    f"{POD}.priorityClassName": "system-node-critical",
    f"{POD}.tolerations": [{"operator": "Exists"}],
    f"{POD}.nodeSelector": {"kubernetes.io/os": "linux"},
    "spec.updateStrategy.type": "RollingUpdate",
    f"{POD}.initContainers.0.securityContext": {"privileged": True, "readOnlyRootFilesystem": True},
    f"{POD}.containers.0.securityContext.runAsUser": 0,
    f"{POD}.containers.0.securityContext.privileged": None,
    f"{POD}.containers.0.securityContext.allowPrivilegeEscalation": False,
    f"{POD}.containers.0.securityContext.readOnlyRootFilesystem": True,
}


@pytest.mark.parametrize("variant", NAMES)
@pytest.mark.parametrize("path", PROMISES, ids=[path.removeprefix(f"{POD}.") for path in PROMISES])
def test_the_daemonset_keeps_its_promises(path: str, variant: str) -> None:
    """What is promised of the Pods stands in the manifest."""
    assert PROMISES[path] == at(daemonset(variant), path)


@pytest.mark.parametrize("variant", NAMES)
def test_capabilities_are_few(variant: str) -> None:
    """NET_ADMIN for rules, NET_RAW for iptables-legacy; port 53 only where DNS is in the same process."""
    found = at(container(variant), "securityContext.capabilities")
    assert found["drop"] == ["ALL"]
    more = {"NET_BIND_SERVICE"} if variant in WITH_DNS else set()
    assert set(found["add"]) == {"NET_ADMIN", "NET_RAW"} | more


SNAPSHOTS = "/var/lib/kdns"
"""What is known of the cluster outlives a container there."""


@pytest.mark.parametrize("variant", NAMES)
def test_what_is_mounted(variant: str) -> None:
    """The node's lock file of iptables, and snapshots, to be written; its modules, to be read."""
    seen = mounts(at(daemonset(variant), POD), container(variant))
    assert seen["/run/xtables.lock"]["hostPath"] == {"path": "/run/xtables.lock", "type": "FileOrCreate"}
    assert not seen["/run/xtables.lock"].get("readOnly")
    assert seen["/lib/modules"]["hostPath"]["path"] == "/lib/modules"
    assert seen["/lib/modules"]["readOnly"]
    assert "emptyDir" in seen[SNAPSHOTS]
    written = {path for path, mount in seen.items() if not mount.get("readOnly")}
    assert written == {"/run/xtables.lock", SNAPSHOTS}


@pytest.mark.parametrize("variant", NAMES)
def test_selectors_pick_our_pods(variant: str) -> None:
    """The DaemonSet's own, and in the node layout that of Service kube-dns; nothing else selects the proxy."""
    manifests, found = built(variant), daemonset(variant)
    labels = at(found, "spec.template.metadata.labels")
    assert at(found, "spec.selector.matchLabels") == labels
    selector = at(one(manifests, "Service"), "spec.selector")
    assert (selector.items() <= labels.items()) == (variant == "overlays/node")


@pytest.mark.parametrize("variant", NAMES)
def test_the_configuration_is_read_without_a_warning(variant: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The arguments are kdns' own, name a file that is mounted, and the Node is the one the Pod is on."""
    command, told = commanded(variant, monkeypatch)
    assert command == ("node" if variant in WITH_DNS else "proxy")
    assert told.warnings == ()
    assert not told.init_only
    assert told.settings.node_name("another") == "node-1"
    assert told.settings.mode == "iptables"
    assert {"name": "NODE_NAME", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}} in container(variant)["env"]


@pytest.mark.parametrize("variant", NAMES)
def test_sysctls_are_set_before(variant: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """By an init container that reads the same configuration and does nothing else."""
    command, told = commanded(variant, monkeypatch, "initContainers")
    _, later = commanded(variant, monkeypatch)
    assert (command, told.init_only) == ("proxy", True)
    assert told.settings.conntrack == later.settings.conntrack
    assert container(variant, "initContainers")["image"] == container(variant)["image"]


@pytest.mark.parametrize("variant", NAMES)
def test_probes_ask_where_something_listens(variant: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Liveness is /livez: a node that is not eligible for traffic has nothing wrong."""
    found = container(variant)
    ports = {port["name"]: port["containerPort"] for port in found.get("ports", ())}
    _, told = commanded(variant, monkeypatch)
    assert told.settings.healthz_bind_address.endswith(f":{HEALTHZ_PORT}")
    live = at(found, "livenessProbe.httpGet")
    assert (live["path"], ports.get(live["port"], live["port"])) == ("/livez", HEALTHZ_PORT)
    ready = at(found, "readinessProbe.httpGet")
    expected = ("/ready", 8181) if variant in WITH_DNS else ("/healthz", HEALTHZ_PORT)
    assert (ready["path"], ports.get(ready["port"], ready["port"])) == expected


@pytest.mark.parametrize("variant", ["base", *sorted(WITH_DNS)])
def test_the_api_server_is_not_asked_through_a_service(variant: str) -> None:
    """Its address is a ConfigMap's, that must be there: the kubelet's variables name a Service's address."""
    found = container(variant)
    assert found["envFrom"] == [{"configMapRef": {"name": "kdns-api-server"}}]
    assert not any(variable["name"].startswith("KUBERNETES_") for variable in found["env"])
    text = (MANIFESTS / "base/kustomization.yaml").read_text()
    assert "create configmap kdns-api-server" in text
    assert {"KUBERNETES_SERVICE_HOST", "KUBERNETES_SERVICE_PORT"} <= {
        word.partition("=")[0] for word in text.replace("--from-literal=", "").split()
    }


def cluster() -> Manifest:
    """The configuration of kind."""
    return dict(yaml.safe_load((MANIFESTS / "overlays/kind/cluster.yaml").read_text()))


def test_the_kind_cluster_has_no_other_proxy() -> None:
    """Nothing else programs rules, and the address of kube-dns is one of its Services'."""
    assert (cluster()["kind"], cluster()["apiVersion"]) == ("Cluster", "kind.x-k8s.io/v1alpha4")
    assert (cluster()["name"], cluster()["networking"]["kubeProxyMode"]) == ("kdns", "none")
    assert cluster()["nodes"][0]["role"] == "control-plane"


def test_in_kind_the_api_server_is_found_by_its_nodes_name(tmp_path: Path) -> None:
    """`--source cluster` goes to what the DaemonSet says, which is what kind calls the node."""
    environ = {variable["name"]: variable.get("value", "") for variable in container("overlays/kind")["env"]}
    assert "envFrom" not in container("overlays/kind")
    (tmp_path / "token").write_text("token")
    shutil.copy(SERVER.cert, tmp_path / "ca.crt")
    assert ServiceAccount(environ, tmp_path).server == f"https://{cluster()['name']}-control-plane:6443"


def test_in_kind_only_our_pods_are_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """CoreDNS has the label k8s-app too; the ports stay as they are; the Pods' range is the cluster's."""
    manifests = built("overlays/kind")
    service, deployment = one(manifests, "Service"), one(manifests, "Deployment")
    selector = at(service, "spec.selector")
    assert selector == {"k8s-app": "kube-dns", "app.kubernetes.io/name": "kdns"}
    assert selector.items() <= at(deployment, "spec.template.metadata.labels").items()
    assert at(service, "spec.ports") == at(one(built("dns"), "Service"), "spec.ports")
    _, told = commanded("overlays/kind", monkeypatch)
    assert told.settings.cluster_cidrs == (files.network(cluster()["networking"]["podSubnet"]),)
    assert told.settings.conntrack.max_per_core == 0


def test_on_a_node_dns_has_the_nodes_address_only() -> None:
    """Of every port: DNS, health, ready and metrics; and Pods are sent to the DNS of their own node."""
    manifests, found = built("overlays/node"), container("overlays/node")
    assert {"name": "HOST_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.hostIP"}}} in found["env"]
    text = one(manifests, "ConfigMap", "kdns")["data"]["Corefile"]
    plans = plan_corefile(corefile(text, environ={"HOST_IP": HOST_IP}), Registry(), "/")
    assert {address for plan in plans for address in plan.addresses} == {HOST_IP}
    asked = process_settings(plans)
    assert (asked.health, asked.ready, asked.metrics) == tuple((f"{HOST_IP}:{port}",) for port in (8080, 8181, 9153))
    assert at(one(manifests, "Service"), "spec.internalTrafficPolicy") == "Local"
    assert {each["kind"] for each in manifests}.isdisjoint({"Deployment", "PodDisruptionBudget"})
    seen = mounts(at(daemonset("overlays/node"), POD), found)
    assert seen["/etc/kdns"]["configMap"]["name"] == "kdns"
    assert "--conf=/etc/kdns/Corefile" in found["args"]


def test_a_node_s_own_dns_has_something_to_fail_over_to() -> None:
    """It is on the addresses of Service kube-dns alone; that selects the Deployment of two, and never itself."""
    manifests, found = built("overlays/node-local"), container("overlays/node-local")
    text = one(manifests, "ConfigMap", "kdns-node")["data"]["Corefile"]
    plans = plan_corefile(corefile(text, environ={"HOST_IP": HOST_IP, "NODE_NAME": "node-1"}), Registry(), "/")
    local = LocalListeners(NAME, lambda: None, 0.3)
    local.listen(("10.96.0.10",))
    assert {address for plan in local.extend(plans) for address in plan.addresses} == {"10.96.0.10"}
    asked = process_settings(plans)
    assert (asked.health, asked.ready, asked.metrics) == tuple((f"{HOST_IP}:{port}",) for port in (8080, 8181, 9153))
    assert "--local-dns" in found["args"]
    assert mounts(at(daemonset("overlays/node-local"), POD), found)["/etc/kdns"]["configMap"]["name"] == "kdns-node"
    service, deployment = one(manifests, "Service"), one(manifests, "Deployment")
    selector = at(service, "spec.selector")
    assert selector.items() <= at(deployment, "spec.template.metadata.labels").items()
    assert not selector.items() <= at(daemonset("overlays/node-local"), "spec.template.metadata.labels").items()
    assert at(deployment, "spec.replicas") == 2
    assert at(service, "spec.clusterIP") == "10.96.0.10"


def test_a_node_s_own_dns_has_the_rights_of_both() -> None:
    """The proxy's account has those of DNS, too, and Pods, to know who asks; the Deployment's stays as it is."""
    manifests = built("overlays/node-local")
    assert rights(manifests, "kdns-proxy") == reading(KubernetesOptions(clients="node-1")) | allowed_to_proxy()
    assert rights(manifests, "kdns") == reading(KubernetesOptions())
    assert rights(manifests, "kdns-proxy") - allowed_to_proxy() - rights(manifests, "kdns") == {
        ("list", "", "pods"), ("watch", "", "pods")
    }  # fmt: skip


def test_on_a_node_only_its_own_pods_are_followed() -> None:
    """By a field selector with the node's name; `top` shows who asks, and where only the node's own users see it."""
    text = one(built("overlays/node-local"), "ConfigMap", "kdns-node")["data"]["Corefile"]
    plans = plan_corefile(corefile(text, environ={"HOST_IP": HOST_IP, "NODE_NAME": "node-1"}), Registry(), "/")
    pods = [want for plan in plans for want in wants(plan.options("kubernetes")) if want.kind == "Pod"]
    assert [want.field_selector.partition(",")[0] for want in pods] == ["spec.nodeName=node-1"]
    assert process_settings(plans).top == ("127.0.0.1:9154",)


def reading(options: KubernetesOptions) -> set[tuple[str, str, str]]:
    """What DNS lists and watches with these options."""
    followed = (RESOURCES[want.kind] for want in wants(options))
    return {(verb, each.group, each.plural) for each in followed for verb in ("list", "watch")}
