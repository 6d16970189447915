"""Rule sets as plain values, for programs that read ``kdns rules -o json``. Pure."""

from collections.abc import Sequence
from typing import Any

from kdns.base.objects import Network, address_text
from kdns.proxy.model import Backend, Entry, RuleSet, ServicePortRules


def rule_set_values(rules: RuleSet) -> dict[str, Any]:
    """One family: ``family`` and ``servicePorts``, in the order in which they are written."""
    return {
        "family": rules.node.family.value,
        "servicePorts": [_service_port(port) for port in rules.ports.values()],
    }


def _service_port(port: ServicePortRules) -> dict[str, Any]:
    return {
        "namespace": port.name.namespace,
        "service": port.name.name,
        "port": port.name.port,
        "protocol": str(port.name.protocol),
        "frontends": [_frontend(entry) for entry in port.entries],
        "clusterBackends": _backends(port.cluster),
        "localBackends": _backends(port.local),
        "affinitySeconds": port.affinity,
        "externalTrafficPolicy": "Local" if port.external_local else "Cluster",
        "internalTrafficPolicy": "Local" if port.internal_local else "Cluster",
        "healthCheckNodePort": port.health_check_node_port or None,
    }


def _frontend(entry: Entry) -> dict[str, Any]:
    frontend = entry.frontend
    return {
        "kind": frontend.way,
        "address": address_text(frontend.address) if frontend.address else None,
        "port": frontend.port,
        "paths": [path._asdict() for path in entry.paths],
        "sourceRanges": None if entry.sources is None else [_network(network) for network in entry.sources],
    }


def _backends(backends: Sequence[Backend]) -> list[str]:
    return [str(backend) for backend in backends]


def _network(network: Network) -> str:
    return f"{address_text(network.address)}/{network.length}"
