"""One Service, from its name to its endpoints, and what is wrong on the way.

Names are those that the server answers with, rules those of the proxy's own policy: neither is decided again here.
Without a proxy in this process the rules are those that one would write, seen from a node that has a ready endpoint.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, Literal

from msgspec import Struct

from kdns.base.objects import READY, Service, ServiceView
from kdns.proxy.endpoints import endpoints
from kdns.proxy.model import Backend, Endpoint, Entry, Family, NodeRules, ServicePortRules
from kdns.proxy.model import Path as RulePath
from kdns.proxy.rules import Policy, ServiceRules, service_rules
from kdns.records.present import rdata_text
from kdns.records.reasons import Missing
from kdns.records.rrset import Result
from kdns.status.parts import Parts
from kdns.status.services import fault_of, type_of
from kdns.wire.name import name_text, parse_name
from kdns.wire.numbers import AAAA, A
from kdns.wire.types import type_text

LISTED: Final = 100
"""Records, and endpoints of a port, that a page lists; it says how many there are."""

Stage = Literal["name", "record", "frontend", "rule", "endpoints"]
STAGES: Final[Mapping[str, Stage]] = {
    "client": "name", "search": "name", "dns-path": "name", "dns-server": "name", "name": "record",
    "service": "frontend", "rules": "rule", "flow": "rule", "policy": "rule", "endpoints": "endpoints",
    "pod": "endpoints",
}  # fmt: skip
"""Where on the path each link of `kdns explain` is."""


class Fault(Struct, frozen=True):
    """Something wrong on the path."""

    stage: Stage
    says: str
    code: str = ""
    """As `kdns explain` has it; empty where that has none."""


class Record(Struct, frozen=True):
    """What is answered for the Service's name."""

    type: str
    data: str
    ttl: int
    source: str
    """The object that it came from."""


class PathEndpoint(Struct, frozen=True):
    """An endpoint of one port."""

    address: str
    """With the port."""
    node: str
    """Empty if it is not known."""
    state: str
    """``ready``, ``not ready``, ``terminating, serving``, or ``terminating``."""
    used: bool
    """Some rule leads to it."""


class PathFrontend(Struct, frozen=True):
    """Where traffic arrives, and what becomes of it."""

    kind: str
    address: str
    """With the port; of a node port ``:30080``."""
    rules: tuple[str, ...]
    """A sentence for each path, the first one that fits decides."""
    verdict: str
    """Of the path for any source: cluster, local, reject or drop."""
    backends: tuple[str, ...]
    """The endpoints that traffic goes to."""


class PathPort(Struct, frozen=True):
    """One port of the Service in one family."""

    name: str
    port: int
    protocol: str
    family: str
    frontends: tuple[PathFrontend, ...]
    endpoints: tuple[PathEndpoint, ...]
    total: int
    """Endpoints there are; the list may be shorter."""


class ServicePath(Struct, frozen=True):
    """All of it."""

    namespace: str
    name: str
    type: str
    owner: str
    """Its whole name; empty if this process answers no names."""
    records: tuple[Record, ...]
    record_total: int
    ports: tuple[PathPort, ...]
    seen_from: str
    """Whose rules these are, in words."""
    states_known: bool
    """False: only ready endpoints are kept, without their nodes."""
    left_out: tuple[str, ...]
    faults: tuple[Fault, ...]
    explained: Mapping[str, Any] | None = None
    """The report of `kdns explain`, if it was asked for."""


def service_path(
    parts: Parts, namespace: str, name: str, explained: Mapping[str, Any] | None = None
) -> ServicePath | None:
    """The path of a Service; None if it does not exist."""
    view = parts.view(namespace, name)
    if view is None or view.service is None:
        return None
    service = view.service
    owner, records, faults = _names(parts, service)
    rules, seen_from, left_out = _rules(parts, view)
    ports = tuple(_ports(view, rules))
    faults += _faults(view, ports)
    if explained is not None:
        theirs = list(_explained(explained))
        faults = [*theirs, *(fault for fault in faults if fault.stage not in {known.stage for known in theirs})]
    return ServicePath(
        namespace, name, type_of(service), owner, tuple(records[:LISTED]), len(records), ports, seen_from,
        all(part.states is not None for part in view.slices), left_out, tuple(faults), explained,
    )  # fmt: skip


