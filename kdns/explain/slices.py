"""Where EndpointSlices and Pods disagree (E29). Pure."""

from collections.abc import Iterator
from typing import NamedTuple

from kdns.explain.case import Case
from kdns.explain.model import Item
from kdns.explain.objects import Body, field, item, key_of, maps
from kdns.explain.rows import Row, is_ready, is_terminating, slices_of, target_port
from kdns.explain.target import pod_addresses


class Disagreement(NamedTuple):
    """What is wrong, and whether connections fail by it."""

    says: str
    evidence: tuple[Item, ...]
    fatal: bool


def disagreements(
    case: Case, service: Body, pods: list[Body], good: list[Body], rows: list[Row]
) -> Iterator[Disagreement]:
    """``pods``: those that the selector picks; ``good``: those of them that should be endpoints."""
    by_name = {key_of(pod).name: pod for pod in pods}
    by_address = {address: pod for pod in pods for address in pod_addresses(pod)}
    right = 0
    for row in rows if pods else ():
        pod = by_address.get(row.addresses[0] if row.addresses else "")
        if row.pod and pod is not None and key_of(pod).name != row.pod and row.pod not in by_name:
            pod = None
        if pod is None:
            if row.ready or row.serving:
                yield _stranger(row, by_name)
        elif any(pod is one for one in good) and not row.ready and not row.terminating:
            says = f"Pod {key_of(pod).name} is ready, and its slice has it as not ready"
            yield Disagreement(says, (item(row.slice, f"{row.path}.conditions"), item(pod, "status.conditions")), False)
        elif row.ready and not is_ready(pod) and not is_terminating(pod) and not any(pod is one for one in good):
            says = f"its slice has Pod {key_of(pod).name} as ready, and the Pod is not"
            yield Disagreement(says, (item(row.slice, f"{row.path}.conditions"), item(pod, "status.conditions")), True)
        else:
            right += row.ready
    yield from _missing(case, service, good, rows, right)
    yield from _ports(case, service, good)


def _stranger(row: Row, by_name: dict[str, Body]) -> Disagreement:
    """A row that takes traffic, and no Pod of the Service has its address."""
    address = ", ".join(row.addresses)
    known = by_name.get(row.pod)
    managed = field(row.slice, 'metadata.labels["endpointslice.kubernetes.io/managed-by"]', "")
    if known is not None:
        says = f"its slice has {address} for Pod {row.pod}, whose address is {', '.join(pod_addresses(known))}"
    elif row.pod:
        says = f"its slice still has {address} of Pod {row.pod}, which is gone"
    else:
        by = "" if managed.startswith("endpointslice-controller") else ", in a slice that was written by hand"
        says = f"its slice has {address}, and no Pod of it has this address{by}"
    return Disagreement(says, (item(row.slice, f"{row.path}.addresses", address),), True)


def _missing(case: Case, service: Body, good: list[Body], rows: list[Row], right: int) -> Iterator[Disagreement]:
    """Pods that should be endpoints and are in no row."""
    families = field(service, "spec.ipFamilies", [])
    listed = {address for row in rows for address in row.addresses} | {row.pod for row in rows}
    absent = [
        pod for pod in good
        if not ({key_of(pod).name, *pod_addresses(pod)} & listed)
        and (not families or any(("IPv6" if ":" in text else "IPv4") in families for text in pod_addresses(pod)))
    ]  # fmt: skip
    if absent:
        names = ", ".join(key_of(pod).name for pod in absent[:3])
        behind = "" if rows else ": is the controller manager running?"
        says = (
            f"{len(absent)} ready Pods are in no slice ({names}){behind}"
            if len(absent) > 1
            else f"Pod {names} is ready and in no slice{behind}"
        )
        shown = tuple(item(pod, "status.podIP") for pod in absent[:3])
        yield Disagreement(says, (*shown, *(item(body) for body in slices_of(case.objects, service))), not right)


def _ports(case: Case, service: Body, good: list[Body]) -> Iterator[Disagreement]:
    """The ports of slices are the Service's, by name, with the numbers that its targetPorts have in the Pods."""
    for body in slices_of(case.objects, service):
        if not field(body, "endpoints", []):
            continue
        have = {(port.get("name") or "", port.get("protocol", "TCP")): port.get("port") for port in maps(body, "ports")}
        for port in case.service_ports:
            name, protocol = port.get("name") or "", port.get("protocol", "TCP")
            numbers = {target_port(port, pod) for pod in good} - {None}
            if (name, protocol) not in have:
                if numbers or not good:
                    listed = ", ".join(f"{known or '(no name)'} {proto}" for known, proto in have) or "none"
                    says = f"slice {key_of(body).name} has no port {name or '(no name)'} {protocol}: it has {listed}"
                    yield Disagreement(
                        says, (item(body, "ports"), item(service, "spec.ports")), not good or len(numbers) == 1
                    )
            elif numbers and have[name, protocol] not in numbers:
                goes, wanted = have[name, protocol], min(map(str, numbers))
                says = (
                    f"slice {key_of(body).name} sends port {port.get('port')} to {goes}, and its targetPort is {wanted}"
                )
                yield Disagreement(says, (item(body, "ports"), item(service, "spec.ports")), True)
