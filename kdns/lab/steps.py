"""The steps of the walk-through: the life of a Service, from its name to the packet's arrival."""

import asyncio
import re
import time
from collections.abc import Callable, Mapping
from typing import Final

from kdns.lab.asking import Arrived, Flow, Refused
from kdns.lab.steps_balance import HOSTNAMES, balance
from kdns.lab.steps_explain import explain
from kdns.lab.steps_local import local_dns
from kdns.lab.steps_outside import ways_in
from kdns.lab.steps_restart import restarts
from kdns.lab.walk import Walk, present
from kdns.lab.written import written

CART: Final = "10.96.70.70"
CART_V6: Final = "fd00:10:96::7070"
"""What `getent hosts` prints of a name with both."""
AT_ONCE: Final = 0.4
"""Seconds: a refusal that takes longer is a wait."""


def names(walk: Walk) -> None:
    """Names of every kind, asked by busybox, which ignores the search list, and by a glibc client, which walks it."""
    walk.title("1. Names")
    walk.say("busybox asks for the API server as the Kubernetes guide does; the name server is Service kube-dns.")
    walk.run("busybox", "cat /etc/resolv.conf")
    for name, wanted in (
        ("kubernetes.default", "10.96.0.1"),
        ("hostnames.default", HOSTNAMES),
        ("cart.shop.svc", CART),
        ("hostnames.default.svc.cluster.local", HOSTNAMES),
        ("www.example.com", "198.18.0.80"),
    ):
        output = walk.run("busybox", f"busybox nslookup {name}")
        walk.check(f"{name} is {wanted}", f"Address: {wanted}\n" in output, output[-200:])
    walk.say(
        "A glibc client walks the search list of its resolv.conf, so that short names do. (cart.shop is asked",
        "for here, and not above: as it stands, it might be a name of the world, where .shop exists.)",
    )
    for name, wanted in (("hostnames", HOSTNAMES), ("kubernetes.default", "10.96.0.1"), ("cart.shop", CART_V6)):
        output = walk.run("busybox", f"getent hosts {name}")
        walk.check(f"{name} is {wanted}", output.split()[:1] == [wanted], output)
    walk.say("A headless Service is the addresses of its Pods, and each Pod that says so has a name below it.")
    pods = {pod["metadata"]["name"]: pod["status"]["podIP"] for pod in walk.cluster.pods(name="busybox")}
    output = walk.run("busybox", "busybox nslookup default-subdomain.default.svc.cluster.local")
    missing = [address for address in pods.values() if f"Address: {address}\n" not in output]
    walk.equal("all its Pods are in the answer", missing, [])
    output = walk.run("busybox", "busybox nslookup busybox-1.default-subdomain.default.svc.cluster.local")
    walk.check("busybox-1.default-subdomain is that Pod", f"Address: {pods['busybox-1']}\n" in output, output)
    walk.say("Ports, names of addresses, a name for something outside, and a name that does not exist.")
    output = walk.run("busybox", "busybox nslookup -type=srv _dns._udp.kube-dns.kube-system.svc.cluster.local")
    walk.check("the SRV record says port 53", "53 kube-dns.kube-system.svc.cluster.local" in output, output)
    output = walk.run("busybox", "busybox nslookup 10.96.0.10")
    walk.check("the PTR record leads back", "name = kube-dns.kube-system.svc.cluster.local" in output, output)
    output = walk.run("busybox", "busybox nslookup my-service.default.svc.cluster.local")
    walk.check("the ExternalName is a CNAME to it", "198.18.0.80" in output and "www.example.com" in output, output)
    output = walk.run("busybox", "busybox nslookup nowhere.default.svc.cluster.local")
    walk.check("a name that is not there is NXDOMAIN", "NXDOMAIN" in output, output)


def readiness(walk: Walk) -> None:
    """A Pod that is not ready leaves the rules, and comes back."""
    walk.title("3. A Pod stops being ready")
    name, *others = walk.pods(app="hostnames")
    address = _address(walk, name)
    walk.check(f"the rules of node-0 lead to {address}", _in_rules(walk, address))
    walk.say(f"{name}, {address}, is not ready from now on.")
    walk.cluster.set_ready("default", name, False)
    walk.eventually("the rules do not lead to it any more", lambda: _in_rules(walk, address), lambda there: not there)

    def answered() -> set[str]:
        return walk.names(walk.ask("busybox", "TCP", HOSTNAMES, 80) for _ in range(25))

    walk.eventually("only the others answer", answered, lambda seen: seen == set(others))
    walk.say("It is ready again.")
    walk.cluster.set_ready("default", name, True)
    walk.eventually("the rules lead to it", lambda: _in_rules(walk, address), lambda there: there)
    walk.eventually("all of them answer", answered, lambda seen: seen == {name, *others})
    walk.say("The same for a headless Service, whose answers are its Pods: busybox-1 leaves the name, and returns.")
    own = _address(walk, "busybox-1")

    def looked_up() -> bool:
        command = ["busybox", "nslookup", "default-subdomain.default.svc.cluster.local"]
        return f"Address: {own}\n" in walk.cluster.network.run("busybox-2", command).stdout

    walk.cluster.set_ready("default", "busybox-1", False)
    walk.eventually("it is not in the answer", looked_up, lambda there: not there)
    walk.cluster.set_ready("default", "busybox-1", True)
    walk.eventually("it is in the answer", looked_up, lambda there: there)


