"""What a DNS server's log, metrics and probes say of the past: old data, kept answers, failing upstreams. Pure."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from kdns.dns.cache.options import CacheOptions
from kdns.explain.dns import logs
from kdns.explain.dns.dry_run import Asked
from kdns.explain.model import Finding, Item, Link, State
from kdns.explain.objects import key_of
from kdns.wire.types import type_text

if TYPE_CHECKING:
    from kdns.explain.case import Case


def findings(case: "Case", name: str, asked: Asked, *, exists: bool) -> list[Finding]:
    """For a question in full; ``exists``: a Service has the name, so that NXDOMAIN is wrong."""
    positive = exists and asked.response is not None and bool(asked.response.answer)
    known_findings = [*_loops(case), *_old(case)]
    if positive and not any(finding.state is State.FAULT for finding in known_findings):
        known_findings += _negative(case, name, type_text(asked.rtype))
    if asked.response is None:
        known_findings += _failing(case, name)
    return known_findings


def _loops(case: "Case") -> Iterator[Finding]:
    for pod, files in sorted(case.evidence.dns.items()):
        file = files.get("log.txt")
        if file is not None and not file.problem and (line := logs.loop(file)) is not None:
            says = f"DNS Pod {pod} ended since its own questions came back to it: its upstream leads to itself"
            yield _fault("E15", says, (line.item,), _log_command(case, pod))


def _old(case: "Case") -> Iterator[Finding]:
    """The data of a DNS Pod is old, or was never complete."""
    for pod, files in sorted(case.evidence.dns.items()):
        metrics, log = files.get("metrics.txt"), files.get("log.txt")
        if metrics is not None and not metrics.problem and (line := logs.data_age(metrics)) is not None:
            yield _fault(
                "E11", f"the data of DNS Pod {pod} is old: {line.problem}", (line.item,), _log_command(case, pod)
            )
        elif log is not None and not log.problem and (line := logs.unsynced(log)) is not None:
            says = f"DNS Pod {pod} cannot follow the API server, so what it answers may be old"
            yield _fault("E11", says, (line.item,), _log_command(case, pod))


def _negative(case: "Case", name: str, rtype: str) -> Iterator[Finding]:
    """The server answered NXDOMAIN for a name that the objects have."""
    for pod, files in sorted(case.evidence.dns.items()):
        log = files.get("log.txt")
        answered = logs.rcode_of(log, name, rtype) if log is not None and not log.problem else None
        if answered is not None and answered[0] == "NXDOMAIN":
            yield _kept(case, f"DNS Pod {pod}", name, (answered[1].item,))
            return
    for probe in case.evidence.probes:
        if probe.kind.startswith("dns") and probe.outcome == "NXDOMAIN" and name.rstrip(".") in probe.about:
            item = Item(text=f"{probe.kind} {probe.address}:{probe.port} {probe.about}: {probe.outcome}")
            yield _kept(case, f"the DNS server at {probe.address}", name, (item,))
            return


def _kept(case: "Case", who: str, name: str, evidence: tuple[Item, ...]) -> Finding:
    seconds = case.dns.options.ttl
    cache = case.dns.plugin("cache")
    held, line = "clients and caches in between", 0
    if cache is not None and isinstance(cache[1], CacheOptions) and case.dns.server.software != "kdns":
        seconds, held = min(int(cache[1].denial.most), seconds) or seconds, "its cache (plugin cache)"
        line = cache[0].line("cache")
    source = case.dns.source
    more = (source.item(line),) if source is not None and line else ()
    says = (
        f"{who} answered NXDOMAIN for {name.rstrip('.')}, which the objects have by now: {held} may hold that answer "
        f"for up to {seconds} s after the last time it was looked up"
    )
    return _fault("E12", says, (*evidence, *more), "ask again after that time; a DNS Pod's restart empties its cache")


def _failing(case: "Case", name: str) -> Iterator[Finding]:
    """The log has questions that the upstreams did not answer."""
    wanted = name.rstrip(".").lower()
    for pod, files in sorted(case.evidence.dns.items()):
        log = files.get("log.txt")
        errors = list(logs.upstream_errors(log)) if log is not None and not log.problem else []
        own = [line for about, line in errors if about.rstrip(".") == wanted]
        if own:
            yield _fault("E15", f"DNS Pod {pod}: {own[-1].problem}", (own[-1].item,), _log_command(case, pod))
        elif errors:
            says = f"DNS Pod {pod} has {len(errors)} questions in its log that upstreams did not answer"
            yield Finding(Link.DNS_SERVER, State.WARNING, says, "E15", (errors[-1][1].item,), _log_command(case, pod))


def _fault(code: str, says: str, evidence: tuple[Item, ...], command: str) -> Finding:
    return Finding(Link.DNS_SERVER, State.FAULT, says, code, evidence, command)


def _log_command(case: "Case", pod: str) -> str:
    service = case.dns.service
    namespace = key_of(service).namespace if service is not None else "kube-system"
    return f"kubectl -n {namespace} logs {pod}"
