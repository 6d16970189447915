"""``ipvsadm-save -n`` and ``ipvsadm -Ln`` -> virtual servers; ``ipset save`` -> sets. Pure."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from ipaddress import ip_address
from typing import Final, NamedTuple

from kdns.explain.kernel.iptables_rule import network
from kdns.explain.kernel.model import Element, KernelSet, Pattern, Position
from kdns.proxy.model import Backend, Family, ServicePortName
from kdns.proxy.render.ipvs.tables import member_text
from kdns.proxy.render.ipvs.virtual_servers import SETS, PortState, set_name

SAVED: Final = re.compile(r"-([Aa]) -([tuf]|-sctp-service) (\S+)(.*)")
LISTED: Final = re.compile(r"(TCP|UDP|SCTP|FWM)\s+(\S+)\s+(\S+)(.*)")
REAL: Final = re.compile(r"\s*->\s+(\S+)\s+(Masq|Route|Tunnel|Local)\s+(\d+)")
HEADER: Final = ("IP Virtual Server", "Prot LocalAddress", "-> RemoteAddress")


class VirtualServer(NamedTuple):
    """One virtual server; ``str()`` is ``TCP 10.96.0.10:53``."""

    protocol: str
    """tcp, udp, sctp; empty for one that listens to a mark."""
    address: bytes
    port: int
    mark: int
    backends: tuple[tuple[Backend, int], ...]
    """With their weights: a real server of weight 0 gets no new connections."""
    position: Position

    def __str__(self) -> str:
        return f"FWM {self.mark}" if self.mark else f"{self.protocol.upper()} {Backend(self.address, self.port)}"


class VirtualServers(NamedTuple):
    """All of a node."""

    servers: tuple[VirtualServer, ...] = ()
    problem: str = ""

    def lookup(self, protocol: str, address: bytes, port: int, mark: int) -> VirtualServer | None:
        """The one that takes a packet: by its mark first, as ip_vs_service_find does."""
        for server in self.servers:
            if server.mark and server.mark == mark:
                return server
        for server in self.servers:
            if not server.mark and (server.protocol, server.address, server.port) == (protocol, address, port):
                return server
        return None


def parse_virtual_servers(text: str, file: str) -> VirtualServers:
    """Either tool's form, recognised by its lines."""
    servers: list[VirtualServer] = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.strip().startswith(HEADER):
            continue
        try:
            position = Position(file, number, line)
            if saved := SAVED.match(line.strip()):
                _saved(saved, position, servers)
            elif listed := LISTED.match(line):
                servers.append(_server(listed[1].lower(), listed[2], position))
            elif (real := REAL.match(line)) and servers:
                servers[-1] = _with(servers[-1], real[1], int(real[3]))
            else:
                return VirtualServers(
                    tuple(servers), f"line {number} does not list a virtual server: {line.strip()[:80]!r}"
                )
        except (ValueError, IndexError):
            return VirtualServers(tuple(servers), f"line {number} cannot be read: {line.strip()[:80]!r}")
    return VirtualServers(tuple(servers))


def _saved(match: re.Match[str], position: Position, servers: list[VirtualServer]) -> None:
    """``-A -t 10.96.0.1:443 -s rr``, ``-a -t 10.96.0.1:443 -r 172.18.0.2:6443 -m -w 1``."""
    protocol = {"t": "tcp", "u": "udp", "f": "fwm"}.get(match[2], "sctp")
    server = _server(protocol, match[3], position)
    if match[1] == "A":
        servers.append(server)
        return
    words = match[4].split()
    weight = int(words[words.index("-w") + 1]) if "-w" in words else 1
    for place in reversed(range(len(servers))):
        known = servers[place]
        if (known.protocol, known.address, known.port, known.mark) == server[:4]:
            servers[place] = _with(known, words[words.index("-r") + 1], weight)
            return
    raise ValueError("a real server without its virtual server")


def _server(protocol: str, where: str, position: Position) -> VirtualServer:
    if protocol == "fwm":
        return VirtualServer("", b"", 0, int(where, 0), (), position)
    backend = _backend(where)
    return VirtualServer(protocol, backend.address, backend.port, 0, (), position)


def _with(server: VirtualServer, where: str, weight: int) -> VirtualServer:
    return server._replace(backends=(*server.backends, (_backend(where), weight)))


def _backend(text: str) -> Backend:
    address, _, port = text.rpartition(":")
    return Backend(ip_address(address.strip("[]")).packed, int(port))


def parse_ipsets(text: str, file: str) -> tuple[dict[str, KernelSet], str]:
    """The sets of ``ipset save``, and what is wrong with the file."""
    sets: dict[str, KernelSet] = {}
    members: dict[str, list[tuple[int, str]]] = {}
    for number, line in enumerate(text.splitlines(), 1):
        words = line.split(None, 2)
        if len(words) == 3 and words[0] == "create":
            kind = words[2].split(" ", 1)[0]
            lines = members[words[1]] = []
            sets[words[1]] = KernelSet(words[1], Position(file, number, line), _reader(kind, lines), kind=kind)
        elif len(words) == 3 and words[0] == "add" and words[1] in sets:
            members[words[1]].append((number, words[2]))
        elif line.strip() and not line.startswith("#"):
            return sets, f"line {number} does not belong to ipset save: {line.strip()[:80]!r}"
    return sets, ""


def _reader(kind: str, lines: list[tuple[int, str]]) -> Callable[[], Sequence[Element]]:
    return partial(_members, kind, lines)


def _members(kind: str, lines: list[tuple[int, str]]) -> list[Element]:
    return [_member(kind, number, text) for number, text in lines]


def _member(kind: str, number: int, text: str) -> Element:
    """``10.96.0.10,tcp:80,10.0.0.0/8 skbmark 0x4b/0xffffffff``."""
    member, _, options = text.partition(" ")
    words = options.split()
    mark = words[words.index("skbmark") + 1].partition("/")[0] if "skbmark" in words else ""
    key = tuple(_patterns(kind, member.split(",")))
    return Element(key, mark, number, text)


def _patterns(kind: str, parts: list[str]) -> Iterator[Pattern]:

    for part in parts:
        if kind.startswith("bitmap:port"):
            low, dash, high = part.partition("-")
            yield Pattern(int(low), int(high)) if dash else Pattern(int(low))
        elif re.fullmatch(r"(tcp|udp|sctp|udplite|icmp|icmpv6):\S+|\d+:\d+", part):
            yield Pattern(part)
        else:
            try:
                yield network(part)
            except ValueError:
                yield Pattern(part)


def assumed_sets(port_states: Mapping[ServicePortName, PortState], family: Family) -> dict[str, KernelSet]:
    """The proxy's sets as the objects ask for them, where ``ipset save`` is not in the evidence."""
    members: dict[str, list[Element]] = {name: [] for name in SETS}
    for state in port_states.values():
        for (name, member), mark in state.members.items():
            key = tuple(_patterns(SETS[name].kind, member_text(member).split(",")))
            members[name].append(Element(key, f"{mark:#x}" if mark else ""))
    sets = {}
    for name, kind in SETS.items():
        called = set_name(name, family)
        sets[called] = KernelSet(called, Position("", 0, ""), partial(list, members[name]), kind=kind.kind)
    return sets
