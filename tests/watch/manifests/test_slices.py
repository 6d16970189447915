"""Derived EndpointSlices are those that the EndpointSlice controller would write."""

from typing import Any, NamedTuple

import msgspec
import pytest

from kdns.watch.decode.schema import ApiEndpoint
from kdns.watch.manifests.slices import SLICE_LIMIT, SourcePod, SourceService, derive_slices

READY = [{"type": "Initialized", "status": "True"}, {"type": "Ready", "status": "True"}]
UNREADY = [{"type": "Ready", "status": "False"}]
Wire = dict[str, Any]


def service(**spec: Any) -> Wire:
    """Service shop/web, selecting app=web, port 80 -> 8080, cluster IP 10.96.0.9."""
    defaults = {"selector": {"app": "web"}, "clusterIP": "10.96.0.9", "clusterIPs": ["10.96.0.9"]}
    ports = {"ports": [{"name": "http", "port": 80, "targetPort": 8080}]}
    return {"metadata": {"name": "web", "namespace": "shop"}, "spec": defaults | ports | spec}


def pod(name: str = "web-0", *ips: str, **more: Any) -> Wire:
    """A ready Pod of shop with label app=web; ``spec``, ``status`` and ``metadata`` add to it."""
    status = {"phase": "Running", "podIPs": [{"ip": ip} for ip in ips or ("10.244.0.5",)], "conditions": READY}
    metadata = {"name": name, "namespace": "shop", "labels": {"app": "web", "tier": "front"}}
    return {
        "metadata": metadata | more.get("metadata", {}),
        "spec": more.get("spec", {}),
        "status": status | more.get("status", {}),
    }


class Case(NamedTuple):
    title: str
    service: Wire
    pods: tuple[Wire, ...]
    slices: tuple[str, ...]
    """FAMILY | NAME/PROTOCOL/NUMBER... | ADDRESS[,ADDRESS] ready or not [hostname] ..."""


NAMED = {"ports": [{"name": "http", "port": 80, "targetPort": "web"}]}


def container(number: int, protocol: str | None = None) -> Wire:
    """A container whose second port is called web."""
    web = {"name": "web", "containerPort": number} | ({"protocol": protocol} if protocol else {})
    return {"ports": [{"name": "other", "containerPort": 1}, web]}


