"""A large cluster as `kdns collect` would have written it: objects, and one node's iptables-save."""

import base64
import hashlib
import json
from collections.abc import Iterable, Iterator
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any, Final

from bench import plan

NODE: Final = "worker-1"
NODES: Final = 5
PODS: Final = "10.128.0.0/12"
NAMESPACES: Final = 100
Body = dict[str, Any]


def write_dump(folder: Path, services: int, endpoints: int) -> None:
    """So many Services with so many endpoints each, their slices and Pods, and the rules of `NODE`: 3 lines a Pod."""
    node = folder / "node" / NODE
    node.mkdir(parents=True)
    with (node / "iptables-save.txt").open("w") as file:
        file.writelines(f"{line}\n" for line in _rules(services, endpoints))
    (node / "addresses.txt").write_text("2: eth0    inet 172.18.0.2/16 brd 172.18.255.255 scope global eth0\n")
    _write(folder / "services.json", (_service(number) for number in range(services)))
    _write(folder / "endpointslices.json", (_slice(number, endpoints) for number in range(services)))
    pods = (_pod(number, row, endpoints) for number in range(services) for row in range(endpoints))
    _write(folder / "pods.json", pods)
    _write(folder / "nodes.json", map(_node, range(NODES)))
    _write(folder / "namespaces.json", (_object("Namespace", name, "") for name in _namespaces()))


def target(number: int) -> str:
    """How Service N is asked for."""
    return f"{plan.service_name(number)}.{_namespace(number)}:80"


def _write(path: Path, bodies: Iterable[Body]) -> None:
    with path.open("w") as file:
        file.write('{"apiVersion":"v1","kind":"List","items":[')
        for number, body in enumerate(bodies):
            file.write("," * bool(number) + json.dumps(body, separators=(",", ":")))
        file.write("]}")


def _namespaces() -> Iterator[str]:
    yield from ("default", "kube-system", *(_namespace(number) for number in range(NAMESPACES)))


def _namespace(number: int) -> str:
    return f"ns-{number % NAMESPACES}"


def _object(kind: str, name: str, namespace: str, api: str = "v1", labels: dict[str, str] | None = None) -> Body:
    metadata: Body = {"name": name, "uid": hashlib.md5(f"{kind}{namespace}{name}".encode()).hexdigest()}
    metadata |= {"resourceVersion": "12345", "creationTimestamp": "2026-01-01T00:00:00Z", "labels": labels or {}}
    metadata |= {"namespace": namespace} if namespace else {}
    return {"apiVersion": api, "kind": kind, "metadata": metadata}


def _node(number: int) -> Body:
    address = {"type": "InternalIP", "address": f"172.18.0.{number + 2}"}
    spec = {"podCIDR": f"10.{128 + number}.0.0/16"}
    return _object("Node", f"worker-{number + 1}", "") | {"spec": spec, "status": {"addresses": [address]}}


def _service(number: int) -> Body:
    name, address = plan.service_name(number), plan.cluster_ip(number)
    spec = {
        "clusterIP": address, "clusterIPs": [address], "type": "ClusterIP", "internalTrafficPolicy": "Cluster",
        "ipFamilies": ["IPv4"], "ipFamilyPolicy": "SingleStack", "selector": {"app": name}, "sessionAffinity": "None",
        "ports": [{"name": "http", "port": 80, "protocol": "TCP", "targetPort": 8080}],
    }  # fmt: skip
    return _object("Service", name, _namespace(number), labels={"app": name}) | {"spec": spec, "status": {}}


def _pod_name(number: int, row: int) -> str:
    return f"{plan.service_name(number)}-5d4f8c7b9d-{row:05d}"


def _slice(number: int, endpoints: int) -> Body:
    name, namespace = plan.service_name(number), _namespace(number)
    rows = [
        {
            "addresses": [plan.pod_ip(number * endpoints + row)], "nodeName": f"worker-{row % NODES + 1}",
            "conditions": {"ready": True, "serving": True, "terminating": False}, "zone": "a",
            "targetRef": {"kind": "Pod", "name": _pod_name(number, row), "namespace": namespace, "uid": "0" * 36},
        }
        for row in range(endpoints)
    ]  # fmt: skip
    labels = {
        "kubernetes.io/service-name": name,
        "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io",
    }
    ports = [{"name": "http", "port": 8080, "protocol": "TCP"}]
    made = _object("EndpointSlice", f"{name}-abcde", namespace, "discovery.k8s.io/v1", labels)
    return made | {"addressType": "IPv4", "endpoints": rows, "ports": ports}


