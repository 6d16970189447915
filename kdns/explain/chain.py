"""The chain: every link in order, and the report. A link that fails is not checked, and the rest goes on."""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final

from kdns.explain.case import Case
from kdns.explain.links import client, dns_path, dns_server, endpoints, flow, name, pod, policy, rules, search, service
from kdns.explain.model import Finding, Item, Link, Report, State, report
from kdns.explain.objects import key_of

LOG: Final = logging.getLogger("kdns.explain")
LINKS: Final[Sequence[tuple[Link, Callable[[Case], list[Finding]]]]] = (
    (Link.CLIENT, client.check),
    (Link.SEARCH, search.check),
    (Link.DNS_PATH, dns_path.check),
    (Link.DNS_SERVER, dns_server.check),
    (Link.NAME, name.check),
    (Link.SERVICE, service.check),
    (Link.ENDPOINTS, endpoints.check),
    (Link.RULES, rules.check),
    (Link.FLOW, flow.check),
    (Link.POLICY, policy.check),
    (Link.POD, pod.check),
)
"""In the order of the chain."""
NEEDS: Final[Mapping[Link, str]] = {
    Link.DNS_PATH: "the rules of the client's node and the DNS Service: kdns collect --node",
    Link.DNS_SERVER: "the Corefile: --corefile FILE, or the ConfigMap in the dump",
    Link.RULES: "the rules of the node: kdns collect --node, then --evidence",
    Link.FLOW: "the node's connection tracking: kdns collect --node, then --evidence",
}
"""What checks a link that has nothing to say."""


def explain(case: Case) -> Report:
    """Check every link."""
    findings: list[Finding] = []
    for link, check in LINKS:
        try:
            findings += check(case)
        except Exception:  # a bug of ours must not hide what the other links know
            LOG.exception("a bug in the link %s", link.value)
            needs = "a report of this bug: run again with the evidence attached"
            findings.append(Finding(link, State.UNCHECKED, "this link could not be checked", needs=needs))
    findings += _silent(case, findings)
    return report(
        case.question,
        [*(_doubted(case, finding) for finding in findings), *_contradictions(case)],
        case.evidence.collected,
    )


ABSENCE: Final = frozenset({"E01", "E02", "E03", "E10", "E16", "E20", "E24", "E29", "E42"})
"""Causes that say that something is not there."""


def _doubted(case: Case, finding: Finding) -> Finding:
    """Where objects of the evidence cannot be read, an absence proves nothing."""
    if not case.evidence.torn or finding.state is not State.FAULT or finding.code not in ABSENCE:
        return finding
    torn = case.evidence.torn[0]
    says = f"{finding.says}: but a part of the objects cannot be read"
    return Finding(finding.link, State.UNCHECKED, says, evidence=(Item(text=torn),), needs=f"all objects; {torn}")


def _contradictions(case: Case) -> Iterator[Finding]:
    """Two versions of what the question is about."""
    for called, (first, second) in case.evidence.versions.items():
        key = key_of(case.service) if case.service is not None else None
        if key is not None and (called == str(key) or called.startswith(f"EndpointSlice/{key.namespace}/{key.name}-")):
            says = f"the evidence has two versions of {called}: {first} counts, and {second} does not"
            yield Finding(Link.SERVICE, State.WARNING, says)


def _silent(case: Case, findings: Sequence[Finding]) -> Iterator[Finding]:
    """Links on the question's way about which nothing is known: they are not fine."""
    for link in sorted(case.way - {finding.link for finding in findings}, key=list(Link).index):
        yield Finding(link, State.UNCHECKED, "this link was not checked", needs=NEEDS.get(link, "more evidence"))
