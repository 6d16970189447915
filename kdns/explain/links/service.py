"""service: type, port, protocol, families (E21, E22, E23, E28, E42, E43)."""

from collections.abc import Iterator
from typing import Final

from kdns.explain.case import Case
from kdns.explain.dns_service import cluster_ips
from kdns.explain.model import Finding, Item, Link, State
from kdns.explain.objects import Body, field, item, key_of, maps
from kdns.explain.rows import container_ports, picked, rows_of, target_port
from kdns.explain.service_range import in_service_range, service_cidrs
from kdns.explain.target import find_node, find_pod, pod_addresses
from kdns.watch.manifests.defaults import is_live

FAMILY: Final = {"A": "IPv4", "AAAA": "IPv6"}


def check(case: Case) -> list[Finding]:
    """What the Service itself says about what was asked for."""
    if Link.SERVICE not in case.way:
        return []
    service = case.service
    if service is None:
        return [_no_service(case)] if case.question.target.address else []
    if field(service, "spec.type") == "ExternalName":
        return [_ok(service, f"{_title(service)} is an ExternalName: {field(service, 'spec.externalName', '')}")]
    findings = [*_ping(case, service), *_port(case, service), *_family(case, service), *_address(case, service)]
    findings += _from_outside(case, service)
    return findings or [_ok(service, f"{_title(service)} has {_asked(case, service)}")]


def _asked(case: Case, service: Body) -> str:
    ports = maps(service, "spec.ports")
    if case.question.target.port is None or not case.service_ports:
        return f"the ports {_listed(ports)}" if ports else "no ports"
    port = case.service_ports[0]
    to = port.get("targetPort", port.get("port"))
    return f"port {port.get('port')}/{port.get('protocol', 'TCP')}, target port {to}"


def _title(service: Body) -> str:
    key = key_of(service)
    return f"Service {key.namespace}/{key.name}"


def _listed(ports: list[Body]) -> str:
    return ", ".join(
        f"{port.get('port')}/{port.get('protocol', 'TCP')}" + (f" ({port['name']})" if port.get("name") else "")
        for port in ports
    )


def _ok(service: Body, says: str) -> Finding:
    return Finding(Link.SERVICE, State.OK, says, evidence=(item(service, "spec.type"), item(service, "spec.ports")))


def _finding(service: Body, code: str, says: str, evidence: tuple[Item, ...], state: State = State.FAULT) -> Finding:
    key = key_of(service)
    command = f"kubectl -n {key.namespace} get service {key.name} -o yaml"
    return Finding(Link.SERVICE, state, says, code, evidence, command)


def _no_service(case: Case) -> Finding:
    """An address that is no Service's."""
    target, objects = case.question.target, case.objects
    if pod := find_pod(target.address, objects, host=False):
        key = key_of(pod)
        says = f"{target.address} is the address of Pod {key.namespace}/{key.name}: no Service"
        return Finding(Link.SERVICE, State.OK, says, evidence=(item(pod, "status.podIP"),))
    if not objects.dumped("Service"):
        return Finding(
            Link.SERVICE, State.UNCHECKED, "no Service is in the evidence", needs="kubectl get services -A -o yaml"
        )
    if node := find_node(target.address, objects):
        if holder := _holder(case, key_of(node).name):
            key = key_of(holder)
            says = f"{target.address}:{target.port} is a port of Pod {key.namespace}/{key.name} on its node: no Service"
            shown = (item(holder, "spec.containers[0].ports"), item(holder, "spec.nodeName"))
            return Finding(Link.SERVICE, State.OK, says, evidence=shown)
        port = f"node port {target.port}" if target.port else "node port that was asked for"
        taken = ", ".join(
            f"{entry['nodePort']} ({key_of(body).namespace}/{key_of(body).name})"
            for body in objects.all("Service") for entry in maps(body, "spec.ports") if entry.get("nodePort")
        )  # fmt: skip
        says = (
            f"{target.address} is node {key_of(node).name}, and no Service has the {port}; there are {taken or 'none'}"
        )
        return Finding(
            Link.SERVICE, State.FAULT, says, "E21", (item(node, "status.addresses"),), "kubectl get services -A"
        )
    says = f"no Service, Pod or node has the address {target.address}"
    return Finding(Link.SERVICE, State.FAULT, says, "E42", (), "kubectl get services -A")


def _holder(case: Case, node: str) -> Body | None:
    """The Pod that has the port that was asked for as a hostPort, or in the network of its node."""
    target = case.question.target
    for pod in case.objects.all("Pod"):
        host = "containerPort" if field(pod, "spec.hostNetwork") is True else "hostPort"
        if field(pod, "spec.nodeName", "") == node and any(
            entry.get(host) == target.port and entry.get("protocol", "TCP") == target.protocol
            for entry in container_ports(pod)
        ):
            return pod
    return None


