"""What the API server writes, packed into `kdns.base.objects`. Pure.

The ``keep_*`` functions decide what a null or a missing field means, and raise ValueError, in one line that does not
repeat the object's name, for an object nobody can serve.

::

    packing    Services, EndpointSlices, Namespaces, Pods; and `keeper`, which knows all kinds
      routing    of Services, what only the proxy reads
      states     of EndpointSlices, what only the proxy reads
      nodes      Nodes and ServiceCIDRs
"""

import re
import sys
from collections.abc import Callable, Sequence
from socket import AF_INET, AF_INET6, AddressFamily, inet_ntop, inet_pton
from typing import Any, Final, NamedTuple

from msgspec import UNSET

from kdns.base.addresses import MAPPED, parse_address
from kdns.base.objects import (
    UNKNOWN_AGE,
    EndpointPort,
    EndpointSlice,
    EndpointStates,
    Kind,
    Namespace,
    Object,
    Outside,
    Pod,
    Routing,
    Service,
    ServicePort,
    address_text,
)
from kdns.watch.decode.nodes import keep_node, keep_service_cidr
from kdns.watch.decode.outside import keep_outside
from kdns.watch.decode.routing import keep_age, keep_node_port, keep_routing
from kdns.watch.decode.schema import (
    ApiEndpoint,
    ApiEndpointPort,
    ApiEndpointSlice,
    ApiNamespace,
    ApiPod,
    ApiRoutedSlice,
    ApiService,
    ApiServiceImport,
    ApiServicePort,
    ApiTargetRef,
    Labels,
    key_of,
)
from kdns.watch.decode.spelling import Warn, quoted
from kdns.watch.decode.states import SharedHints, keep_states

CLUSTER: Final = re.compile(r"[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?")
SHARED_LIMIT: Final = 4096
"""Of each kind of thing that is shared."""


class Shared:
    """What equal objects hold together; one is handed to each ``keep_*`` of a stream."""

    def __init__(self) -> None:
        self.ports: dict[tuple[EndpointPort, ...], tuple[EndpointPort, ...]] = {}
        self.routings: dict[Routing, Routing] = {}
        self.hints: SharedHints = {}


def keep_service(
    wire: ApiService,
    *,
    external: bool = False,
    routing: bool = False,
    warn: Warn | None = None,
    shared: Shared | None = None,
) -> Service:
    """Pack a Service; ValueError for one without spec, with a port that is none, or an address that is none.

    `external`: keep how it is reached from outside; `routing`: keep how traffic is to go. What is absurd there is left
    out and told to `warn`.
    """
    key = key_of("Service", wire.metadata)
    spec = wire.spec
    if spec is None:
        raise ValueError("it has no spec")
    ports = tuple(_service_port(port, routing, warn) for port in spec.ports or () if port is not None)
    outside = keep_outside(spec.external_ips or (), wire.status, warn) if external else Outside()
    if spec.type == "ExternalName":
        return Service(key, external_name=spec.external_name or "", ports=ports, outside=outside)
    texts = [text for text in spec.cluster_ips or (spec.cluster_ip,) if text]
    way = _shared_routing(keep_routing(wire, spec, warn), shared) if routing else None
    selected = bool(spec.selector)
    if "None" in texts:
        return Service(key, headless=True, ports=ports, outside=outside, selected=selected, routing=way)
    cluster_ips = tuple(_packed_any(text) for text in texts)
    age = keep_age(wire) if routing else UNKNOWN_AGE
    return Service(key, cluster_ips, ports=ports, outside=outside, selected=selected, routing=way, age=age)


def keep_import(wire: ApiServiceImport) -> Service:
    """Pack a ServiceImport; ValueError for one without spec, with a port that is none, or an address that is none."""
    key = key_of("ServiceImport", wire.metadata)
    spec = wire.spec
    if spec is None:
        raise ValueError("it has no spec")
    ports = tuple(_service_port(port, False, None) for port in spec.ports or () if port is not None)
    if spec.type == "Headless":
        return Service(key, headless=True, ports=ports)
    return Service(key, cluster_ips=tuple(_packed_any(text) for text in spec.ips or () if text), ports=ports)


