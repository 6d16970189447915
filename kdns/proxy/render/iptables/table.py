"""Rule sets as input for iptables-restore: all of it, or what differs.

A full sync is one script, or several where the tool takes too long over one: then everything shared comes first, the
chains of service ports follow in the rule set's order, and at last what is still missing that leads to them.
Where the kernel has no rules yet, each piece brings what leads to it from cluster IPs and node ports, so that traffic
flows as it goes; where it has, those in force stay until all chains they lead to are new.

A partial sync touches the chains that differ, and adds and deletes single rules in the chains that all share: to
rewrite KUBE-SERVICES for each change takes more than a second when there are ten thousand Services.
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Final, NamedTuple, TypeVar

from kdns.proxy.model import NodeRules, RuleChange, RuleSet, ServicePortRules
from kdns.proxy.render.iptables.fixed import (
    JUMPS,
    SHARED_CHAINS,
    SHARED_JUMPS,
    Jump,
    forwarding,
    marking,
    martian_guard,
    masquerading,
    tail,
)
from kdns.proxy.render.iptables.names import (
    CANARY,
    FAMILIES,
    MARK_MASQUERADE,
    NODE_PORTS,
    POSTROUTING,
    SERVICES,
    SHARED_FIREWALL,
)
from kdns.proxy.render.iptables.restore_input import TABLES, RestoreInput, Script
from kdns.proxy.render.iptables.service import Dispatch, dispatch, own_chains

LARGE: Final = 1000
"""With more endpoints than this, rules about them have no comments."""


_Item = TypeVar("_Item")
_Ports = Iterable[tuple[ServicePortRules, tuple[Dispatch, ...]]]


class Found(NamedTuple):
    """What the kernel has before a full sync. As it is by default: nothing."""

    chains: Mapping[str, Collection[str]] = {}
    """Table -> names of its chains."""
    jumps: Collection[Jump] = ()
    """Those of JUMPS and SHARED_JUMPS that are in place."""
    guarded: bool = False
    """KUBE-FIREWALL has the rule against martians."""
    serving: bool = False
    """nat KUBE-SERVICES has rules, which traffic depends on."""


def large(rules: RuleSet) -> bool:
    """Rules about endpoints are to have no comments. Endpoints that no path uses are not counted."""
    return sum(max(len(port.cluster), len(port.local)) for port in rules.ports.values()) > LARGE


NOTHING: Final = Found()


def script(rules: RuleSet, *, random_fully: bool = True) -> str:
    """All that would be written on a node that has nothing yet, for reading."""
    return next(full(rules, random_fully=random_fully)).text


def full(
    rules: RuleSet, present: Found = NOTHING, *, random_fully: bool = True, piece: int | None = None
) -> Iterator[Script]:
    """Scripts that, one after the other, make the kernel have all the rules and no stale chains.

    `piece`: how many chains of service ports a script may hold (those of one port are never torn apart); None: all.
    Raises Conflict (see `own_chains`).
    """
    node, terse = rules.node, large(rules)
    ports: _Ports = [(port, dispatch(port, node)) for port in rules.ports.values()]
    stale = {chain for chain in present.chains.get("nat", ()) if chain.startswith(FAMILIES)}
    sheet = _shared(ports, node, present, random_fully=random_fully)
    if piece is None or sum(_weight(port) for port, _ in ports) + len(stale) <= piece:
        _own(sheet, ports, node, stale, terse=terse)
        _dispatching(sheet, ports, node)
        sheet.delete("nat", _in_order(stale))
        yield sheet.script()
        return

    if present.serving:  # what traffic depends on stays until there is something better
        sheet.chains("nat", (chain for chain in (SERVICES, NODE_PORTS) if chain not in present.chains["nat"]))
    else:
        sheet.chains("nat", (SERVICES, NODE_PORTS))
        sheet.rules("nat", (f"-A {SERVICES} {body}" for body in tail(node)), grows=0)
    yield sheet.script()
    for batch in _batches(ports, lambda item: _weight(item[0]), piece):
        sheet = RestoreInput()
        _own(sheet, batch, node, stale, terse=terse)
        if not present.serving:
            _lead(sheet, batch, lambda row: row.first or row.chain == NODE_PORTS)
        yield sheet.script()
    sheet = RestoreInput()
    if present.serving:
        _dispatching(sheet, ports, node)
    else:
        sheet.rules("nat", (f"-D {SERVICES} {body}" for body in tail(node)), grows=0)
        _lead(sheet, ports, lambda row: not row.first and row.chain == SERVICES)
        sheet.rules("nat", (f"-A {SERVICES} {body}" for body in tail(node)))
    yield sheet.script()
    gone = _in_order(stale)
    for start in range(0, len(gone), piece):
        sheet = RestoreInput()
        sheet.delete("nat", gone[start : start + piece])
        yield sheet.script()


def alone(ports: Iterable[ServicePortRules], node: NodeRules) -> Script:
    """Only the chains of some service ports, to find out which of them the kernel refuses."""
    sheet = RestoreInput()
    sheet.chains("nat", (MARK_MASQUERADE,))
    sheet.rules("nat", marking(node))
    _own(sheet, ((port, ()) for port in ports), node, set(), terse=True)
    return sheet.script()


def sample(ports: Iterable[ServicePortRules], node: NodeRules) -> dict[str, int]:
    """How many rules each of the chains of some service ports has."""
    return {chain: len(lines) for port in ports for chain, lines in own_chains(port, node, terse=True).items()}


def dispatching(rules: RuleSet) -> dict[str, int]:
    """How many rules each of nat's chains has that lead to the chains of service ports."""
    counts = Counter(
        row.chain for port in rules.ports.values() for row in dispatch(port, rules.node) if row.table == "nat"
    )
    return {SERVICES: counts[SERVICES] + len(tail(rules.node)), NODE_PORTS: counts[NODE_PORTS]}


