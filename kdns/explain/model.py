"""What is asked of ``kdns explain``, and what it answers. Pure.

The values of `Link`, `State` and `Verdict`, and the keys of `report_values` are read by other programs: they are fixed.
"""

from collections.abc import Sequence
from enum import StrEnum
from typing import Any, Literal

from msgspec import Struct


class Link(StrEnum):
    """The links between a client and the Pod that answers, in the order in which they are checked and listed."""

    CLIENT = "client"
    SEARCH = "search"
    DNS_PATH = "dns-path"
    DNS_SERVER = "dns-server"
    NAME = "name"
    SERVICE = "service"
    ENDPOINTS = "endpoints"
    RULES = "rules"
    FLOW = "flow"
    POLICY = "policy"
    POD = "pod"


class State(StrEnum):
    """What was found at a link."""

    OK = "ok"
    FAULT = "fault"
    WARNING = "warning"
    UNCHECKED = "unchecked"


class Verdict(StrEnum):
    """The answer in a word; unknown: no fault was found, and a link on the question's way was not checked."""

    OK = "ok"
    FAULT = "fault"
    UNKNOWN = "unknown"


DECISIVE = (
    Link.CLIENT, Link.SEARCH, Link.DNS_PATH, Link.DNS_SERVER, Link.NAME, Link.SERVICE, Link.ENDPOINTS, Link.RULES,
)  # fmt: skip
"""Links that must be checked for the verdict ok, as far as the question goes through them."""


class Item(Struct, frozen=True):
    """One piece of evidence: a field of an object, or a line of a file."""

    object: str = ""
    """``Kind/namespace/name``, or ``Kind/name`` without a Namespace."""
    field: str = ""
    """A path such as ``spec.ports[0].port``."""
    value: Any = None
    file: str = ""
    """Relative to the evidence."""
    line: int = 0
    """Counted from 1."""
    text: str = ""
    """The line itself, or what people should know about the object, such as its resource version."""
    created: str = ""
    """Of the object, as it says (RFC 3339); its age depends on when the evidence was collected."""


class Finding(Struct, frozen=True):
    """What a link says. A link has one finding, or one for each fault and warning in it; the first one explains."""

    link: Link
    state: State
    says: str
    """One sentence in plain words."""
    code: str = ""
    """E01 to E43, empty for ok and unchecked."""
    evidence: tuple[Item, ...] = ()
    next: str = ""
    """The next command to type, if there is one."""
    needs: str | None = None
    """Of an unchecked link: what would check it. None: the question does not go through it, so it decides nothing."""


class Client(Struct, frozen=True):
    """Who asks."""

    kind: Literal["pod", "node", "outside", "any"] = "any"
    """any: any Pod in the target's Namespace, on any node."""
    namespace: str = ""
    name: str = ""
    """Of the Pod, or of the node."""
    node: str = ""
    """Where it runs; empty if that is not known."""
    address: str = ""
    """As the packet has it; empty if that is not known."""

    def __str__(self) -> str:
        match self.kind:
            case "pod":
                return f"Pod {self.namespace}/{self.name}"
            case "node":
                return f"node {self.name}"
            case "outside":
                return f"outside, {self.address}" if self.address else "outside"
            case _:
                return f"any Pod in Namespace {self.namespace}" if self.namespace else "any Pod"


class Target(Struct, frozen=True):
    """What should answer, as it was typed and as it was read."""

    text: str
    name: str = ""
    """The name as typed, without scheme, port and path; empty for an address."""
    address: str = ""
    """An IP address in its canonical text; empty for a name."""
    port: int | str | None = None
    """A number, a name of a port, or None: every port, or only the name."""
    protocol: str = "TCP"
    """TCP, UDP, SCTP, or ICMP for a ping."""
    rtype: str = ""
    """Of the DNS question; empty: A and AAAA, as clients ask."""
    protocol_given: bool = False
    """The protocol was typed, by a flag or a scheme: it is not to be guessed from the Service."""


class Question(Struct, frozen=True):
    """Target and client."""

    target: Target
    client: Client
    namespace: str = "default"
    """The Namespace that short names are looked up from."""
    namespace_given: bool = True
    """False: it was not typed, and follows from the Service if there is but one of that name."""


class Report(Struct, frozen=True):
    """The whole answer."""

    question: Question
    findings: tuple[Finding, ...]
    """In the order of `Link`; every link has at least one."""
    collected: str = ""
    """When the evidence was collected (RFC 3339); empty: not known."""

    @property
    def first_fault(self) -> Finding | None:
        """The first fault in the order of the chain."""
        return next((finding for finding in self.findings if finding.state is State.FAULT), None)

    @property
    def verdict(self) -> Verdict:
        """fault, if there is one; ok, if every decisive link on the question's way was checked; else unknown."""
        if self.first_fault:
            return Verdict.FAULT
        missing = any(
            finding.state is State.UNCHECKED and finding.needs is not None and finding.link in DECISIVE
            for finding in self.findings
        )
        return Verdict.UNKNOWN if missing else Verdict.OK


def report(question: Question, findings: Sequence[Finding], collected: str = "") -> Report:
    """The findings in the order of the links; a link that has none is one that the question does not go through."""
    ordered: list[Finding] = []
    for link in Link:
        here = [finding for finding in findings if finding.link is link]
        ordered += here or [Finding(link, State.UNCHECKED, "the question does not go through this link")]
    return Report(question, tuple(ordered), collected)


def most_telling(findings: Sequence[Finding]) -> list[Finding]:
    """What a link that was looked at from several sides says: faults, then warnings; what was not checked, if there is
    no fault; that all is well, if there is nothing else."""
    by_state = {state: [finding for finding in findings if finding.state is state] for state in State}
    reported = [*by_state[State.FAULT], *by_state[State.WARNING]]
    unchecked = [] if by_state[State.FAULT] else by_state[State.UNCHECKED]
    return [*reported, *unchecked] or by_state[State.OK][:1]


def report_values(answer: Report) -> dict[str, Any]:
    """The report as plain values for JSON."""
    fault = answer.first_fault
    return {
        "target": answer.question.target.text,
        "client": str(answer.question.client),
        "verdict": answer.verdict.value,
        "first_fault": fault.code if fault else None,
        "links": [
            {
                "link": finding.link.value,
                "state": finding.state.value,
                "code": finding.code or None,
                "says": finding.says,
                "evidence": [_item_values(item) for item in finding.evidence],
                "next": finding.next or None,
                "needs": finding.needs,
            }
            for finding in answer.findings
        ],
    }


def _item_values(item: Item) -> dict[str, Any]:
    """The fields that an item has."""
    values: dict[str, Any] = {
        "object": item.object, "field": item.field, "value": item.value, "file": item.file, "line": item.line,
        "text": ", ".join(filter(None, (item.text, f"created {item.created}" if item.created else ""))),
    }  # fmt: skip
    return {
        key: value for key, value in values.items() if value is not None and value != "" and (key != "line" or value)
    }
