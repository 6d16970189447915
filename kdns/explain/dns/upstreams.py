"""What the evidence says of the upstreams of a ``forward`` line: does it lead back to the server itself? Pure."""

from collections.abc import Iterator
from ipaddress import ip_address
from typing import TYPE_CHECKING, NamedTuple

from kdns.dns.upstream.forward_directive import ForwardDirective
from kdns.dns.upstream.upstream_address import File, UpstreamAddress
from kdns.explain.dns_service import cluster_ips
from kdns.explain.model import Item
from kdns.explain.objects import Body, field, item, key_of
from kdns.explain.rows import rows_of
from kdns.explain.service_range import in_service_range

if TYPE_CHECKING:
    from kdns.explain.case import Case


class Trouble(NamedTuple):
    """Why an upstream cannot answer."""

    says: str
    evidence: tuple[Item, ...] = ()


def is_cluster_dns(case: "Case", line: ForwardDirective) -> bool:
    """Every upstream is the cluster's own DNS: the line is of a cache on the node."""
    own = set(_service_addresses(case))
    hosts = [to.what.host for to in line.to if isinstance(to.what, UpstreamAddress)]
    return bool(hosts) and len(hosts) == len(line.to) and set(hosts) <= own


def trouble(case: "Case", line: ForwardDirective) -> Trouble | None:
    """A loop back to the server; None if nothing is known against the upstreams."""
    own = dict.fromkeys(_service_addresses(case), "the DNS Service itself")
    own |= {str(field(pod, "status.podIP", "")): f"Pod {key_of(pod).name} itself" for pod in dns_pods(case)}
    for address, where in _addresses(case, line):
        if address in own:
            return Trouble(f"{address} is {own[address]}, so every question comes back (a loop)", where)
        if _loopback(address):
            says = f"{address} is the server's own loopback address, so every question comes back (a loop)"
            return Trouble(says, where)
        if gone := _dead_service(case, address):
            return Trouble(gone.says, (*where, *gone.evidence))
    return None


def _dead_service(case: "Case", address: str) -> Trouble | None:
    """An address in the Service range that leads nowhere, as far as the objects say."""
    service = next((body for body in case.objects.all("Service") if address in cluster_ips(body)), None)
    if service is None:
        known = any(case.objects.all("Service")) and in_service_range(address, case.objects)
        return Trouble(f"{address} is in the range of Services, and no Service has it") if known else None
    key, rows = key_of(service), rows_of(case.objects, service)
    if rows and not any(row.ready or row.serving for row in rows):
        says = f"{address} is Service {key.namespace}/{key.name}, and none of its {len(rows)} endpoints is ready"
        return Trouble(says, tuple(item(row.slice, f"{row.path}.conditions") for row in rows[:3]))
    return None


def dns_pods(case: "Case") -> Iterator[Body]:
    """The Pods behind the DNS Service."""
    service = case.dns.service
    selector = field(service, "spec.selector", {}) if service is not None else {}
    if not selector or service is None:
        return
    for pod in case.objects.all("Pod", key_of(service).namespace):
        labels = field(pod, "metadata.labels", {})
        if all(labels.get(key) == value for key, value in selector.items()):
            yield pod


def _service_addresses(case: "Case") -> Iterator[str]:
    service = case.dns.service
    if service is not None:
        yield from (field(service, "spec.clusterIPs") or [field(service, "spec.clusterIP", "")])


def _addresses(case: "Case", line: ForwardDirective) -> Iterator[tuple[str, tuple[Item, ...]]]:
    for to in line.to:
        if isinstance(to.what, File):
            yield from _of_file(case)
        elif to.what.port == 53:
            yield to.what.host, ()


def _of_file(case: "Case") -> Iterator[tuple[str, tuple[Item, ...]]]:
    """The nameservers of the DNS Pods' /etc/resolv.conf: from the Pod, or from its node with dnsPolicy Default."""
    for pod in dns_pods(case):
        key = key_of(pod)
        files = case.evidence.pods.get((key.namespace, key.name), {})
        file = files.get("resolv.conf")
        policy = field(pod, "spec.dnsPolicy", "")  # the API server writes it always: manifests may lack it
        host = bool(field(pod, "spec.hostNetwork", False))
        if (file is None and policy == "ClusterFirstWithHostNet") or (policy == "ClusterFirst" and not host):
            for address in _service_addresses(case):
                yield address, (item(pod, "spec.dnsPolicy", policy),)
            continue
        file = file or case.evidence.node_file(str(field(pod, "spec.nodeName", "")), "resolv.conf")
        for number, text in enumerate(file.text.splitlines() if file and not file.problem else (), 1):
            match text.split():
                case ["nameserver", address, *_]:
                    yield address, (Item(file=file.path if file else "", line=number, text=text.strip()),)


def _loopback(address: str) -> bool:
    try:
        return ip_address(address.partition("%")[0]).is_loopback
    except ValueError:
        return False
