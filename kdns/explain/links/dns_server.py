"""dns-server: which server block takes the question, and what each plugin makes of it (E07, E08, E11, E12, E15).

The server's own chain is asked (`kdns.explain.dns.dry_run`), without any upstream.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from kdns.explain.case import Case
from kdns.explain.dns import history, upstreams
from kdns.explain.dns.cluster_dns import ClusterDns
from kdns.explain.dns.corefile import BEHIND, HARMLESS
from kdns.explain.dns.differences import of_coredns
from kdns.explain.dns.dry_run import Asked
from kdns.explain.model import Finding, Item, Link, State, most_telling
from kdns.explain.near import alike, elsewhere
from kdns.explain.objects import Body, field, key_of
from kdns.records.reasons import Missing
from kdns.wire.name import name_text, parse_name
from kdns.wire.numbers import AAAA, NOERROR, NXDOMAIN, SERVFAIL, A
from kdns.wire.rcodes import rcode_text
from kdns.wire.types import type_number

NEEDS = "--corefile FILE, or the ConfigMap kube-system/coredns among the objects"


class Wanted(NamedTuple):
    """The question that decides, in full."""

    name: str
    """With its final dot."""
    service: Body | None
    """The Service it should be answered from; None: a name outside the cluster, or one that does not exist."""


def check(case: Case) -> list[Finding]:
    """What the server makes of the name in full; nothing for an address."""
    dns, wanted = case.dns, wanted_question(case)
    if wanted is None:
        return []
    if dns.source is None or dns.source.file.problem:
        problem = f": {dns.source.file.problem}" if dns.source is not None else ""
        return [
            Finding(Link.DNS_SERVER, State.UNCHECKED, f"the DNS server's Corefile is not known{problem}", needs=NEEDS)
        ]
    if dns.corefile.problem is not None or not dns.corefile.blocks:
        return [_unreadable(dns)]
    asked = ask(case, wanted.name)
    findings = [*_unread(dns, asked), *_answer(case, wanted, asked)]
    findings += history.findings(case, wanted.name, asked, exists=wanted.service is not None)
    return most_telling(findings)


def wanted_question(case: Case) -> Wanted | None:
    """The question in full that the target means; None for an address."""
    name, meaning = case.question.target.name, case.meaning
    if not name:
        return None
    if meaning.kind in {"service", "endpoint"} and meaning.namespace and meaning.domain in {"", case.domain}:
        return Wanted(meaning.whole(case.domain), case.service)
    return Wanted(name.rstrip(".") + ".", None)


def ask(case: Case, name: str) -> Asked:
    """The chain's answer for the type that was asked for, or an address of either family."""
    client, rtype = case.client_address, type_number(case.question.target.rtype or "A") or A
    asked = case.dns.ask(name, rtype, client=client)
    if case.question.target.rtype or asked.response is None or asked.response.rcode or asked.response.answer:
        return asked
    other = case.dns.ask(name, AAAA, client=client)
    return other if other.response is not None and other.response.answer else asked


def _unreadable(dns: ClusterDns) -> Finding:
    problem, source = dns.corefile.problem, dns.source
    assert source is not None
    says = f"the Corefile cannot be read: {problem.problem}" if problem else "the Corefile has no server block for DNS"
    line = problem.at.line if problem is not None and problem.at is not None else 0
    return Finding(
        Link.DNS_SERVER, State.UNCHECKED, says, evidence=(source.item(line),), needs="a Corefile without this mistake"
    )


def _unread(dns: ClusterDns, asked: Asked) -> Iterator[Finding]:
    """Directives that may have taken the question, and that kdns does not know."""
    source, taken = dns.source, asked.block
    assert source is not None
    for left in dns.corefile.left_out:
        behind = asked.last == "kubernetes" and left.name in BEHIND
        if taken is None or left.name in HARMLESS or behind or left.block != taken.number:
            continue
        says = f"plugin {left.name} of the Corefile is left out here: {left.problem}"
        needs = "a question to the server itself: --probe"
        yield Finding(Link.DNS_SERVER, State.UNCHECKED, says, evidence=(source.item(left.at.line),), needs=needs)
    for block, error in dns.chain.problems:
        if taken is None or block is taken:
            says = f"server block {block.title} cannot be built: {error.problem}"
            yield Finding(Link.DNS_SERVER, State.UNCHECKED, says, needs="a question to the server itself: --probe")


