"""Differences between kernel and objects, as findings with codes, for the links rules and dns-path. Pure."""

from collections.abc import Iterable, Iterator, Sequence

from kdns.base.objects import address_text
from kdns.explain.case import Case
from kdns.explain.compared import Compared, modes_present, writers
from kdns.explain.kernel.difference import Difference
from kdns.explain.kernel.model import Position
from kdns.explain.kernel.node import NodeKernel
from kdns.explain.model import Finding, Item, Link, State
from kdns.explain.proxy_state import Standing, healthy, standing
from kdns.proxy.model import Family

CODES = {
    "foreign": "E33", "broken": "E33", "missing": "E32", "stale": "E32", "hairpin": "E37", "sticky": "E30",
}  # fmt: skip
FILES = {
    "iptables": "iptables-save.txt (ip6tables-save.txt)",
    "nftables": "nft.txt",
    "ipvs": "ipvsadm.txt and iptables-save.txt",
}
OTHER_PROXIES = ("CILIUM_", "OVN-KUBE", "KUBE-ROUTER")
"""Chains of what serves Services in its own way."""
LONGEST_TEXT = 240
"""Characters of a rule that a report shows."""


def judged(case: Case, link: Link, node: str, kernel: NodeKernel, rows: Sequence[Compared]) -> Iterator[Finding]:
    """What differs on a node; or that nothing does; or what could not be checked."""
    signs = standing(case, node)
    different = [row for row in rows if any(one.kind != "unknown" for one in row.differences)]
    if signs and (different or all(row.result is None for row in rows)):
        yield _stands_still(link, node, signs[0], State.FAULT)
    elif signs:
        yield _stands_still(link, node, signs[0], State.WARNING)
    reported: set[tuple[str, str]] = set()
    for row in rows:
        for one in row.differences:
            code = CODES.get(one.kind, "")
            if one.kind != "unknown" and (code, one.says) not in reported:
                reported.add((code, one.says))
                yield _difference(link, row, one, code)
    yield from _unchecked(link, node, kernel, rows)
    well = [row for row in rows if row.result is not None and not row.differences]
    if well and not different:
        yield _well(link, node, well)


def _stands_still(link: Link, node: str, sign: Standing, state: State) -> Finding:
    says = f"node {node}: {sign.says}"
    command = f"kubectl -n kube-system get pods -o wide --field-selector spec.nodeName={node}"
    return Finding(link, state, says, "E31", sign.evidence, command)


def _difference(link: Link, row: Compared, difference: Difference, code: str) -> Finding:
    where = f"{address_text(row.sent.destination)}:{row.sent.port}/{row.sent.protocol}"
    says = f"node {row.sent.node}, {where}: {difference.says}"
    return Finding(link, State.FAULT, says, code, tuple(items(difference.positions)), _command(row, code))


def _command(row: Compared, code: str) -> str:
    """What to type on the node."""
    if code == "E30":
        return "nft list ruleset | grep -A5 affinity-"
    address = address_text(row.sent.destination)
    match row.mode:
        case "nftables":
            return f"nft list ruleset | grep -n {address}"
        case "ipvs":
            return f"ipvsadm -Ln | grep -A5 {address}"
    tool = "iptables-save" if row.sent.family is Family.IPV4 else "ip6tables-save"
    return f"{tool} | grep -n -e {address} -e KUBE-SERVICES"


def items(positions: Iterable[Position]) -> Iterator[Item]:
    """Lines of files, as evidence."""
    for position in positions:
        text = " ".join(position.text.split())
        yield Item(
            file=position.file, line=position.line,
            text=text if len(text) <= LONGEST_TEXT else text[: LONGEST_TEXT - 3] + "...",
        )  # fmt: skip


def _unchecked(link: Link, node: str, kernel: NodeKernel, rows: Sequence[Compared]) -> Iterator[Finding]:
    for row in rows:
        for one in row.differences:
            if one.kind == "unknown":
                says = f"node {node or '(any)'}: {one.says}"
                needs = "what that rule matches: ask the person who wrote it"
                yield Finding(link, State.UNCHECKED, says, evidence=tuple(items(one.positions)), needs=needs)
                return
    blind = [row for row in rows if row.result is None]
    if not blind:
        if any(kernel.rules(family).other_variant for family in Family):
            needs = f"node/{node}/iptables-legacy-save.txt"
            says = f"node {node}: tables of iptables-legacy have rules, too, which are not in the evidence"
            yield Finding(link, State.UNCHECKED, says, needs=needs)
        return
    read = kernel.rules(blind[0].sent.family)
    if read.problems:
        path, problem = next(iter(read.problems.items()))
        says = f"{path}: {problem}"
        yield Finding(link, State.UNCHECKED, says, evidence=(Item(file=path, text=problem),), needs=f"a whole {path}")
        return
    mode = blind[0].mode
    called = f"node/{node or 'NODE'}"
    says = f"the rules of node {node} are not in the evidence" if node else "no node's rules are in the evidence"
    yield Finding(link, State.UNCHECKED, says, needs=f"{called}/{FILES[mode]}: kdns collect --node, on that node")


