"""Step 4: the ways into a Service, and what each policy does with the client's address."""

from typing import Any, Final

from kdns.lab.asking import Arrived, Outcome, Silence
from kdns.lab.plan import BALANCERS, CLIENT, EXTERNAL
from kdns.lab.walk import Walk
from kdns.lab.workloads import Json

LONELY: Final = "10.96.90.90"
NODE_PORT: Final = 30100
EXTERNAL_IP: Final = str(EXTERNAL[0][7])
BALANCER: Final = str(BALANCERS[0][7])
STRANGER: Final = "172.18.0.101"
"""A second address of the outside client."""


def ways_in(walk: Walk) -> None:
    """Node ports, traffic policies, external IPs, load balancer IPs with source ranges, affinity, hairpin."""
    walk.title("4. The ways in")
    nodes = [str(node.addresses[0]) for node in walk.cluster.plan.nodes]
    client = str(CLIENT[0])
    walk.say("Service lonely has one Pod, on node-1, and is reached by a node port, too.")
    walk.cluster.put(_pod(), _service())
    there = _until(walk, "node-0 forwards what comes to its port", "outside", nodes[0], NODE_PORT)
    walk.check("the Pod saw the node, for the answer must come back through it", _client(there) != client, there)
    walk.say("externalTrafficPolicy Local: the client's address is kept, and a node without a Pod does not answer.")
    _change(walk, {"externalTrafficPolicy": "Local"})
    walk.eventually(
        "node-0 drops it", lambda: walk.ask("outside", "TCP", nodes[0], NODE_PORT), lambda seen: seen == Silence()
    )
    walk.equal(
        "through node-1 the Pod sees the client", _client(walk.show("outside", "TCP", nodes[1], NODE_PORT)), client
    )
    walk.say("internalTrafficPolicy Local: Pods reach the Service only where one of its Pods is.")
    _change(walk, {"externalTrafficPolicy": "Cluster", "internalTrafficPolicy": "Local"})
    walk.eventually("dropped on node-0", lambda: walk.ask("busybox", "TCP", LONELY, 80), lambda seen: seen == Silence())
    walk.check("served on node-1", isinstance(walk.show("busybox-2", "TCP", LONELY, 80), Arrived))
    walk.say("An external IP, which the network routes to node-0.")
    _change(walk, {"internalTrafficPolicy": "Cluster", "externalIPs": [EXTERNAL_IP]})
    _until(walk, "it leads to the Pod", "outside", EXTERNAL_IP, 80)
    walk.say("A load balancer IP, for one client alone.")
    _change(walk, {"externalIPs": None, "type": "LoadBalancer", "loadBalancerSourceRanges": [f"{client}/32"]})
    status = {"loadBalancer": {"ingress": [{"ip": BALANCER, "ipMode": "VIP"}]}}
    walk.cluster.patch("Service", "default", "lonely", {"status": status})
    walk.cluster.network.configure("outside", [f"address replace {STRANGER}/16 dev eth0"])
    _until(walk, "it leads to the Pod", "outside", BALANCER, 80)
    walk.equal("others are dropped", walk.show("outside", "TCP", BALANCER, 80, source=STRANGER), Silence())
    walk.say("Session affinity: a client that came once comes to the same Pod.")
    config = {"clientIP": {"timeoutSeconds": 60}}
    affinity = {"sessionAffinity": "ClientIP", "sessionAffinityConfig": config}
    walk.cluster.patch("Service", "default", "hostnames", {"spec": affinity})

    def some() -> set[str]:
        return walk.names(walk.ask("busybox", "TCP", "10.96.80.80", 80) for _ in range(12))

    walk.eventually("one Pod answers every time", some, lambda seen: len(seen) == 1)
    off = {"sessionAffinity": "None", "sessionAffinityConfig": None}
    walk.cluster.patch("Service", "default", "hostnames", {"spec": off})
    walk.eventually("and all of them without it", some, lambda seen: len(seen) == 3)
    walk.say("Hairpin: a Pod asks its own Service and gets itself; the node puts its address in between.")
    itself = walk.show("lonely", "TCP", LONELY, 80)
    own = next(pod["status"]["podIP"] for pod in walk.cluster.pods() if pod["metadata"]["name"] == "lonely")
    walk.check(
        "it reached itself, from another address", isinstance(itself, Arrived) and _client(itself) != own, itself
    )
    walk.cluster.delete("Service", "default", "lonely")
    walk.cluster.delete("Pod", "default", "lonely")


def _until(walk: Walk, what: str, part: str, address: str, port: int) -> Outcome:
    """Wait until it is answered, and show it."""
    walk.eventually(what, lambda: walk.ask(part, "TCP", address, port), lambda seen: isinstance(seen, Arrived))
    return walk.show(part, "TCP", address, port)


def _client(outcome: Outcome) -> str:
    return outcome.client if isinstance(outcome, Arrived) else str(outcome)


def _change(walk: Walk, spec: dict[str, Any]) -> None:
    walk.cluster.patch("Service", "default", "lonely", {"spec": spec})


def _pod() -> Json:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "lonely", "namespace": "default", "labels": {"app": "lonely"}},
        "spec": {
            "nodeName": "node-1",
            "terminationGracePeriodSeconds": 0,
            "containers": [{"name": "web", "image": "web", "ports": [{"containerPort": 8080, "protocol": "TCP"}]}],
        },
    }


def _service() -> Json:
    port = {"name": "web", "protocol": "TCP", "port": 80, "targetPort": 8080, "nodePort": NODE_PORT}
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "lonely", "namespace": "default"},
        "spec": {"type": "NodePort", "selector": {"app": "lonely"}, "clusterIP": LONELY, "ports": [port]},
    }