def _answer(case: Case, wanted: Wanted, asked: Asked) -> list[Finding]:
    """What becomes of the question."""
    name = wanted.name.rstrip(".")
    if asked.bug:
        return [Finding(Link.DNS_SERVER, State.UNCHECKED, f"the chain failed: {asked.bug}", needs="--probe")]
    if asked.block is None:
        return [_refused(case, wanted)]
    if asked.response is None:
        return _forwarded(case, wanted, asked)
    evidence = _evidence(case, asked)
    if wanted.service is None:
        return [_not_ours(case, wanted, asked, evidence)]
    if asked.last != "kubernetes":
        return [_intercepted(case, wanted, asked, evidence)]
    says, rcode, records = _outcome(case, asked)
    if records:
        return [Finding(Link.DNS_SERVER, State.OK, f"{_steps(asked)}: {name} {says}", evidence=evidence)]
    missing = _missing(case, asked)
    if missing is not None and missing.reason.code == "E07":
        return [_fault("E07", f"{name} {says}: {missing}", evidence, case)]
    because = f" ({missing})" if missing is not None else ""
    alias = field(wanted.service, "spec.type") == "ExternalName"  # `name` says what is wrong with its target
    if rcode in {NXDOMAIN, NOERROR} or alias:
        return [Finding(Link.DNS_SERVER, State.OK, f"{_steps(asked)}: {name} {says}{because}", evidence=evidence)]
    return [_fault("E15", f"{name} {says}{because}", evidence, case)]


def _refused(case: Case, wanted: Wanted) -> Finding:
    name, blocks = wanted.name.rstrip("."), ", ".join(block.title for block in case.dns.corefile.blocks)
    source = case.dns.source
    assert source is not None
    says = f"no server block takes {name}, so it is REFUSED; the Corefile has {blocks}"
    if wanted.service is None and not _inside(case, wanted.name):
        return _fault("E15", f"{says}: names outside the cluster have no upstream", (source.item(),), case)
    return _fault("E07", says, (source.item(),), case)


def _forwarded(case: Case, wanted: Wanted, asked: Asked) -> list[Finding]:
    """An upstream would be asked."""
    assert asked.block is not None
    query, line = asked.upstreams[-1]
    texts = ", ".join(to.word.text for to in line.to)
    evidence, name = _evidence(case, asked), wanted.name.rstrip(".")
    trouble = upstreams.trouble(case, line)
    if wanted.service is not None and not upstreams.is_cluster_dns(case, line):
        says = f"server block {asked.block.title} forwards {name} to {texts}: the plugin kubernetes is not asked"
        return [_fault("E07", says, evidence, case)]
    if trouble is not None:
        return [_fault("E15", f"{name} is forwarded to {texts}: {trouble.says}", (*evidence, *trouble.evidence), case)]
    about = "" if query.name == parse_name(wanted.name) else f" as {name_text(query.name).rstrip('.')}"
    says = f"server block {asked.block.title} forwards {name}{about} to {texts}; --probe asks whether they answer"
    return [Finding(Link.DNS_SERVER, State.OK, says, evidence=evidence)]


def _not_ours(case: Case, wanted: Wanted, asked: Asked, evidence: tuple[Item, ...]) -> Finding:
    """A name that no Service has: what is answered is no fault of the server, but where it should have an upstream."""
    name = wanted.name.rstrip(".")
    says, rcode, _ = _outcome(case, asked)
    if asked.last == "acl":
        return _fault("E07", f"acl: {name} {says}", evidence, case)
    if asked.unclaimed:
        title = asked.block.title if asked.block else ""
        text = f"server block {title} has no plugin that answers {name}: {rcode_text(rcode)}"
        return _fault("E15", text, evidence, case)
    asked_for = next((one.query.name for one in reversed(asked.visits) if one.plugin == "kubernetes"), None)
    if asked.last == "kubernetes" and asked_for != parse_name(wanted.name) and (gone := _missing(case, asked)):
        text = f"{_steps(asked)}: {name} {says} ({gone}){_nearly(case, asked_for)}"
        if gone.reason.code:
            return _fault(gone.reason.code, text, evidence, case)
    because = f" ({missing})" if asked.last == "kubernetes" and (missing := _missing(case, asked)) else ""
    return Finding(Link.DNS_SERVER, State.OK, f"{_steps(asked)}: {name} {says}{because}", evidence=evidence)


