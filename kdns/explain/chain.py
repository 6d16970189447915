"""The chain: every link in order, and the report. A link that fails is not checked, and the rest goes on."""

import logging
from collections.abc import Callable, Sequence
from typing import Final

from kdns.explain.case import Case
from kdns.explain.links import dns_server, flow, rules, service
from kdns.explain.model import Finding, Link, Report, State, report

LOG: Final = logging.getLogger("kdns.explain")
LINKS: Final[Sequence[tuple[Link, Callable[[Case], list[Finding]]]]] = (
    (Link.DNS_SERVER, dns_server.check),
    (Link.SERVICE, service.check),
    (Link.RULES, rules.check),
    (Link.FLOW, flow.check),
)
"""In the order of the chain."""


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
    return report(case.question, findings)
