"""service: type, port, protocol, families (E21, E23, E43)."""

from kdns.explain.case import Case
from kdns.explain.model import Finding, Link, State
from kdns.explain.objects import Body, field, item, key_of


def check(case: Case) -> list[Finding]:
    """What the Service itself says about the port that was asked for."""
    service = case.service
    if service is None:
        return []
    target, ports = case.question.target, field(service, "spec.ports", [])
    if target.protocol == "ICMP":
        return [_finding(service, "E43", "cluster IPs do not answer ping: they exist as rules for the Service's ports")]
    if target.port is None:
        return [_ok(service, f"{_title(service)} has the ports {_listed(ports) or '(none)'}")]
    named = [port for port in ports if target.port in (port.get("port"), port.get("name"), port.get("nodePort"))]
    if not named:
        says = f"{_title(service)} has no port {target.port}; it has {_listed(ports) or 'none at all'}"
        return [_finding(service, "E21", says, "spec.ports")]
    if not any(port.get("protocol", "TCP") == target.protocol for port in named):
        protocol = named[0].get("protocol", "TCP")
        says = f"port {target.port} of {_title(service)} is {protocol}, and it was asked by {target.protocol}"
        return [_finding(service, "E23", says, f"spec.ports[{ports.index(named[0])}].protocol")]
    return [_ok(service, f"{_title(service)} has port {target.port}/{target.protocol}")]


def _title(service: Body) -> str:
    key = key_of(service)
    return f"Service {key.namespace}/{key.name}"


def _listed(ports: list[Body]) -> str:
    texts = [f"{port.get('port')}/{port.get('protocol', 'TCP')}" for port in ports]
    return ", ".join(texts)


def _ok(service: Body, says: str) -> Finding:
    return Finding(Link.SERVICE, State.OK, says, evidence=(item(service),))


def _finding(service: Body, code: str, says: str, path: str = "") -> Finding:
    key = key_of(service)
    command = f"kubectl -n {key.namespace} get service {key.name} -o yaml"
    return Finding(Link.SERVICE, State.FAULT, says, code, (item(service, path),), command)