def keep_slice(
    wire: ApiEndpointSlice,
    *,
    named: bool = True,
    pod_names: bool = False,
    zones: bool = False,
    imports: bool = False,
    routing: bool = False,
    warn: Warn | None = None,
    shared: Shared | None = None,
) -> EndpointSlice | None:
    """Pack a slice; None for a slice of names (FQDN), which nobody uses, and for one that is of no Service if only
    the proxy asks.

    `named`: the ready endpoints as DNS has them, `pod_names` and `zones` with them; `routing`: all endpoints as the
    proxy has them, but not those of headless Services. An address that is none is left out and told to `warn`, once a
    slice. `routing` needs an `ApiRoutedSlice`. ValueError: no name, or an address type nobody knows.
    """
    key = key_of("EndpointSlice", wire.metadata)
    if wire.address_type == "FQDN":
        return None
    family = {"IPv4": AF_INET, "IPv6": AF_INET6}.get(wire.address_type or "")
    if family is None:
        raise ValueError(f"its addressType is {quoted(wire.address_type)}, not IPv4, IPv6 or FQDN")
    labels = wire.metadata.labels if wire.metadata else None
    service = sys.intern(labels.service_name or "") if labels else ""
    if not service and not named:
        return None
    shared = shared or Shared()
    packer = _Packer(family)
    names = _keep_names(wire.endpoints or (), packer, pod_names, zones) if named else _Names()
    states: EndpointStates | None = None
    if routing and (labels is None or labels.headless is UNSET):
        assert isinstance(wire, ApiRoutedSlice), "decoded without what is to be kept"
        states = keep_states(wire.endpoints or (), packer, shared.hints)
    if packer.bad and warn is not None:
        first, *others = packer.bad
        more = f" and {len(others)} more" if others else ""
        warn(f"address {quoted(first)}{more} left out: not {wire.address_type}")
    width = 4 if family is AF_INET else 16
    ports = _endpoint_ports(wire.ports or (), warn, shared)
    imported, cluster = _import_labels(labels, warn) if imports and labels is not None else ("", "")
    return EndpointSlice(key, service, width, names.addresses, ports, *names[1:], states, imported, cluster)


class _Packer:
    """Packs the addresses of one slice, and remembers the invalid ones."""

    def __init__(self, family: AddressFamily) -> None:
        self.family = family
        self.width = 4 if family is AF_INET else 16
        self.bad: dict[str | None, None] = {}

    def __call__(self, text: str | None) -> bytes | None:
        packed = _quickly(self.family, text) or self.sloppily(text)
        if packed is None:
            self.bad[text] = None
        return packed

    def sloppily(self, text: str | None) -> bytes | None:
        """What `inet_pton` refuses, or what it takes for an IPv6 address and Kubernetes does not."""
        try:
            packed = parse_address(text or "")
        except ValueError:
            return None
        return packed if len(packed) == self.width else None


class _Names(NamedTuple):
    """The columns of an EndpointSlice that DNS reads."""

    addresses: bytes = b""
    hostnames: tuple[str, ...] = ()
    pods: tuple[str, ...] = ()
    texts: tuple[str, ...] = ()
    zones: tuple[str, ...] = ()


def _keep_names(endpoints: Sequence[ApiEndpoint | None], packer: _Packer, pod_names: bool, zones: bool) -> _Names:
    """The ready endpoints, each of their addresses a row.

    An endpoint is ready if its condition says so or says nothing (EndpointConditions.ready: null is "unknown, to be
    taken as ready").
    """
    addresses, hostnames, pods, texts, places = bytearray(), [], [], [], []
    family, odd = packer.family, False
    for endpoint in endpoints:
        if endpoint is None or (endpoint.conditions is not None and endpoint.conditions.ready is False):
            continue
        for text in endpoint.addresses or ():
            try:  # not by `packer`, whose call would cost DNS a fifth more for each slice
                packed = inet_pton(family, text or "")
            except (OSError, ValueError):
                packed = b""
            if not packed or packed.startswith(MAPPED):
                if (sloppy := packer(text)) is None:
                    continue
                packed = sloppy
            odd = odd or (family is AF_INET6 and not _canonical(packed, (text or "").strip()))
            addresses += packed
            texts.append((text or "").strip())
            hostnames.append((endpoint.hostname or "").lower())
            pods.append(_pod_name(endpoint.target_ref) if pod_names else "")
            places.append(sys.intern((endpoint.zone or "").lower()) if zones else "")
    return _Names(
        bytes(addresses),
        tuple(hostnames) if any(hostnames) else (),
        tuple(pods) if any(pods) else (),
        tuple(texts) if odd else (),
        tuple(places) if any(places) else (),
    )


def _import_labels(labels: Labels, warn: Warn | None) -> tuple[str, str]:
    """The ServiceImport a slice is of, and its cluster, which has to be a label of names (KEP-1645); empty for none."""
    imported, cluster = labels.import_name or "", (labels.source_cluster or "").lower()
    if imported and cluster and not CLUSTER.fullmatch(cluster):
        if warn is not None:
            warn(f"no endpoints of ServiceImport {quoted(imported)}: its cluster {quoted(cluster)} is no label")
        return "", ""
    return sys.intern(imported), sys.intern(cluster)


