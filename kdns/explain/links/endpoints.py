"""endpoints: each Pod that the selector picks, or nearly picks, and each row of each slice (E22, E24-E26, E29, E39)."""

from collections import Counter
from collections.abc import Iterator

from kdns.explain.case import Case
from kdns.explain.health import Trouble, trouble_of
from kdns.explain.model import Finding, Item, Link, State
from kdns.explain.objects import Body, field, item, key_of, maps
from kdns.explain.rows import (
    Row,
    container_ports,
    is_ready,
    is_terminating,
    picked,
    rows_of,
    serves,
    slices_of,
    target_port,
)
from kdns.explain.selecting import nothing_picked
from kdns.explain.slices import disagreements, pods_dumped
from kdns.watch.manifests.defaults import is_live


def check(case: Case) -> list[Finding]:
    """Whether there is an endpoint that takes traffic, and what keeps the others out."""
    service = case.service
    if service is None or Link.ENDPOINTS not in case.way:
        return []
    rows = rows_of(case.objects, service)
    if not field(service, "spec.selector", {}):
        return list(_without_selector(case, service, rows))
    namespace = key_of(service).namespace
    pods = picked(case.objects, service)
    unseen = rows and all(row.pod and not case.objects.get("Pod", namespace, row.pod) for row in rows)
    whole = case.evidence.bundled or is_live(service)
    if not pods and (not pods_dumped(case, namespace) or (unseen and not (whole and any(row.ready for row in rows)))):
        return [_by_rows(case, service, rows)]
    if not pods:
        return [_none_picked(case, service, rows)]
    return list(_of_pods(case, service, pods, rows))


def _slices_known(case: Case, service: Body) -> bool:
    """Whether what the evidence has of slices is all there is for this Service."""
    namespace = key_of(service).namespace
    if not (slices_of(case.objects, service) or case.evidence.bundled or is_live(service)):
        return False  # manifests as people write them: a cluster makes the slices
    listed = "EndpointSlice" in case.evidence.listed
    return listed or any(case.objects.dumped(kind, namespace) for kind in ("EndpointSlice", "Endpoints"))


def _commands(service: Body) -> tuple[str, str]:
    key = key_of(service)
    selector = ",".join(f"{name}={value}" for name, value in field(service, "spec.selector", {}).items())
    return (
        f"kubectl -n {key.namespace} get pods -l {selector}",
        f"kubectl -n {key.namespace} get endpointslices -l kubernetes.io/service-name={key.name} -o yaml",
    )


def _finding(state: State, code: str, says: str, evidence: tuple[Item, ...], command: str) -> Finding:
    return Finding(Link.ENDPOINTS, state, says, code, evidence, command)


def _by_rows(case: Case, service: Body, rows: list[Row]) -> Finding:
    """No Pod is in the evidence: what the slices say."""
    pods_command, slices_command = _commands(service)
    if not rows and not (case.objects.dumped("EndpointSlice") and slices_of(case.objects, service)):
        return Finding(Link.ENDPOINTS, State.UNCHECKED, "neither Pods nor slices of this Service are in the evidence",
                       needs=f"{pods_command} -o yaml, and {slices_command}")  # fmt: skip
    if good := [row for row in rows if row.ready]:
        says = f"{len(good)} of {len(rows)} endpoints are ready, by their slices; the Pods are not in the evidence"
        return Finding(Link.ENDPOINTS, State.OK, says, evidence=_row_items(good))
    if rows and all(row.terminating for row in rows):
        return _only_terminating(rows, slices_command)
    if rows:
        says = f"none of {len(rows)} endpoints is ready, by their slices"
        return _finding(State.FAULT, "E25", says, _row_items(rows), pods_command)
    says = "its slices have no endpoint: no Pod is picked, or none has an address yet"
    return _finding(
        State.FAULT,
        "E24",
        says,
        tuple(item(body, "endpoints") for body in slices_of(case.objects, service)),
        pods_command,
    )


