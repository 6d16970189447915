"""The table of nftables mode as we last wrote it, and the commands from there to what it should be. Pure.

Only the service ports are kept, and how often each shared thing is used: elements and chains are worked out from a
service port again whenever they are asked for, since a hundred thousand of them as text are a lot of memory.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Final, NamedTuple

from kdns.kernel.nft_elements import compose_plain
from kdns.proxy.model import NodeRules, RuleSet, ServicePortName, ServicePortRules
from kdns.proxy.render.nftables import fixed
from kdns.proxy.render.nftables.command import Chain, Command, Container, Elements, Rule, Verb
from kdns.proxy.render.nftables.elements import ElementsOf
from kdns.proxy.render.nftables.fixed import Chains
from kdns.proxy.render.nftables.service import ServicePortObjects, Spread, render
from kdns.proxy.render.nftables.text import word

AT_ONCE: Final = 500
"""Elements in one command, for commands that may concern very many."""


SharedKey = tuple[str, bytes]
"""The set, and the address that an element of it is for."""


Change = tuple[ServicePortName, ServicePortRules | None]
"""A service port as it is now; None: gone."""


BATCH: Final = 50
"""Service ports that are worked out at once."""


Step = list[Command]
"""What one service port comes to, or some of them; perhaps nothing. One who takes them may rest in between."""


class Found(NamedTuple):
    """What is in the kernel's table."""

    elements: ElementsOf
    """All but affinity's."""
    chains: Mapping[str, tuple[str, ...]] = {}
    """Their rules."""
    sets: frozenset[str] = frozenset()
    """And maps."""

    @property
    def affinity_sets(self) -> frozenset[str]:
        """The sets of single service ports."""
        return frozenset(name for name in self.sets if name.startswith("affinity-"))

    @property
    def declared(self) -> bool:
        """Everything that does not depend on Services is there."""
        return self.sets.issuperset(fixed.CONTAINERS) and all(name in self.chains for name, *_ in fixed.BASE_CHAINS)


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
        self._own_rules = 0

    def rules(self) -> dict[str, int]:
        """How many rules each chain has, stale ones among them."""
        return {
            **dict.fromkeys(self.stale, 0),
            **{name: len(rules) for name, rules in fixed.fixed_chains(self.node).items()},
            **{str(spread): len(spread.rules(self.node)) for spread in self._spreads},
            **self.own,
        }

    def totals(self) -> tuple[int, int]:
        """How many chains and rules there are, without a look at each chain of a service port."""
        shared = [len(rules) for rules in fixed.fixed_chains(self.node).values()]
        shared += [len(spread.rules(self.node)) for spread in self._spreads]
        return len(self.stale) + len(shared) + len(self.own), sum(shared) + self._own_rules

    def elements_of(self, name: ServicePortName) -> ElementsOf:
        """What a service port has in sets and maps, with what it shares with others."""
        one = render(self.ports[name], self.node)
        return {**_shared_elements(_shared_keys(one)), **one.elements}

    def rebuild(self, rules: RuleSet, found: Found) -> Iterator[Step]:
        """From what is found to all of these rules; `found` is used up. Only for a new `Table`.

        Only what differs is written, one service port after the other.
        """

        def differing(chains: Chains) -> Chains:
            return {name: rules for name, rules in chains.items() if found.chains.get(name) != rules}

        if not found.declared:
            yield fixed.declarations(self.node)
        yield self._chains(differing(fixed.fixed_chains(self.node)))
        node_ports = _node_ports(self.node)
        self.elements = _count(node_ports)
        yield list(self._elements(found.elements, node_ports))
        cluster_ips, hairpin = self._shared[fixed.CLUSTER_IPS], self._shared[fixed.HAIRPIN]
        for name, port in rules.ports.items():
            one = render(port, self.node)
            new = one.spreads - self._spreads.keys()
            shared = [(fixed.CLUSTER_IPS, packed) for packed in one.cluster_addresses if packed not in cluster_ips]
            shared += [(fixed.HAIRPIN, packed) for packed in one.endpoints if packed not in hairpin]
            self._count(one, 1)
            self.ports[name] = port
            self.elements += _count(one.elements) + len(shared)
            step = self._chains(differing({str(spread): spread.rules(self.node) for spread in sorted(new)}), name)
            sets = one.affinity_sets - found.sets
            yield step + self._port(found.elements, one, differing(one.chains), sets, shared, name)
        stale = found.chains.keys() - self.rules().keys()
        yield self._leftovers(found.elements, stale, found.affinity_sets - self.affinity_sets)

    def repair(self, found: Found, touched: Mapping[str, Collection[bytes]]) -> Iterator[Step]:
        """From what others have made of the table back to what was written; `found` is used up.

        ``touched`` has the keys of elements that may be others, and `found` what is there of them; all other elements
        are as they were written. So are chains, sets and maps, unless `found` has chains.
        """

        def differing(chains: Chains) -> Chains:
            return {name: rules for name, rules in chains.items() if found.chains and found.chains.get(name) != rules}

        def among(elements: ElementsOf) -> ElementsOf:
            return {
                container: {key: some[key] for key in some.keys() & touched[container]}
                for container, some in elements.items()
                if container in touched
            }

        yield self._chains(differing(fixed.fixed_chains(self.node)))
        yield self._chains(differing({str(spread): spread.rules(self.node) for spread in self._spreads}))
        yield list(self._elements(found.elements, among(_node_ports(self.node))))
        # The keys of these two begin with an address, and hold nothing else.
        addresses = {(name, key[: self.node.family.width]) for name in self._shared for key in touched.get(name, ())}
        shared = _shared_elements(key for key in sorted(addresses) if key[1] in self._shared[key[0]])
        yield list(self._elements(found.elements, shared))
        for name, port in self.ports.items():
            objects = render(port, self.node)
            missing = objects.affinity_sets - found.sets if found.chains else ()
            step = [*self._affinity(missing, name), *self._chains(differing(objects.chains), name)]
            yield [*step, *self._elements(found.elements, among(objects.elements), name)]
        stale = found.chains.keys() - self.rules().keys()
        yield self._leftovers(found.elements, stale, found.affinity_sets - self.affinity_sets)

    def change(self, changes: Iterable[Change]) -> Iterator[Step]:
        """From what was written to the same with these service ports as they are now."""
        return self._change(self.node, changes)

    def replace(self, rules: RuleSet) -> Iterator[Step]:
        """From what was written to these rules: only what differs."""
        gone: list[Change] = [(name, None) for name in self.ports if name not in rules.ports]
        if rules.node != self.node:
            yield self._node(rules.node)
        yield from self._change(rules.node, [*rules.ports.items(), *gone])

    def _node(self, node: NodeRules) -> Step:
        """What is the same for all changes; spreads that stay are written again."""
        before, after = fixed.fixed_chains(self.node), fixed.fixed_chains(node)
        commands = self._chains({name: rules for name, rules in after.items() if before.get(name) != rules})
        old, new = _node_ports(self.node), _node_ports(node)
        self.elements += _count(new) - _count(old)
        commands += self._elements(old, new)
        commands += self._removed(old)
        spreads = [spread for spread in self._spreads if spread.rules(self.node) != spread.rules(node)]
        return commands + self._chains({str(spread): spread.rules(node) for spread in spreads})

    def _change(self, node: NodeRules, changes: Iterable[Change]) -> Iterator[Step]:
        old, self.node = self.node, node
        all_again = old.detector != node.detector  # nothing else of the node is in what service ports come to
        changed = [(name, after) for name, after in changes if all_again or self.ports.get(name) != after]
        for some in _batches(changed, self.ports):
            yield self._batch(old, some)

    def _batch(self, node: NodeRules, changed: Sequence[Change]) -> Step:
        """``node`` is what the service ports were written with before."""
        before = [render(self.ports[name], node) for name, _ in changed if name in self.ports]
        spelled = {name: render(after, self.node) for name, after in changed if after is not None}
        old: ElementsOf = {}
        had_chains: Chains = {}
        had_sets: set[str] = set()
        had_spreads = set(self._spreads)
        for one in before:
            for container, elements in one.elements.items():
                old.setdefault(container, {}).update(elements)
            had_chains.update(one.chains)
            had_sets |= one.affinity_sets
        touched = {key for one in (*before, *spelled.values()) for key in _shared_keys(one)}
        had = {key for key in touched if key[1] in self._shared[key[0]]}
        for one in before:
            self._count(one, -1)
        for one in spelled.values():
            self._count(one, 1)
        have = {key for key in touched if key[1] in self._shared[key[0]]}
        self.elements += len(have) - len(had) - _count(old)
        old.update(_shared_elements(had - have))
        for name, after in changed:
            if after is None:
                self.ports.pop(name, None)
            else:
                self.ports[name] = after
        commands: list[Command] = []
        missing = have - had
        for name, one in spelled.items():
            commands += self._spread_chains(one.spreads - had_spreads, name)
            had_spreads |= one.spreads
            rewritten = {chain: rules for chain, rules in one.chains.items() if had_chains.get(chain) != rules}
            shared = missing.intersection(_shared_keys(one))
            missing -= shared
            commands += self._port(old, one, rewritten, one.affinity_sets - had_sets, shared, name)
            self.elements += _count(one.elements)
        gone = {chain for chain in had_chains if chain not in self.own}
        gone |= {str(spread) for spread in had_spreads if spread not in self._spreads}
        return commands + self._leftovers(old, gone, had_sets - self.affinity_sets)

    def _count(self, one: ServicePortObjects, by: int) -> None:
        """Take a service port in (1), or out (-1)."""
        for container, addresses in ((fixed.CLUSTER_IPS, one.cluster_addresses), (fixed.HAIRPIN, one.endpoints)):
            counts = self._shared[container]
            for packed in addresses:
                if count := counts.get(packed, 0) + by:  # a Counter works out what is missing in Python
                    counts[packed] = count
                else:
                    del counts[packed]
        for spread in one.spreads:
            self._spreads[spread] += by
            if not self._spreads[spread]:
                del self._spreads[spread]
        if by > 0:
            self.own.update((chain, len(rules)) for chain, rules in one.chains.items())
            self._own_rules += sum(map(len, one.chains.values()))
            self.affinity_sets |= one.affinity_sets
        else:
            for chain in one.chains:
                self._own_rules -= self.own.pop(chain)
            self.affinity_sets -= one.affinity_sets

    def _spread_chains(self, spreads: Iterable[Spread], name: ServicePortName) -> list[Command]:
        return self._chains({str(spread): spread.rules(self.node) for spread in sorted(spreads)}, name)

    def _port(
        self,
        old: ElementsOf,
        one: ServicePortObjects,
        chains: Chains,
        sets: Iterable[str],
        shared: Iterable[SharedKey],
        name: ServicePortName,
    ) -> list[Command]:
        elements = {**_shared_elements(sorted(shared)), **one.elements}
        return [*self._affinity(sets, name), *self._chains(chains, name), *self._elements(old, elements, name)]

    def _affinity(self, sets: Iterable[str], name: ServicePortName) -> list[Command]:
        addr = "ipv4_addr" if word(self.node.family) == "ip" else "ipv6_addr"
        spec = f"type {addr} ; flags dynamic,timeout"
        return [Command(Verb.ADD, Container("set", affinity, spec), 1, name) for affinity in sorted(sets)]

    def _chains(self, chains: Chains, name: ServicePortName | None = None) -> list[Command]:
        """All are added before any rule is, since rules lead from one to another."""
        if not chains:
            return []
        self.stale -= chains.keys()
        commands = [Command(Verb.ADD, Chain(chain), 1, name) for chain in chains]
        commands += [Command(Verb.FLUSH, Chain(chain), 0, name) for chain in chains]
        return commands + [
            Command(Verb.ADD, Rule(chain, rule), 1, name) for chain, rules in chains.items() for rule in rules
        ]

    def _elements(self, old: ElementsOf, new: ElementsOf, name: ServicePortName | None = None) -> Iterator[Command]:
        """What differs; of `old` there is left what is not in `new`."""
        added = []
        for container, elements in new.items():
            come: Collection[bytes] = elements.values()
            if had := old.get(container):
                gone, come = [], []
                for key, octets in elements.items():
                    present = had.pop(key, None)
                    if present != octets:
                        come.append(octets)
                        if present is not None:
                            gone.append(compose_plain(key))
                if gone:
                    yield Command(Verb.DELETE, Elements(container, tuple(gone)), len(gone), name)
            if come:
                added.append(Command(Verb.ADD, Elements(container, tuple(come)), len(come), name))
        yield from added

    def _removed(self, old: ElementsOf) -> Iterator[Command]:
        for container in sorted(old, key=fixed.CONTAINERS.index):
            keys = [compose_plain(key) for key in old[container]]
            for start in range(0, len(keys), AT_ONCE):
                some = keys[start : start + AT_ONCE]
                yield Command(Verb.DELETE, Elements(container, tuple(some)), len(some))

    def _leftovers(self, old: ElementsOf, chains: Iterable[str], sets: Iterable[str]) -> list[Command]:
        gone = sorted(chains)
        self.stale.update(gone)
        commands = list(self._removed(old))
        commands += [Command(Verb.FLUSH, Chain(chain)) for chain in gone]
        return commands + [Command(Verb.DELETE, Container("set", name)) for name in sorted(sets)]


