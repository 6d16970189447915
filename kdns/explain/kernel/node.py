"""All that the evidence has of one node's kernel, each file read once, when it is asked for. Pure."""

import re
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Final, Literal, NamedTuple

from kdns.explain.evidence import TextFile
from kdns.explain.kernel.flows import Flow, parse_flows, parse_losses
from kdns.explain.kernel.iptables_text import parse_tables
from kdns.explain.kernel.ipvs import VirtualServers, parse_ipsets, parse_virtual_servers
from kdns.explain.kernel.machine import Address, Routing, parse_addresses, parse_routes, parse_sysctls
from kdns.explain.kernel.model import KernelSet, Table, Tables
from kdns.explain.kernel.nft_json import parse_json
from kdns.explain.kernel.nft_text import of_iptables, parse_ruleset
from kdns.explain.kernel.outcome import Result, outcome
from kdns.explain.kernel.packet import Packet, Place
from kdns.explain.kernel.walk import Routes
from kdns.proxy.model import Family

SERVICE_CHAIN: Final = re.compile(r"KUBE-(SVC|SVL|SEP|EXT|FW)-")
IPTABLES: Final = {Family.IPV4: "iptables", Family.IPV6: "ip6tables"}
WORDS: Final[Mapping[Family, Literal["ip", "ip6"]]] = {Family.IPV4: "ip", Family.IPV6: "ip6"}


class Read(NamedTuple):
    """The rules of one family: tables, and what is wrong with which file."""

    tables: tuple[Table, ...]
    problems: Mapping[str, str]
    """By path. Nothing is concluded from what a file with a problem does not have."""
    files: tuple[str, ...]
    """Paths of the files of rules there are."""
    other_variant: bool = False
    """iptables-nft-save says that legacy tables have rules, too, and those are not in the evidence."""


class NodeKernel:
    """What one node has."""

    def __init__(self, name: str, files: Mapping[str, TextFile]) -> None:
        self.name, self._files = name, files
        self._rules: dict[Family, Read] = {}
        self._assumed: dict[str, KernelSet] = {}

    def _file(self, name: str) -> TextFile | None:
        return self._files.get(name)

    def text(self, name: str) -> str | None:
        """The text of a usable file."""
        file = self._file(name)
        return file.text if file is not None and not file.problem else None

    def path(self, name: str) -> str:
        """How a report calls a file of this node."""
        file = self._file(name)
        return file.path if file else f"node/{self.name}/{name}"

    @cached_property
    def virtual_servers(self) -> VirtualServers | None:
        """Of IPVS; None: not in the evidence."""
        text = self.text("ipvsadm.txt")
        return None if text is None else parse_virtual_servers(text, self.path("ipvsadm.txt"))

    @cached_property
    def ipsets(self) -> dict[str, KernelSet] | None:
        """None: not in the evidence."""
        text = self.text("ipset.txt")
        return None if text is None else parse_ipsets(text, self.path("ipset.txt"))[0]

    @cached_property
    def addresses(self) -> tuple[Address, ...]:
        """Of its interfaces; empty: not in the evidence."""
        return parse_addresses(self.text("addresses.txt") or "")

    @cached_property
    def routing(self) -> Routing:
        """Its routes."""
        return parse_routes(self.text("routes.txt") or "")

    @cached_property
    def sysctls(self) -> Mapping[str, tuple[str, int]]:
        """Value and line by name."""
        return parse_sysctls(self.text("sysctl.txt") or "")

    @cached_property
    def flows(self) -> tuple[Flow, ...] | None:
        """None: not in the evidence."""
        text = self.text("conntrack.txt")
        return None if text is None else tuple(parse_flows(text))

    @cached_property
    def losses(self) -> Mapping[str, int] | None:
        """Counters of connection tracking; None: not in the evidence."""
        text = self.text("conntrack-stats.txt")
        return None if text is None else parse_losses(text)

    def rules(self, family: Family) -> Read:
        """Tables of a family, from every file that has some."""
        if family not in self._rules:
            self._rules[family] = self._read(family)
        return self._rules[family]

    @cached_property
    def _nft(self) -> tuple[str, Tables] | None:
        for name, parse in (("nft.json", parse_json), ("nft.txt", parse_ruleset)):
            file = self._file(name)
            if file is not None:
                return file.path, Tables((), file.problem) if file.problem else parse(file.text, file.path)
        return None

    def _read(self, family: Family) -> Read:
        tables: list[Table] = []
        problems: dict[str, str] = {}
        files: list[str] = []
        tool = IPTABLES[family]
        of_nft = other = False
        legacy_read = False
        for name, legacy in ((f"{tool}-save.txt", False), (f"{tool}-legacy-save.txt", True)):
            file = self._file(name)
            if file is None:
                continue
            files.append(file.path)
            read = Tables((), file.problem)
            if not file.problem:
                read = parse_tables(
                    file.text,
                    file.path,
                    WORDS[family],
                    self._assumed if self.ipsets is None else self.ipsets,
                    legacy=legacy,
                )
            if read.problem:
                problems[file.path] = read.problem
            legacy_read = legacy_read or legacy or read.variant == "legacy"
            of_nft = of_nft or (not legacy and read.variant != "legacy")
            other = other or read.other_variant
            tables += read.tables
        if self._nft is not None:
            path, read = self._nft
            files.append(path)
            if read.problem:
                problems[path] = read.problem
            tables += [table for table in read.tables if not (of_nft and of_iptables(table))]
        return Read(tuple(tables), problems, tuple(files), other and not legacy_read)

    def assume(self, sets: Mapping[str, KernelSet]) -> None:
        """Take ipsets to be as the objects ask for, since ``ipset save`` is not in the evidence."""
        self._assumed.update(sets)

    @property
    def place(self) -> Place:
        """Its addresses. Those on the dummy link of IPVS count: the kernel takes them for its own."""
        return Place(frozenset(address.address for address in self.addresses), bool(self.addresses))

    def walk(self, packet: Packet, place: Place, *, backwards: bool = False) -> Result:
        """What becomes of a packet here. ``backwards``: of chains with one priority, the last is asked first."""
        family = packet.family
        virtual = self.virtual_servers if self.virtual_servers and self.virtual_servers.servers else None
        if virtual is not None:
            listened = {server.address for server in virtual.servers if server.address}
            place = Place(place.addresses | listened, place.complete)
        tables = self.rules(family).tables
        return outcome(tables[::-1] if backwards else tables, Routes(place, self.routing.out), virtual, packet)


def service_tables(tables: Sequence[Table]) -> Mapping[str, list[Table]]:
    """Where rules of a Service proxy are, by what wrote them: iptables, iptables-legacy, nftables."""
    by_writer: dict[str, list[Table]] = {}
    for table in tables:
        if table.origin == "nft":
            if table.name == "kube-proxy":
                by_writer.setdefault("nftables", []).append(table)
            elif of_iptables(table) and any(SERVICE_CHAIN.match(name) for name in table.chains):
                by_writer.setdefault("iptables", []).append(table)
        elif table.name == "nat" and any(SERVICE_CHAIN.match(name) for name in table.chains):
            by_writer.setdefault(table.origin, []).append(table)
    return by_writer
