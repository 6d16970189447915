"""A report as one screen of text, for an operator who is paged at night. Pure; 100 columns at most."""

import textwrap
from collections.abc import Iterator, Mapping
from typing import Final

from kdns.explain.ages import age_text
from kdns.explain.codes import TITLES
from kdns.explain.model import Finding, Item, Report, State, Verdict

WIDTH: Final = 100
LABELS: Final = {State.OK: "ok", State.FAULT: "FAULT", State.WARNING: "warning", State.UNCHECKED: "not checked"}
COLOURS: Final = {State.OK: "32", State.FAULT: "1;31", State.WARNING: "33", State.UNCHECKED: "2"}
"""SGR parameters (ECMA-48), readable on dark and on light."""
INDENT: Final = 26
"""Columns of link and state."""
MOST_ITEMS: Final = 6
"""Pieces of evidence shown under a finding; -v shows all."""


def report_text(answer: Report, *, colour: bool = False, verbose: bool = False) -> str:
    """The question, the chain, the cause, the next command, and what was not checked."""
    return "\n".join(line.rstrip() for line in _lines(answer, colour, verbose)) + "\n"


def _lines(answer: Report, colour: bool, verbose: bool) -> Iterator[str]:
    question = answer.question
    port = f" port {question.target.port}/{question.target.protocol}" if question.target.port else ""
    name = question.target.name or question.target.address
    yield _paint(f"Does {name}{port} answer {question.client}?", "1", colour)
    yield ""
    for finding in answer.findings:
        if finding.state is State.UNCHECKED and finding.needs is None and not verbose:
            continue
        yield from _finding(finding, answer.collected, colour, verbose)
    yield ""
    yield from _verdict(answer, colour)
    missing = [finding for finding in answer.findings if finding.state is State.UNCHECKED and finding.needs]
    if missing:
        yield ""
        yield "Not checked, and what would check it:"
        for finding in missing:
            yield from _wrapped(f"  {finding.link.value:<12}", finding.needs or "")


def _finding(finding: Finding, collected: str, colour: bool, verbose: bool) -> Iterator[str]:
    label = LABELS[finding.state]
    head = f"  {finding.link.value:<11} {_paint(label, COLOURS[finding.state], colour)}" + " " * (12 - len(label))
    code = f"{finding.code}: " if finding.code else ""
    first, *rest = textwrap.wrap(code + finding.says, WIDTH - INDENT) or [""]
    yield head + first
    for line in rest:
        yield " " * INDENT + line
    if finding.state in {State.FAULT, State.WARNING} or verbose:
        shown = finding.evidence if verbose else finding.evidence[:MOST_ITEMS]
        for item in shown:
            yield from _item(item, collected)
        if len(shown) < len(finding.evidence):
            yield " " * INDENT + f"... {len(finding.evidence) - len(shown)} more; -v shows all"


def _item(item: Item, collected: str) -> Iterator[str]:
    parts = []
    age = age_text(item.created, collected)
    text = ", ".join(filter(None, (item.text, f"{age} old" if age else f"created {item.created}" * bool(item.created))))
    if item.object:
        value = "" if item.value is None else f" = {_short(item.value)}"
        parts.append(f"{item.object} {item.field}".rstrip() + value)
    if item.file:
        parts.append(f"{item.file}:{item.line}" if item.line else item.file)
    if text:
        parts.append(f"({text})" if item.object else text)
    yield from _wrapped(" " * INDENT + "- ", " ".join(parts))


def _short(value: object) -> str:
    text = _flow(value)
    return text if len(text) <= 200 else text[:197] + "..."


def _flow(value: object) -> str:
    """A value as people write it in YAML, on one line."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {_flow(entry)}" for key, entry in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(map(_flow, value)) + "]"
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return str(value)


def _verdict(answer: Report, colour: bool) -> Iterator[str]:
    fault = answer.first_fault
    if fault is None:
        if answer.verdict is Verdict.OK:
            yield _paint("No fault was found.", COLOURS[State.OK], colour)
        else:
            yield "No fault was found, but not every link could be checked."
        return
    title = TITLES.get(fault.code, "")
    yield _paint(f"{fault.code} {title}".strip(), COLOURS[State.FAULT], colour)
    yield from _wrapped("  ", fault.says)
    if fault.next:
        yield f"Next:  {fault.next}"


def _wrapped(head: str, text: str) -> Iterator[str]:
    lines = textwrap.wrap(text, max(WIDTH - len(head), 20), break_long_words=False, break_on_hyphens=False) or [""]
    yield head + lines[0]
    for line in lines[1:]:
        yield " " * len(head) + line


def _paint(text: str, code: str, colour: bool) -> str:
    return f"\x1b[{code}m{text}\x1b[0m" if colour else text