def _names(parts: Parts, service: Service) -> tuple[str, list[Record], list[Fault]]:
    """What is answered for the Service's name, and why nothing is."""
    answers = parts.answers()
    if answers is None:
        return "", [], []
    owner = parse_name(f"{service.key.name}.{service.key.namespace}.svc.{name_text(answers.schema.zones[0])}")
    records: list[Record] = []
    missing: list[Missing] = []
    for rtype in (A, AAAA):
        result = answers.lookup(owner, rtype)
        if isinstance(result, Result):
            for rrset in result.answer:
                records += (
                    Record(type_text(rrset.rtype), rdata_text(rrset.rtype, rdata), rrset.ttl, str(source or ""))
                    for rdata, source in rrset.each()
                )
        lacking = result if isinstance(result, Missing) else result.missing
        if lacking is not None:
            missing.append(lacking)
    records = list(dict.fromkeys(records))  # a CNAME is in the answer to both
    faults = [] if records else [Fault("record", str(missing[0]), missing[0].reason.code)]
    return name_text(owner), records, faults


def _rules(parts: Parts, view: ServiceView) -> tuple[dict[Family, ServiceRules], str, tuple[str, ...]]:
    """The rules of each family, whose they are, and what is left out."""
    service = view.service
    assert service is not None  # see `service_path`
    if parts.proxy is not None and parts.proxy.families:
        rules = {
            of_family.family: of_family.proxier.services.get(service.key, ServiceRules(()))
            for of_family in parts.proxy.families
        }
        left_out = [
            thing.message for of_family in parts.proxy.families for thing in of_family.proxier.left_out(service.key)
        ]
        return rules, f"the rules of this node, {parts.proxy.node_name}", tuple(dict.fromkeys(left_out))
    node = _a_node(view)
    rules = {
        family: service_rules(view, Policy(NodeRules(family), node_name=node)) for family in (Family.IPV4, Family.IPV6)
    }
    seen_from = "the rules that a proxy would write" + (f" on {node}" if node else "")
    if parts.scrape is not None:
        seen_from += "; what the kernel of any node has otherwise is red"
    left_out = [thing.message for of_family in rules.values() for thing in of_family.left_out]
    return rules, seen_from, tuple(dict.fromkeys(left_out))


def _a_node(view: ServiceView) -> str:
    """The first node with a ready endpoint; empty if none is known."""
    for part in view.slices:
        if part.states is not None and part.states.nodes:
            for state, node in zip(part.states.conditions, part.states.nodes, strict=True):
                if state & READY and node:
                    return node
    return ""


def _ports(view: ServiceView, rules: Mapping[Family, ServiceRules]) -> Iterator[PathPort]:
    service = view.service
    assert service is not None  # see `service_path`
    if service.external_name is not None:
        return
    nodes = dict(_nodes(view))
    for family in Family:
        by_port = (
            {(port.name.port, str(port.name.protocol)): port for port in rules[family].ports} if family in rules else {}
        )
        targets = _endpoints(view, family)
        widths = {len(address) for address in service.cluster_ips}
        if family.width not in widths and not (service.headless and any(targets.values())):
            continue
        for port in service.ports or ():
            written = by_port.get((port.name, port.protocol))
            yield _port(
                port.name, port.port, port.protocol, family, written, targets.get((port.name, port.protocol), ()), nodes
            )
        if not service.ports:
            yield _port("", 0, "", family, None, next(iter(targets.values()), ()), nodes)


def _port(
    name: str, number: int, protocol: str, family: Family, written: ServicePortRules | None,
    targets: Sequence[Endpoint], nodes: Mapping[bytes, str],
) -> PathPort:  # fmt: skip
    used = set(written.reachable) if written is not None else set()
    shown = tuple(
        PathEndpoint(str(target.backend), nodes.get(target.backend.address, ""), _state(target),
                     target.backend in used or (written is None and target.ready))
        for target in sorted(targets, key=lambda target: (not target.ready, not target.serving))[:LISTED]
    )  # fmt: skip
    frontends = tuple(_frontend(entry, written) for entry in written.entries) if written is not None else ()
    return PathPort(name, number, protocol, family.value, frontends, shown, len(targets))