def _none_picked(case: Case, service: Body, rows: list[Row]) -> Finding:
    pods_command, slices_command = _commands(service)
    if any(row.ready for row in rows):
        says = "the slices have endpoints, and the selector picks no Pod of the evidence: they are left over"
        return _finding(State.FAULT, "E29", says, (item(service, "spec.selector"), *_row_items(rows)), slices_command)
    says, evidence = nothing_picked(case.objects, service)
    return _finding(State.FAULT, "E24", says, evidence, pods_command)


def _of_pods(case: Case, service: Body, pods: list[Body], rows: list[Row]) -> Iterator[Finding]:
    """Pods are picked: which of them are endpoints."""
    slices_command = _commands(service)[1]
    publishes = field(service, "spec.publishNotReadyAddresses", False) is True
    staying = [pod for pod in pods if not is_terminating(pod)]
    good = [pod for pod in staying if (is_ready(pod) or publishes) and serves(pod)]
    if (rows and all(row.terminating for row in rows) and not good) or not staying:
        yield _only_terminating(rows, slices_command) if rows else _finding(
            State.FAULT, "E39", "every Pod that the selector picks is being deleted",
            tuple(item(pod, "metadata.deletionTimestamp") for pod in pods), _commands(service)[0],
        )  # fmt: skip
        return
    findings = [
        *_unready(case, staying, good),
        *_named_ports(case, good),
        *_slices(case, service, pods, good, rows),
    ]
    yield from sorted(findings, key=lambda finding: finding.state is not State.FAULT)
    if any(finding.state is State.FAULT for finding in findings):
        return
    if not _slices_known(case, service) and (is_live(service) or case.evidence.bundled):
        says = f"{_count(staying, good)}; no slices are in the evidence"
        yield Finding(Link.ENDPOINTS, State.UNCHECKED, says, needs=slices_command)
    elif not findings:
        yield Finding(Link.ENDPOINTS, State.OK, f"{_count(staying, good)}{_hints(rows)}",
                      evidence=(item(service, "spec.selector"), *_row_items(rows)))  # fmt: skip


def _hints(rows: list[Row]) -> str:
    zones = {str(zone.get("name")) for row in rows for zone in maps(field(row.slice, row.path, {}), "hints.forZones")}
    return f"; each is hinted to zones ({', '.join(sorted(zones))})" if zones else ""


def _node(case: Case, pod: Body) -> Body | None:
    return case.objects.get("Node", "", field(pod, "spec.nodeName", ""))


def _count(staying: list[Body], good: list[Body]) -> str:
    """How many take traffic; publishNotReadyAddresses sends it to Pods that are not ready, too."""
    unready = [pod for pod in good if not is_ready(pod)]
    if not unready:
        return f"{len(good)} of {len(staying)} Pods are ready"
    why = trouble_of(unready[0]).says
    return f"{len(good)} of {len(staying)} Pods get traffic, though {why} (publishNotReadyAddresses)"


def _unready(case: Case, staying: list[Body], good: list[Body]) -> Iterator[Finding]:
    """E25 and E26, the one that more Pods have first."""
    unready = [pod for pod in staying if not any(pod is one for one in good)]
    troubles = [trouble_of(pod, _node(case, pod)) for pod in unready]
    by_code: dict[str, list[Trouble]] = {}
    for code, _ in Counter(trouble.code for trouble in troubles).most_common():
        by_code[code] = [trouble for trouble in troubles if trouble.code == code]
    for same in by_code.values():
        first = same[0]
        count = f"{len(same)} of {len(staying)} Pods: " if len(staying) > 1 else ""
        more = f" (and {len(same) - 1} more)" if len(same) > 1 else ""
        evidence = tuple(entry for trouble in same for entry in trouble.evidence)
        state = State.WARNING if good else State.FAULT
        yield _finding(state, first.code, f"{count}{first.says}{more}", evidence, first.next)


