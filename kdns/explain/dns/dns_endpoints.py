"""The endpoints and ports of the DNS Service (E16, E13). Pure."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from kdns.explain.health import trouble_of
from kdns.explain.model import Finding, Item, Link, State
from kdns.explain.objects import Body, field, item, key_of, maps
from kdns.explain.rows import is_ready, picked, rows_of, selects, slices_of
from kdns.explain.selecting import nothing_picked
from kdns.watch.manifests.defaults import is_live

if TYPE_CHECKING:
    from kdns.explain.case import Case

PORT = 53


def findings(case: "Case", service: Body, address: str) -> Iterator[Finding]:
    """What is wrong behind the nameserver's address; or how many servers there are."""
    key = key_of(service)
    if not _has_port(service, "UDP"):
        says = f"Service {key.namespace}/{key.name} has the nameserver's address {address}, and no port 53/UDP"
        yield _fault(service, says, (item(service, "spec.ports"),))
        return
    rows = rows_of(case.objects, service)
    ready = [row for row in rows if row.ready or (row.serving and row.terminating)]
    if not rows and not _slices_known(case, service):
        says = f"the endpoints of Service {key.namespace}/{key.name} are not in the evidence"
        needs = f"kubectl -n {key.namespace} get endpointslices,pods -o yaml"
        yield Finding(Link.DNS_PATH, State.UNCHECKED, says, needs=needs)
        return
    if not ready:
        yield _nothing_ready(case, service, address)
        return
    yield from _ports(case, service)
    unready = [pod for pod in picked(case.objects, service) if not is_ready(pod)]
    if unready:
        trouble = trouble_of(unready[0])
        says = f"{len(unready)} of {len(unready) + len(ready)} DNS Pods do not answer: {trouble.says}"
        yield Finding(Link.DNS_PATH, State.WARNING, says, "E16", trouble.evidence, trouble.next)
    yield from _probed(case, service)
    count = sum(len(row.addresses) for row in ready)
    servers = f"{count} DNS server{'' if count == 1 else 's'}"
    says = f"nameserver {address} is Service {key.namespace}/{key.name}, with {servers}"
    yield Finding(Link.DNS_PATH, State.OK, says, evidence=(item(service, "spec.clusterIP"),))


def of_pod(pod: Body, address: str) -> Finding:
    """A nameserver that is a Pod's own address."""
    key = key_of(pod)
    if is_ready(pod):
        says = f"nameserver {address} is Pod {key.namespace}/{key.name} itself"
        return Finding(Link.DNS_PATH, State.OK, says, evidence=(item(pod, "status.podIP"),))
    trouble = trouble_of(pod)
    says = f"nameserver {address} is Pod {key.namespace}/{key.name}, which does not answer: {trouble.says}"
    return Finding(Link.DNS_PATH, State.FAULT, says, "E16", trouble.evidence, trouble.next)


def _slices_known(case: "Case", service: Body) -> bool:
    """A Service without endpoints says something in a cluster, if the evidence has more of its Namespace than that.

    Not among manifests, which leave endpoints to controllers.
    """
    if "EndpointSlice" in case.evidence.listed:
        return True
    namespace = key_of(service).namespace
    more = any(any(case.objects.all(kind, namespace)) for kind in ("EndpointSlice", "Pod", "Deployment"))
    return more and (case.evidence.bundled or is_live(service))


def _has_port(service: Body, protocol: str) -> bool:
    return any(
        port.get("port") == PORT and (port.get("protocol") or "TCP") == protocol for port in maps(service, "spec.ports")
    )


def _nothing_ready(case: "Case", service: Body, address: str) -> Finding:
    """No ready endpoint, and why: scaled to zero, a selector that picks nothing, Pods that are not ready."""
    key = key_of(service)
    head = f"nameserver {address} (Service {key.namespace}/{key.name}) has no ready endpoint"
    for workload in _workloads(case, service):
        if field(workload, "spec.replicas") == 0:
            name = key_of(workload)
            command = f"kubectl -n {name.namespace} scale {name.kind.lower()} {name.name} --replicas=2"
            evidence = (item(workload, "spec.replicas", 0), *_slice_items(case, service))
            return _fault(service, f"{head}: {name.kind} {name.name} is scaled to 0", evidence, command)
    pods = picked(case.objects, service)
    if not pods and any(case.objects.all("Pod", key.namespace)):
        why, evidence = nothing_picked(case.objects, service)
        return _fault(service, f"{head}: {why}", (*evidence, *_slice_items(case, service)))
    unready = [pod for pod in pods if not is_ready(pod)]
    if unready:
        trouble = trouble_of(unready[0])
        return _fault(
            service, f"{head}: {trouble.says}", (*trouble.evidence, *_slice_items(case, service)), trouble.next
        )
    return _fault(service, head, _slice_items(case, service))


def _workloads(case: "Case", service: Body) -> Iterator[Body]:
    selector = field(service, "spec.selector", {})
    for kind in ("Deployment", "StatefulSet", "ReplicaSet"):
        for workload in case.objects.all(kind, key_of(service).namespace):
            if selector and selects(selector, field(workload, "spec.template", {})):
                yield workload


def _slice_items(case: "Case", service: Body) -> tuple[Item, ...]:
    return tuple(item(body, "endpoints") for body in slices_of(case.objects, service)[:2])


def _ports(case: "Case", service: Body) -> Iterator[Finding]:
    """The slices have the port; and the server listens there, as its Corefile says."""
    names = {
        port.get("name") or ""
        for port in maps(service, "spec.ports")
        if port.get("port") == PORT and port.get("protocol") == "UDP"
    }
    slices = slices_of(case.objects, service)
    ports = [(body, port) for body in slices for port in maps(body, "ports") if (port.get("name") or "") in names]
    if slices and not ports:
        shown = tuple(item(body, "ports") for body in slices[:2])
        yield _fault(service, "the EndpointSlices of the DNS Service lack the port of its 53/UDP", shown)
        return
    listens = case.dns.chain.ports if case.dns.corefile.blocks and case.dns.server.workload is not None else set()
    for body, port in ports:
        number = port.get("port")
        if (
            listens
            and number not in listens
            and case.dns.service is not None
            and key_of(case.dns.service) == key_of(service)
        ):
            says = (
                f"questions are sent to port {number} of the DNS Pods, and their Corefile listens on {_list(listens)}"
            )
            source = case.dns.source
            shown = (item(body, "ports"), *((source.item(),) if source is not None else ()))
            yield _fault(service, says, shown)
            return


def _list(ports: set[int]) -> str:
    return ", ".join(map(str, sorted(ports)))


def _probed(case: "Case", service: Body) -> Iterator[Finding]:
    """A DNS Pod that refuses; silence may be due to where the probe was made."""
    key = key_of(service)
    for probe in case.evidence.probes:
        if probe.kind == "dns-udp" and probe.outcome == "refused":
            says = f"{probe.address}:{probe.port} refuses questions ({probe.about})"
            yield _fault(service, says, (Item(text=f"probe {probe.kind}: {probe.outcome}"),),
                         f"kubectl -n {key.namespace} get pods -o wide")  # fmt: skip
            return


def _fault(service: Body, says: str, evidence: Sequence[Item], command: str = "") -> Finding:
    key = key_of(service)
    command = command or f"kubectl -n {key.namespace} get service,endpointslices,pods -o wide"
    return Finding(Link.DNS_PATH, State.FAULT, says, "E16", (*evidence,) or (item(service),), command)
