"""Which Service the target of a question is about. Pure."""

from typing import TYPE_CHECKING

from kdns.explain.objects import Body, field

if TYPE_CHECKING:
    from kdns.explain.case import Case


def service_names(case: "Case") -> list[tuple[str, str]]:
    """(Namespace, name) that the target may mean, the likeliest first: what follows from the search list."""
    target, here = case.question.target, case.question.namespace
    labels = target.name.rstrip(".").split(".")
    if not target.name:
        return []
    if len(labels) == 1:
        return [(here, labels[0])]
    if len(labels) == 2 or labels[2] == "svc":
        return [(labels[1], labels[0])]
    if len(labels) > 3 and labels[3] == "svc":  # an endpoint of a headless Service
        return [(labels[2], labels[1])]
    return []


def find_service(case: "Case") -> Body | None:
    """By name; by one of its addresses; by one of its node ports."""
    for namespace, name in service_names(case):
        if body := case.objects.get("Service", namespace, name):
            return body
    target = case.question.target
    if not target.address:
        return None
    by_port: Body | None = None
    for body in case.objects.all("Service"):
        if target.address in addresses_of(body):
            return body
        if any(port.get("nodePort") == target.port for port in field(body, "spec.ports", []) if port.get("nodePort")):
            by_port = body
    return by_port


def addresses_of(service: Body) -> list[str]:
    """Every address of a Service that is not a node's: cluster, external and load balancer IPs."""
    ingress = field(service, "status.loadBalancer.ingress", [])
    cluster = field(service, "spec.clusterIPs") or [field(service, "spec.clusterIP", "")]
    return [
        address
        for address in (*cluster, *field(service, "spec.externalIPs", []), *(one.get("ip", "") for one in ingress))
        if address and address != "None"
    ]
