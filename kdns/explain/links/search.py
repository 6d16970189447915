"""search: each name that the stub resolver tries, with its answer (E02, E08, E14)."""

from typing import Final, NamedTuple

from kdns.explain.asking import Asked
from kdns.explain.case import Case
from kdns.explain.model import Finding, Item, Link, State
from kdns.explain.near import elsewhere
from kdns.explain.objects import Key
from kdns.explain.stub import names_asked
from kdns.wire.numbers import AAAA

WASTE: Final = 6
"""Questions for nothing from which on they are worth a warning."""
TOP_LEVEL: Final = frozenset({"com", "net", "org", "edu", "gov", "mil", "int", "info", "biz"})
"""Top-level domains whose names are hardly meant for Services of a Namespace of that name."""


class Tried(NamedTuple):
    """One name of the walk, with its answers."""

    name: str
    answers: tuple[Asked, ...]

    @property
    def hit(self) -> Asked | None:
        """The answer with records."""
        return next((asked for asked in self.answers if asked.values), None)

    @property
    def known(self) -> bool:
        """False: an upstream answers."""
        return all(asked.rcode for asked in self.answers)

    @property
    def says(self) -> str:
        """The answers in a few words."""
        texts = dict.fromkeys(f"{asked.rtype} {asked.says}" for asked in self.answers)
        same = {asked.says for asked in self.answers}
        return next(iter(same)) if len(same) == 1 else "; ".join(texts)


def check(case: Case) -> list[Finding]:
    """The walk along the search list."""
    if not case.question.target.name or case.question.client.kind == "outside":
        return []
    resolver = case.client.resolver
    if resolver is None:
        needs = "the client's resolv.conf: see client"
        return [Finding(Link.SEARCH, State.UNCHECKED, "the search list is not known", needs=needs)]
    library = case.client.library or "glibc"
    tried: list[Tried] = []
    for name in names_asked(case.question.target.name, resolver, library):
        tried.append(Tried(name, tuple(case.ask(name, rtype) for rtype in case.rtypes)))
        if tried[-1].hit or (library == "musl" and _ends_musl(tried[-1])):
            break
    findings = [*_findings(case, tried), *_aaaa(case, tried)]
    return [finding for finding in findings if finding.state is not State.OK] or findings


def _ends_musl(tried: Tried) -> bool:
    """NODATA and SERVFAIL end the walk of musl."""
    return any(asked.rcode in {"NOERROR", "SERVFAIL"} for asked in tried.answers)


def _findings(case: Case, tried: list[Tried]) -> list[Finding]:
    evidence = tuple(Item(text=f"{number}. {step.name} {step.says}") for number, step in enumerate(tried, 1))
    last, count = tried[-1], len(tried)
    nothing = sum(len(step.answers) for step in tried if not step.hit)
    if last.hit:
        if shadow := _shadow(case, last.hit):
            return [
                Finding(Link.SEARCH, State.FAULT, shadow, "E08", evidence, f"ask for {_meant(case)} with its final dot")
            ]
        at = "the first of its names" if count == 1 else f"name {count} of its search"
        says = f"{last.name} answers, {at}" + (f"; {nothing} questions for nothing" if nothing else "")
        if any(not step.known for step in tried[:-1]):
            says += "; an upstream may answer an earlier one"
        state = State.WARNING if nothing >= WASTE else State.OK
        return [Finding(Link.SEARCH, state, says, evidence=evidence)]
    if case.client.library == "musl" and _ends_musl(last) and last.name.lower() != _meant(case):
        says = f"{last.name} exists without such a record, and musl ends its search there: {_meant(case)} is not asked"
        return [Finding(Link.SEARCH, State.FAULT, says, "E08", evidence, f"ask for {_meant(case)} with its final dot")]
    if case.meaning.kind == "outside" and last.known:
        says = f"{count} {'names are' if count > 1 else 'name is'} asked, and none has an answer: see dns-server"
        return [Finding(Link.SEARCH, State.OK, says, evidence=evidence)]
    if case.meaning.kind == "outside":
        says = (
            f"{case.question.target.name} is asked of an upstream; {nothing - len(last.answers)} questions before that"
        )
        state = State.WARNING if nothing - len(last.answers) >= WASTE else State.OK
        return [Finding(Link.SEARCH, state, says + " for nothing", evidence=evidence)]
    if places := _wrong_namespace(case):
        here, name = case.meaning.namespace, case.meaning.service
        says = f"{name} is looked for in Namespace {here} only, and Service {name} is in {' and '.join(places)}"
        best = f"{name}.{places[0]}"
        return [
            Finding(Link.SEARCH, State.FAULT, says, "E02", evidence, f"ask for {best}, or {best}.svc.{case.domain}")
        ]
    if case.client.library == "busybox" and count == 1 and last.name.count(".") > 1 and case.service is not None:
        return [_as_it_stands(case, last, evidence)]
    says = f"{count} {'names are' if count > 1 else 'name is'} asked, and none has an answer: see name"
    return [Finding(Link.SEARCH, State.OK, says, evidence=evidence)]