CASES = (
    Case("a ready Pod is a ready endpoint", service(), (pod(),), ("IPv4 | http/TCP/8080 | 10.244.0.5 ready",)),
    Case("Pods come in the order of their names", service(), (pod("web-1", "10.244.0.6"), pod("web-0")),
         ("IPv4 | http/TCP/8080 | 10.244.0.5 ready; 10.244.0.6 ready",)),
    Case("a Pod whose Ready condition is false is there, not ready", service(),
         (pod(status={"conditions": UNREADY}),), ("IPv4 | http/TCP/8080 | 10.244.0.5 not-ready",)),
    Case("a Pod without conditions is not ready", service(), (pod(status={"conditions": None}),),
         ("IPv4 | http/TCP/8080 | 10.244.0.5 not-ready",)),
    Case("publishNotReadyAddresses makes it ready", service(publishNotReadyAddresses=True),
         (pod(status={"conditions": UNREADY}),), ("IPv4 | http/TCP/8080 | 10.244.0.5 ready",)),
    Case("a terminating Pod is not ready, whatever its condition says", service(),
         (pod(metadata={"deletionTimestamp": "2026-01-01T00:00:00Z"}),),
         ("IPv4 | http/TCP/8080 | 10.244.0.5 not-ready",)),
    Case("publishNotReadyAddresses holds for a terminating Pod too", service(publishNotReadyAddresses=True),
         (pod(metadata={"deletionTimestamp": "2026-01-01T00:00:00Z"}),),
         ("IPv4 | http/TCP/8080 | 10.244.0.5 ready",)),
    Case("a Pod that has succeeded is not there", service(), (pod(status={"phase": "Succeeded"}),), ()),
    Case("a Pod that has failed is not there", service(), (pod(status={"phase": "Failed"}),), ()),
    Case("a Pod without an address is not there", service(), (pod(status={"podIPs": None}),), ()),
    Case("status.podIP alone will do", service(), (pod(status={"podIPs": [], "podIP": "10.244.0.8"}),),
         ("IPv4 | http/TCP/8080 | 10.244.0.8 ready",)),
    Case("leading zeros mean nothing", service(), (pod(status={"podIPs": [], "podIP": "010.244.000.8"}),),
         ("IPv4 | http/TCP/8080 | 10.244.0.8 ready",)),
    Case("an address that is none is left out", service(), (pod("web-0", "10.244.0.300"),), ()),
    Case("a Pod of another namespace is not selected", service(), (pod(metadata={"namespace": "data"}),), ()),
    Case("every label of the selector must be there", service(selector={"app": "web", "tier": "back"}), (pod(),), ()),
    Case("more labels than the selector's do no harm", service(selector={"tier": "front"}), (pod(),),
         ("IPv4 | http/TCP/8080 | 10.244.0.5 ready",)),
    Case("without a selector nothing is derived", service(selector=None), (pod(),), ()),
    Case("an empty selector selects nothing", service(selector={}), (pod(),), ()),
    Case("an ExternalName Service has no endpoints", service(type="ExternalName"), (pod(),), ()),
    Case("both families of ipFamilies, a slice for each", service(ipFamilies=["IPv6", "IPv4"]),
         (pod("web-0", "10.244.0.5", "fd00:10:244::5"),),
         ("IPv4 | http/TCP/8080 | 10.244.0.5 ready", "IPv6 | http/TCP/8080 | fd00:10:244::5 ready")),
    Case("a single-stack Service takes one address of a dual-stack Pod", service(ipFamilies=["IPv6"]),
         (pod("web-0", "10.244.0.5", "fd00:10:244::5"),), ("IPv6 | http/TCP/8080 | fd00:10:244::5 ready",)),
    Case("without ipFamilies the cluster IPs say the families", service(clusterIP="fd00:10:96::9", clusterIPs=None),
         (pod("web-0", "10.244.0.5", "fd00:10:244::5"),), ("IPv6 | http/TCP/8080 | fd00:10:244::5 ready",)),
    Case("a headless Service that does not say takes both", service(clusterIP="None", clusterIPs=["None"]),
         (pod("web-0", "10.244.0.5", "fd00:10:244::5"),),
         ("IPv4 | http/TCP/8080 | 10.244.0.5 ready", "IPv6 | http/TCP/8080 | fd00:10:244::5 ready")),
    Case("odd spellings of an address are made regular", service(ipFamilies=["IPv6"]),
         (pod("web-0", "FD00:10:244:0::0005"),), ("IPv6 | http/TCP/8080 | fd00:10:244::5 ready",)),
    Case("hostname and a subdomain that is the Service's name make a host name", service(),
         (pod(spec={"hostname": "alpha", "subdomain": "web"}),), ("IPv4 | http/TCP/8080 | 10.244.0.5 ready alpha",)),
    Case("another subdomain makes none", service(), (pod(spec={"hostname": "alpha", "subdomain": "db"}),),
         ("IPv4 | http/TCP/8080 | 10.244.0.5 ready",)),
    Case("a subdomain without hostname makes none", service(), (pod(spec={"subdomain": "web"}),),
         ("IPv4 | http/TCP/8080 | 10.244.0.5 ready",)),
    Case("a port without targetPort is the same number", service(ports=[{"port": 80}]), (pod(),),
         ("IPv4 | /TCP/80 | 10.244.0.5 ready",)),
    Case("targetPort 0 is as good as none", service(ports=[{"port": 80, "targetPort": 0}]), (pod(),),
         ("IPv4 | /TCP/80 | 10.244.0.5 ready",)),
    Case("a named targetPort is the container's port", service(**NAMED),
         (pod(spec={"containers": [container(8081)]}),), ("IPv4 | http/TCP/8081 | 10.244.0.5 ready",)),
    Case("its protocol must be the same", service(**NAMED),
         (pod(spec={"containers": [container(8081, protocol="UDP"), container(8082, protocol="TCP")]}),),
         ("IPv4 | http/TCP/8082 | 10.244.0.5 ready",)),
    Case("a sidecar's port counts, after the containers'", service(**NAMED),
         (pod(spec={"initContainers": [{**container(9000), "restartPolicy": "Always"}]}),
          pod("web-1", "10.244.0.6", spec={"containers": [container(8081)],
                                           "initContainers": [{**container(9000), "restartPolicy": "Always"}]})),
         ("IPv4 | http/TCP/9000 | 10.244.0.5 ready", "IPv4 | http/TCP/8081 | 10.244.0.6 ready")),
    Case("an init container that ends has no port", service(**NAMED),
         (pod(spec={"initContainers": [container(9000)]}),), ("IPv4 |  | 10.244.0.5 ready",)),
    Case("Pods with other numbers for the name stand in slices of their own", service(**NAMED),
         (pod(spec={"containers": [container(8081)]}),
          pod("web-1", "10.244.0.6", spec={"containers": [container(8082)]}),
          pod("web-2", "10.244.0.7", spec={"containers": [container(8081)]})),
         ("IPv4 | http/TCP/8081 | 10.244.0.5 ready; 10.244.0.7 ready", "IPv4 | http/TCP/8082 | 10.244.0.6 ready")),
    Case("a name that a Pod does not have takes only that port away",
         service(ports=[*NAMED["ports"], {"name": "metrics", "port": 9153, "protocol": "UDP"}]), (pod(),),
         ("IPv4 | metrics/UDP/9153 | 10.244.0.5 ready",)),
    Case("a headless Service without ports has a slice without ports", service(clusterIP="None", clusterIPs=None,
         ipFamilies=["IPv4"], ports=None), (pod(),), ("IPv4 |  | 10.244.0.5 ready",)),
    Case("nulls in lists are nothing", service(ports=[None, {"port": 80}], ipFamilies=[None, "IPv4"]),
         (pod(spec={"containers": [None, {"ports": [None]}]}, status={"conditions": [None, *READY]}),),
         ("IPv4 | /TCP/80 | 10.244.0.5 ready",)),
)  # fmt: skip