def _ping(case: Case, service: Body) -> Iterator[Finding]:
    """E43: cluster IPs are rules for ports, not addresses of a host."""
    target, addresses = case.question.target, cluster_ips(service)
    if case.headless or not addresses:
        return
    inside = target.name or target.address in addresses
    shown = (item(service, "spec.clusterIP"),)
    if target.protocol == "ICMP" and inside and not _answers_ping(case):
        says = (
            f"cluster IPs such as {addresses[0]} do not answer ping: they exist only as rules for the Service's ports"
        )
        yield _finding(service, "E43", says, shown)
    elif target.protocol != "ICMP" and target.address in addresses and target.port is None:
        ports = _listed(maps(service, "spec.ports"))
        says = f"{target.address} is a cluster IP: it answers on the ports {ports} and nowhere else, not to ping"
        yield _finding(service, "E43", says, (*shown, item(service, "spec.ports")))


def _answers_ping(case: Case) -> bool:
    """In mode ipvs cluster IPs are addresses of a dummy interface, which answers."""
    return not case.proxy_problem and str(case.proxy_settings.mode) == "ipvs"


def _port(case: Case, service: Body) -> Iterator[Finding]:
    """E21, E23; and for a headless Service E22, since its ports are not translated."""
    target, ports = case.question.target, maps(service, "spec.ports")
    if target.port is None or target.protocol == "ICMP":
        return
    if case.headless:
        yield from _headless_port(case, service)
        return
    asked = case.service_ports
    if not asked:
        says = f"{_title(service)} has no port {target.port}: it has {_listed(ports) or 'none'}"
        yield _finding(service, "E21", says + _hint(case, ports), (item(service, "spec.ports"),))
        return
    if not any(port.get("protocol", "TCP") == target.protocol for port in asked):
        protocol, number = asked[0].get("protocol", "TCP"), ports.index(asked[0])
        says = f"port {target.port} of {_title(service)} is {protocol}, and it was asked by {target.protocol}"
        yield _finding(service, "E23", says, (item(service, f"spec.ports[{number}].protocol", protocol),))
        return
    yield from _ambiguous(service, asked[0])
    yield from _other_protocol(case, service, asked[0])


def _ambiguous(service: Body, port: Body) -> Iterator[Finding]:
    """E21: slices have ports by name, so two of one name, or one without among several, cannot be distinguished."""
    ports = maps(service, "spec.ports")
    same = [number for number, other in enumerate(ports) if (other.get("name") or "") == (port.get("name") or "")]
    if len(same) > 1:
        called = f"are called {port['name']}" if port.get("name") else "have no name"
        why = "the API server refuses that, since slices have ports by name"
        says = f"{len(same)} ports of {_title(service)} {called}: {why}"
        yield _finding(service, "E21", says, tuple(item(service, f"spec.ports[{number}]") for number in same))


def _from_outside(case: Case, service: Body) -> Iterator[Finding]:
    """E42: a client outside that asks by name needs an address that leads in."""
    target, kind = case.question.target, field(service, "spec.type", "ClusterIP")
    ways = [*field(service, "spec.externalIPs", []), *maps(service, "status.loadBalancer.ingress")]
    if case.question.client.kind != "outside" or target.address or ways or case.headless:
        return
    key = key_of(service)
    if kind == "LoadBalancer" and is_live(service):
        says = f"{_title(service)} has no address for clients outside: its load balancer has given it none (pending)"
        shown = (item(service, "spec.type"), item(service, "status.loadBalancer", {}))
        command = f"kubectl -n {key.namespace} describe service {key.name}"
        yield Finding(Link.SERVICE, State.FAULT, says, "E42", shown, command)
    elif kind == "ClusterIP":
        says = (
            f"{_title(service)} is of type ClusterIP and has no externalIPs: nothing outside of the cluster reaches it"
        )
        yield _finding(service, "E42", says, (item(service, "spec.type", kind),), State.WARNING)


def _other_protocol(case: Case, service: Body, port: Body) -> Iterator[Finding]:
    """E23 where the protocol was not typed: the Service's port is not TCP, and its Pods declare TCP there."""
    protocol = port.get("protocol", "TCP")
    if case.question.target.protocol_given or protocol == "TCP":
        return
    for pod in picked(case.objects, service):
        declared = {
            str(entry.get("protocol") or "TCP") for entry in container_ports(pod)
            if port.get("targetPort", port.get("port")) in (entry.get("containerPort"), entry.get("name"))
        }  # fmt: skip
        if declared and protocol not in declared:
            path = f"spec.ports[{maps(service, 'spec.ports').index(port)}].protocol"
            listen = ", ".join(sorted(declared))
            says = f"port {port.get('port')} of {_title(service)} is {protocol}, and its Pods listen by {listen}"
            yield _finding(service, "E23", says, (item(service, path, protocol), item(pod, "spec.containers[0].ports")))
            return


