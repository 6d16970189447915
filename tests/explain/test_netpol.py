"""NetworkPolicies: who reaches whom, by the rules of networking.k8s.io/v1."""

from typing import Any

import pytest
import yaml

from kdns.explain.netpol import Peer, blocked
from kdns.explain.objects import Objects


def pod(namespace: str, name: str, address: str, **labels: str) -> dict[str, Any]:
    """A Pod with one named port, 8080."""
    return {
        "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace, "labels": labels},
        "spec": {"containers": [{"ports": [{"name": "http", "containerPort": 8080}]}]},
        "status": {"podIP": address},
    }


CLIENT = pod("web", "client", "10.244.1.9", app="client")
SERVER = pod("shop", "cart", "10.244.2.5", app="cart", tier="api")
SPACES = [{"kind": "Namespace", "metadata": {"name": name, "labels": {"team": name}}} for name in ("web", "shop")]


def verdict(spec: str, namespace: str = "shop", port: int = 8080, protocol: str = "TCP") -> str:
    """The direction that is blocked, or nothing, with one policy."""
    policy = {"kind": "NetworkPolicy", "metadata": {"name": "p", "namespace": namespace}, "spec": yaml.safe_load(spec)}
    found = blocked(Objects([CLIENT, SERVER, *SPACES, policy]), Peer.of(CLIENT), Peer.of(SERVER), port, protocol)
    return found.direction if found else ""


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ("{podSelector: {}}", "Ingress"),  # "isolates": no rule allows nothing
        ("{podSelector: {}, ingress: [{}]}", ""),
        ("{podSelector: {matchLabels: {app: other}}}", ""),
        ("{podSelector: {}, policyTypes: [Egress]}", ""),
        ("{podSelector: {}, ingress: [{from: [{podSelector: {}}]}]}", "Ingress"),  # of the policy's own Namespace
        ("{podSelector: {}, ingress: [{from: [{namespaceSelector: {}}]}]}", ""),
        ("{podSelector: {}, ingress: [{from: [{namespaceSelector: {matchLabels: {team: web}}}]}]}", ""),
        (
            "{podSelector: {}, ingress: [{from: "
            "[{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: web}}}]}]}",
            "",
        ),
        (
            "{podSelector: {}, ingress: [{from: [{namespaceSelector: {}, podSelector: {matchLabels: {app: x}}}]}]}",
            "Ingress",
        ),
        ("{podSelector: {}, ingress: [{from: [{ipBlock: {cidr: 10.244.0.0/16}}]}]}", ""),
        (
            "{podSelector: {}, ingress: [{from: [{ipBlock: {cidr: 10.244.0.0/16, except: [10.244.1.0/24]}}]}]}",
            "Ingress",
        ),
        ("{podSelector: {}, ingress: [{ports: [{port: http}]}]}", ""),
        ("{podSelector: {}, ingress: [{ports: [{port: other}]}]}", "Ingress"),
        ("{podSelector: {}, ingress: [{ports: [{port: 8000, endPort: 8090}]}]}", ""),
        ("{podSelector: {}, ingress: [{ports: [{port: 8080, protocol: UDP}]}]}", "Ingress"),
        ("{podSelector: {matchExpressions: [{key: tier, operator: In, values: [api]}]}}", "Ingress"),
        ("{podSelector: {matchExpressions: [{key: tier, operator: DoesNotExist}]}}", ""),
    ],
)
def test_ingress(spec: str, expected: str) -> None:
    """Policies of the server's Namespace."""
    assert verdict(spec) == expected


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ("{podSelector: {}}", ""),
        ("{podSelector: {}, policyTypes: [Egress]}", "Egress"),
        ("{podSelector: {}, egress: []}", ""),  # without policyTypes Egress needs a rule
        (
            "{podSelector: {}, egress: [{to: [{namespaceSelector: {matchLabels: {team: shop}}}], "
            "ports: [{port: http}]}]}",
            "",
        ),
        ("{podSelector: {}, egress: [{to: [{ipBlock: {cidr: 10.96.0.0/12}}]}]}", "Egress"),  # seen after the Service
    ],
)
def test_egress(spec: str, expected: str) -> None:
    """Policies of the client's Namespace; they see the Pod's address, not the Service's."""
    assert verdict(spec, namespace="web") == expected


def test_host_network_is_open() -> None:
    """Pods in their node's network are not isolated."""
    host = {**SERVER, "spec": {**SERVER["spec"], "hostNetwork": True}}
    policy = {"kind": "NetworkPolicy", "metadata": {"name": "p", "namespace": "shop"}, "spec": {"podSelector": {}}}
    assert blocked(Objects([CLIENT, host, policy]), Peer.of(CLIENT), Peer.of(host), 8080, "TCP") is None
