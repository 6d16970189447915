"""A Service of each kind for `ipvs_inside`, what every source should meet there, and how to change it all."""

import subprocess
from ipaddress import ip_address, ip_network
from pathlib import Path as File
from typing import Final

from kdns.base.objects import Network
from kdns.proxy.apply.ipvs import Ipvs, IpvsSettings
from kdns.proxy.model import (
    Backend,
    Entry,
    Family,
    Frontend,
    FrontendKind,
    LocalDetector,
    NodeRules,
    Path,
    Protocol,
    RuleChange,
    RuleSet,
    ServicePortName,
    ServicePortRules,
)
from tests.proxy.apply.town import ADDRESSES, PATIENCE, PATIENT, PORT, SERVERS, ask_often


def tell(*argv: str) -> str:
    """What a command prints."""
    return subprocess.run(argv, check=True, capture_output=True, text=True).stdout


def virtual_servers() -> str:
    """As the kernel lists them, in hexadecimal."""
    return File("/proc/net/ip_vs").read_text()


def setting(name: str) -> str:
    """A setting of IPv4."""
    return File("/proc/sys/net/ipv4", name).read_text().strip()


class World:
    """One family: its addresses and rules."""

    def __init__(self, family: Family) -> None:
        self.family = family
        self.index = 0 if family is Family.IPV4 else 1
        self.pods = {name: Backend(ip_address(ADDRESSES[name][self.index]).packed, PORT) for name in SERVERS}
        detector = LocalDetector("CIDR", network(("10.244.0.0/16", "fd44::/31")[self.index]))
        self.node = NodeRules(family, detector=detector)
        self.applier = self.new()

    def new(self, **settings: object) -> Ipvs:
        """A proxier that has just started."""
        return Ipvs(self.node, IpvsSettings(**settings))  # type: ignore[arg-type]

    def service(self, number: int) -> str:
        """A cluster IP."""
        return ("10.96.0.{}", "fd96::{}")[self.index].format(number)

    def outside(self, number: int) -> str:
        """An external or load balancer IP."""
        return ("203.0.113.{}", "fd20::{}")[self.index].format(number)

    def at(self, name: str) -> str:
        """The address of a node, a pod or the client."""
        return ADDRESSES[name][self.index]

    def backends(self, names: str) -> tuple[Backend, ...]:
        """``near far``."""
        return tuple(self.pods[name] for name in names.split())

    def entry(self, way: FrontendKind, address: str, port: int, *paths: Path, sources: str = "") -> Entry:
        """One frontend."""
        allowed = tuple(network(text) for text in sources.split()) if sources else None
        return Entry(Frontend(way, ip_address(address).packed if address else b"", port), paths, allowed)

    def rules(
        self, name: str, protocol: Protocol, backends: str, *entries: Entry, local: str = "", affinity: int = 0
    ) -> ServicePortRules:
        """One service port."""
        full_name = ServicePortName("shop", name, "", protocol)
        return ServicePortRules(full_name, entries, self.backends(backends), self.backends(local), affinity)

    def seen(self, text: str, source: str) -> str:
        """``far:self`` (whom the pod sees: the client itself, or the node) as a pod would say it."""
        pod, _, who = text.partition(":")
        if not who:
            return text
        gateway = ("10.244.0.1", "fd44::1")[self.index]
        return f"{pod} {self.at(source) if who == 'self' else self.at('node') if pod == 'far' else gateway}"


def network(text: str) -> Network:
    found = ip_network(text)
    return Network(found.network_address.packed, found.prefixlen)


IPV4, IPV6 = World(Family.IPV4), World(Family.IPV6)

INTERNAL = Path("any", "cluster", "not pod")
EXTERNAL = Path("any", "cluster", "always")
SHORT = (Path("pod", "cluster"), Path("host", "cluster", "always"))
REJECT, DROP, LOCAL = Path("any", "reject"), Path("any", "drop"), Path("any", "local")


