"""The Services that are the cluster's DNS, and their addresses. Pure."""

from typing import Final

from kdns.explain.objects import Body, Objects, field, key_of, labels_of, maps

NAMES: Final = (
    "kube-dns", "coredns", "kdns", "rke2-coredns-rke2-coredns", "dns-default", "kube-dns-upstream", "node-local-dns",
)  # fmt: skip
"""Names that installers give it, the kubelet's one first."""
LABELS: Final = ("kube-dns", "coredns", "kdns")
"""Values of the labels ``k8s-app`` and ``app.kubernetes.io/name``."""
NAMESPACES: Final = ("kube-system", "openshift-dns")


def dns_services(objects: Objects) -> list[Body]:
    """The Services of cluster DNS, the one whose address the kubelet writes first."""
    services = [body for namespace in NAMESPACES for body in objects.all("Service", namespace) if _is_dns(body)]
    return sorted(services, key=_rank)


def _is_dns(body: Body) -> bool:
    ports = {port.get("port") for port in maps(body, "spec.ports")}
    return 53 in ports and (key_of(body).name in NAMES or bool(_app(body) & set(LABELS)))


def _app(body: Body) -> set[str]:
    labels = labels_of(body)
    return {labels.get("k8s-app", ""), labels.get("app.kubernetes.io/name", "")}


def _rank(body: Body) -> tuple[int, bool, str]:
    name = key_of(body).name
    return NAMES.index(name) if name in NAMES else len(NAMES), "kube-dns" not in _app(body), name


def cluster_ips(service: Body) -> list[str]:
    """Its cluster IPs; none for a headless one."""
    addresses = field(service, "spec.clusterIPs", []) or [field(service, "spec.clusterIP", "")]
    return [str(address) for address in addresses if address and address != "None"]
