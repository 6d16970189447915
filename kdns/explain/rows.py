"""The rows of EndpointSlices, and the Pods behind a Service, with the reason why each is in or out. Pure."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from msgspec import Struct

from kdns.explain.objects import Body, Objects, field, key_of, labels_of, maps
from kdns.explain.target import pod_addresses

SERVICE_NAME: Final = 'metadata.labels["kubernetes.io/service-name"]'


class Row(Struct, frozen=True):
    """One endpoint of one slice."""

    slice: Body
    """An EndpointSlice; or v1 Endpoints, where the evidence has no slices."""
    path: str
    """``endpoints[2]``."""
    addresses: tuple[str, ...]
    ready: bool
    serving: bool
    terminating: bool
    pod: str = ""
    """The name of its Pod, by targetRef."""
    node: str = ""


def slices_of(objects: Objects, service: Body) -> list[Body]:
    """The EndpointSlices of a Service."""
    key = key_of(service)
    return [body for body in objects.all("EndpointSlice", key.namespace) if field(body, SERVICE_NAME) == key.name]


def rows_of(objects: Objects, service: Body) -> list[Row]:
    """Every endpoint of a Service's slices; of its Endpoints, where there is no slice."""
    rows = [row for body in slices_of(objects, service) for row in _slice_rows(body)]
    key = key_of(service)
    old = objects.get("Endpoints", key.namespace, key.name)
    return rows if rows or old is None or objects.dumped("EndpointSlice") else list(_old_rows(old))


def _slice_rows(body: Body) -> Iterator[Row]:
    """Conditions that are missing count as Kubernetes documents them: ready unless false, serving as ready."""
    for number, entry in enumerate(field(body, "endpoints", [])):
        if not isinstance(entry, Mapping):
            continue
        ready = field(entry, "conditions.ready") is not False
        serving = field(entry, "conditions.serving")
        yield Row(
            body, f"endpoints[{number}]", tuple(map(str, field(entry, "addresses", []))), ready,
            ready if serving is None else serving is True, field(entry, "conditions.terminating") is True,
            field(entry, "targetRef.name", "") if field(entry, "targetRef.kind", "Pod") == "Pod" else "",
            field(entry, "nodeName", ""),
        )  # fmt: skip


def _old_rows(body: Body) -> Iterator[Row]:
    for at, subset in enumerate(maps(body, "subsets")):
        for name, ready in (("addresses", True), ("notReadyAddresses", False)):
            for number, entry in enumerate(maps(subset, name)):
                yield Row(body, f"subsets[{at}].{name}[{number}]", (str(entry.get("ip") or ""),), ready, ready, False,
                          field(entry, "targetRef.name", ""), field(entry, "nodeName", ""))  # fmt: skip


def selects(selector: Mapping[str, Any], pod: Body) -> bool:
    """Whether a Service's selector picks a Pod."""
    labels = labels_of(pod)
    return bool(selector) and all(labels.get(str(key)) == str(value) for key, value in selector.items())


def picked(objects: Objects, service: Body) -> list[Body]:
    """The Pods that a Service's selector picks, without those that have ended."""
    selector = field(service, "spec.selector", {})
    pods = objects.all("Pod", key_of(service).namespace)
    return [pod for pod in pods if selects(selector, pod) and field(pod, "status.phase") != "Succeeded"]


def is_ready(pod: Body) -> bool:
    """Its condition Ready; where a dump has no conditions, what its containers say."""
    conditions = maps(pod, "status.conditions")
    if not any(entry.get("type") == "Ready" for entry in conditions):
        statuses = maps(pod, "status.containerStatuses")
        return serves(pod) and all(status.get("ready") is not False for status in statuses)
    return any(entry.get("type") == "Ready" and entry.get("status") == "True" for entry in conditions)


def is_terminating(pod: Body) -> bool:
    """It is being deleted."""
    return field(pod, "metadata.deletionTimestamp") is not None


def serves(pod: Body) -> bool:
    """It can be an endpoint: it runs, and has an address."""
    return field(pod, "status.phase") == "Running" and bool(pod_addresses(pod))


def target_port(port: Body, pod: Body) -> int | None:
    """The number that a Service's targetPort is in a Pod; None for a name that none of its containers has."""
    wanted = port.get("targetPort", port.get("port"))
    if isinstance(wanted, int):
        return wanted or port.get("port")
    for entry in container_ports(pod):
        if entry.get("name") == wanted and entry.get("protocol", "TCP") == port.get("protocol", "TCP"):
            number = entry.get("containerPort")
            return number if isinstance(number, int) else None
    return None


def container_ports(pod: Body) -> list[Body]:
    """The ports of its containers, and of init containers that stay (KEP-753)."""
    sidecars = [entry for entry in maps(pod, "spec.initContainers") if entry.get("restartPolicy") == "Always"]
    return [port for entry in (*maps(pod, "spec.containers"), *sidecars) for port in maps(entry, "ports")]
