"""What the API server writes, packed into `kdns.base.objects`. Pure.

The ``keep_*`` functions decide what a null or a missing field means, and raise ValueError, in one line that does not
repeat the object's name, for an object that cannot be served.

::

    packing    Services, EndpointSlices, Namespaces, Pods; and `keeper`, which knows all kinds
      routing    of Services, what only the proxy reads
      states     of EndpointSlices, what only the proxy reads
      nodes      Nodes and ServiceCIDRs
      names      the rules for names of objects and ports
      addresses  addresses of endpoints, text to octets
"""

import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, NamedTuple

from msgspec import UNSET

from kdns.base.addresses import parse_address
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
from kdns.watch.decode.addresses import canonical, quick_ipv4, quick_ipv6
from kdns.watch.decode.names import LABEL, check_port
from kdns.watch.decode.nodes import keep_node, keep_service_cidr
from kdns.watch.decode.outside import keep_outside
from kdns.watch.decode.routing import keep_age, keep_node_port, keep_routing
from kdns.watch.decode.schema import (
    ApiEndpoint,
    ApiEndpointPort,
    ApiEndpointSlice,
    ApiNamespace,
    ApiPod,
    ApiPodSpec,
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
    """Pack a Service; ValueError for one without spec, with an invalid port number, or an invalid cluster IP.

    `external`: keep how it is reached from outside; `routing`: keep how traffic is to go. Invalid values there, and
    ports with an invalid name or protocol, are skipped and reported through `warn`.
    """
    key = key_of("Service", wire.metadata)
    spec = wire.spec
    if spec is None:
        raise ValueError("it has no spec")
    ports = tuple(_service_ports(spec.ports or (), routing, warn))
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


def keep_import(wire: ApiServiceImport, warn: Warn | None = None) -> Service:
    """Pack a ServiceImport; ValueError for one without spec, with an invalid port number, or an invalid address.

    Ports with an invalid name or protocol are skipped and reported through `warn`.
    """
    key = key_of("ServiceImport", wire.metadata)
    spec = wire.spec
    if spec is None:
        raise ValueError("it has no spec")
    ports = tuple(_service_ports(spec.ports or (), False, warn))
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
    """Pack a slice; None for a slice of names (FQDN), which is not used, and for one without a Service if only the
    proxy asks.

    `named`: the ready endpoints as DNS has them, `pod_names` and `zones` with them; `routing`: all endpoints as the
    proxy has them, but not those of headless Services. Invalid addresses, host names, ports and labels are skipped
    and reported through `warn`, each once a slice. `routing` needs an `ApiRoutedSlice`. ValueError: no valid name, or
    an unknown address type.
    """
    key = key_of("EndpointSlice", wire.metadata)
    if wire.address_type == "FQDN":
        return None
    width = {"IPv4": 4, "IPv6": 16}.get(wire.address_type or "")
    if width is None:
        raise ValueError(f"its addressType is {quoted(wire.address_type)}, not IPv4, IPv6 or FQDN")
    labels = wire.metadata.labels if wire.metadata else None
    service = _service_label(labels, warn)
    if not service and not named:
        return None
    shared = shared or Shared()
    packer = _Packer(width)
    names = _keep_names(wire.endpoints or (), packer, pod_names, zones) if named else _Names()
    states: EndpointStates | None = None
    if routing and (labels is None or labels.headless is UNSET):
        assert isinstance(wire, ApiRoutedSlice), "decoded without what is to be kept"
        states = keep_states(wire.endpoints or (), packer, shared.hints)
    if warn is not None:
        _warn_once_a_slice(warn, "address", packer.bad, f"not {wire.address_type}")
        _warn_once_a_slice(warn, "hostname", packer.bad_hostnames, "not a DNS label")
    ports = _endpoint_ports(wire.ports or (), warn, shared)
    imported, cluster = _import_labels(labels, warn) if imports and labels is not None else ("", "")
    return EndpointSlice(key, service, width, names.addresses, ports, *names[1:], states, imported, cluster)


def _warn_once_a_slice(warn: Warn, called: str, values: dict[str | None, None], why: str) -> None:
    if values:
        first, *others = values
        more = f" and {len(others)} more" if others else ""
        warn(f"{called} {quoted(first)}{more} left out: {why}")


class _Packer:
    """Packs the addresses of one slice, and remembers the invalid ones."""

    def __init__(self, width: int) -> None:
        self.width = width
        self.quick = quick_ipv4 if width == 4 else quick_ipv6
        self.bad: dict[str | None, None] = {}
        self.bad_hostnames: dict[str | None, None] = {}

    def __call__(self, text: str | None) -> bytes | None:
        packed = self.quick(text or "") or self.sloppily(text)
        if packed is None:
            self.bad[text] = None
        return packed

    def sloppily(self, text: str | None) -> bytes | None:
        """What is not in its usual spelling."""
        try:
            packed = parse_address(text or "")
        except ValueError:
            return None
        return packed if len(packed) == self.width else None

    def hostname(self, text: str) -> str:
        """A host name in lower case; empty for an invalid one."""
        folded = text.lower()
        if LABEL.fullmatch(folded):
            return folded
        self.bad_hostnames[text] = None
        return ""


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
    quick, odd = packer.quick, False
    for endpoint in endpoints:
        if endpoint is None or (endpoint.conditions is not None and endpoint.conditions.ready is False):
            continue
        for text in endpoint.addresses or ():
            packed = quick(text or "")  # not by `packer`, whose call would cost DNS a fifth more for each slice
            if packed is None and (packed := packer(text)) is None:
                continue
            odd = odd or (packer.width == 16 and not canonical(packed, (text or "").strip()))
            addresses += packed
            texts.append((text or "").strip())
            hostnames.append(packer.hostname(endpoint.hostname) if endpoint.hostname else "")
            pods.append(_pod_name(endpoint.target_ref) if pod_names else "")
            places.append(sys.intern((endpoint.zone or "").lower()) if zones else "")
    return _Names(
        bytes(addresses),
        tuple(hostnames) if any(hostnames) else (),
        tuple(pods) if any(pods) else (),
        tuple(texts) if odd else (),
        tuple(places) if any(places) else (),
    )


def _service_label(labels: Labels | None, warn: Warn | None) -> str:
    """The Service a slice is of; empty for none. The API server checks labels less strictly than names."""
    service = (labels.service_name or "") if labels else ""
    if service and not LABEL.fullmatch(service):
        if warn is not None:
            warn(f"its label kubernetes.io/service-name {quoted(service)} left out: not a valid name of a Service")
        return ""
    return sys.intern(service)


def _import_labels(labels: Labels, warn: Warn | None) -> tuple[str, str]:
    """The ServiceImport a slice is of, and its cluster, which has to be a label of names (KEP-1645); empty for none."""
    imported, cluster = labels.import_name or "", (labels.source_cluster or "").lower()
    for value, what in ((imported, "name of a ServiceImport"), (cluster, "name of a cluster")):
        if imported and value and not LABEL.fullmatch(value):
            if warn is not None:
                warn(f"no endpoints of ServiceImport {quoted(imported)}: {quoted(value)} is not a valid {what}")
            return "", ""
    return sys.intern(imported), sys.intern(cluster)


def keep_namespace(wire: ApiNamespace) -> Namespace:
    """Pack a Namespace; ValueError for one without a name."""
    return Namespace(key_of("Namespace", wire.metadata))


def keep_pod(wire: ApiPod, *, labels: bool = False) -> Pod:
    """Pack a Pod; ValueError for one without a name."""
    key = key_of("Pod", wire.metadata)
    pod_labels = (wire.metadata.labels if labels and wire.metadata else None) or {}
    kept = tuple((sys.intern(name), sys.intern(value or "")) for name, value in sorted(pod_labels.items()))
    address = _pod_address((wire.status.pod_ip if wire.status else None) or "")
    spec = wire.spec or ApiPodSpec()
    return Pod(key, address, kept, sys.intern(spec.node_name or ""), bool(spec.host_network))


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
            return keep_import
        case "Node":
            return keep_node
        case "ServiceCIDR":
            return keep_service_cidr


def _service_ports(ports: Sequence[ApiServicePort | None], routing: bool, warn: Warn | None) -> Iterator[ServicePort]:
    for port in ports:
        if port is None:
            continue
        if port.port is None or not 0 < port.port < 65536:
            raise ValueError(f"its port {quoted(port.port)} is not 1 to 65535")
        if not _valid_port(port.name, port.protocol, warn):
            continue
        node_port = keep_node_port(port.node_port, "nodePort", warn) if routing else 0
        yield ServicePort(sys.intern(port.name or ""), sys.intern(port.protocol or "TCP"), port.port, node_port)


def _valid_port(name: str | None, protocol: str | None, warn: Warn | None) -> bool:
    try:
        check_port(name or "", protocol or "TCP")
    except ValueError as error:
        if warn is not None:
            warn(f"a port left out: {error}")
        return False
    return True


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
        if not _valid_port(port.name, port.protocol, warn):
            continue
        if 0 < port.port < 65536:
            kept.append(EndpointPort(sys.intern(port.name or ""), sys.intern(port.protocol or "TCP"), port.port))
        elif warn is not None:
            warn(f"port {quoted(port.port)} left out: not 1 to 65535")
    ports_kept = tuple(kept)
    if len(shared.ports) >= SHARED_LIMIT:
        shared.ports.clear()  # only sharing is lost
    return shared.ports.setdefault(ports_kept, ports_kept)


def _packed_any(text: str) -> bytes:
    try:
        return (quick_ipv6 if ":" in text else quick_ipv4)(text) or parse_address(text)
    except ValueError:
        raise ValueError(f"its cluster IP {quoted(text)} is not an address") from None


def _pod_address(text: str) -> str:
    """status.podIP: an IPv4 address in its canonical spelling, IPv6 as the object spells it (as CoreDNS does)."""
    try:
        packed = parse_address(text)
    except ValueError:
        return text
    return address_text(packed) if len(packed) == 4 else text.strip()


def _pod_name(target: ApiTargetRef | None) -> str:
    return (target.name or "") if target is not None and target.kind == "Pod" else ""
