"""Why a name of a headless Service, or of one of its endpoints, has no record (E10). Pure."""

from typing import NamedTuple

from kdns.explain.case import Case
from kdns.explain.model import Item
from kdns.explain.objects import Body, field, item, key_of, maps
from kdns.explain.rows import is_ready, picked, rows_of, selects


class Problem(NamedTuple):
    """The cause, its evidence, and the next command."""

    says: str
    evidence: tuple[Item, ...] = ()
    next: str = ""


def headless_problem(case: Case, service: Body) -> Problem:
    """Of the Service's own name."""
    key = key_of(service)
    pods = picked(case.objects, service)
    ready = sum(is_ready(pod) for pod in pods)
    shown = (
        item(service, "spec.publishNotReadyAddresses", bool(field(service, "spec.publishNotReadyAddresses", False))),
    )
    command = f"kubectl -n {key.namespace} get pods -o wide; kubectl -n {key.namespace} get endpointslices"
    if pods and not ready:
        says = f"it is headless and none of its {len(pods)} Pods is ready; publishNotReadyAddresses is off"
        return Problem(says, (*shown, *(item(pod, "status.phase") for pod in pods[:3])), command)
    rows = rows_of(case.objects, service)
    says = "it is headless and has no endpoint" if not rows else "it is headless and has no ready endpoint"
    return Problem(says, (*shown, item(service, "spec.selector")), command)


def endpoint_problem(case: Case, service: Body) -> Problem:
    """Of an endpoint's name: a Pod's hostname, with the Service as subdomain."""
    key, wanted = key_of(service), case.meaning.left[-1]
    for pod in case.objects.all("Pod", key.namespace):
        if wanted in (key_of(pod).name, field(pod, "spec.hostname", "")):
            return _of_pod(case, service, pod, wanted)
    for body in case.objects.all("StatefulSet", key.namespace):
        name = key_of(body).name
        if wanted.startswith(f"{name}-") and (governing := field(body, "spec.serviceName", "")) != key.name:
            return _governed(body, governing, key.name)
    rows = rows_of(case.objects, service)
    named = sorted({str(field(row.slice, f"{row.path}.hostname", "")) for row in rows} - {""})
    if not rows:
        return headless_problem(case, service)
    says = (
        f"no endpoint is called {wanted}; there are {', '.join(named[:5])}"
        if named
        else f"none of its {len(rows)} endpoints has a hostname"
    )
    shown = tuple(item(row.slice, f"{row.path}.hostname") for row in rows[:3])
    return Problem(
        says, shown, f"kubectl -n {key.namespace} get endpointslices -l kubernetes.io/service-name={key.name} -o yaml"
    )


def _of_pod(case: Case, service: Body, pod: Body, wanted: str) -> Problem:
    key, name = key_of(service), key_of(pod).name
    hostname, subdomain = field(pod, "spec.hostname", ""), field(pod, "spec.subdomain", "")
    shown = (item(pod, "spec.hostname"), item(pod, "spec.subdomain"))
    command = f"kubectl -n {key.namespace} get pod {name} -o yaml"
    for owner in maps(pod, "metadata.ownerReferences"):
        body = case.objects.get("StatefulSet", key.namespace, str(owner.get("name")))
        if owner.get("kind") == "StatefulSet" and body is not None:
            governing = field(body, "spec.serviceName", "")
            if governing != key.name:
                return _governed(body, governing, key.name)
    if not hostname:
        return Problem(f"Pod {name} has no hostname: only Pods with hostname and subdomain have a name", shown, command)
    if hostname != wanted:
        return Problem(f"the hostname of Pod {name} is {hostname}", shown, command)
    if not subdomain:
        return Problem(f"Pod {name} has a hostname and no subdomain: it must be {key.name}", shown, command)
    if subdomain != key.name:
        return Problem(f"the subdomain of Pod {name} is {subdomain}, and the Service is {key.name}", shown, command)
    if not selects(field(service, "spec.selector", {}), pod):
        return Problem(
            f"the Service's selector does not pick Pod {name}", (item(service, "spec.selector"), *shown), command
        )
    if not is_ready(pod):
        return Problem(
            f"Pod {name} is not ready, and publishNotReadyAddresses is off", (item(pod, "status.conditions"),), command
        )
    return Problem(f"Pod {name} is ready, and no slice has it under that hostname", shown, command)


def _governed(body: Body, governing: str, service: str) -> Problem:
    name = key_of(body)
    says = f"StatefulSet {name.name} has serviceName {governing or '(none)'}, so its Pods have no names in {service}"
    return Problem(
        says, (item(body, "spec.serviceName"),), f"kubectl -n {name.namespace} get statefulset {name.name} -o yaml"
    )