def _shared_keys(one: ServicePortObjects) -> Iterator[SharedKey]:
    yield from ((fixed.CLUSTER_IPS, packed) for packed in one.cluster_addresses)
    yield from ((fixed.HAIRPIN, packed) for packed in one.endpoints)


def _shared_elements(keys: Iterable[SharedKey]) -> ElementsOf:
    elements: ElementsOf = {}
    for container, packed in keys:
        key = packed if container == fixed.CLUSTER_IPS else packed + packed
        elements.setdefault(container, {})[key] = compose_plain(key)
    return elements


def _node_ports(node: NodeRules) -> ElementsOf:
    return {fixed.NODE_PORT_IPS: {packed: compose_plain(packed) for packed in fixed.node_port_addresses(node)}}


def _count(elements: ElementsOf) -> int:
    return sum(map(len, elements.values()))


def _batches(
    changed: Sequence[Change], ports: Mapping[ServicePortName, ServicePortRules]
) -> Iterator[Sequence[Change]]:
    """Pieces that can be worked out one after the other: a frontend that goes from one service port to another is lost
    and gained in one piece."""
    if len(changed) <= BATCH:
        yield changed
        return
    owners = {
        (entry.frontend.address, entry.frontend.port, name.protocol): name
        for name, _ in changed
        if name in ports
        for entry in ports[name].entries
    }
    together: set[ServicePortName] = set()
    for name, after in changed:
        for entry in after.entries if after else ():
            owner = owners.get((entry.frontend.address, entry.frontend.port, name.protocol), name)
            if owner != name:
                together |= {owner, name}
    yield [change for change in changed if change[0] in together]
    alone = [change for change in changed if change[0] not in together]
    for start in range(0, len(alone), BATCH):
        yield alone[start : start + BATCH]


def transactions(steps: Iterable[Step], most: int, elements: int) -> Iterator[list[Command]]:
    """Put together to pieces of about ``most`` rules and elements, or ``elements`` where there is nothing else; the
    ports of one Service stay together, and so do the commands before the first Service.

    Where a step completes no piece, an empty one says that it is worked out.
    """
    piece: list[Command] = []
    weight, service, limit = 0, None, elements
    for step in steps:
        for command in step:
            owner = command.port.service if command.port else None
            if weight >= limit and (owner is None or owner != service):
                yield piece
                piece, weight, limit = [], 0, elements
            piece.append(command)
            weight += command.weight
            service = owner
            if not isinstance(command.object, Elements):
                limit = most
        yield []
    if piece:
        yield piece
