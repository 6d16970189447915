"""client: the Pod, its dnsPolicy and dnsConfig, and the resolv.conf that follows from them (E04, E05, E06)."""

from collections.abc import Iterator

from kdns.config.resolv_conf import Resolver
from kdns.explain.case import Case
from kdns.explain.client import is_node_local
from kdns.explain.dns_service import cluster_ips
from kdns.explain.model import Finding, Item, Link, State
from kdns.explain.objects import field, item, key_of
from kdns.explain.service_range import in_service_range
from kdns.explain.stub import names_asked, ndots_of
from kdns.explain.target import pod_addresses


def check(case: Case) -> list[Finding]:
    """Whether the client asks the cluster's DNS, and with the search list that the name needs."""
    side, who = case.client, case.question.client
    if who.kind == "outside":
        return []
    if not case.question.target.name:
        return [_plain(case)]
    if side.resolver is None:
        if side.policy == "Default" and case.meaning.kind != "outside":
            return [_node_resolver(case)]
        if side.policy == "Default":
            needs = "the node's /etc/resolv.conf: kdns collect --node"
            return [Finding(Link.CLIENT, State.UNCHECKED, f"{who}: its node's resolv.conf is not known", needs=needs)]
        if side.policy == "None" and side.file is None and side.pod is not None:
            return [_fault(case, "E05", f"{who}: {side.problem}; the API server refuses such a Pod")]
        return [Finding(Link.CLIENT, State.UNCHECKED, side.problem, needs=side.needs)]
    if case.meaning.kind == "outside":
        return [_ok(case)]
    faults = list(_faults(case, side.resolver))
    if any(finding.state is State.FAULT for finding in faults) and side.policy == "Default":
        return [_node_resolver(case)]
    return faults or [_ok(case)]


def _plain(case: Case) -> Finding:
    """For an address no name is looked up."""
    who, pod = case.question.client, case.client.pod
    if who.kind == "pod" and pod is None:
        return Finding(Link.CLIENT, State.UNCHECKED, case.client.problem, needs=case.client.needs)
    where = f" on node {case.client.node}" if who.kind == "pod" and case.client.node else ""
    return Finding(Link.CLIENT, State.OK, f"{who}{where}", evidence=(item(pod, "spec.nodeName"),) if pod else ())


def _ok(case: Case) -> Finding:
    assert case.client.resolver is not None
    resolver = case.client.resolver
    servers = ", ".join(resolver.nameservers) or "(not known)"
    searches = " ".join(resolver.searches) or "(none)"
    says = f"{case.question.client}: nameserver {servers}, search {searches}, ndots:{ndots_of(resolver)}"
    return Finding(Link.CLIENT, State.OK, says, evidence=_evidence(case))


def _evidence(case: Case) -> tuple[Item, ...]:
    side = case.client
    items: list[Item] = []
    if side.pod is not None:
        items += [
            item(side.pod, path)
            for path in ("spec.dnsPolicy", "spec.hostNetwork", "spec.dnsConfig")
            if field(side.pod, path) is not None
        ]
    if side.file is not None:
        items += [
            Item(file=side.file.path, line=number, text=line)
            for number, line in enumerate(side.file.text.splitlines(), 1)
            if line.startswith(("search", "nameserver", "options", "domain"))
        ]
    return tuple(items)


def _fault(case: Case, code: str, says: str, state: State = State.FAULT) -> Finding:
    who = case.question.client
    command = (
        f"kubectl -n {who.namespace} exec {who.name} -- cat /etc/resolv.conf"
        if who.kind == "pod"
        else "cat /etc/resolv.conf"
    )
    return Finding(Link.CLIENT, state, says, code, _evidence(case), command)


def _node_resolver(case: Case) -> Finding:
    """E06: it asks what its node asks."""
    side, who = case.client, case.question.client
    pod, name = side.pod, case.question.target.name
    if pod is None:
        says = f"{who} resolves names by its own resolv.conf, which does not lead to cluster names such as {name}"
    elif field(pod, "spec.dnsPolicy", "") == "Default":
        says = f"{who} has dnsPolicy Default: it resolves names as its node does, without cluster names"
    else:
        says = f"{who} has hostNetwork without dnsPolicy ClusterFirstWithHostNet: it resolves names as its node does"
    return _fault(case, "E06", says)


def _faults(case: Case, resolver: Resolver) -> Iterator[Finding]:
    """What is wrong with a resolv.conf for a cluster name."""
    who = case.question.client
    if stranger := _stranger(case, resolver):
        at = "its first nameserver" if len(resolver.nameservers) > 1 else "its nameserver"
        says = f"{who}: {at}, {stranger}, is not the cluster's DNS ({', '.join(case.dns_addresses)})"
        yield _fault(case, "E05", says)
        return
    if not resolver.nameservers and case.client.file is not None:
        yield _fault(case, "E05", f"{who}: its resolv.conf has no nameserver")
        return
    name, meaning = case.question.target.name, case.meaning
    if meaning.kind == "pod" or not meaning.service or not meaning.namespace:
        return
    whole = meaning.whole(case.domain)
    if meaning.domain and f"{name.rstrip('.').lower()}." != whole:
        return  # it was typed with another domain: `name` says so
    asked = [text.lower() for text in names_asked(name, resolver)]
    if whole not in asked:
        yield _not_searched(case, resolver, whole)
    elif case.client.library != "busybox" and whole not in map(str.lower, names_asked(name, resolver, "musl")):
        musl = case.client.library == "musl"
        only = "musl asks only the name as it is" if musl else "clients with musl (alpine) ask only the name as it is"
        says = f"{who}: ndots:{ndots_of(resolver)} is too low for {name}: {only}"
        yield _fault(case, "E05", says, State.FAULT if musl else State.WARNING)
    others = [address for address in resolver.nameservers[1:] if _is_strange(case, address)]
    if others and case.dns_addresses:
        says = (
            f"{who}: nameserver {others[0]} does not know cluster names; clients with musl ask all nameservers at once"
        )
        yield _fault(case, "E05", says, State.FAULT if case.client.library == "musl" else State.WARNING)


def _not_searched(case: Case, resolver: Resolver, whole: str) -> Finding:
    who, name = case.question.client, case.question.target.name
    if case.domain_known:
        other = next(
            (
                text
                for text in resolver.searches
                if ".svc." in f".{text}" and not text.rstrip(".").endswith(case.domain)
            ),
            "",
        )
        if other:
            says = f"{who} searches {other}, and the cluster's domain is {case.domain}: {name} never becomes {whole}"
            return _fault(case, "E04", says)
    if name.endswith("."):
        says = f"{name} ends in a dot: it is asked as it is, and never becomes {whole}"
    else:
        says = f"{who} searches {' '.join(resolver.searches) or 'no domain'}: {name} never becomes {whole}"
    return _fault(case, "E05", says)


def _stranger(case: Case, resolver: Resolver) -> str:
    """The first nameserver, if it is known not to be the cluster's; else empty."""
    first = next(iter(resolver.nameservers), "")
    return first if first and _is_strange(case, first) else ""


def _is_strange(case: Case, address: str) -> bool:
    """An address in the Service range may be missing, which `dns-path` sees; a node's cache has one of its own."""
    if not case.dns_addresses or is_node_local(address) or in_service_range(address, case.objects):
        return False
    ours = {known for service in case.objects.all("Service") for known in cluster_ips(service)}
    if address in ours:
        return False
    return not any(
        address in pod_addresses(pod) and key_of(pod).namespace == "kube-system" for pod in case.objects.all("Pod")
    )