def keep_namespace(wire: ApiNamespace) -> Namespace:
    """Pack a Namespace; ValueError for one without a name."""
    return Namespace(key_of("Namespace", wire.metadata))


def keep_pod(wire: ApiPod, *, labels: bool = False) -> Pod:
    """Pack a Pod; ValueError for one without a name."""
    key = key_of("Pod", wire.metadata)
    found = (wire.metadata.labels if labels and wire.metadata else None) or {}
    kept = tuple((sys.intern(name), sys.intern(value or "")) for name, value in sorted(found.items()))
    return Pod(key, _pod_address((wire.status.pod_ip if wire.status else None) or ""), kept)


def keeper(
    kind: Kind,
    *,
    pod_names: bool = False,
    external: bool = False,
    zones: bool = False,
    imports: bool = False,
    labels: bool = False,
    routing: bool = False,
    named: bool = True,
) -> Callable[[Any, Warn], Object | None]:
    """The function that packs objects of one kind, with what they share; None from it: nothing of it is used.

    The columns are those of `kdns.watch.source.Want`.
    """
    shared = Shared()
    match kind:
        case "Service":
            return lambda wire, warn: keep_service(wire, external=external, routing=routing, warn=warn, shared=shared)
        case "EndpointSlice":
            return lambda wire, warn: keep_slice(
                wire,
                named=named,
                pod_names=pod_names,
                zones=zones,
                imports=imports,
                routing=routing,
                warn=warn,
                shared=shared,
            )
        case "Namespace":
            return lambda wire, warn: keep_namespace(wire)
        case "Pod":
            return lambda wire, warn: keep_pod(wire, labels=labels)
        case "ServiceImport":
            return lambda wire, warn: keep_import(wire)
        case "Node":
            return keep_node
        case "ServiceCIDR":
            return keep_service_cidr


def _service_port(port: ApiServicePort, routing: bool, warn: Warn | None) -> ServicePort:
    if port.port is None or not 0 < port.port < 65536:
        raise ValueError(f"its port {quoted(port.port)} is not 1 to 65535")
    node_port = keep_node_port(port.node_port, "nodePort", warn) if routing else 0
    return ServicePort(sys.intern(port.name or ""), sys.intern(port.protocol or "TCP"), port.port, node_port)


def _shared_routing(routing: Routing, shared: Shared | None) -> Routing:
    """Most Services say nothing special, and so the same."""
    if shared is None:
        return routing
    if len(shared.routings) >= SHARED_LIMIT:
        shared.routings.clear()  # only sharing is lost
    return shared.routings.setdefault(routing, routing)


def _endpoint_ports(
    ports: Sequence[ApiEndpointPort | None], warn: Warn | None, shared: Shared
) -> tuple[EndpointPort, ...]:
    """A port without a number means "any port": there is no SRV to make of it. Servers do not check the range."""
    kept = []
    for port in ports:
        if port is None or port.port is None:
            continue
        if 0 < port.port < 65536:
            kept.append(EndpointPort(sys.intern(port.name or ""), sys.intern(port.protocol or "TCP"), port.port))
        elif warn is not None:
            warn(f"port {quoted(port.port)} left out: not 1 to 65535")
    found = tuple(kept)
    if len(shared.ports) >= SHARED_LIMIT:
        shared.ports.clear()  # only sharing is lost
    return shared.ports.setdefault(found, found)


def _packed_any(text: str) -> bytes:
    try:
        return _quickly(AF_INET6 if ":" in text else AF_INET, text) or parse_address(text)
    except ValueError:
        raise ValueError(f"its cluster IP {quoted(text)} is not an address") from None


def _quickly(family: AddressFamily, text: str | None) -> bytes | None:
    """The address of a text in its usual spelling; None for all that needs a second look."""
    try:
        packed = inet_pton(family, text or "")
    except (OSError, ValueError):  # ValueError: octet 0 within the text
        return None
    return None if packed.startswith(MAPPED) else packed


def _pod_address(text: str) -> str:
    """status.podIP: an IPv4 address in its canonical spelling, IPv6 as the object spells it (as CoreDNS does)."""
    try:
        packed = parse_address(text)
    except ValueError:
        return text
    return address_text(packed) if len(packed) == 4 else text.strip()


def _canonical(packed: bytes, text: str) -> bool:
    """RFC 5952 text. Below ::/80 libraries disagree (dotted quads or not), so the object's own spelling is kept."""
    return any(packed[:10]) and inet_ntop(AF_INET6, packed) == text


def _pod_name(target: ApiTargetRef | None) -> str:
    return (target.name or "") if target is not None and target.kind == "Pod" else ""
