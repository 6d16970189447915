"""The name that every cluster has, kubernetes.default: if that does not resolve, look at DNS first (E20). Pure."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from kdns.explain.dns import logs
from kdns.explain.dns_service import cluster_ips
from kdns.explain.model import Finding, Item, Link, State
from kdns.explain.objects import item
from kdns.watch.manifests.defaults import is_live
from kdns.wire.numbers import AAAA, A

if TYPE_CHECKING:
    from kdns.explain.case import Case

FAILED: Final = frozenset({"NXDOMAIN", "SERVFAIL", "REFUSED"})


def findings(case: "Case", *, faulty: bool) -> Iterator[Finding]:
    """One finding at most; nothing where a fault on the way explains it already (``faulty``)."""
    if faulty:
        return
    name = f"kubernetes.default.svc.{case.domain.rstrip('.')}."
    finding = _service(case, name) or _answered(case, name) or _told(case, name)
    if finding is not None:
        yield finding


def _finding(says: str, evidence: tuple[Item, ...], state: State = State.FAULT) -> Finding:
    command = "kubectl -n kube-system logs -l k8s-app=kube-dns --tail=50"
    says = f"{says}: look at DNS first, not at this Service"
    return Finding(Link.DNS_PATH, state, says, "E20", evidence, command)


def _is_target(case: "Case") -> bool:
    return (case.meaning.service, case.meaning.namespace) == ("kubernetes", "default")


def _service(case: "Case", name: str) -> Finding | None:
    """The Service is gone, or is none with a cluster IP. Dumps without it are of one Namespace, or of manifests."""
    objects = case.objects
    service = objects.get("Service", "default", "kubernetes")
    if service is not None:
        if cluster_ips(service):
            return None
        says = f"{name.rstrip('.')} does not resolve to a cluster IP"
        return _finding(says, (item(service, "spec.clusterIP"), item(service, "spec.type")))
    places = [any(map(is_live, objects.all("Service", where))) for where in ("default", "kube-system")]
    if not all(places) and "Service" not in case.evidence.listed:
        return None
    shown = Item(object="Service/default/kubernetes", text="it does not exist")
    return _finding(f"{name.rstrip('.')} does not resolve, since there is no such Service", (shown,))


def _resolves(case: "Case", name: str) -> bool:
    client = case.client_address
    asked = [case.dns.ask(name, rtype, client=client) for rtype in (A, AAAA)]
    return any(one.response is None or one.response.answer for one in asked)


def _answered(case: "Case", name: str) -> Finding | None:
    """The chain has no record of it, and one of the client's own name: only others are concerned."""
    service = case.objects.get("Service", "default", "kubernetes")
    if service is None or not case.dns.corefile.blocks or _is_target(case) or _resolves(case, name):
        return None
    if case.service is not None and not _resolves(case, case.meaning.whole(case.domain)):
        return None  # dns-server says why
    source = case.dns.source
    evidence = (item(service, "spec.clusterIP"), *((source.item(),) if source is not None else ()))
    return _finding(f"{name.rstrip('.')} does not resolve with this Corefile", evidence, State.WARNING)


def _told(case: "Case", name: str) -> Finding | None:
    """A log or a probe says that it failed; a server that is not synced is another matter (E11)."""
    for pod, files in sorted(case.evidence.dns.items()):
        log = files.get("log.txt")
        if log is None or log.problem or logs.unsynced(log) is not None:
            continue
        answered = logs.rcode_of(log, name, "A")
        if answered is not None and answered[0] in FAILED:
            says = f"DNS Pod {pod} answered {answered[0]} for {name.rstrip('.')}"
            return _finding(says, (answered[1].item,))
    for probe in case.evidence.probes:
        if probe.kind == "dns-udp" and probe.about.startswith(name.rstrip(".")) and probe.outcome in FAILED:
            shown = Item(text=f"probe {probe.address}:{probe.port} {probe.about}: {probe.outcome}")
            return _finding(f"{probe.address} answers {probe.outcome} for {name.rstrip('.')}", (shown,))
    return None
