"""What the target of a question means: which Service, endpoint or name outside the cluster. Pure.

::

    cart                      Service cart in the client's Namespace
    cart.shop                 Service cart in Namespace shop; or endpoint cart of the client's own Service shop
    web-0.web.shop            an endpoint of the headless Service web in Namespace shop
    cart.shop.svc             likewise, and with any domain behind it
    _http._tcp.cart.shop      a port of it
    api.example.com           a name outside the cluster
    10.96.0.10, 172.18.0.2    a Service's address, a node's, a Pod's
"""

from typing import Final, Literal

from msgspec import Struct
from publicsuffixlist import PublicSuffixList

from kdns.explain.dns_service import cluster_ips
from kdns.explain.model import Target
from kdns.explain.objects import Body, Key, Objects, field, key_of, maps

Kind = Literal["service", "endpoint", "pod", "outside", "address"]


class Meaning(Struct, frozen=True):
    """What a target is about."""

    kind: Kind
    namespace: str = ""
    service: str = ""
    left: tuple[str, ...] = ()
    """Labels left of the Service's name: an endpoint, or ``_port`` and ``_protocol``."""
    domain: str = ""
    """The domain that was typed behind ``svc``, without the final dot; empty: none was typed."""

    def whole(self, domain: str) -> str:
        """The absolute name, with its final dot, in a cluster domain."""
        return ".".join((*self.left, self.service, self.namespace, "svc", domain)) + "."

    @property
    def key(self) -> Key:
        """The Service that is meant."""
        return Key("Service", self.namespace, self.service)


def meaning_of(target: Target, here: str, domain: str, objects: Objects) -> Meaning:
    """What a target means to a client in the Namespace ``here`` of a cluster with this domain."""
    if target.address:
        return Meaning("address")
    labels = target.name.rstrip(".").lower().split(".")
    left: list[str] = []
    while len(labels) > 1 and labels[0].startswith("_"):
        left.append(labels.pop(0))
    own = domain.split(".")
    if labels[-len(own) :] == own and len(labels) > len(own):
        return _in_domain(left, labels[: -len(own)], domain, objects)
    if len(labels) == 1:
        return Meaning("service", here, labels[0], tuple(left))
    for at in (2, 3):
        if labels[at : at + 1] == ["svc"]:
            return Meaning("service" if at == 2 else "endpoint", labels[at - 1], labels[at - 2],
                           (*left, *labels[: at - 2]), ".".join(labels[at + 1 :]))  # fmt: skip
    if labels[2:3] == ["pod"] and len(labels) > 3:
        return Meaning("pod", labels[1], labels[0], domain=".".join(labels[3:]))
    if target.name.endswith(".") and _is_public(labels[-1]):
        return Meaning("outside")
    return _short(labels, left, here, objects)


def _in_domain(left: list[str], labels: list[str], domain: str, objects: Objects) -> Meaning:
    """``labels`` stand before the cluster's domain."""
    if labels[-1] == "pod" and len(labels) == 3:
        return Meaning("pod", labels[1], labels[0], domain=domain)
    inner = labels[:-1] if labels[-1] == "svc" else labels  # a forgotten svc is seen by `name`
    typed = domain if labels[-1] == "svc" else f"{domain} without svc"
    if len(inner) < 2:
        return Meaning("service", "", inner[0] if inner else "", tuple(left), typed)
    return Meaning("service" if len(inner) == 2 else "endpoint", inner[-1], inner[-2], (*left, *inner[:-2]), typed)


def _short(labels: list[str], left: list[str], here: str, objects: Objects) -> Meaning:
    """Two labels or more that end in neither ``svc`` nor the domain."""
    spaces = objects.namespaces()
    if len(labels) == 2:
        first, second = labels
        if objects.get("Service", second, first):
            return Meaning("service", second, first, tuple(left))
        own = objects.get("Service", here, second)
        if own is not None and (second not in spaces or field(own, "spec.clusterIP", "") == "None"):
            return Meaning("endpoint", here, second, (*left, first))
        outside = second not in spaces and _is_public(second) and not _like_a_service(first, objects)
        return Meaning("outside") if outside else Meaning("service", second, first, tuple(left))
    if len(labels) == 3 and (labels[2] in spaces or objects.get("Service", labels[2], labels[1])):
        return Meaning("endpoint", labels[2], labels[1], (*left, labels[0]))
    return Meaning("outside")


def _like_a_service(name: str, objects: Objects) -> bool:
    return any(key_of(body).name == name for body in objects.all("Service"))


def _is_public(last: str) -> bool:
    """True for a top-level domain of the Internet."""
    return _SUFFIXES.publicsuffix("x." + last) is not None


_SUFFIXES: Final = PublicSuffixList(accept_unknown=False)


def find_by_address(target: Target, objects: Objects) -> Body | None:
    """The Service that has the address that was asked; or for others the one that has the node port.

    Nodes have addresses that their objects do not list: of bridges and tunnels, or public ones.
    """
    for body in objects.all("Service"):
        if target.address in addresses_of(body):
            return body
    if target.port is None or find_pod(target.address, objects, host=False):
        return None
    return next(
        (body for body in objects.all("Service") for port in maps(body, "spec.ports")
         if port.get("nodePort") == target.port), None,
    )  # fmt: skip


def find_pod(address: str, objects: Objects, *, host: bool = True) -> Body | None:
    """The Pod that has an address; ``host``: Pods in their node's network count."""
    for body in objects.all("Pod"):
        if address in pod_addresses(body) and (host or not field(body, "spec.hostNetwork")):
            return body
    return None


def find_node(address: str, objects: Objects) -> Body | None:
    """The Node that has an address."""
    for body in objects.all("Node"):
        if any(entry.get("address") == address for entry in maps(body, "status.addresses")):
            return body
    return None


def pod_addresses(pod: Body) -> list[str]:
    """status.podIPs, or podIP."""
    many = [str(entry["ip"]) for entry in maps(pod, "status.podIPs") if entry.get("ip")]
    return many or [address for address in (field(pod, "status.podIP", ""),) if address]


def addresses_of(service: Body) -> list[str]:
    """Every address of a Service that is not a node's: cluster, external and load balancer IPs."""
    ingress = [str(entry.get("ip") or "") for entry in maps(service, "status.loadBalancer.ingress")]
    return [
        address for address in (*cluster_ips(service), *field(service, "spec.externalIPs", []), *ingress) if address
    ]