def present(service: Wire, *pods: Wire) -> tuple[str, ...]:
    """The derived slices, as in `Case.slices`."""
    found = derive_slices([msgspec.convert(service, SourceService)], [msgspec.convert(one, SourcePod) for one in pods])
    texts = []
    for wire, _ in found:
        ports = " ".join(f"{port.name}/{port.protocol}/{port.port}" for port in wire.ports or () if port)
        endpoints = "; ".join(present_endpoint(endpoint) for endpoint in wire.endpoints or () if endpoint)
        texts.append(f"{wire.address_type} | {ports} | {endpoints}")
    return tuple(texts)


def present_endpoint(endpoint: ApiEndpoint) -> str:
    """ADDRESS,ADDRESS ready|not-ready [HOSTNAME]"""
    addresses = ",".join(str(one) for one in endpoint.addresses or ())
    ready = "ready" if endpoint.conditions and endpoint.conditions.ready else "not-ready"
    return f"{addresses} {ready} {endpoint.hostname or ''}".rstrip()


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.title)
def test_derived_slices(case: Case) -> None:
    """The Service's slices, in order."""
    assert present(case.service, *case.pods) == case.slices


DELETED = {"deletionTimestamp": "2026-01-01T00:00:00Z"}


@pytest.mark.parametrize(
    ("metadata", "conditions", "publishes", "expected"),
    [
        ({}, READY, False, (True, True, False)),
        ({}, UNREADY, False, (False, False, False)),
        ({}, UNREADY, True, (True, False, False)),
        (DELETED, READY, False, (False, True, True)),
        (DELETED, UNREADY, False, (False, False, True)),
        (DELETED, READY, True, (True, True, True)),
    ],
)
def test_conditions_of_a_derived_endpoint(
    metadata: Wire, conditions: Any, publishes: bool, expected: tuple[bool, bool, bool]
) -> None:
    """Ready, serving, terminating, as the controller sets them; and the Pod's node."""
    wanted = service(publishNotReadyAddresses=publishes)
    one = pod(metadata=metadata, status={"conditions": conditions}, spec={"nodeName": "node1"})
    (derived,) = derive_slices([msgspec.convert(wanted, SourceService)], [msgspec.convert(one, SourcePod)])
    assert derived.wire.endpoints is not None
    (endpoint,) = derived.wire.endpoints
    assert endpoint is not None
    assert endpoint.conditions is not None
    found = endpoint.conditions
    assert (found.ready, found.serving, found.terminating) == expected
    assert endpoint.node_name == "node1"


def test_slices_are_filled_up_to_the_limit() -> None:
    """As many slices as are needed, none with more endpoints than the controller's limit, each with its own name."""
    pods = [msgspec.convert(pod(f"web-{n:03}", f"10.244.{n // 250}.{n % 250 + 1}"), SourcePod) for n in range(250)]
    found = [derived.wire for derived in derive_slices([msgspec.convert(service(), SourceService)], pods)]
    assert [len(wire.endpoints or ()) for wire in found] == [SLICE_LIMIT, SLICE_LIMIT, 50]
    assert len({wire.metadata.name for wire in found if wire.metadata}) == 3


def test_labels_of_a_derived_slice() -> None:
    """A slice has its Service's labels, its name, and says that it is headless if it is."""
    wanted = service(clusterIP="None", clusterIPs=["None"], ipFamilies=["IPv4"])
    wanted["metadata"]["labels"] = {"team": "blue", "kubernetes.io/service-name": "forged"}
    (derived,) = derive_slices([msgspec.convert(wanted, SourceService)], [msgspec.convert(pod(), SourcePod)])
    assert derived.labels == {
        "team": "blue",
        "kubernetes.io/service-name": "web",
        "endpointslice.kubernetes.io/managed-by": "kdns",
        "service.kubernetes.io/headless": "",
    }
    assert derived.wire.endpoints
    assert derived.wire.endpoints[0]
    assert derived.wire.endpoints[0].target_ref
    assert derived.wire.endpoints[0].target_ref.name == "web-0"
