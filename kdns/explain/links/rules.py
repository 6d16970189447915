"""rules: what the proxy's policy asks for, against what the kernel does (E30 to E38, E41)."""

from collections.abc import Iterator, Sequence

from kdns.base.objects import ObjectKey, address_text
from kdns.explain.case import Case
from kdns.explain.compared import Compared, Comparison
from kdns.explain.model import Finding, Link, State
from kdns.explain.objects import Body, field, item, key_of
from kdns.explain.packets import Sent, packets
from kdns.explain.rule_findings import judged, no_rules, writers_found
from kdns.explain.sysctls import sysctl_findings
from kdns.proxy.model import LOOPBACK

PROXY_NAME = "service.kubernetes.io/service-proxy-name"


def check(case: Case) -> list[Finding]:
    """What becomes of the packets of the question on each node that decides."""
    service = case.service
    target = case.question.target
    if service is None or target.protocol == "ICMP" or field(service, "spec.clusterIP", "") == "None":
        return []
    if field(service, "spec.type", "") == "ExternalName":
        return []
    key = key_of(service)
    elsewhere = list(_elsewhere(case, service))
    comparison = Comparison(case, ObjectKey("Service", key.namespace, key.name))
    if elsewhere or not comparison.proxied:
        return elsewhere
    compared = [comparison.compare(sent) for sent in packets(case, service, case.question.client)]
    if not any(port.get("protocol", "TCP") == target.protocol for port in case.service_ports):
        return [Finding(Link.RULES, State.UNCHECKED, "the Service has no such port, so there are no rules for it")]
    findings = [*_asked(case, service, compared), *_there(case, compared, comparison)]
    return findings or [Finding(Link.RULES, State.UNCHECKED, "no packet of the question is known", needs=_needs(case))]


def _needs(case: Case) -> str:
    return "the client's node and address: name a Pod with --from, or a node with --from-node"


def _elsewhere(case: Case, service: Body) -> Iterator[Finding]:
    """A Service that another proxy is to serve, and that proxy."""
    named = field(service, "metadata.labels", {}).get(PROXY_NAME)
    if named is None:
        return
    proxies = [body for kind in ("DaemonSet", "Deployment") for body in case.objects.all(kind) if named in str(body)]
    if proxies:
        says = f"the Service belongs to the proxy {named!r}, whose rules are not read here"
        yield Finding(Link.RULES, State.UNCHECKED, says, needs=f"how {named} serves it")
        return
    says = f"the Service is left to a proxy called {named!r}, and no DaemonSet or Deployment here is that"
    shown = item(service, f'metadata.labels["{PROXY_NAME}"]', named)
    key = key_of(service)
    command = f"kubectl -n {key.namespace} label service {key.name} {PROXY_NAME}-"
    yield Finding(Link.RULES, State.FAULT, says, "E41", (shown,), command)


def _asked(case: Case, service: Body, compared: Sequence[Compared]) -> Iterator[Finding]:
    """Where the objects themselves ask for silence: E35, E36, E38."""
    for code, says, path, hit in _policies(case, service, compared):
        others = [
            one for one in compared if one.sent.destination == hit.sent.destination and one.sent.port == hit.sent.port
        ]
        everywhere = all(one.wanted.verdict == hit.wanted.verdict for one in others)
        state = State.FAULT if everywhere else State.WARNING
        key = key_of(service)
        command = f"kubectl -n {key.namespace} get service {key.name} -o yaml"
        yield Finding(Link.RULES, state, says, code, (item(service, path),), command)
        return


def _policies(case: Case, service: Body, compared: Sequence[Compared]) -> Iterator[tuple[str, str, str, Compared]]:
    for one in compared:
        sent, wanted = one.sent, one.wanted
        where = f"{address_text(sent.destination)}:{sent.port}"
        if wanted.verdict == "drop" and wanted.why.startswith("traffic policy") and sent.node:
            inside = address_text(sent.destination) in field(
                service, "spec.clusterIPs", [field(service, "spec.clusterIP", "")]
            )
            path = "spec.internalTrafficPolicy" if inside else "spec.externalTrafficPolicy"
            says = f"node {sent.node} drops it: the traffic policy is Local, and no endpoint is on that node"
            yield "E35", says, path, one
        elif wanted.verdict == "drop" and wanted.why.startswith("the source is in none") and not sent.example:
            ranges = ", ".join(field(service, "spec.loadBalancerSourceRanges", []))
            says = f"{address_text(sent.source)} is in none of loadBalancerSourceRanges ({ranges}), so it is dropped"
            yield "E36", says, "spec.loadBalancerSourceRanges", one
        elif wanted.verdict == "untouched" and _is_node_port(case, service, sent):
            loopback = sent.destination in LOOPBACK[sent.family]
            settings = "mode " + one.mode if loopback else "nodePortAddresses"
            says = f"{where}: this address takes no node ports ({settings} of the proxy)"
            yield "E38", says, "spec.ports", one


def _is_node_port(case: Case, service: Body, sent: Sent) -> bool:
    """A node's address, and one of the Service's node ports."""
    ports = {(port.get("nodePort"), port.get("protocol", "TCP")) for port in field(service, "spec.ports", [])}
    if (sent.port, sent.protocol) not in ports or not sent.node:
        return False
    known = case.cluster.node(sent.node)
    own = sent.destination in (known.addresses if known else ()) or sent.destination in LOOPBACK[sent.family]
    listed = any(one.address == sent.destination for one in case.kernel(sent.node).addresses)
    return own or listed


def _there(case: Case, compared: Sequence[Compared], comparison: Comparison) -> Iterator[Finding]:
    """What the kernels do."""
    by_node: dict[str, list[Compared]] = {}
    for one in compared:
        by_node.setdefault(one.sent.node, []).append(one)
    for node, rows in by_node.items():
        kernel = comparison.kernel(node)
        different = any(row.differences for row in rows)
        yield from writers_found(Link.RULES, node, kernel, different)
        absent = no_rules(case, Link.RULES, node, kernel, rows)
        if absent:
            yield from absent
            continue
        yield from judged(case, Link.RULES, node, kernel, rows)
        yield from sysctl_findings(case, Link.RULES, node, kernel, rows)
