"""The addresses that Services get: of ServiceCIDRs, or estimated by those that Services have. Pure."""

from ipaddress import ip_address, ip_network

from kdns.base.addresses import is_address
from kdns.explain.dns_service import cluster_ips
from kdns.explain.objects import Objects, field

KUBEADM = ip_network("10.96.0.0/12")
"""The range of kubeadm, and of most that follow it."""
ESTIMATE = {4: 16, 6: 112}
"""Prefix lengths that addresses of Services commonly share; every range of an installer holds a whole such network."""


def service_cidrs(objects: Objects) -> list[str]:
    """What ServiceCIDRs say; empty if there are none."""
    return [str(cidr) for body in objects.all("ServiceCIDR") for cidr in field(body, "spec.cidrs", [])]


def in_service_range(address: str, objects: Objects) -> bool:
    """Whether an address is one that a Service could have; estimated where there is no ServiceCIDR."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return False
    cidrs = service_cidrs(objects)
    if not cidrs:
        known = {text for body in objects.all("Service") for text in cluster_ips(body)}
        cidrs = [f"{text}/{ESTIMATE[ip_address(text).version]}" for text in known if is_address(text)]
        if any(is_address(text) and ip_address(text) in KUBEADM for text in known):
            cidrs.append(str(KUBEADM))
    return any(
        parsed in network for cidr in cidrs if (network := ip_network(cidr, strict=False)).version == parsed.version
    )
