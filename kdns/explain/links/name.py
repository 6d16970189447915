"""name: the record and its object; or why there is none, and the nearest names (E01-E04, E07, E09, E10)."""

import re
from ipaddress import ip_address
from typing import Final

from kdns.explain.asking import Asked, ask
from kdns.explain.case import Case
from kdns.explain.headless import endpoint_problem, headless_problem
from kdns.explain.model import Finding, Item, Link, State
from kdns.explain.near import alike, elsewhere
from kdns.explain.objects import Body, Key, field, item, key_of
from kdns.explain.target import find_pod
from kdns.records.reasons import Reason

LIST: Final = "kubectl get services -A"


def check(case: Case) -> list[Finding]:
    """The name that is meant, in the cluster's domain."""
    meaning = case.meaning
    if not case.question.target.name or meaning.kind == "outside":
        return []
    if other := _other_domain(case):
        return [other]
    if meaning.kind == "pod" or not meaning.namespace:
        return [_plain(case)]
    if case.service is None:
        return [_no_service(case)]
    return [_record(case, case.service)]


def _fault(code: str, says: str, evidence: tuple[Item, ...], command: str) -> Finding:
    return Finding(Link.NAME, State.FAULT, says, code, evidence, command)


def _other_domain(case: Case) -> Finding | None:
    """E04, and names in the cluster's domain that lack ``svc`` (E03)."""
    meaning, typed = case.meaning, case.question.target.name
    if meaning.domain in {"", case.domain} or meaning.kind == "pod":
        return None
    whole = meaning.whole(case.domain)
    if meaning.domain.endswith(" without svc"):
        says = f"{typed} lacks svc before {case.domain}: Services are at names such as {whole}"
        exists = case.service is not None
        return _fault(
            "E03" if exists else "E01", says, (item(case.service),) if case.service else (), f"ask for {whole}"
        )
    file = case.evidence.corefile
    shown = (Item(file=file.path, text=f"zone {case.domain}"),) if file else ()
    says = f"{typed} ends in {meaning.domain}, and the cluster's domain is {case.domain}: ask for {whole}"
    return _fault("E04", says, shown, f"kdns explain {whole}")


def _plain(case: Case) -> Finding:
    """A name that is not a Service's: a Pod's, or one above the Services."""
    name = case.question.target.name.rstrip(".") + "."
    asked = [
        case.ask(name if name.endswith(f"{case.domain}.") else f"{name}svc.{case.domain}.", rtype)
        for rtype in case.rtypes
    ]
    if hit := next((answer for answer in asked if answer.values), None):
        says = f"{hit.name} {hit.rtype} {hit.says}"
        known = case.meaning.kind == "pod" and case.objects.dumped("Pod", case.meaning.namespace)
        if known and not any(find_pod(address, case.objects) for address in hit.values):
            says += ", and no Pod has this address: the server answers for any (pods insecure)"
            return Finding(Link.NAME, State.WARNING, says, "E42")
        return Finding(Link.NAME, State.OK, says)
    missing = asked[0].missing
    code = "E07" if missing is not None and missing.reason is Reason.PODS_DISABLED else "E01"
    return _fault(code, f"{asked[0].name} {asked[0].says}: {missing or 'no such name'}", (), LIST)


def _no_service(case: Case) -> Finding:
    """E02 before E03 before E01."""
    meaning, objects = case.meaning, case.objects
    namespace, name = meaning.namespace, meaning.service
    if not objects.dumped("Service") or (not objects.dumped("Service", namespace) and not objects.dumped("Namespace")):
        needs = f"the Services of Namespace {namespace}: kubectl -n {namespace} get services -o yaml"
        return Finding(Link.NAME, State.UNCHECKED, f"the evidence has nothing of Namespace {namespace}", needs=needs)
    gone = f"no Service {name} in Namespace {namespace}"
    if namespace not in objects.namespaces():
        gone = f"no Namespace {namespace}"
    if places := elsewhere(objects, namespace, name):
        best = f"{name}.{places[0].namespace}"
        says = f"{gone}; Service {name} is in Namespace {' and '.join(key.namespace for key in places)}"
        return _fault("E02", says, _items(case, places), f"ask for {best}, or {best}.svc.{case.domain}")
    if near := alike(objects, namespace, name):
        best = f"{near[0].name}.{near[0].namespace}"
        says = f"{gone}; nearly alike: {', '.join(f'{key.name}.{key.namespace}' for key in near)}"
        return _fault("E03", says, _items(case, near), f"ask for {best}, or {best}.svc.{case.domain}")
    return _fault("E01", gone, (), f"kubectl -n {namespace} get services")


