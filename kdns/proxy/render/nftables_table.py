"""The table of nftables mode as we last wrote it, and the commands from there to what it should be. Pure.

Only the service ports are kept, and how often each shared thing is used: elements and chains are worked out from a
service port again whenever they are asked for, since a hundred thousand of them as text are a lot of memory.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Final, NamedTuple

from kdns.proxy.model import NodeRules, RuleSet, ServicePortName, ServicePortRules
from kdns.proxy.render import nftables_fixed as fixed
from kdns.proxy.render.nftables_fixed import TABLE, Chains
from kdns.proxy.render.nftables_service import Element, Spelled, Spread, spell
from kdns.proxy.render.nftables_text import address, word

AT_ONCE: Final = 500
"""Elements in one command, for commands that may concern very many."""


class Command(NamedTuple):
    """One line for nft."""

    text: str
    weight: int = 1
    """Rules and elements in it."""
    port: ServicePortName | None = None
    """Whose it is."""


class Found(NamedTuple):
    """What is in the kernel's table."""

    elements: dict[Element, str]
    """Written like `Spelled.elements`."""
    chains: frozenset[str] = frozenset()
    affinity_sets: frozenset[str] = frozenset()


class Table:
    """Keeps what was written. If writing fails, throw it away, and begin with what is found in the kernel."""

    def __init__(self, node: NodeRules) -> None:
        self.node = node
        self.ports: dict[ServicePortName, ServicePortRules] = {}
        self.stale: set[str] = set()
        """Empty chains that nothing leads to any more; kernels before 6.2 do not delete them at once."""
        self.elements = 0
        """How many there are in all sets and maps, without affinity."""
        self.own: dict[str, int] = {}
        """The chains of service ports, and how many rules each has."""
        self.affinity_sets: set[str] = set()
        self._shared: dict[str, Counter[bytes]] = {fixed.CLUSTER_IPS: Counter(), fixed.HAIRPIN: Counter()}
        self._spreads: Counter[Spread] = Counter()
        self._at = f"{word(node.family)} {TABLE}"

    def rules(self) -> dict[str, int]:
        """How many rules each chain has, stale ones among them."""
        return {
            **dict.fromkeys(self.stale, 0),
            **{name: len(rules) for name, rules in fixed.fixed_chains(self.node).items()},
            **{str(spread): len(spread.rules(self.node)) for spread in self._spreads},
            **self.own,
        }

    def rebuild(self, rules: RuleSet, found: Found) -> list[Command]:
        """From what is found to all of these rules. Every chain is written again, and of elements what differs."""
        self.__init__(rules.node)  # type: ignore[misc]
        self.ports = dict(rules.ports)
        spelled = {name: spell(port, self.node) for name, port in self.ports.items()}
        for one in spelled.values():
            self._count(one, 1)
        commands = [Command(text) for text in fixed.declarations(self.node)]
        commands += self._chains(fixed.fixed_chains(self.node))
        node_ports = {(fixed.NODE_PORT_IPS, key): "" for key in fixed.node_port_addresses(self.node)}
        commands += self._elements(found.elements, node_ports)
        spreads: set[Spread] = set()
        shared: set[Element] = set()
        for name, one in spelled.items():
            commands += self._spread_chains(one.spreads - spreads, name)
            spreads |= one.spreads
            commands += self._port(found.elements, one, one.chains, one.affinity_sets, shared, name)
        self.elements = len(node_ports) + sum(len(one.elements) for one in spelled.values())
        self.elements += sum(map(len, self._shared.values()))
        stale = found.chains - self.rules().keys()
        commands += self._leftovers(found.elements, stale, found.affinity_sets - self.affinity_sets)
        return commands

    def change(self, changes: Iterable[tuple[ServicePortName, ServicePortRules | None]]) -> list[Command]:
        """From what was written to the same with these service ports as they are now; None: gone."""
        return self._change(self.node, changes)

    def replace(self, rules: RuleSet) -> list[Command]:
        """From what was written to these rules: writes only what differs."""
        node, old = rules.node, self.node
        if node == old:
            gone = [(name, None) for name in self.ports if name not in rules.ports]
            return self._change(node, [*rules.ports.items(), *gone])
        known = set(self.ports)
        commands = self._node(node)
        every = [*rules.ports.items(), *((name, None) for name in known if name not in rules.ports)]
        return commands + self._change(node, every)

    def _node(self, node: NodeRules) -> list[Command]:
        """What is the same for all changes; spreads that stay are written again."""
        before, after = fixed.fixed_chains(self.node), fixed.fixed_chains(node)
        commands = self._chains({name: rules for name, rules in after.items() if before.get(name) != rules})
        old = {(fixed.NODE_PORT_IPS, key): "" for key in fixed.node_port_addresses(self.node)}
        new = {(fixed.NODE_PORT_IPS, key): "" for key in fixed.node_port_addresses(node)}
        self.elements += len(new) - len(old)
        commands += self._elements(old, new)
        commands += self._removed(old)
        rewritten = {
            str(spread): spread.rules(node) for spread in self._spreads if spread.rules(self.node) != spread.rules(node)
        }
        return commands + self._chains(rewritten)

    def _change(
        self, node: NodeRules, changes: Iterable[tuple[ServicePortName, ServicePortRules | None]]
    ) -> list[Command]:
        same = node == self.node
        changed = [(name, after) for name, after in changes if not same or self.ports.get(name) != after]
        before = {name: spell(self.ports[name], self.node) for name, _ in changed if name in self.ports}
        spelled = {name: spell(after, node) for name, after in changed if after is not None}
        self.node = node
        old: dict[Element, str] = {}
        had_chains: Chains = {}
        had_sets: set[str] = set()
        had_spreads = set(self._spreads)
        for one in before.values():
            old.update(one.elements)
            had_chains.update(one.chains)
            had_sets |= one.affinity_sets
        self.elements -= len(old)
        touched = self._touched([*before.values(), *spelled.values()])
        had = {key for key in touched if self._shared[key[0]][key[1]]}
        for one in before.values():
            self._count(one, -1)
        for one in spelled.values():
            self._count(one, 1)
        have = {key for key in touched if self._shared[key[0]][key[1]]}
        self.elements += len(have) - len(had)
        old.update((_shared_element(*key), "") for key in had)
        for name, after in changed:
            if after is None:
                self.ports.pop(name, None)
            else:
                self.ports[name] = after
        commands: list[Command] = []
        shared: set[Element] = set()
        for name, one in spelled.items():
            commands += self._spread_chains(one.spreads - had_spreads, name)
            had_spreads |= one.spreads
            rewritten = {chain: rules for chain, rules in one.chains.items() if had_chains.get(chain) != rules}
            commands += self._port(old, one, rewritten, one.affinity_sets - had_sets, shared, name)
            self.elements += len(one.elements)
        for key in have:
            old.pop(_shared_element(*key), None)
        gone = {chain for chain in had_chains if chain not in self.own}
        gone |= {str(spread) for spread in had_spreads if spread not in self._spreads}
        return commands + self._leftovers(old, gone, had_sets - self.affinity_sets)

    def _touched(self, every: Iterable[Spelled]) -> set[tuple[str, bytes]]:
        touched: set[tuple[str, bytes]] = set()
        for one in every:
            touched.update((fixed.CLUSTER_IPS, packed) for packed in one.cluster_addresses)
            touched.update((fixed.HAIRPIN, packed) for packed in one.endpoints)
        return touched

    def _count(self, one: Spelled, by: int) -> None:
        """Take a service port in (1), or out (-1)."""
        for container, addresses in ((fixed.CLUSTER_IPS, one.cluster_addresses), (fixed.HAIRPIN, one.endpoints)):
            counts = self._shared[container]
            for packed in addresses:
                counts[packed] += by
                if not counts[packed]:
                    del counts[packed]
        for spread in one.spreads:
            self._spreads[spread] += by
            if not self._spreads[spread]:
                del self._spreads[spread]
        if by > 0:
            self.own.update((chain, len(rules)) for chain, rules in one.chains.items())
            self.affinity_sets |= one.affinity_sets
        else:
            for chain in one.chains:
                del self.own[chain]
            self.affinity_sets -= one.affinity_sets

    def _spread_chains(self, spreads: Iterable[Spread], name: ServicePortName) -> list[Command]:
        return self._chains({str(spread): spread.rules(self.node) for spread in sorted(spreads)}, name)

    def _port(
        self,
        old: dict[Element, str],
        one: Spelled,
        chains: Chains,
        sets: Iterable[str],
        written: set[Element],
        name: ServicePortName,
    ) -> list[Command]:
        addr = "ipv4_addr" if word(self.node.family) == "ip" else "ipv6_addr"
        declared = [
            Command(f"add set {self._at} {each} {{ type {addr} ; flags dynamic,timeout ; }}", 1, name)
            for each in sorted(sets)
        ]
        shared = [_shared_element(fixed.CLUSTER_IPS, packed) for packed in sorted(one.cluster_addresses)]
        shared += [_shared_element(fixed.HAIRPIN, packed) for packed in sorted(one.endpoints)]
        elements = {**{each: "" for each in shared if each not in written}, **one.elements}
        written.update(shared)
        return [*declared, *self._chains(chains, name), *self._elements(old, elements, name)]

    def _chains(self, chains: Chains, name: ServicePortName | None = None) -> list[Command]:
        """All are added before any rule is, since rules lead from one to another."""
        self.stale -= chains.keys()
        commands = [Command(f"add chain {self._at} {chain}", 1, name) for chain in chains]
        commands += [Command(f"flush chain {self._at} {chain}", 0, name) for chain in chains]
        return commands + [
            Command(f"add rule {self._at} {chain} {rule}", 1, name) for chain, rules in chains.items() for rule in rules
        ]

    def _elements(
        self, old: dict[Element, str], new: dict[Element, str], name: ServicePortName | None = None
    ) -> Iterator[Command]:
        """What differs; of `old` there is left what is not in `new`."""
        out: dict[str, list[str]] = {}
        into: dict[str, list[str]] = {}
        for element, value in new.items():
            container, key = element
            found = old.pop(element, None)
            if found == value:
                continue
            if found is not None:
                out.setdefault(container, []).append(key)
            into.setdefault(container, []).append(key + value)
        for verb, every in (("delete", out), ("add", into)):
            for container, texts in every.items():
                yield Command(f"{verb} element {self._at} {container} {{ {', '.join(texts)} }}", len(texts), name)

    def _removed(self, old: dict[Element, str]) -> Iterator[Command]:
        keys: dict[str, list[str]] = {}
        for container, key in old:
            keys.setdefault(container, []).append(key)
        for container in sorted(keys, key=fixed.CONTAINERS.index):
            for start in range(0, len(keys[container]), AT_ONCE):
                some = keys[container][start : start + AT_ONCE]
                yield Command(f"delete element {self._at} {container} {{ {', '.join(some)} }}", len(some))

    def _leftovers(self, old: dict[Element, str], chains: Iterable[str], sets: Iterable[str]) -> list[Command]:
        gone = sorted(chains)
        self.stale.update(gone)
        commands = list(self._removed(old))
        commands += [Command(f"flush chain {self._at} {chain}") for chain in gone]
        return commands + [Command(f"delete set {self._at} {each}") for each in sorted(sets)]


def _shared_element(container: str, packed: bytes) -> Element:
    text = address(packed)
    return container, text if container == fixed.CLUSTER_IPS else f"{text} . {text}"


def transactions(commands: Sequence[Command], most: int) -> Iterator[list[Command]]:
    """Cut into pieces of about ``most`` rules and elements; the ports of one Service stay together, and so do the
    commands before the first Service."""
    piece: list[Command] = []
    weight, service = 0, None
    for command in commands:
        owner = command.port.service if command.port else None
        if weight >= most and (owner is None or owner != service):
            yield piece
            piece, weight = [], 0
        piece.append(command)
        weight += command.weight
        service = owner
    if piece:
        yield piece