def _named_ports(case: Case, good: list[Body]) -> Iterator[Finding]:
    """E22: a targetPort by name that no container has."""
    for port in case.service_ports if case.service else ():
        wanted = port.get("targetPort")
        lacking = [pod for pod in good if target_port(port, pod) is None]
        if not isinstance(wanted, str) or not lacking:
            continue
        assert case.service is not None
        path = f"spec.ports[{maps(case.service, 'spec.ports').index(port)}].targetPort"
        hint = ": a number must not be in quotes" if wanted.isdigit() else ""
        protocol = port.get("protocol", "TCP")
        others = [entry for entry in container_ports(lacking[0]) if entry.get("name") == wanted]
        if others:
            hint = f": the port of that name is {others[0].get('protocol', 'TCP')}"
        what = f"{protocol} port" if others else "port"
        count = f"{len(lacking)} of {len(good)} Pods"
        says = f"targetPort {wanted!r} is the name of no container's {what} in {count}{hint}"
        declared = [
            f"{entry.get('name') or entry.get('containerPort')}/{entry.get('protocol', 'TCP')}"
            for entry in container_ports(lacking[0])
        ]
        evidence = (item(case.service, path), item(lacking[0], "spec.containers[0].ports", declared))
        state = State.FAULT if len(lacking) == len(good) else State.WARNING
        key = key_of(case.service)
        yield _finding(state, "E22", says, evidence, f"kubectl -n {key.namespace} get service {key.name} -o yaml")


def _slices(case: Case, service: Body, pods: list[Body], good: list[Body], rows: list[Row]) -> Iterator[Finding]:
    """E29, where slices are in the evidence."""
    if not _slices_known(case, service):
        return
    command = _commands(service)[1]
    for wrong in disagreements(case, service, pods, good, rows):
        yield _finding(State.FAULT if wrong.fatal else State.WARNING, "E29", wrong.says, wrong.evidence, command)


def _without_selector(case: Case, service: Body, rows: list[Row]) -> Iterator[Finding]:
    """Endpoints that were written by hand."""
    command = _commands(service)[1]
    if good := [row for row in rows if row.ready]:
        wrong = list(disagreements(case, service, [], [], rows))
        for entry in wrong:
            yield _finding(State.FAULT if entry.fatal else State.WARNING, "E29", entry.says, entry.evidence, command)
        if not wrong:
            says = f"no selector; {len(good)} of {len(rows)} endpoints that were written by hand are ready"
            yield Finding(Link.ENDPOINTS, State.OK, says, evidence=_row_items(good))
        return
    if rows and all(row.terminating for row in rows):
        yield _only_terminating(rows, command)
        return
    key = key_of(service)
    known = slices_of(case.objects, service)
    stray = [
        body for body in case.objects.all("EndpointSlice", key.namespace)
        if key_of(body).name.startswith(key.name) and not any(body is other for other in known)
    ]  # fmt: skip
    if stray:
        label = f"kubernetes.io/service-name={key.name}"
        says = f"no selector, and no slice of it: {key_of(stray[0]).name} lacks the label {label}"
        yield _finding(State.FAULT, "E29", says, tuple(item(body, "metadata.labels") for body in stray), command)
    elif rows or _slices_known(case, service):
        says = (
            "no selector, and no ready endpoint was written by hand"
            if rows
            else "no selector, and no slice or Endpoints for it"
        )
        unused = tuple(Item(text=text) for text in case.evidence.unused if f" {key.namespace}/{key.name}-" in text)
        says += " that DNS and the proxy can use" if unused else ""
        shown = (item(service, "spec.selector"), *_row_items(rows), *unused)
        yield _finding(State.FAULT, "E29", says, shown, command)
    else:
        yield Finding(Link.ENDPOINTS, State.UNCHECKED, "no selector, and no slices are in the evidence", needs=command)


def _only_terminating(rows: list[Row], command: str) -> Finding:
    serving = sum(row.serving for row in rows)
    still = f"{serving} of them still serve" if serving else "none of them serves"
    says = f"only terminating endpoints are left ({len(rows)}): {still}, and no new Pod is ready"
    return _finding(State.FAULT, "E39", says, _row_items(rows), command)


def _row_items(rows: list[Row]) -> tuple[Item, ...]:
    """Each row: its address, its conditions, its Pod."""
    return tuple(
        item(row.slice, row.path, f"{', '.join(row.addresses)} {_conditions(row)}{' ' + row.pod if row.pod else ''}")
        for row in rows
    )


def _conditions(row: Row) -> str:
    words = ["ready" if row.ready else "not ready"]
    words += ["terminating", "serving" if row.serving else "not serving"] if row.terminating else []
    return ", ".join(words)
