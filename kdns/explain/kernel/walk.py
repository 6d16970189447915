"""A packet's way through the rules that a node has: hook by hook, chain by chain. Pure.

::

    comes in:        prerouting ──> input                       (its destination is the node's)
                                └─> forward ──> postrouting
    a process asks:  output ──> postrouting ──> out of the node, or in again by lo: prerouting ──> input

At a hook, base chains follow each other by priority; ``accept`` ends its own chain only, ``drop`` and ``reject`` end
the packet. Chains of type nat are for the first packet of a connection, and what the first of them decides stays.
A rule that takes a part of the packets splits them; shares add up to one.

A rule with a match that is not understood is taken to match nothing, and noted. `kdns.explain.kernel.outcome` then
walks again, as if it matched, and compares.
"""

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from typing import Final, Literal, NamedTuple, TypeVar

from msgspec.structs import replace

from kdns.base.objects import address_text
from kdns.explain.kernel.iptables_text import places
from kdns.explain.kernel.ipvs import VirtualServers
from kdns.explain.kernel.matching import Unsure, chosen, mapped_mark, matched_share, translated
from kdns.explain.kernel.model import (
    Chain,
    Choose,
    Dnat,
    Hook,
    Jump,
    MapMark,
    MarkMatch,
    Match,
    NoTrack,
    Position,
    Random,
    Recent,
    Rule,
    SetMark,
    Snat,
    Statement,
    Strange,
    Table,
    Unknown,
    Verdict,
)
from kdns.explain.kernel.packet import Packet, Place, Step, merged, unchanged
from kdns.explain.kernel.words import meaning
from kdns.proxy.model import Family

MOST_STEPS: Final = 2_000_000
"""Rules that are looked at for one packet."""
DEEPEST: Final = 64
"""Chains within chains; the kernel takes 16 in nftables."""
IPVS_PRIORITY: Final = 98
"""Of ip_vs in LOCAL_IN: just before source nat (net/netfilter/ipvs/ip_vs_core.c, NF_IP_PRI_NAT_SRC - 2)."""

Ending = Literal["delivered", "forwarded", "drop", "reject"]


class End(NamedTuple):
    """Where a share of the packets ended."""

    ending: Ending
    """delivered: to the node itself; forwarded: it left for where it now wants to go."""
    packet: Packet
    chain: Chain | None = None
    """drop, reject: where."""
    rule: Rule | None = None
    """None: by the chain's policy, or by no rule."""


class TooMuch(Exception):
    """The rules lead in circles, or there are too many."""


class Routes(NamedTuple):
    """What the walk must know of the node beside its rules."""

    place: Place
    out: Callable[[bytes], str | None]
    """The interface that leads to an address; None: not known."""


DoubtKey = tuple[str, Position]
"""Chain and place of a rule."""
Out = tuple[Packet, str, Rule | None, Chain]
"""A packet that leaves a rule or a chain: accept, drop, reject, return or next, by this rule of this chain."""


