"""A DNS cache on the node, at a link-local address such as 169.254.20.10 (NodeLocal DNSCache, `kdns node`). Pure."""

from collections.abc import Iterator
from ipaddress import ip_address
from typing import TYPE_CHECKING

from kdns.explain.health import trouble_of
from kdns.explain.model import Finding, Item, Link, State
from kdns.explain.objects import Body, field, item, key_of, labels_of
from kdns.explain.packets import nodes_of
from kdns.explain.rows import is_ready

if TYPE_CHECKING:
    from kdns.explain.case import Case

NAMES = ("node-local-dns", "nodelocaldns", "k8s-dns-node-cache", "kdns-node")
"""Words in the name or the image of such a DaemonSet."""


def findings(case: "Case", address: str) -> Iterator[Finding]:
    """Whether one runs on the client's node, and has the address."""
    daemons = [body for body in case.objects.all("DaemonSet") if _is_cache(body)]
    if not daemons:
        if not any(case.objects.all("DaemonSet")):
            says = f"nameserver {address} is a cache on the node, and no DaemonSet is in the evidence"
            yield Finding(Link.DNS_PATH, State.UNCHECKED, says, needs="kubectl get daemonsets,pods -A -o yaml")
            return
        says = f"nameserver {address} is an address for a DNS cache on the node, and no DaemonSet here is one"
        yield Finding(Link.DNS_PATH, State.FAULT, says, "E16", next="kubectl get daemonsets -A")
        return
    daemon = daemons[0]
    for node in nodes_of(case, case.question.client):
        yield from _on(case, daemon, address, node)


def _on(case: "Case", daemon: Body, address: str, node: str) -> Iterator[Finding]:
    key = key_of(daemon)
    selector = field(daemon, "spec.selector.matchLabels", {}) or field(daemon, "spec.template.metadata.labels", {})
    pods = [pod for pod in case.objects.all("Pod", key.namespace) if selector.items() <= labels_of(pod).items()]
    here = [pod for pod in pods if not node or field(pod, "spec.nodeName", "") == node]
    command = f"kubectl -n {key.namespace} get pods -o wide --field-selector spec.nodeName={node or 'NODE'}"
    if node and any(case.objects.all("Pod", key.namespace)) and not here:
        says = f"nameserver {address}: DaemonSet {key.name} has no Pod on node {node}"
        shown = (item(daemon, "spec.template.spec.nodeSelector"), *(item(pod, "spec.nodeName") for pod in pods[:3]))
        yield Finding(Link.DNS_PATH, State.FAULT, says, "E16", shown, command)
        return
    if (broken := next((pod for pod in here if not is_ready(pod)), None)) is not None and node:
        trouble = trouble_of(broken)
        says = f"nameserver {address}: the DNS cache of node {node} does not answer: {trouble.says}"
        yield Finding(Link.DNS_PATH, State.FAULT, says, "E16", trouble.evidence, trouble.next or command)
        return
    kernel = case.kernel(node)
    if kernel.addresses and ip_address(address).packed not in {one.address for one in kernel.addresses}:
        says = f"nameserver {address}: no interface of node {node} has this address"
        file = Item(file=kernel.path("addresses.txt"))
        yield Finding(Link.DNS_PATH, State.FAULT, says, "E16", (file,), "ip -o addr")
        return
    if not here:
        says = f"whether DaemonSet {key.name} runs on the client's node is not known"
        yield Finding(Link.DNS_PATH, State.UNCHECKED, says, needs=f"kubectl -n {key.namespace} get pods -o yaml")
        return
    says = f"nameserver {address} is the DNS cache of the node (DaemonSet {key.namespace}/{key.name})"
    yield Finding(Link.DNS_PATH, State.OK, says, evidence=(item(here[0], "status.phase"),))


def _is_cache(body: Body) -> bool:
    images = [str(one.get("image", "")) for one in field(body, "spec.template.spec.containers", [])]
    return any(word in text for word in NAMES for text in (key_of(body).name, *images))
