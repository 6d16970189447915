"""The client's side: its Pod, its node, and the resolv.conf that it has or that the kubelet writes for it. Pure."""

from ipaddress import ip_address

from msgspec import Struct

from kdns.config.resolv_conf import Resolver, parse_resolv_conf, resolver
from kdns.explain.evidence import Evidence, TextFile
from kdns.explain.model import Client
from kdns.explain.objects import Body, field, maps
from kdns.explain.stub import Library, library_of


class ClientSide(Struct):
    """What is known of who asks."""

    namespace: str
    pod: Body | None = None
    node: str = ""
    policy: str = ""
    """Its dnsPolicy as it works: ``Default`` for a Pod of the host's network without ClusterFirstWithHostNet."""
    resolver: Resolver | None = None
    """None: it is not known."""
    file: TextFile | None = None
    """The resolv.conf of the evidence; None: `resolver` is what the kubelet writes."""
    library: Library | None = None
    problem: str = ""
    """Why nothing is known of the client."""
    needs: str = ""


def client_side(client: Client, namespace: str, evidence: Evidence, cluster_dns: list[str], domain: str) -> ClientSide:
    """What is known of a client. ``cluster_dns``: addresses of the DNS Service, empty if they are not known."""
    match client.kind:
        case "outside":
            return ClientSide("")
        case "node":
            return _node(client, namespace, evidence)
        case "any":
            return ClientSide(
                namespace, policy="ClusterFirst", resolver=resolver({}, namespace, Resolver(), cluster_dns, domain)
            )
    pod = evidence.objects.get("Pod", client.namespace, client.name)
    file = evidence.pods.get((client.namespace, client.name), {}).get("resolv.conf")
    side = ClientSide(client.namespace, pod, file=file)
    if pod is not None:
        _from_pod(side, pod, evidence, cluster_dns, domain)
    else:
        which = f"Pod {client.namespace}/{client.name}"
        side.problem = f"{which} is not in the evidence"
        side.needs = f"the object: kubectl -n {client.namespace} get pod {client.name} -o yaml"
    if file is not None and not file.problem:
        side.resolver = parse_resolv_conf(file.text)
    elif file is not None:
        side.problem, side.needs = f"{file.path}: {file.problem}", "the client's /etc/resolv.conf"
        side.resolver = None
    return side


def _node(client: Client, namespace: str, evidence: Evidence) -> ClientSide:
    file = evidence.nodes.get(client.name, {}).get("resolv.conf")
    usable = file is not None and not file.problem
    return ClientSide(
        namespace, node=client.name, policy="Default", file=file,
        resolver=parse_resolv_conf(file.text) if file is not None and usable else None,
    )  # fmt: skip


def _from_pod(side: ClientSide, pod: Body, evidence: Evidence, cluster_dns: list[str], domain: str) -> None:
    side.node = field(pod, "spec.nodeName", "")
    policy = field(pod, "spec.dnsPolicy", "") or "ClusterFirst"
    host = field(pod, "spec.hostNetwork", False) is True
    side.policy = "Default" if policy == "ClusterFirst" and host else policy
    images = [str(entry.get("image") or "") for entry in maps(pod, "spec.containers")]
    side.library = library_of(images)
    own = evidence.node_file(side.node, "resolv.conf")
    try:
        node = parse_resolv_conf(own.text) if own else Resolver()
        side.resolver = resolver(field(pod, "spec", {}), side.namespace, node, cluster_dns, domain)
    except ValueError as error:
        side.problem, side.needs = str(error), "the client's /etc/resolv.conf"


def is_node_local(address: str) -> bool:
    """True for addresses that a DNS cache on the node has: link-local and loopback ones."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return False
    return parsed.is_link_local or parsed.is_loopback
