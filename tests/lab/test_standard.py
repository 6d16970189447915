"""The objects that a lab brings are such as a real API server would take."""

import kubernetes_validate
import pytest

from kdns.lab.standard import local_node, node, objects, proxy
from kdns.lab.workloads import Json

OBJECTS = [*objects(), proxy("nftables", ("-v=2",))]
OF_NODES = [*(body for body in objects("node") if body not in OBJECTS), node("iptables")]
LOCAL = [*(body for body in objects("node-local") if body not in OBJECTS), local_node("iptables")]


@pytest.mark.parametrize(
    "body", [*OBJECTS, *OF_NODES, *LOCAL], ids=lambda body: f"{body['kind']}-{body['metadata']['name']}"
)
def test_a_real_server_would_take_it(body: Json) -> None:
    """Every object of the standard cluster is valid in the newest version of Kubernetes that is known."""
    kubernetes_validate.validate(body, kubernetes_validate.latest_version(), strict=True)


def test_the_guide_s_application_is_there() -> None:
    """hostnames on 9376 behind port 80, and the cluster DNS at 10.96.0.10."""
    services = {body["metadata"]["name"]: body["spec"] for body in OBJECTS if body["kind"] == "Service"}
    (port,) = services["hostnames"]["ports"]
    assert (port["port"], port["targetPort"]) == (80, 9376)
    assert services["kube-dns"]["clusterIP"] == "10.96.0.10"


def test_the_layout_of_nodes() -> None:
    """DNS is bound to the node's own address, and a Pod is answered by its node."""
    found = {(body["kind"], body["metadata"]["name"]): body for body in OF_NODES}
    assert "bind {$HOST_IP}" in found["ConfigMap", "kdns"]["data"]["Corefile"]
    assert found["Service", "kube-dns"]["spec"]["internalTrafficPolicy"] == "Local"
    assert ("Deployment", "kdns") not in found


def test_the_layout_of_local_dns() -> None:
    """The node's DNS is at the Service's address alone; the Service has the two Pods, and not the node's."""
    found = {(body["kind"], body["metadata"]["name"]): body for body in [*objects("node-local"), *LOCAL]}
    assert "bind" not in found["ConfigMap", "kdns-node"]["data"]["Corefile"]
    pods = found["DaemonSet", "kdns-node"]["spec"]["template"]
    assert "--local-dns" in pods["spec"]["containers"][0]["args"]
    selector = found["Service", "kube-dns"]["spec"]["selector"]
    assert not selector.items() <= pods["metadata"]["labels"].items()
    deployment = found["Deployment", "kdns"]["spec"]
    assert (deployment["replicas"], deployment["template"]["metadata"]["labels"]) == (2, selector)
