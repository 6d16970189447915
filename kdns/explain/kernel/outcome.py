"""What becomes of a packet on a node, all ends taken together. Pure."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import chain as chained
from typing import Literal, NamedTuple

from kdns.explain.kernel.ipvs import VirtualServers
from kdns.explain.kernel.model import Chain, Rule, Table
from kdns.explain.kernel.packet import Packet
from kdns.explain.kernel.walk import DoubtKey, End, Routes, TooMuch, Walk
from kdns.proxy.model import Backend

MOST_DOUBTS = 200
"""Rules that are not understood; with more of them nothing is known."""

Word = Literal["dnat", "reject", "drop", "untouched", "mixed", "unknown"]


class Doubt(NamedTuple):
    """Why an outcome is not known: a rule that is not understood, and would change it; or a walk without an end."""

    why: str
    chain: Chain | None = None
    rule: Rule | None = None


class Result(NamedTuple):
    """What becomes of the packet."""

    word: Word
    """mixed: a part of the packets ends otherwise than the rest."""
    shares: Mapping[Backend, float] = {}
    """Of all packets, by where they are sent."""
    masquerade: bool | None = None
    """Of those that are sent on, but for a backend that is the client itself; None: there are none, or it differs."""
    ends: tuple[End, ...] = ()
    doubt: Doubt | None = None
    sticky: tuple[str, ...] = ()
    """Affinity lists and sets that were asked on the way."""


def outcome(tables: Sequence[Table], routes: Routes, virtual: VirtualServers | None, packet: Packet) -> Result:
    """Walk, and walk again for each rule that was not understood, as if it matched: all must come to the same.

    A rule that is met only because another one was taken to match is tried together with that one.
    """
    try:
        walk = Walk(tables, routes, virtual)
        ends = walk.run(packet)
        base, waiting = _summary(ends), [(frozenset[DoubtKey](), walk.doubts)]
        tried: set[DoubtKey] = set()
        while waiting:
            taken, doubts = waiting.pop()
            for key, (chain, rule, why) in doubts.items():
                if key in tried:
                    continue
                tried.add(key)
                if len(tried) > MOST_DOUBTS:
                    return Result("unknown", doubt=Doubt("too many rules are not understood", chain, rule))
                walk = Walk(tables, routes, virtual, taken | {key})
                if _summary(walk.run(packet)) != base:
                    return Result("unknown", ends=tuple(ends), doubt=Doubt(why, chain, rule))
                waiting.append((taken | {key}, walk.doubts))
    except TooMuch as error:
        return Result("unknown", doubt=Doubt(str(error)))
    return _result(packet, ends) if ends else Result("unknown", doubt=Doubt("the rules lead nowhere"))


def _summary(ends: Iterable[End]) -> Mapping[tuple[object, ...], float]:
    """What counts of the ends: where to, with which source, and how many."""
    shares: dict[tuple[object, ...], float] = {}
    for end in ends:
        packet = end.packet
        key = (end.ending, packet.translated, packet.daddr, packet.dport, packet.masqueraded)
        shares[key] = shares.get(key, 0.0) + packet.share
    return {key: round(share, 6) for key, share in shares.items()}


def _result(packet: Packet, ends: Sequence[End]) -> Result:
    words: set[Word] = {_word(end) for end in ends}
    shares: dict[Backend, float] = {}
    for end in ends:
        if _word(end) == "dnat":
            backend = Backend(end.packet.daddr, end.packet.dport)
            shares[backend] = shares.get(backend, 0.0) + end.packet.share
    sent = {
        end.packet.masqueraded
        for end in ends
        if end.ending == "forwarded" and end.packet.translated and end.packet.daddr != packet.saddr
    }
    sticky = tuple(dict.fromkeys(chained.from_iterable(end.packet.sticky for end in ends)))
    word: Word = next(iter(words)) if len(words) == 1 else "mixed"
    return Result(word, shares, next(iter(sent)) if len(sent) == 1 else None, tuple(ends), None, sticky)


def _word(end: End) -> Word:
    match end.ending:
        case "drop" | "reject":
            return end.ending
        case _:
            return "dnat" if end.packet.translated else "untouched"


def ends_of(result: Result, wanted: Callable[[End], bool]) -> list[End]:
    """The ends that fit."""
    return [end for end in result.ends if wanted(end)]
