"""``ip -o addr``, ``ip route show table all`` and ``sysctl -a`` of a node. Pure."""

import re
from collections.abc import Mapping
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Final, NamedTuple

ADDRESS: Final = re.compile(r"\d+:\s+(\S+)\s+inet6?\s+([0-9a-fA-F.:]+)(?:/\d+)?(?:\s+peer\s+\S+)?")
KINDS: Final = frozenset({
    "unicast", "local", "broadcast", "multicast", "throw", "unreachable", "prohibit", "blackhole", "nat", "anycast",
})  # fmt: skip
BRIDGES: Final = ("docker", "cni", "cbr", "br-", "kube-bridge", "weave", "virbr")


class Address(NamedTuple):
    """An address of an interface."""

    interface: str
    address: bytes
    line: int


class Route(NamedTuple):
    """A line of the tables local and main."""

    network: IPv4Network | IPv6Network
    interface: str
    kind: str
    line: int


class Routing(NamedTuple):
    """Where a node sends packets; without lines nothing is known."""

    routes: tuple[Route, ...] = ()

    def out(self, address: bytes) -> str | None:
        """The interface that leads to an address; None: not known."""
        route = self.find(address)
        return route.interface or None if route else None

    def find(self, address: bytes) -> Route | None:
        """The longest prefix, as the kernel looks it up: table local before main."""
        parsed = ip_address(address)
        best: Route | None = None
        for route in self.routes:
            fits = route.network.version == parsed.version and parsed in route.network
            if fits and (best is None or _rank(route) > _rank(best)):
                best = route
        return best


def _rank(route: Route) -> tuple[bool, int]:
    return route.kind == "local", route.network.prefixlen


def parse_addresses(text: str) -> tuple[Address, ...]:
    """``2: eth0    inet 172.18.0.2/16 brd ... scope global eth0``; other lines are passed over."""
    addresses = []
    for number, line in enumerate(text.splitlines(), 1):
        match = ADDRESS.match(line.strip())
        if match:
            try:
                addresses.append(Address(match[1].partition("@")[0], ip_address(match[2]).packed, number))
            except ValueError:
                continue
    return tuple(addresses)


def parse_routes(text: str) -> Routing:
    """``10.244.1.0/24 via 172.18.0.3 dev eth0``, ``local 10.0.0.1 dev lo table local``; tables local and main."""
    routes = []
    for number, line in enumerate(text.splitlines(), 1):
        words = line.split()
        if not words:
            continue
        table = words[words.index("table") + 1] if "table" in words[:-1] else "main"
        kind = words.pop(0) if words[0] in KINDS else "unicast"
        if table not in ("main", "local", "default") or not words or kind in ("multicast", "throw"):
            continue
        interface = words[words.index("dev") + 1] if "dev" in words[:-1] else ""
        try:
            for network in _networks(words[0], line):
                routes.append(Route(network, interface, kind, number))
        except ValueError:
            continue
    return Routing(tuple(routes))


def _networks(text: str, line: str) -> list[IPv4Network | IPv6Network]:
    if text != "default":
        return [ip_network(text, strict=False)]
    if "via inet6" in line or re.search(r"(via|src) \S*:", line) or "pref medium" in line or "proto ra" in line:
        return [ip_network("::/0")]
    return [ip_network("0.0.0.0/0")]


def parse_sysctls(text: str) -> Mapping[str, tuple[str, int]]:
    """``net.ipv4.ip_forward = 1`` -> value and line, by name."""
    values = {}
    for number, line in enumerate(text.splitlines(), 1):
        name, equals, value = line.partition("=")
        if equals and not name.startswith("sysctl:"):
            values[name.strip().replace("/", ".")] = (value.strip(), number)
    return values