def _well(link: Link, node: str, rows: Sequence[Compared]) -> Finding:
    """What the kernel does, in a sentence; its rules are the evidence, for those who ask to see them."""
    first = rows[0]
    where = f"{address_text(first.sent.destination)}:{first.sent.port}"
    match first.wanted.verdict:
        case "dnat":
            count = len(first.wanted.backends)
            does = f"leads to {count} endpoint{'' if count == 1 else 's'}"
        case "untouched":
            does = "is passed on untouched"
        case verdict:
            does = f"is {'refused' if verdict == 'reject' else 'dropped'} ({first.wanted.why})"
    more = f", and {len(rows) - 1} more" if len(rows) > 1 else ""
    says = f"node {node} ({first.mode}): {where} {does}{more}, as the objects ask for"
    return Finding(link, State.OK, says, evidence=tuple(steps(first)))


def steps(row: Compared) -> Iterator[Item]:
    """The way of a packet, rule by rule, each with what it means."""
    end = row.result.ends[0] if row.result and row.result.ends else None
    for step in end.packet.trail.all() if end and end.packet.trail else ():
        shown = next(items([step.rule.position]))
        yield Item(file=shown.file, line=shown.line, text=f"{shown.text}  ({step.says})")


def writers_found(link: Link, node: str, kernel: NodeKernel, different: bool) -> Iterator[Finding]:
    """Two that write service rules on one node: a fault where it makes a difference."""
    kinds = writers(kernel)
    state = State.FAULT if different else State.WARNING
    if "iptables" in kinds and "iptables-legacy" in kinds:
        says = f"node {node}: service rules are in iptables-nft and in iptables-legacy at once; both are asked"
        shown = tuple(_first_lines(kernel, ("iptables", "iptables-legacy")))
        yield Finding(
            link, state, says, "E33", shown, "iptables-legacy-save | grep -c KUBE-; iptables-nft-save | grep -c KUBE-"
        )
    modes = modes_present(kernel)
    if len(modes) > 1:
        both = " and ".join(modes)
        says = f"node {node}: service rules of the modes {both} are there at once: two proxies, or leftovers"
        shown = tuple(_first_lines(kernel, ("iptables", "iptables-legacy", "nft")))
        yield Finding(
            link, state, says, "E41", shown, "kube-proxy --cleanup, or kdns proxy --cleanup, of the one that should go"
        )


def _first_lines(kernel: NodeKernel, origins: Sequence[str]) -> Iterator[Item]:
    """Where the service rules of each origin begin."""
    reported: set[str] = set()
    for family in Family:
        for table in kernel.rules(family).tables:
            chain = table.chains.get("KUBE-SERVICES") or table.chains.get("services")
            if chain is not None and table.origin in origins and table.origin not in reported and chain.lines:
                reported.add(table.origin)
                yield from items([Position(table.file, chain.lines[0].number, chain.lines[0].text)])


def no_rules(case: Case, link: Link, node: str, kernel: NodeKernel, rows: Sequence[Compared]) -> list[Finding]:
    """A node that has no service rules at all, although its files were read."""
    checked = [row for row in rows if row.result is not None]
    if modes_present(kernel) or not checked or not any(row.wanted.verdict == "dnat" for row in checked):
        return []
    if any(_has_proxy_chains(kernel, family) for family in Family):
        return []
    files = tuple(Item(file=path) for family in Family for path in kernel.rules(family).files)
    for family in Family:
        for table in kernel.rules(family).tables:
            if any(name.startswith(OTHER_PROXIES) for name in table.chains):
                says = f"node {node} has no rules of kube-proxy or kdns; something else serves Services there"
                return [
                    Finding(link, State.UNCHECKED, says, needs="that one's own tools, such as cilium-dbg service list")
                ]
    if healthy(case, node):
        says = f"node {node}: no service rule is in the kernel, and the proxy says it is healthy: they were removed"
        return [Finding(link, State.FAULT, says, "E33", files, "restart the proxy's Pod on that node")]
    signs = standing(case, node)
    says = f"node {node}: no service rule is in the kernel: no proxy runs there"
    evidence = (*(signs[0].evidence if signs else ()), *files)
    command = f"kubectl -n kube-system get pods -o wide --field-selector spec.nodeName={node}"
    return [Finding(link, State.FAULT, says, "E31", evidence, command)]


def _has_proxy_chains(kernel: NodeKernel, family: Family) -> bool:
    """Chains that only a proxy makes, even if they are empty."""
    return any(
        {"KUBE-SERVICES", "KUBE-NODEPORTS"} & set(table.chains) or table.name == "kube-proxy"
        for table in kernel.rules(family).tables
    )
