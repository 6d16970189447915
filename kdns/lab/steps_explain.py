"""Step 7: the cluster is broken in ten ways, `kdns explain` says how each time, and it is mended."""

import json
import signal
import subprocess
from collections.abc import Callable, Iterator, Sequence
from typing import Final, NamedTuple

from kdns.lab.evidence import evidence
from kdns.lab.flags import LAYOUTS
from kdns.lab.processes import Process
from kdns.lab.walk import Walk
from kdns.lab.workloads import Json
from kdns.lab.written import remove_virtual_servers, written

CLIENT: Final = "default/busybox"
TARGET: Final = "hostnames.default.svc:80"
WAITS: Final = 60.0
"""Seconds for rules and Pods to follow a change."""
FLUSH: Final = {
    "iptables": (("iptables", "-t", "nat", "-F", "KUBE-SERVICES"),),
    "iptables-legacy": (("iptables-legacy", "-t", "nat", "-F", "KUBE-SERVICES"),),
    "nftables": (("nft", "flush", "chain", "ip", "kube-proxy", "services"),),
}
"""What empties the rules of Services in each mode but ipvs."""


class Cause(NamedTuple):
    """One way to break it."""

    says: str
    codes: tuple[str, ...]
    """One of these is what explain must find first."""
    apply: Callable[[Walk], Callable[[], None]]
    """Break it; what is returned mends it."""
    target: str = TARGET


def explain(walk: Walk) -> None:
    """Break it, ask why, mend it; and at the end, when all is mended, nothing is wrong."""
    walk.title("7. Break it and explain it")
    if walk.kind.folder or walk.kind.mode == "none":
        walk.say("For the cluster and the proxies of the package only: nothing to show.")
        return
    for cause in causes(walk):
        walk.say(cause.says)
        mend = cause.apply(walk)
        try:
            explained = walk.eventually(
                f"kdns explain {cause.target} says {' or '.join(cause.codes)}",
                lambda cause=cause: asked(walk, cause.target),  # type: ignore[misc]
                lambda explained, cause=cause: explained.code in cause.codes,  # type: ignore[misc]
            )
            walk.say(*(f"    {line}" for line in explained.lines))
        finally:
            mend()
    walk.eventually("mended, it finds no fault", lambda: asked(walk, TARGET), lambda explained: not explained.code)


class Found(NamedTuple):
    """What explain says."""

    code: str
    """Of the first fault; empty without one."""
    verdict: str
    lines: list[str]
    """Those about the fault."""

    def __str__(self) -> str:
        return self.code or self.verdict


def asked(walk: Walk, target: str) -> Found:
    """What it says of the cluster as it is now: the report for programs, and what people read of the first fault."""
    with evidence(walk.cluster) as folder:
        common = walk.cluster.command("explain", target, "--from", CLIENT, "--evidence", str(folder))
        report: Json = json.loads(_output((*common, "-o", "json")))
        text = _output(common).splitlines()
    at = next((number for number, line in enumerate(text) if "FAULT" in line), len(text))
    return Found(report["first_fault"] or "", report["verdict"], text[at : at + 4])


def _output(argv: Sequence[str]) -> str:
    made = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
    if made.returncode not in {0, 1}:
        raise RuntimeError(made.stderr)
    return made.stdout


def causes(walk: Walk) -> Iterator[Cause]:
    """All of them, the mode's own first."""
    yield Cause("The rules of Services on node-0 are flushed.", ("E33", "E31", "E32"), _flushed)
    if walk.kind.mode != "ipvs":  # IPVS sends to the Pods from the node itself: nothing is forwarded
        yield Cause("A firewall on node-0 drops what is forwarded to the Pods.", ("E33",), _foreign_drop)
    yield Cause("The selector of hostnames has a typo.", ("E24",), _service(selector={"app": "hostname"}))
    yield Cause("No Pod of hostnames is ready.", ("E25",), _unready)
    yield Cause("Its targetPort is a name that no container has.", ("E22",), _port)
    yield Cause("The Service is asked at a port that it does not have.", ("E21",), _nothing, "hostnames.default.svc:81")
    yield Cause("It is asked by a name with a typo.", ("E03",), _nothing, "hostname.default.svc:80")
    yield Cause("A NetworkPolicy lets its Pods be reached from nowhere.", ("E17",), _policy)
    yield Cause("The Corefile hides Namespace default.", ("E07",), _hidden)
    if walk.kind.layout == LAYOUTS[0]:  # elsewhere each node has a DNS of its own
        yield Cause("The cluster DNS is scaled to 0.", ("E16",), _no_dns)


def _nothing(_: Walk) -> Callable[[], None]:
    """The mistake is in the question."""
    return lambda: None


def _tool(walk: Walk, *argv: str) -> None:
    made = walk.cluster.network.run("node-0", list(argv))
    if made.returncode:
        raise RuntimeError(f"{' '.join(argv)}: {made.stderr}")


