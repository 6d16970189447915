"""Answers that do not fit into a datagram, and the way over TCP that they need (E13). Pure."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from kdns.explain.model import Finding, Item, Link, State
from kdns.explain.objects import Body, item, key_of, maps
from kdns.explain.rows import slices_of
from kdns.wire.query import UDP_LIMIT
from kdns.wire.types import type_number

if TYPE_CHECKING:
    from kdns.explain.case import Case


def findings(case: "Case", service: Body) -> Iterator[Finding]:
    """A fault where the answer needs TCP; a warning where only others would."""
    missing = _missing(case, service)
    if missing is None:
        return
    why, evidence = missing
    size = max((_size(case, rtype) for rtype in case.rtypes), default=0)
    if size > UDP_LIMIT:
        says = f"the answer has {size} octets, more than the {UDP_LIMIT} of a datagram, and {why}"
        yield Finding(Link.DNS_PATH, State.FAULT, says, "E13", evidence, _command(service))
    else:
        says = f"{why}: answers of more than {UDP_LIMIT} octets do not arrive"
        yield Finding(Link.DNS_PATH, State.WARNING, says, "E13", evidence, _command(service))


def _size(case: "Case", rtype: str) -> int:
    """Octets of the whole answer; 0 if it is not known."""
    whole = case.meaning.whole(case.domain) if case.service is not None else ""
    if not whole or not case.dns.corefile.blocks:
        return 0
    return case.dns.ask(whole, type_number(rtype) or 1, client=case.client_address).size


def _missing(case: "Case", service: Body) -> tuple[str, tuple[Item, ...]] | None:
    """Why TCP does not get through; None if nothing says so."""
    key = key_of(service)
    tcp = [
        port
        for port in maps(service, "spec.ports")
        if port.get("port") == 53 and (port.get("protocol") or "TCP") == "TCP"
    ]
    if not tcp:
        return f"Service {key.namespace}/{key.name} has no port 53/TCP", (item(service, "spec.ports"),)
    names = {port.get("name") or "" for port in tcp}
    slices = slices_of(case.objects, service)
    if slices and not any((port.get("name") or "") in names for body in slices for port in maps(body, "ports")):
        return "its EndpointSlices have no port for 53/TCP", tuple(item(body, "ports") for body in slices[:2])
    udp = {probe.address for probe in case.evidence.probes if probe.kind == "dns-udp" and probe.outcome == "ok"}
    for probe in case.evidence.probes:
        if probe.kind == "dns-tcp" and probe.outcome in {"timeout", "refused"} and probe.address in udp:
            shown = Item(text=f"probe {probe.kind} {probe.address}:{probe.port}: {probe.outcome}")
            return f"TCP to {probe.address}:{probe.port} does not get through ({probe.outcome}), UDP does", (shown,)
    return None


def _command(service: Body) -> str:
    key = key_of(service)
    return f"kubectl -n {key.namespace} get service {key.name} -o yaml"