def _endpoints(view: ServiceView, family: Family) -> Mapping[tuple[str, str], Sequence[Endpoint]]:
    """The endpoints by port; where only ready ones are kept, those."""
    if any(part.states is not None for part in view.slices):
        return endpoints(view.slices, family, "").by_port
    by_port: dict[tuple[str, str], dict[Backend, Endpoint]] = {}
    for part in view.slices:
        if part.width == family.width:
            for port in part.ports:
                kept = by_port.setdefault((port.name, port.protocol), {})
                for row in range(part.rows):
                    backend = Backend(part.address(row), port.port)
                    kept[backend] = Endpoint(backend, False, True, True, False)
    return {key: tuple(kept.values()) for key, kept in by_port.items()}


def _nodes(view: ServiceView) -> Iterator[tuple[bytes, str]]:
    """The node of each address."""
    for part in view.slices:
        if part.states is not None and part.states.nodes:
            for row, node in enumerate(part.states.nodes):
                yield part.states.addresses[row * part.width : (row + 1) * part.width], node


def _state(endpoint: Endpoint) -> str:
    if endpoint.terminating:
        return "terminating, serving" if endpoint.serving else "terminating"
    return "ready" if endpoint.ready else "not ready"


def _frontend(entry: Entry, rules: ServicePortRules) -> PathFrontend:
    frontend, last = entry.frontend, entry.paths[-1]
    address = str(Backend(frontend.address, frontend.port)) if frontend.address else f":{frontend.port}"
    backends = rules.cluster if last.verdict == "cluster" else rules.local if last.verdict == "local" else ()
    sentences = [_sentence(path, rules, alone=len(entry.paths) == 1) for path in entry.paths]
    if entry.sources is not None:
        ranges = ", ".join(map(str, entry.sources)) or "none"
        sentences.insert(0, f"only from {ranges}; others are dropped")
    return PathFrontend(frontend.way, address, tuple(sentences), last.verdict, tuple(map(str, backends[:LISTED])))


def _sentence(path: RulePath, rules: ServicePortRules, *, alone: bool) -> str:
    """What becomes of a packet, in words."""
    who = "" if alone else {"any": "others: ", "pod": "from Pods: ", "host": "from the node: "}[path.source]
    match path.verdict:
        case "reject":
            return f"{who}refuse: no endpoint"
        case "drop":
            return f"{who}drop: no endpoint on this node"
    count = len(rules.cluster if path.verdict == "cluster" else rules.local)
    where = "on this node" if path.verdict == "local" else "of the cluster"
    target = f"to the 1 endpoint {where}" if count == 1 else f"to one of {count} endpoints {where}"
    return f"{who}{target}{_MASQUERADED[path.masquerade]}"


_MASQUERADED: Final = {"never": "", "not pod": ", masqueraded unless from a Pod", "always": ", masqueraded"}


def _faults(view: ServiceView, ports: Sequence[PathPort]) -> Iterator[Fault]:
    """What is wrong with endpoints and rules, as far as this process sees it."""
    if says := fault_of(view):
        others = sum(len(part.states.conditions) for part in view.slices if part.states is not None)
        known = f"; {others} {'is' if others == 1 else 'are'} there, and not ready" if others else ""
        yield Fault("endpoints", f"{says}{known}", "E25" if others else "")
    for port in ports:
        for frontend in port.frontends:
            where = f"{frontend.kind} {frontend.address}/{port.protocol}"
            if frontend.verdict == "reject":
                yield Fault("rule", f"{where}: refused, as there is no endpoint to send it to")
            elif frontend.verdict == "drop":
                yield Fault("rule", f"{where}: dropped, as its traffic policy is Local and no endpoint is here", "E35")


def _explained(report: Mapping[str, Any]) -> Iterator[Fault]:
    """The faults that `kdns explain` found."""
    for link in report["links"]:
        if link["state"] == "fault":
            yield Fault(STAGES[link["link"]], link["says"], link["code"] or "")