def _flushed(walk: Walk) -> Callable[[], None]:
    """The proxy of node-0 is suspended, or it would repair the rules before explain sees that they are gone."""
    network, kind = walk.cluster.network, walk.kind
    before = written(network, "node-0", kind)
    _signal_proxy(walk, signal.SIGSTOP)
    if kind.mode == "ipvs":
        remove_virtual_servers(network.parts["node-0"].network)
    for argv in FLUSH.get(kind.mode, ()):
        _tool(walk, *argv)

    def mend() -> None:
        """A proxy that starts writes everything; rules that it finds are not what it wrote."""
        _signal_proxy(walk, signal.SIGCONT)
        for proxy in _proxies(walk):
            proxy.stop()
        walk.cluster.wait_until_ready(WAITS)
        walk.cluster.wait_for(lambda: written(network, "node-0", kind) == before, WAITS)

    return mend


def _signal_proxy(walk: Walk, number: signal.Signals) -> None:
    for proxy in _proxies(walk):
        proxy.send(number)


def _proxies(walk: Walk) -> list[Process]:
    """The programs of this package that run in node-0's own network."""
    return [
        walk.cluster.program("kube-system", pod["metadata"]["name"])
        for pod in walk.cluster.pods("kube-system")
        if pod["spec"].get("hostNetwork") and pod["spec"].get("nodeName") == "node-0"
    ]


def _foreign_drop(walk: Walk) -> Callable[[], None]:
    rule = "add table ip firewall; add chain ip firewall forward { type filter hook forward priority -10; }; "
    rule += "add rule ip firewall forward ip daddr 10.244.0.0/16 tcp dport 9376 drop"
    _tool(walk, "nft", rule)
    return lambda: _tool(walk, "nft", "delete table ip firewall")


def _service(**spec: object) -> Callable[[Walk], Callable[[], None]]:
    """Change hostnames' spec; what was there comes back."""

    def apply(walk: Walk) -> Callable[[], None]:
        before = _hostnames(walk)["spec"]
        walk.cluster.patch("Service", "default", "hostnames", {"spec": spec})
        changed = {key: before.get(key) for key in spec}
        if "selector" in spec:  # a merge keeps what it does not name (RFC 7396)
            changed["selector"] = before["selector"]
        return lambda: walk.cluster.patch("Service", "default", "hostnames", {"spec": changed})

    return apply


def _hostnames(walk: Walk) -> Json:
    return next(body for body in walk.cluster.objects("Service") if body["metadata"]["name"] == "hostnames")


def _port(walk: Walk) -> Callable[[], None]:
    ports = [{**port, "targetPort": "htp"} for port in _hostnames(walk)["spec"]["ports"]]
    return _service(ports=ports)(walk)


def _unready(walk: Walk) -> Callable[[], None]:
    names = walk.pods(app="hostnames")
    for name in names:
        walk.cluster.set_ready("default", name, False)

    def mend() -> None:
        for name in names:
            walk.cluster.set_ready("default", name, True)

    return mend


def _policy(walk: Walk) -> Callable[[], None]:
    walk.cluster.put({
        "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
        "metadata": {"name": "closed", "namespace": "default"},
        "spec": {"podSelector": {"matchLabels": {"app": "hostnames"}}, "policyTypes": ["Ingress"]},
    })  # fmt: skip
    return lambda: walk.cluster.delete("NetworkPolicy", "default", "closed")


def _hidden(walk: Walk) -> Callable[[], None]:
    """In every Corefile, those of the nodes with them. The lab's own DNS does not read it again: only explain does."""
    before: dict[tuple[str, str, str], str] = {}
    for body in walk.cluster.objects("ConfigMap"):
        text = body.get("data", {}).get("Corefile", "")
        if "kubernetes " not in text:
            continue
        key = "ConfigMap", body["metadata"]["namespace"], body["metadata"]["name"]
        at = text.index("{", text.index("kubernetes ")) + 1
        before[key] = text
        walk.cluster.patch(*key, {"data": {"Corefile": f"{text[:at]}\n        namespaces kube-system{text[at:]}"}})

    def mend() -> None:
        for key, text in before.items():
            walk.cluster.patch(*key, {"data": {"Corefile": text}})

    return mend


def _no_dns(walk: Walk) -> Callable[[], None]:
    cluster = walk.cluster
    labels = {"k8s-app": "kube-dns"}
    owner = next(body for body in cluster.objects("Deployment") if body["metadata"].get("namespace") == "kube-system")
    name, replicas = owner["metadata"]["name"], owner["spec"].get("replicas", 1)
    cluster.scale("kube-system", name, 0)
    cluster.wait_for(lambda: not cluster.pods("kube-system", **labels), WAITS)

    def mend() -> None:
        cluster.scale("kube-system", name, replicas)
        cluster.wait_for(lambda: len(cluster.pods("kube-system", **labels)) == replicas, WAITS)
        cluster.wait_until_ready(WAITS)

    return mend
