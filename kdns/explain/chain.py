"""The chain: every link in order, and the report. A link that fails is not checked, and the rest goes on."""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final

from kdns.explain.case import Case
from kdns.explain.links import client, dns_server, endpoints, flow, name, pod, policy, rules, search, service
from kdns.explain.model import Finding, Link, Report, State, report

LOG: Final = logging.getLogger("kdns.explain")
LINKS: Final[Sequence[tuple[Link, Callable[[Case], list[Finding]]]]] = (
    (Link.CLIENT, client.check),
    (Link.SEARCH, search.check),
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
    return report(case.question, [*findings, *_silent(case, findings)])


def _silent(case: Case, findings: Sequence[Finding]) -> Iterator[Finding]:
    """Links on the question's way about which nothing is known: they are not fine."""
    for link in sorted(case.way - {finding.link for finding in findings}, key=list(Link).index):
        yield Finding(link, State.UNCHECKED, "this link was not checked", needs=NEEDS.get(link, "more evidence"))