def _address(walk: Walk, name: str, namespace: str = "default") -> str:
    return next(str(pod["status"]["podIP"]) for pod in walk.cluster.pods(namespace) if pod["metadata"]["name"] == name)


def _in_rules(walk: Walk, address: str) -> bool:
    """Whether node-0 sends new connections there; a real server of weight 0 only keeps its old ones."""
    lines = written(walk.cluster.network, "node-0", walk.kind)
    return any(re.search(rf"\b{re.escape(address)}\b", line) and not line.endswith("Masq    0") for line in lines)


def zero(walk: Walk) -> None:
    """Without endpoints a Service refuses at once; a UDP client that keeps its port follows its Service."""
    walk.title("5. Scaled to zero and back")
    cluster = walk.cluster
    cluster.scale("default", "hostnames", 0)
    walk.say("hostnames is scaled to 0. Its Pods get two seconds to end, and all new connections until then.")
    cluster.wait_for(lambda: not cluster.pods(app="hostnames"))
    walk.say("They are gone. That is a refusal, and no wait:")
    for part in ("busybox", "busybox-2"):
        walk.eventually(
            f"refused, asked from {part}",
            lambda part=part: walk.ask(part, "TCP", HOSTNAMES, 80),  # type: ignore[misc]
            lambda seen: seen == Refused(),
        )
    began = time.monotonic()
    seen = walk.show("busybox-2", "TCP", HOSTNAMES, 80)
    took = time.monotonic() - began
    walk.check(f"at once (after {took:.2f} s)", seen == Refused() and took < AT_ONCE, present(seen))
    walk.say("Three Pods again.")
    cluster.scale("default", "hostnames", 3)
    walk.eventually(
        "Pods answer again",
        lambda: walk.ask("busybox", "TCP", HOSTNAMES, 80),
        lambda seen: isinstance(seen, Arrived),
    )
    cluster.wait_until_ready()
    walk.say(
        "A UDP client keeps asking from the same port, which is one flow to the kernel. Then its Pod stops",
        "being ready, and the flow must be forgotten.",
    )
    walk.wait(_follow(walk))


async def _follow(walk: Walk) -> None:
    flow = await walk.cluster.network.open_flow("busybox", "UDP", CART, 4000, source_port=40404)
    assert isinstance(flow, Flow)
    try:
        before = await flow.ask()
        if not walk.check("it is answered", isinstance(before, Arrived), before):
            return
        assert isinstance(before, Arrived)
        walk.cluster.set_ready("shop", before.name, False)
        until, after = time.monotonic() + 15, await flow.ask()
        while (not isinstance(after, Arrived) or after.name == before.name) and time.monotonic() < until:
            after = await flow.ask()
        walk.check(
            f"from port {flow.port} it now reaches another Pod", isinstance(after, Arrived) and after != before, after
        )
        walk.cluster.set_ready("shop", before.name, True)
        address = _address(walk, before.name, "shop")
        await asyncio.to_thread(
            walk.eventually, "the first one is back", lambda: _in_rules(walk, address), lambda there: there
        )
    finally:
        flow.close()


STEPS: Final[Mapping[str, Callable[[Walk], None]]] = {
    "names": names,
    "balance": balance,
    "readiness": readiness,
    "ways-in": ways_in,
    "zero": zero,
    "restarts": restarts,
    "explain": explain,
}
"""In the order of the walk."""
OF_LAYOUT: Final[Mapping[str, Mapping[str, Callable[[Walk], None]]]] = {"node-local": {"local-dns": local_dns}}
"""Those of one layout alone, after the others."""


def steps_of(layout: str) -> Mapping[str, Callable[[Walk], None]]:
    """The steps of a walk in this layout."""
    return {**STEPS, **OF_LAYOUT.get(layout, {})}