class Walk:
    """One packet's walk, under assumptions about the rules that are not understood."""

    def __init__(
        self,
        tables: Sequence[Table],
        routes: Routes,
        virtual: VirtualServers | None = None,
        taken: frozenset[DoubtKey] = frozenset(),
    ) -> None:
        self._tables, self._routes, self._virtual, self._taken = tables, routes, virtual, taken
        self._left = MOST_STEPS
        self.doubts: dict[DoubtKey, tuple[Chain, Rule, str]] = {}
        """Rules that were not understood."""

    def run(self, packet: Packet) -> list[End]:
        """Every end. Raises TooMuch."""
        ends: list[End] = []
        if packet.iif == "":
            for out in self._hook("output", replace(packet, oif=self._out(packet)), ends):
                routed = replace(out, oif="lo" if self._local(out) else self._routes.out(out.daddr))
                ends += self._leave(routed)
            return ends
        for come in self._hook("prerouting", packet, ends):
            ends += self._route(come)
        return ends

    def _out(self, packet: Packet) -> str | None:
        return "lo" if self._local(packet) else self._routes.out(packet.daddr)

    def _local(self, packet: Packet) -> bool:
        return self._routes.place.local(packet.daddr)

    def _route(self, packet: Packet) -> list[End]:
        """After prerouting."""
        ends: list[End] = []
        if self._local(packet):
            for there in self._hook("input", packet, ends):
                ends.append(End("delivered", there))
            return ends
        for there in self._hook("forward", replace(packet, oif=self._routes.out(packet.daddr)), ends):
            ends += self._post(there)
        return ends

    def _leave(self, packet: Packet) -> list[End]:
        """After output."""
        if not self._local(packet):
            return self._post(packet)
        ends: list[End] = []
        for out in self._post(packet):
            if out.ending != "forwarded":
                ends.append(out)
                continue
            for again in self._hook("prerouting", replace(out.packet, iif="lo", oif=""), ends, nat=False):
                ends += self._route(again)
        return ends

    def _post(self, packet: Packet) -> list[End]:
        ends: list[End] = []
        ends += [End("forwarded", out) for out in self._hook("postrouting", packet, ends)]
        return ends

    def _hook(self, hook: Hook, packet: Packet, ends: list[End], *, nat: bool = True) -> list[Packet]:
        """All base chains of a hook; packets that pass. Those that do not are put into `ends`."""
        packets = [packet]
        for _, chain in self._base_chains(hook, packet.family):
            passed: list[Packet] = []
            for one in packets:
                if chain is None:
                    passed += self._ip_vs(one, hook, ends)
                elif chain.type == "nat" and not self._sees(one, hook, nat):
                    passed.append(one)
                else:
                    passed += self._base(chain, one, ends)
            packets = merged(passed)
        return packets

    def _sees(self, packet: Packet, hook: Hook, nat: bool) -> bool:
        """A nat chain sees a packet that is tracked and not translated yet."""
        if not nat or not packet.tracked:
            return False
        return not (packet.masqueraded if hook in ("postrouting", "input") else packet.translated)

    def _base_chains(self, hook: Hook, family: Family) -> list[tuple[int, Chain | None]]:
        word = "ip" if family is Family.IPV4 else "ip6"
        chains: list[tuple[int, Chain | None]] = [
            (chain.priority, chain)
            for table in self._tables
            if table.family in (word, "inet")
            for chain in table.bases()
            if chain.hook == hook
        ]
        if self._virtual is not None and hook in ("input", "output"):
            chains.append((IPVS_PRIORITY if hook == "input" else -98, None))
        return sorted(chains, key=lambda row: row[0])

    def _base(self, chain: Chain, packet: Packet, ends: list[End]) -> list[Packet]:
        """One base chain."""
        passed = []
        for result, word, rule, where in self._chain(chain, packet, 0):
            verdict = chain.policy if word == "return" else word
            if verdict == "accept":
                passed.append(result)
            else:
                ends.append(End("reject" if verdict == "reject" else "drop", result, where, rule))
        return passed

    def _ip_vs(self, packet: Packet, hook: Hook, ends: list[End]) -> list[Packet]:
        """The virtual servers; a packet for one of them leaves the hook translated."""
        assert self._virtual is not None
        server = self._virtual.lookup(packet.protocol, packet.daddr, packet.dport, packet.mark)
        if server is None or packet.translated:
            return [packet]
        usable = [(backend, weight) for backend, weight in server.backends if weight]
        if not usable:  # ip_vs_leave: nothing to schedule
            ends.append(End("reject", packet, None, Rule((), server.position)))
            return []
        total = sum(weight for _, weight in usable)
        moved = []
        for backend, weight in usable:
            says = f"virtual server {server} sends it to {backend}"
            step = Step("IPVS", "IPVS", Rule((), server.position), says, True, packet.trail)
            moved.append(
                replace(packet, daddr=backend.address, dport=backend.port, translated=True, trail=step,
                        share=packet.share * weight / total)
            )  # fmt: skip
        if hook == "output":
            return moved
        for one in moved:  # from input it leaves by postrouting
            ends += self._post(replace(one, oif=self._routes.out(one.daddr)))
        return []

    # Within a chain.

    def _chain(self, chain: Chain, packet: Packet, depth: int) -> Iterator[Out]:
        """What comes out of a chain: packets with accept, drop, reject or return (it fell through)."""
        if depth > DEEPEST:
            raise TooMuch(f"chain {chain.name} leads in circles")
        yield from self._from(chain, iter(self._places(chain, packet)), packet, depth)

    def _places(self, chain: Chain, packet: Packet) -> Iterable[int]:
        if chain.table.origin == "nft":
            return range(len(chain.lines))
        return places(chain, f"{address_text(packet.daddr)}/{len(packet.daddr) * 8}")

    def _from(self, chain: Chain, rest: Iterator[int], packet: Packet, depth: int) -> Iterator[Out]:
        """The rules that are left, for one packet, which changes on the way."""
        for place in rest:
            rule = chain.rule(place)
            going: list[Packet] = []
            for result, word, by, where in self._rule(chain, rule, packet, depth):
                if word == "next":
                    going.append(result)
                else:
                    yield result, word, by, where
            if not going:
                return
            going = merged(going)
            if len(going) > 1:
                left = list(rest)
                for one in going:
                    yield from self._from(chain, iter(left), one, depth)
                return
            packet = going[0]
        yield packet, "return", None, chain

    def _rule(self, chain: Chain, rule: Rule, packet: Packet, depth: int) -> Iterator[Out]:
        """One rule: ``next`` for packets that go on to the next one."""
        self._left -= 1
        if self._left < 0:
            raise TooMuch("too many rules for one packet")
        doubt = ""
        for statement in rule.statements:
            if isinstance(statement, Match | MarkMatch | Random | Recent | Unknown):
                try:
                    share, packet = matched_share(statement, packet, chain.table, self._routes.place)
                except Unsure as error:
                    doubt = doubt or str(error)
                    continue
                if share <= 0:
                    yield packet, "next", None, chain
                    return
                if share < 1:
                    yield replace(packet, share=packet.share * (1 - share)), "next", None, chain
                    packet = replace(packet, share=packet.share * share)
                continue
            doubt = doubt or self._unsure(statement, packet, chain)
            if doubt and not self._assumed(chain, rule, doubt):
                yield packet, "next", None, chain
                return
            says = meaning(statement, rule, packet)
            moves = isinstance(statement, Dnat)
            noted = Step(chain.name, str(chain.table), rule, says, moves, packet.trail)
            going = yield from self._act(chain, rule, statement, replace(packet, trail=noted), depth)
            if going is None:
                return
            packet = going
        yield packet, "next", None, chain

    def _unsure(self, statement: Statement, packet: Packet, chain: Chain) -> str:
        """Why it is not known what an action does with this packet; nothing if it is."""
        if isinstance(statement, Strange):
            return statement.text
        try:
            if isinstance(statement, Choose):
                chosen(statement.fields, statement.elements, packet, chain.table, self._routes.place)
            elif isinstance(statement, MapMark):
                mapped_mark(statement, packet, chain.table, self._routes.place)
            elif isinstance(statement, Dnat):
                translated(statement, packet, chain.table, self._routes.place)
        except Unsure as error:
            return str(error)
        return ""

    def _assumed(self, chain: Chain, rule: Rule, why: str) -> bool:
        """Whether a rule that is not understood is taken to match in this walk. It is noted."""
        where = (chain.name, rule.position)
        self.doubts.setdefault(where, (chain, rule, why))
        return where in self._taken

    def _act(
        self, chain: Chain, rule: Rule, statement: Statement, packet: Packet, depth: int
    ) -> Generator[Out, None, Packet | None]:
        """Do what a statement says; the packet as it goes on within the rule, or None if the rule is over for it."""
        table, place = chain.table, self._routes.place
        match statement:
            case Verdict(word):
                yield packet, word, rule, chain
            case Jump(name, goto):
                yield from self._jump(chain, name, goto, packet, depth)
            case Choose():
                yield from self._choose(chain, rule, statement, packet, depth)
            case Dnat():
                for moved in _known(lambda: translated(statement, packet, table, place)):
                    yield moved, "accept" if moved.translated else "next", rule, chain
            case Snat():
                yield replace(packet, masqueraded=True), "accept", rule, chain
            case SetMark(keep, flip):
                return replace(packet, mark=(packet.mark & keep) ^ flip)
            case NoTrack():
                return replace(packet, tracked=False)
            case MapMark():
                marks = _known(lambda: [mapped_mark(statement, packet, table, place)])
                return replace(packet, mark=marks[0]) if marks else packet
            case _:  # what it does is not known: as different from passing as can be
                yield packet, "drop", rule, chain
        return None

    def _choose(self, chain: Chain, rule: Rule, choice: Choose, packet: Packet, depth: int) -> Iterator[Out]:
        """What the element of a verdict map says."""
        place = self._routes.place
        for share, element in _known(lambda: chosen(choice.fields, choice.elements, packet, chain.table, place)):
            part = replace(packet, share=packet.share * share)
            if element is None:
                before = part.trail.before if part.trail else None
                yield replace(part, trail=before), "next", None, chain
            else:
                yield from self._verdict(chain, element, rule, part, depth)

    def _jump(self, chain: Chain, name: str, goto: bool, packet: Packet, depth: int) -> Iterator[Out]:
        target = chain.table.chains.get(name)
        if target is None:
            yield packet, "next", None, chain
            return
        for result, word, by, where in self._chain(target, packet, depth + 1):
            back = word == "return" and not goto
            if back and packet.trail is not None and unchanged(packet, result):
                result = replace(result, trail=packet.trail.before)  # noqa: PLW2901 - that chain had nothing for it
            yield result, "next" if back else word, by, where

    def _verdict(self, chain: Chain, text: str, rule: Rule, packet: Packet, depth: int) -> Iterator[Out]:
        """What a verdict map says: ``goto chain``, ``drop``."""
        word, _, name = text.partition(" ")
        if word in ("goto", "jump"):
            yield from self._jump(chain, name, word == "goto", packet, depth)
        elif word == "continue":
            yield packet, "next", None, chain
        else:
            yield packet, word, rule, chain


T = TypeVar("T")


def _known(ask: Callable[[], list[T]]) -> list[T]:
    """What is asked, or nothing: the rule is assumed to match although it is not known what it does."""
    try:
        return ask()
    except Unsure:
        return []