def _as_it_stands(case: Case, tried: Tried, evidence: tuple[Item, ...]) -> Finding:
    """busybox asks a name with a dot without its search list; the plugin shortnames answers it all the same."""
    asked = f"busybox's nslookup asks {tried.name} as it stands, without its search list"
    if case.dns.plugin("shortnames") is not None:
        return Finding(Link.SEARCH, State.OK, f"{asked}; the plugin shortnames answers it", evidence=evidence)
    says = f"{asked}, and it has no answer; other programs of this Pod do use the list"
    return Finding(Link.SEARCH, State.WARNING, says, "E05", evidence, f"nslookup {_meant(case)}")


def _wrong_namespace(case: Case) -> list[str]:
    """The Namespaces that have the Service, where a name of one label was asked from another one."""
    meaning = case.meaning
    if meaning.kind != "service" or "." in case.question.target.name or case.service is not None:
        return []
    if not case.objects.dumped("Service", meaning.namespace):
        return []
    return [key.namespace for key in elsewhere(case.objects, meaning.namespace, meaning.service)]


def _meant(case: Case) -> str:
    """The absolute name that is meant."""
    if case.meaning.kind in {"service", "endpoint"}:
        return case.meaning.whole(case.domain)
    return case.question.target.name.rstrip(".") + "."


def _shadow(case: Case, hit: Asked) -> str:
    """What is wrong with the name that answered; empty if it is the one that was meant."""
    meaning, typed = case.meaning, case.question.target.name.rstrip(".").lower()
    if meaning.kind == "outside":
        return f"{typed} is outside of the cluster, and {hit.name} ({hit.source}) answers before it is asked"
    if meaning.kind == "pod":
        return ""
    same = set(case.ask(_meant(case), hit.rtype).values) == set(hit.values)  # plugin shortnames answers the short name
    if hit.name.lower() != _meant(case) and hit.source != meaning.key and not same:
        asked = Key("Service", meaning.namespace, meaning.service)
        return f"{hit.name} ({hit.source}) answers before {_meant(case)} ({asked}) is asked"
    if meaning.namespace in TOP_LEVEL and not meaning.domain and typed.count(".") == 1:
        return f"Namespace {meaning.namespace} is named like a top-level domain: {hit.source} answers for {typed}"
    return ""


def _aaaa(case: Case, tried: list[Tried]) -> list[Finding]:
    """E14: the server denies AAAA of a name that has an address for A."""
    answers = {asked.rtype: asked for asked in tried[-1].answers}
    hit, other = answers.get("A"), answers.get("AAAA")
    if hit is None or other is None or not hit.values or other.values or other.rcode in {"", "NOERROR"}:
        return []
    musl = case.client.library == "musl"
    says = f"AAAA of {hit.name} gets {other.rcode} where there is an address for A: " + (
        "musl then gives up on the name" if musl else "clients with musl (alpine), and some others, give up on the name"
    )
    state = State.FAULT if musl else State.WARNING
    evidence = _line_of(case, hit.name)
    return [Finding(Link.SEARCH, state, says, "E14", evidence, "answer AAAA with NOERROR and no records")]


def _line_of(case: Case, name: str) -> tuple[Item, ...]:
    """The line of the Corefile that answers AAAA of a name."""
    asked = case.dns.ask(name, AAAA, client=case.client_address) if case.domain_known else None
    if asked is None or asked.block is None or case.dns.source is None:
        return ()
    return (case.dns.source.item(asked.block.line(asked.last)),)