def _hint(case: Case, ports: list[Body]) -> str:
    target = case.question.target
    for port in ports:
        if target.port == port.get("targetPort"):
            return f"; {target.port} is the target port of {port.get('port')}"
        if target.port == port.get("nodePort"):
            return f"; {target.port} is the node port of {port.get('port')}"
        if target.address and case.meaning.kind == "address" and target.port == port.get("port"):
            return f"; at a node's address it is {port.get('nodePort')}"
    return ""


def _headless_port(case: Case, service: Body) -> Iterator[Finding]:
    """Clients connect to the Pods themselves: the number must be the one that the containers listen on."""
    target, ports = case.question.target, maps(service, "spec.ports")
    pods = picked(case.objects, service)
    asked = case.service_ports
    numbers = {number for port in asked for pod in pods if (number := target_port(port, pod)) is not None}
    declared = {entry.get("containerPort") for pod in pods for entry in container_ports(pod)}
    targets = {port.get("targetPort", port.get("port")) for port in ports}
    shown = (item(service, "spec.clusterIP"), item(service, "spec.ports"))
    if not asked and target.port not in declared | targets and ports:
        says = f"{_title(service)} has no port {target.port}: it has {_listed(ports)}"
        yield _finding(service, "E21", says, shown)
    elif asked and not any(port.get("protocol", "TCP") == target.protocol for port in asked):
        protocol = asked[0].get("protocol", "TCP")
        says = f"port {target.port} of {_title(service)} is {protocol}, and it was asked by {target.protocol}"
        yield _finding(service, "E23", says, shown)
    elif isinstance(target.port, int) and numbers and target.port not in numbers:
        says = (
            f"{_title(service)} is headless: clients connect to its Pods at port {target.port} itself, "
            f"and the target port is {min(numbers)}"
        )
        yield _finding(service, "E22", says, shown, State.WARNING if target.port in declared else State.FAULT)


def _family(case: Case, service: Body) -> Iterator[Finding]:
    """E28: the family that the client needs."""
    families = field(service, "spec.ipFamilies", []) or sorted(
        {"IPv6" if ":" in address else "IPv4" for address in cluster_ips(service)}
    )
    wanted = _wanted_family(case)
    shown = (item(service, "spec.ipFamilies"), item(service, "spec.ipFamilyPolicy"))
    if wanted and families and wanted not in families:
        says = f"{_title(service)} has only {' and '.join(families)}, and {wanted} was asked for"
        yield _finding(service, "E28", says, shown)
        return
    if len(families) == 1 and field(service, "spec.ipFamilyPolicy", "") == "RequireDualStack" and cluster_ips(service):
        yield _finding(
            service, "E28", f"{_title(service)} asks for two families and has {families[0]} only", shown, State.WARNING
        )
    addresses = {family: _addresses(case, service, family) for family in families}
    bare = [family for family in families if not addresses[family] and any(addresses.values())]
    for family in bare:
        says = (
            f"none of the Pods of {_title(service)} has an {family} address: nothing answers at its {family} cluster IP"
        )
        yield _finding(service, "E28", says, shown, State.FAULT if family == wanted else State.WARNING)


def _wanted_family(case: Case) -> str:
    """The family that the question needs; empty: either will do."""
    target, pod = case.question.target, case.client.pod
    if target.address:
        return "IPv6" if ":" in target.address else "IPv4"
    if target.rtype in FAMILY:
        return FAMILY[target.rtype]
    own = {"IPv6" if ":" in address else "IPv4" for address in pod_addresses(pod)} if pod else set()
    return own.pop() if len(own) == 1 else ""


def _addresses(case: Case, service: Body, family: str) -> list[str]:
    """Addresses of endpoints of a family, by Pods and slices."""
    pods = [address for pod in picked(case.objects, service) for address in pod_addresses(pod)]
    rows = [address for row in rows_of(case.objects, service) for address in row.addresses]
    return [address for address in (*pods, *rows) if (":" in address) == (family == "IPv6")]


def _address(case: Case, service: Body) -> Iterator[Finding]:
    """E42: another Service has the address, or it is outside of the Service range."""
    own = cluster_ips(service)
    for body in case.objects.all("Service"):
        if body is not service and key_of(body) != key_of(service) and (same := set(own) & set(cluster_ips(body))):
            says = f"{_title(service)} and {_title(body)} both have the cluster IP {min(same)}"
            yield _finding(service, "E42", says, (item(service, "spec.clusterIP"), item(body, "spec.clusterIP")))
    if service_cidrs(case.objects):
        for address in own:
            if not in_service_range(address, case.objects):
                shown: tuple[Item, ...] = (item(service, "spec.clusterIP"),)
                shown += tuple(item(body, "spec.cidrs") for body in case.objects.all("ServiceCIDR"))
                says = f"the cluster IP {address} is outside of the Service range"
                yield _finding(service, "E42", says, shown, State.WARNING)
    if not own and not case.headless:
        yield _finding(service, "E42", f"{_title(service)} has no cluster IP", (item(service, "spec.clusterIP"),))
