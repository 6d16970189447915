"""Where EndpointSlices and Pods disagree (E29). Pure."""

from collections.abc import Iterator
from ipaddress import ip_address
from typing import Final, NamedTuple

from kdns.explain.case import Case
from kdns.explain.health import trouble_of
from kdns.explain.model import Item
from kdns.explain.objects import Body, field, item, key_of, maps
from kdns.explain.rows import Row, is_ready, is_terminating, slices_of, target_port
from kdns.explain.target import pod_addresses

MANAGED_BY: Final = 'metadata.labels["endpointslice.kubernetes.io/managed-by"]'


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
    written = [row for row in rows if row.ready and (by_hand(row.slice) or not pods)]
    wrong = {id(row): problem for row in written if (problem := _written(case, row)) is not None}
    others = any(row.ready and id(row) not in wrong for row in rows)
    for says, evidence, _ in wrong.values():
        yield Disagreement(says, evidence, not others)
    for row in rows if pods else ():
        if id(row) in wrong:
            continue
        if by_hand(row.slice) and _pod_of(case, row) is not None:
            right += row.ready
            continue
        pod = by_address.get(row.addresses[0] if row.addresses else "")
        if row.pod and pod is not None and key_of(pod).name != row.pod and row.pod not in by_name:
            pod = None
        if pod is None:
            if row.ready or row.serving:
                yield _stranger(case, row, by_name)
        elif any(pod is one for one in good) and not row.ready and not row.terminating:
            says = f"Pod {key_of(pod).name} is ready, and its slice has it as not ready"
            yield Disagreement(says, (item(row.slice, f"{row.path}.conditions"), item(pod, "status.conditions")), False)
        elif row.ready and not is_ready(pod) and not is_terminating(pod) and not any(pod is one for one in good):
            says = f"its slice has Pod {key_of(pod).name} as ready, and the Pod is not"
            yield Disagreement(says, (item(row.slice, f"{row.path}.conditions"), item(pod, "status.conditions")), True)
        else:
            right += row.ready
    yield from _missing(case, service, good, rows, right)
    yield from _ports(case, service, good, rows)


def pods_dumped(case: Case, namespace: str) -> bool:
    """Pods of the Namespace were dumped, besides the client's own."""
    if "Pod" in case.evidence.listed:
        return True
    client = case.client.pod
    return any(pod is not client for pod in case.objects.all("Pod", namespace))


def by_hand(body: Body) -> bool:
    """A slice that is not of the controller which follows selectors: people or other programs write it."""
    return not field(body, MANAGED_BY, "").startswith("endpointslice-controller")


def _pod_of(case: Case, row: Row) -> Body | None:
    """The Pod that a row names."""
    namespace = field(row.slice, f"{row.path}.targetRef.namespace", "") or key_of(row.slice).namespace
    return case.objects.get("Pod", namespace, row.pod) if row.pod else None


def _written(case: Case, row: Row) -> Disagreement | None:
    """What is wrong with a row that was written by hand."""
    address, where = ", ".join(row.addresses), item(row.slice, f"{row.path}.addresses")
    if special := next((text for text in row.addresses if _is_special(text)), ""):
        says = f"its slice has {special}, which is not an address of an endpoint: the proxy leaves it out"
        return Disagreement(says, (where,), True)
    if not row.pod or not by_hand(row.slice):
        return None
    pod = _pod_of(case, row)
    namespace = field(row.slice, f"{row.path}.targetRef.namespace", "") or key_of(row.slice).namespace
    if pod is None:
        if not pods_dumped(case, namespace):
            return None
        says = f"a slice that was written by hand has {address} of Pod {row.pod}, which is gone"
        return Disagreement(says, (where, item(row.slice, f"{row.path}.targetRef")), True)
    if pod_addresses(pod) and not set(row.addresses) & set(pod_addresses(pod)):
        own = ", ".join(pod_addresses(pod))
        says = f"a slice that was written by hand has {address} for Pod {row.pod}, whose address is {own}"
        return Disagreement(says, (where, item(pod, "status.podIPs")), True)
    if not is_ready(pod):
        says = f"a slice that was written by hand has Pod {row.pod} as ready: {trouble_of(pod).says}"
        return Disagreement(says, (item(row.slice, f"{row.path}.conditions"), *trouble_of(pod).evidence), True)
    return None


def _is_special(text: str) -> bool:
    """Addresses that the API server refuses in a slice: ValidateNonSpecialIP of pkg/apis/core/validation."""
    try:
        parsed = ip_address(text)
    except ValueError:
        return False
    return parsed.is_unspecified or parsed.is_loopback or parsed.is_link_local or parsed.is_multicast


def _stranger(case: Case, row: Row, by_name: dict[str, Body]) -> Disagreement:
    """A row that takes traffic, and no Pod of the Service has its address."""
    address = ", ".join(row.addresses)
    known = by_name.get(row.pod)
    if known is not None:
        says = f"its slice has {address} for Pod {row.pod}, whose address is {', '.join(pod_addresses(known))}"
    elif row.pod and (other := _pod_of(case, row)) is not None:
        says = f"its slice still has {address} of Pod {row.pod}, which the selector does not pick"
        return Disagreement(says, (item(row.slice, f"{row.path}.addresses"), item(other, "metadata.labels")), True)
    elif row.pod:
        says = f"its slice still has {address} of Pod {row.pod}, which is gone"
    else:
        by = ", in a slice that was written by hand" if by_hand(row.slice) else ""
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


def _ports(case: Case, service: Body, good: list[Body], rows: list[Row]) -> Iterator[Disagreement]:
    """The ports of slices are the Service's, by name, with the numbers that its targetPorts have in the Pods."""
    for body in slices_of(case.objects, service):
        if not field(body, "endpoints", []):
            continue
        here = {row.pod for row in rows if row.slice is body}
        mine = [pod for pod in good if key_of(pod).name in here]
        have = {(port.get("name") or "", port.get("protocol", "TCP")): port.get("port") for port in maps(body, "ports")}
        for port in case.service_ports:
            name, protocol = port.get("name") or "", port.get("protocol", "TCP")
            numbers = {target_port(port, pod) for pod in mine or good} - {None}
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