def _nearly(case: Case, name: bytes | None) -> str:
    """The Service that a rewritten name may mean."""
    labels = name_text(name or b"\0").rstrip(".").split(".")
    if len(labels) < 2:
        return ""
    near = [*elsewhere(case.objects, labels[1], labels[0]), *alike(case.objects, labels[1], labels[0])]
    return f"; there is {near[0].name}.{near[0].namespace}" if near else ""


def _missing(case: Case, asked: Asked) -> Missing | None:
    """Why the cluster has no such record; None: it has."""
    visit = next((one for one in reversed(asked.visits) if one.plugin == "kubernetes"), None)
    name = visit.query.name if visit is not None else parse_name(asked.name)
    result = case.answers.lookup(name, asked.rtype)
    return result if isinstance(result, Missing) else result.missing


def _intercepted(case: Case, wanted: Wanted, asked: Asked, evidence: tuple[Item, ...]) -> Finding:
    """Another plugin than kubernetes answered for a Service that exists, or none did."""
    assert asked.block is not None
    says, _, records = _outcome(case, asked)
    name, title = wanted.name.rstrip("."), asked.block.title
    if asked.unclaimed:
        return _fault("E07", f"server block {title} has no plugin that answers {name}: {says}", evidence, case)
    text = f"server block {title}: {asked.last} takes {name}, and kubernetes is not asked: {says}"
    if records:
        return Finding(Link.DNS_SERVER, State.WARNING, text, "E08", evidence, _show(case))
    return _fault("E07", text, evidence, case)


def _outcome(case: Case, asked: Asked) -> tuple[str, int, bool]:
    """In words, the rcode, and whether there are records: CoreDNS's, where that is the server."""
    response = asked.response
    assert response is not None
    if response.dropped:
        return "is dropped: the client hears nothing", SERVFAIL, False
    if case.dns.server.software == "CoreDNS":
        other = None
        if asked.last == "kubernetes":
            other = of_coredns(case.answers, parse_name(asked.name), asked.rtype)
        if other is not None:
            return f"gets {_rcode(other.rcode, other.records)} ({other.why})", other.rcode, other.records
    addresses = [rr for rr in response.answer if rr.rtype == asked.rtype]
    return f"gets {_rcode(response.rcode, bool(response.answer))}", response.rcode, bool(addresses)


def _rcode(rcode: int, records: bool) -> str:
    if rcode or records:
        return "an answer" if not rcode else rcode_text(rcode)
    return "NODATA (NOERROR without a record)"


def _steps(asked: Asked) -> str:
    """The server block, and what its plugins did."""
    title = asked.block.title if asked.block else "no server block"
    steps = [step for step in asked.steps if not step.endswith("record") or len(asked.steps) == 1]
    return f"server block {title}" + (f": {'; '.join(steps)}" if steps else "")


def _evidence(case: Case, asked: Asked) -> tuple[Item, ...]:
    """The line of the Corefile that decided."""
    source = case.dns.source
    assert source is not None
    return (source.item(asked.block.line(asked.last)),) if asked.block is not None else (source.item(),)


def _inside(case: Case, name: str) -> bool:
    return f".{name}".endswith(f".{case.dns.domain}")


def _fault(code: str, says: str, evidence: Sequence[Item], case: Case) -> Finding:
    return Finding(Link.DNS_SERVER, State.FAULT, says, code, tuple(evidence), _show(case))


def _show(case: Case) -> str:
    """The command that shows the Corefile."""
    source = case.dns.source
    if source is None or source.config_map is None:
        return ""
    key = key_of(source.config_map)
    return f"kubectl -n {key.namespace} get configmap {key.name} -o jsonpath='{{.data.Corefile}}'"