def shop(w: World) -> list[ServicePortRules]:
    """A Service of each kind."""
    ranges = f"{w.at('node2')}/32 {w.outside(6)}/32".replace("/32", "/128" if w.index else "/32")
    every = "0.0.0.0/0" if not w.index else "::/0"
    both: tuple[Protocol, Protocol] = ("TCP", "UDP")
    return [
        *(
            w.rules(
                "web",
                protocol,
                "near next far",
                w.entry("cluster IP", w.service(10), 80, INTERNAL),
                w.entry("external IP", w.outside(5), 80, EXTERNAL),
                w.entry("load balancer IP", w.outside(6), 80, EXTERNAL, sources=ranges),
                w.entry("node port", "", 30080, EXTERNAL),
            )
            for protocol in both
        ),
        *(
            w.rules(
                "local",
                protocol,
                "near far",
                w.entry("cluster IP", w.service(11), 80, INTERNAL),
                w.entry("external IP", w.outside(7), 80, *SHORT, LOCAL),
                w.entry("load balancer IP", w.outside(8), 80, *SHORT, LOCAL, sources=every),
                w.entry("node port", "", 30081, *SHORT, LOCAL),
                local="near",
            )
            for protocol in both
        ),
        *(
            w.rules(
                "elsewhere",
                protocol,
                "far",
                w.entry("cluster IP", w.service(12), 80, DROP),
                w.entry("external IP", w.outside(9), 80, *SHORT, DROP),
                w.entry("node port", "", 30082, *SHORT, DROP),
            )
            for protocol in both
        ),
        *(
            w.rules(
                "empty",
                protocol,
                "",
                w.entry("cluster IP", w.service(13), 80, REJECT),
                w.entry("node port", "", 30083, REJECT),
            )
            for protocol in both
        ),
        w.rules("hairpin", "TCP", "near", w.entry("cluster IP", w.service(14), 80, INTERNAL)),
        w.rules("inner", "TCP", "near far", w.entry("cluster IP", w.service(15), 80, LOCAL), local="near"),
    ]


NEAR_ALL, NODE_ALL, SELF_ALL = "near:node next:self far:self", "near:node next:node far:node", "near:self far:self"
TABLE: Final = f"""
near   cluster 10  {NEAR_ALL}
near   outside 5   {NODE_ALL}
near   outside 6   silence
near   port 30080  {NODE_ALL}
near   cluster 11  near:node far:self
near   outside 7   near:node far:self
near   outside 8   near:node far:self
near   port 30081  near:node far:self
near   cluster 12  silence
near   outside 9   far:self
near   port 30082  far:self
near   cluster 13  refused
near   cluster 14  near:node
next   cluster 11  {SELF_ALL}
next   port 30083  refused
next   cluster 15  near:self
node   cluster 10  {NODE_ALL}
node   outside 5   {NODE_ALL}
node   outside 6   {NODE_ALL}
node   port 30080  {NODE_ALL}
node   outside 7   near:node far:node
node   outside 8   near:node far:node
node   port 30081  near:node far:node
node   cluster 12  stopped
node   outside 9   far:node
node   port 30082  far:node
node   cluster 13  refused
node   cluster 15  near:node
client cluster 10  {NODE_ALL}
client outside 5   {NODE_ALL}
client outside 6   silence
client port 30080  {NODE_ALL}
client outside 7   near:self
client outside 8   near:self
client port 30081  near:self
client outside 9   silence
client port 30082  silence
client port 30083  refused
node2  outside 6   {NODE_ALL}
"""


async def table(w: World) -> None:
    """Each line with TCP and UDP."""
    rules = shop(w)
    await w.applier.prepare()
    await w.applier.sync(RuleSet(w.node, {port.name: port for port in rules}), None)
    wrong = []
    for line in TABLE.split("\n")[1:-1]:
        source, kind, number, *texts = line.split()
        for transport in ("TCP", "UDP"):
            if transport == "UDP" and number in {"14", "15"}:
                continue
            address = {"cluster": w.service, "outside": w.outside}.get(kind, lambda _: w.at("node"))(int(number))
            port = int(number) if kind == "port" else 80
            expected = {w.seen(text, source) for text in texts}
            if expected == {"stopped"}:
                expected = {"silence" if transport == "TCP" else "not permitted"}
            elif expected == {"refused"} and source == "node" and transport == "UDP":
                expected = {"not permitted"}
            tries = 1 if expected & {"refused", "silence"} else 4
            patience = PATIENT if expected == {"refused"} else PATIENCE
            found = ask_often(tries, source, transport, address, port, patience)
            if found != expected:
                wrong.append(f"{source} {transport} {address}:{port}: {sorted(found)}, not {sorted(expected)}")
    assert not wrong, "; ".join(wrong)


def save(w: World) -> list[str]:
    """The iptables rules."""
    return tell(f"{'ip6' if w.index else 'ip'}tables-legacy-save").splitlines()


def _change(before: ServicePortRules | None, after: ServicePortRules | None) -> RuleChange:
    one = after or before
    assert one is not None
    return RuleChange(one.name, before, after)


class Live:
    """What is in force in a world, changed step by step."""

    def __init__(self, w: World) -> None:
        self.w = w
        self.ports = {port.name: port for port in shop(w)}

    async def put(self, port: ServicePortRules) -> None:
        """A service port is new or changed."""
        changed = _change(self.ports.get(port.name), port)
        self.ports[port.name] = port
        done = await self.w.applier.sync(RuleSet(self.w.node, self.ports), [changed])
        assert not done.full

    async def remove(self, name: ServicePortName) -> None:
        """A service port is gone."""
        changed = _change(self.ports.pop(name), None)
        await self.w.applier.sync(RuleSet(self.w.node, self.ports), [changed])


def listed(w: World) -> str:
    """The addresses on the dummy link and all sets, as text."""
    return tell("ip", "address", "show", "kube-ipvs0") + tell("ipset", "list")