def _pod(number: int, row: int, endpoints: int) -> Body:
    name, address, since = plan.service_name(number), plan.pod_ip(number * endpoints + row), "2026-01-01T00:00:00Z"
    labels = {"app": name, "pod-template-hash": "5d4f8c7b9d"}
    container = {
        "name": "app", "image": "registry.example/app:1.2.3", "imagePullPolicy": "IfNotPresent",
        "ports": [{"containerPort": 8080, "name": "http", "protocol": "TCP"}],
        "readinessProbe": {"httpGet": {"path": "/ready", "port": 8080, "scheme": "HTTP"}, "periodSeconds": 10},
        "resources": {"requests": {"cpu": "100m", "memory": "128Mi"}, "limits": {"memory": "128Mi"}},
        "volumeMounts": [{"mountPath": "/var/run/secrets/kubernetes.io/serviceaccount", "name": "token"}],
    }  # fmt: skip
    status = {
        "phase": "Running", "podIP": address, "podIPs": [{"ip": address}], "qosClass": "Burstable", "startTime": since,
        "conditions": [
            {"type": kind, "status": "True", "lastProbeTime": None, "lastTransitionTime": since}
            for kind in ("PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled")
        ],
        "containerStatuses": [{
            "name": "app", "ready": True, "restartCount": 0, "started": True,
            "state": {"running": {"startedAt": since}},
            "imageID": f"registry.example/app@sha256:{'0' * 64}", "containerID": f"containerd://{'0' * 64}",
        }],
    }  # fmt: skip
    spec = {"containers": [container], "dnsPolicy": "ClusterFirst", "nodeName": f"worker-{row % NODES + 1}"}
    return _object("Pod", _pod_name(number, row), _namespace(number), labels=labels) | {"spec": spec, "status": status}


def _rules(services: int, endpoints: int) -> Iterator[str]:
    """As kube-proxy writes them in iptables mode."""
    yield from _FILTER.splitlines()
    yield from ("*nat", *(f":{name} ACCEPT [0:0]" for name in ("PREROUTING", "INPUT", "OUTPUT", "POSTROUTING")))
    numbers, rows = range(services), range(endpoints)
    chains = ["KUBE-SERVICES", "KUBE-POSTROUTING", "KUBE-MARK-MASQ", "KUBE-NODEPORTS", *map(_service_chain, numbers)]
    chains += [_endpoint_chain(number, row) for number in numbers for row in rows]
    yield from (f":{chain} - [0:0]" for chain in sorted(chains))
    yield from _NAT.splitlines()
    for number in numbers:
        yield f"-A KUBE-SERVICES {_frontend(number, 'cluster IP')} -j {_service_chain(number)}"
    yield '-A KUBE-SERVICES -m comment --comment "node ports" -m addrtype --dst-type LOCAL -j KUBE-NODEPORTS'
    for number in numbers:
        chain, about = _service_chain(number), _port_name(number)
        yield f"-A {chain} ! -s {PODS} {_frontend(number, 'cluster IP')} -j KUBE-MARK-MASQ"
        for row in rows:
            address, last = plan.pod_ip(number * endpoints + row), row == endpoints - 1
            share = "" if last else f" -m statistic --mode random --probability {1 / (endpoints - row):.11f}"
            end = _endpoint_chain(number, row)
            yield f'-A {chain} -m comment --comment "{about} -> {address}:8080"{share} -j {end}'
            yield f'-A {end} -s {address}/32 -m comment --comment "{about}" -j KUBE-MARK-MASQ'
            yield f'-A {end} -p tcp -m comment --comment "{about}" -m tcp -j DNAT --to-destination {address}:8080'
    yield from ("COMMIT", "# Completed")


def _frontend(number: int, what: str) -> str:
    comment = f'-m comment --comment "{_port_name(number)} {what}"'
    return f"-d {plan.cluster_ip(number)}/32 -p tcp {comment} -m tcp --dport 80"


def _port_name(number: int) -> str:
    return f"{_namespace(number)}/{plan.service_name(number)}:http"


def _service_chain(number: int) -> str:
    return f"KUBE-SVC-{IPv4Address(number).packed.hex().upper():A>16}"


def _endpoint_chain(number: int, row: int) -> str:
    return "KUBE-SEP-" + base64.b32encode(hashlib.md5(f"{number}/{row}".encode()).digest()).decode()[:16]


_FILTER: Final = """\
# Generated by iptables-save v1.8.9 (nf_tables)
*filter
:INPUT ACCEPT [0:0]
:FORWARD ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:KUBE-FORWARD - [0:0]
-A FORWARD -m comment --comment "kubernetes forwarding rules" -j KUBE-FORWARD
-A KUBE-FORWARD -m comment --comment "kubernetes forwarding rules" -m mark --mark 0x4000/0x4000 -j ACCEPT
-A KUBE-FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
COMMIT
# Generated by iptables-save v1.8.9 (nf_tables)"""
_NAT: Final = """\
-A PREROUTING -m comment --comment "kubernetes service portals" -j KUBE-SERVICES
-A OUTPUT -m comment --comment "kubernetes service portals" -j KUBE-SERVICES
-A POSTROUTING -m comment --comment "kubernetes postrouting rules" -j KUBE-POSTROUTING
-A KUBE-MARK-MASQ -j MARK --set-xmark 0x4000/0x4000
-A KUBE-POSTROUTING -m mark ! --mark 0x4000/0x4000 -j RETURN
-A KUBE-POSTROUTING -j MARK --set-xmark 0x4000/0x0
-A KUBE-POSTROUTING -m comment --comment "kubernetes service traffic requiring SNAT" -j MASQUERADE --random-fully"""
