"""dns-path: from the client to a DNS server (E13, E16 to E20, and the rules of the client's node).

::

    resolv.conf ── nameserver ──> Service ──> endpoints, ports ──> policies ──> rules and flows of the node
                                     └─ or a cache on the node, or a DNS Pod
"""

from collections.abc import Iterator

from kdns.explain.case import Case
from kdns.explain.client import is_node_local
from kdns.explain.dns import basics, dns_endpoints, large, node_cache, policies
from kdns.explain.dns_kernel import dns_kernel_findings
from kdns.explain.dns_service import cluster_ips
from kdns.explain.model import Finding, Link, State, most_telling
from kdns.explain.objects import Body, item
from kdns.explain.service_range import in_service_range
from kdns.explain.target import find_pod


def check(case: Case) -> list[Finding]:
    """Everything between the client and a DNS server, at the nameserver that is asked first."""
    if Link.DNS_PATH not in case.way:
        return []
    address = nameserver(case)
    if not address:
        return _unknown(case)
    service = _service_of(case, address)
    if service is None:
        findings = list(_without_service(case, address))
    else:
        findings = [*dns_endpoints.findings(case, service, address), *policies.findings(case, service)]
        findings += large.findings(case, service)
        if not any(finding.state is State.FAULT for finding in findings):
            findings += dns_kernel_findings(case, service)
    findings += basics.findings(case, faulty=any(finding.state is State.FAULT for finding in findings))
    return most_telling(findings)


def nameserver(case: Case) -> str:
    """The address that the client asks first; empty if it is not known."""
    resolver = case.client.resolver
    return next(iter(resolver.nameservers), "") if resolver is not None else ""


def _service_of(case: Case, address: str) -> Body | None:
    return next((body for body in case.objects.all("Service") if address in cluster_ips(body)), None)


def _unknown(case: Case) -> list[Finding]:
    """No nameserver is known: there is no DNS Service, or it is not in the evidence, or the client is not."""
    side = case.client
    if case.dns_services or side.resolver is None or side.file is not None or side.policy == "Default":
        needs = side.needs or "the client's /etc/resolv.conf"
        return [Finding(Link.DNS_PATH, State.UNCHECKED, "the client's nameserver is not known", needs=needs)]
    if any(case.objects.all("Service", "kube-system")) or "Service" in case.evidence.listed:
        says = "kube-system has no Service for DNS (kube-dns): Pods have no nameserver to ask"
        command = "kubectl -n kube-system get services -o wide"
        return [Finding(Link.DNS_PATH, State.FAULT, says, "E16", next=command)]
    says = "the Service of cluster DNS is not in the evidence"
    needs = "the objects of kube-system: kubectl get services,endpointslices,pods -n kube-system -o yaml"
    return [Finding(Link.DNS_PATH, State.UNCHECKED, says, needs=needs)]


def _without_service(case: Case, address: str) -> Iterator[Finding]:
    """A nameserver that no Service has."""
    if (pod := find_pod(address, case.objects)) is not None:
        yield dns_endpoints.of_pod(pod, address)
    elif is_node_local(address):
        yield from node_cache.findings(case, address)
    elif in_service_range(address, case.objects) and any(case.objects.all("Service")):
        says = f"nameserver {address} is in the range of Services, and no Service has it"
        evidence = tuple(item(body, "spec.clusterIP") for body in case.dns_services)
        if case.dns_addresses and case.client.file is not None:
            says += f": the cluster's DNS is {', '.join(case.dns_addresses)}, and the kubelet's clusterDNS is not"
        node = case.client.node
        command = (
            f"kubectl get --raw /api/v1/nodes/{node}/proxy/configz | grep -o '\"clusterDNS\":[^]]*'"
            if node
            else "kubectl get services -A -o wide | grep ':53\\|53/'"
        )
        yield Finding(Link.DNS_PATH, State.FAULT, says, "E16", evidence, command)
    else:
        says = f"nameserver {address} is not the cluster's; whether it answers was not asked"
        yield Finding(Link.DNS_PATH, State.UNCHECKED, says, needs=f"--probe from where the client is: dig @{address}")
