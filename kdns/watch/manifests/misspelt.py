"""Fields of Services that are nearly those of the API: a typo there would silently be nothing. Pure."""

from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from typing import Any, Final

SPEC: Final = (
    "allocateLoadBalancerNodePorts", "clusterIP", "clusterIPs", "externalIPs", "externalName", "externalTrafficPolicy",
    "healthCheckNodePort", "internalTrafficPolicy", "ipFamilies", "ipFamilyPolicy", "loadBalancerClass",
    "loadBalancerIP", "loadBalancerSourceRanges", "ports", "publishNotReadyAddresses", "selector", "sessionAffinity",
    "sessionAffinityConfig", "trafficDistribution", "type",
)  # fmt: skip
"""ServiceSpec of Kubernetes 1.35's API reference."""
PORT: Final = ("appProtocol", "name", "nodePort", "port", "protocol", "targetPort")
"""ServicePort, likewise."""


def misspelt_fields(service: Mapping[str, Any]) -> Iterator[str]:
    """``unknown field spec.prts: did you mean ports?`` for each; fields that resemble no known one are passed over."""
    spec = service.get("spec")
    if not isinstance(spec, dict):
        return
    yield from _near(spec, SPEC, "spec")
    ports = spec.get("ports")
    for index, port in enumerate(ports if isinstance(ports, list) else ()):
        if isinstance(port, dict):
            yield from _near(port, PORT, f"spec.ports[{index}]")


def _near(given: Mapping[Any, Any], known: tuple[str, ...], path: str) -> Iterator[str]:
    for name in given:
        if isinstance(name, str) and name not in known and len(name) <= 64:
            for meant in get_close_matches(name, known, 1, cutoff=0.8):
                yield f"unknown field {path}.{name}: did you mean {meant}?"