def partial(
    changes: Sequence[RuleChange], node: NodeRules, *, terse: bool = False, piece: int | None = None
) -> Iterator[Script]:
    """Scripts that make of the rules before the changes the rules after them; none if there is no difference.

    `piece` is as in `full`. Raises Conflict (see `own_chains`).
    """
    real = [change for change in changes if change.before != change.after]
    for batch in _batches(real, lambda change: _weight(change.before) + _weight(change.after), piece):
        sheet = RestoreInput()
        added: list[tuple[RuleChange, Dispatch]] = []
        for change in batch:
            before = _spelled(change.before, node, terse=terse)
            after = _spelled(change.after, node, terse=terse)
            for chain, lines in after.items():
                if before.get(chain) != lines:
                    sheet.chains("nat", (chain,))
                    sheet.shrink("nat", len(before.get(chain, ())))
                    sheet.rules("nat", lines, change.name)
            gone = [chain for chain in before if chain not in after]
            sheet.shrink("nat", sum(len(before[chain]) for chain in gone))
            sheet.delete("nat", gone, change.name)
            old = dict.fromkeys(dispatch(change.before, node) if change.before else ())
            new = dict.fromkeys(dispatch(change.after, node) if change.after else ())
            for row in old:
                if row not in new:
                    sheet.rules(row.table, (f"-D {row.chain} {row.body}",), change.name, grows=-1)
            added += [(change, row) for row in new if row not in old]
        _add(sheet, added, node)
        if (result := sheet.script()).text:
            yield result


def _spelled(port: ServicePortRules | None, node: NodeRules, *, terse: bool) -> Mapping[str, tuple[str, ...]]:
    return {} if port is None else own_chains(port, node, terse=terse)


def _add(sheet: RestoreInput, added: Sequence[tuple[RuleChange, Dispatch]], node: NodeRules) -> None:
    """Put rules into shared chains: cluster IPs first of all, the way to the node ports last of all."""
    between = any(row.table == "nat" and row.chain == SERVICES and not row.first for _, row in added)
    ends = tail(node) if between else ()
    sheet.rules("nat", (f"-D {SERVICES} {body}" for body in ends), grows=-1)
    for change, row in added:
        sheet.rules(row.table, (f"-I {row.chain} {row.body}" if row.first else str(row),), change.name)
    sheet.rules("nat", (f"-A {SERVICES} {body}" for body in ends))


def _shared(ports: _Ports, node: NodeRules, present: Found, *, random_fully: bool) -> RestoreInput:
    """All but the chains of service ports and what leads to them in nat."""
    sheet = RestoreInput()
    for table in TABLES:
        sheet.chains(table, (CANARY,))
    sheet.chains("filter", SHARED_CHAINS["filter"])
    sheet.chains("nat", (POSTROUTING, MARK_MASQUERADE))
    sheet.rules("filter", forwarding(node))
    sheet.rules("nat", (*masquerading(node, random_fully=random_fully), *marking(node)))
    if SHARED_FIREWALL not in present.chains.get("filter", ()):
        sheet.chains("filter", (SHARED_FIREWALL,))
    guard = martian_guard(node)
    if guard is not None and not present.guarded:
        sheet.rules("filter", (f"-A {SHARED_FIREWALL} {guard}",), grows=0)
    for jump in (*JUMPS, *SHARED_JUMPS):
        if jump not in present.jumps:
            sheet.jump(jump.table, f"-I {jump.chain} {jump.body}")
    for port, rows in ports:
        sheet.rules("filter", (str(row) for row in rows if row.table == "filter"), port.name)
    return sheet


def _own(sheet: RestoreInput, ports: _Ports, node: NodeRules, stale: set[str], *, terse: bool) -> None:
    for port, _ in ports:
        chains = own_chains(port, node, terse=terse)
        sheet.chains("nat", chains)
        sheet.rules("nat", (line for lines in chains.values() for line in lines), port.name)
        stale.difference_update(chains)


def _dispatching(sheet: RestoreInput, ports: _Ports, node: NodeRules) -> None:
    """nat KUBE-SERVICES and KUBE-NODEPORTS as they are to be."""
    sheet.chains("nat", (SERVICES, NODE_PORTS))
    _lead(sheet, ports, lambda row: row.first)
    _lead(sheet, ports, lambda row: not row.first)
    sheet.rules("nat", (f"-A {SERVICES} {body}" for body in tail(node)))


def _lead(sheet: RestoreInput, ports: _Ports, wanted: Callable[[Dispatch], bool]) -> None:
    """Rules of nat that lead to the chains of service ports."""
    for port, rows in ports:
        sheet.rules("nat", (str(row) for row in rows if row.table == "nat" and wanted(row)), port.name)


def _weight(port: ServicePortRules | None) -> int:
    """How many chains a service port has, about."""
    return 0 if port is None else 1 + len(port.cluster) + len(port.local)


def _batches(items: Iterable[_Item], weight: Callable[[_Item], int], limit: int | None) -> Iterator[list[_Item]]:
    """The items in their order, in batches that weigh no more than the limit, or hold a single item."""
    batch: list[_Item] = []
    room = limit or 0
    for item in items:
        if batch and limit is not None and weight(item) > room:
            yield batch
            batch, room = [], limit
        batch.append(item)
        room -= weight(item)
    if batch:
        yield batch


def _in_order(stale: Iterable[str]) -> list[str]:
    """Chains such that none leads to an earlier one, so that they can be deleted one after the other."""
    ordered = sorted(stale)
    return [chain for prefix in FAMILIES for chain in ordered if chain.startswith(prefix)]