def _items(case: Case, keys: list[Key]) -> tuple[Item, ...]:
    bodies = (case.objects.get(*key) for key in keys)
    return tuple(item(body, "metadata.name") for body in bodies if body is not None)


def _record(case: Case, service: Body) -> Finding:
    """The Service is there: its record, or why it has none."""
    whole = case.meaning.whole(case.domain)
    key = key_of(service)
    command = f"kubectl -n {key.namespace} get service {key.name} -o yaml"
    if field(service, "spec.type") == "ExternalName":
        return _external(case, service, command)
    asked = [case.ask(whole, rtype) for rtype in case.rtypes]
    if hit := next((answer for answer in asked if answer.values), None):
        return Finding(Link.NAME, State.OK, f"{whole} {hit.rtype} {_short(hit)}", evidence=(item(service),))
    missing = next((answer.missing for answer in asked if answer.missing), None)
    if missing is None:
        return Finding(Link.NAME, State.UNCHECKED, f"{whole} is answered by an upstream", needs="--probe")
    own = [ask(case.answers, whole, rtype) for rtype in case.rtypes]
    if hit := next((answer for answer in own if answer.values), None):
        says = f"{whole} {hit.rtype} {_short(hit)} is the record, and the server answers otherwise: see dns-server"
        return Finding(Link.NAME, State.OK, says, evidence=(item(service),))
    if missing.reason in {Reason.FAMILY, Reason.WRONG_TYPE}:  # `service` says which families there are
        return Finding(
            Link.NAME, State.OK, f"{whole} exists, without {' and '.join(case.rtypes)}", evidence=(item(service),)
        )
    if not case.headless:
        return _fault(missing.reason.code or "E42", f"{whole}: {missing}", (item(service, "spec.clusterIP"),), command)
    problem = endpoint_problem(case, service) if case.meaning.left else headless_problem(case, service)
    return _fault("E10", f"{whole} has no record: {problem.says}", problem.evidence, problem.next or command)


def _short(asked: Asked) -> str:
    shown = ", ".join(asked.values[:4])
    return shown + (f" and {len(asked.values) - 4} more" if len(asked.values) > 4 else "")


def _external(case: Case, service: Body, command: str) -> Finding:
    """E09: where an ExternalName leads."""
    text = field(service, "spec.externalName", "")
    shown = (item(service, "spec.externalName"),)
    key = key_of(service)
    if problem := _bad_target(text):
        return _fault("E09", f"Service {key.namespace}/{key.name} points at {text!r}, {problem}", shown, command)
    whole = case.meaning.whole(case.domain)
    asked = [case.ask(whole, rtype) for rtype in case.rtypes]
    missing = next((answer.missing for answer in asked if answer.missing), None)
    if all(answer.missing for answer in asked) and missing is not None:
        if missing.reason in {Reason.FAMILY, Reason.WRONG_TYPE}:
            return Finding(Link.NAME, State.OK, f"{whole} CNAME {text}", evidence=shown)
        return _fault("E09", f"{whole} is a CNAME of {text}, and there: {missing}", shown, command)
    end = next((answer.chase for answer in asked if answer.chase), "")
    if end and (inside := _short_of_a_service(case, end)):
        needed = f"{inside.name}.{inside.namespace}.svc.{case.domain}"
        says = f"{whole} is a CNAME of {text}, which needs the whole name: {needed}"
        return _fault("E09", says, (*shown, *_items(case, [inside])), command)
    says = f"{whole} CNAME {text}" + (f", which is outside of the cluster: {end} was not asked" if end else "")
    return Finding(Link.NAME, State.OK, says, evidence=shown)


def _bad_target(text: str) -> str:
    """Why a text cannot be the target of a CNAME; empty if it can."""
    try:
        ip_address(text.strip("[]"))
    except ValueError:
        pass
    else:
        return "an IP address: a CNAME needs a name; use a Service without selector and an EndpointSlice"
    if re.search(r"[:/\s]", text):
        return "which is not a domain name: without scheme, port and path"
    return "" if "." in text.rstrip(".") else "a name of one label, which no upstream knows"


def _short_of_a_service(case: Case, name: str) -> Key | None:
    """The Service that an absolute name outside of the cluster's domain seems to be meant for."""
    labels = name.rstrip(".").lower().split(".")
    if len(labels) == 2 or labels[2:] == ["svc"]:
        body = case.objects.get("Service", labels[1], labels[0])
        return key_of(body) if body is not None else None
    if labels[2:3] == ["svc"] and case.domain_known:
        return Key("Service", labels[1], labels[0])
    return None
