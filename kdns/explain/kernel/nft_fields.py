"""The left side of a match in nft: which fields of the packet it is about. Pure. See nft(8), "Expressions"."""

from typing import Final, NamedTuple

from kdns.explain.kernel.model import Element, Elements, Match, Pattern

PLAIN: Final = {
    ("ip", "saddr"): "ip saddr", ("ip", "daddr"): "ip daddr", ("ip6", "saddr"): "ip6 saddr",
    ("ip6", "daddr"): "ip6 daddr", ("ip", "protocol"): "l4proto", ("ip6", "nexthdr"): "l4proto",
    ("meta", "l4proto"): "l4proto", ("meta", "mark"): "mark", ("meta", "nfproto"): "nfproto",
    ("meta", "iifname"): "iifname", ("meta", "oifname"): "oifname", ("meta", "iif"): "iifname",
    ("meta", "oif"): "oifname", ("tcp", "dport"): "tcp dport", ("udp", "dport"): "udp dport",
    ("sctp", "dport"): "sctp dport", ("th", "dport"): "dport", ("ct", "state"): "ct state", ("ct", "mark"): "ct mark",
    ("ct", "status"): "ct status", ("ct", "direction"): "ct direction", ("tcp", "sport"): "sport",
    ("udp", "sport"): "sport", ("sctp", "sport"): "sport", ("th", "sport"): "sport", ("tcp", "flags"): "tcp flags",
}  # fmt: skip
SHORT: Final = {"iifname": "iifname", "oifname": "oifname", "iif": "iifname", "oif": "oifname", "mark": "mark"}
PROTOCOLS: Final = ("tcp", "udp", "sctp", "icmp", "icmpv6")


class Fields(NamedTuple):
    """Fields, a mask that is put on them, and what else they ask of the packet."""

    names: tuple[str, ...]
    mask: int = 0
    implied: tuple[Match, ...] = ()


def parse_fields(words: list[str], at: int) -> tuple[Fields, int]:
    """Fields joined by dots, from a place on; and the place behind them. Raises ValueError, IndexError."""
    names: list[str] = []
    implied: list[Match] = []
    mask = 0
    while True:
        name, at = _field(words, at, implied)
        names.append(name)
        if at < len(words) and words[at] in ("&", "and"):
            mask, at = int(words[at + 1], 0), at + 2
        if at < len(words) and words[at] == ".":
            at += 1
            continue
        return Fields(tuple(names), mask, tuple(implied)), at


def _field(words: list[str], at: int, implied: list[Match]) -> tuple[str, int]:
    word, following = words[at], words[at + 1] if at + 1 < len(words) else ""
    if word in SHORT:
        return SHORT[word], at + 1
    if (word, following) in PLAIN:
        if word in ("tcp", "udp", "sctp"):
            implied.append(_of_protocol(word))
        return PLAIN[word, following], at + 2
    if word == "numgen":
        modulus, offset, end = int(words[at + 3]), 0, at + 4
        if end < len(words) and words[end] == "offset":
            offset, end = int(words[end + 1]), end + 2
        return f"numgen {modulus} {offset}", end
    if word == "fib":
        return _fib(words, at)
    if word in PROTOCOLS:
        implied.append(_of_protocol("ipv6-icmp" if word == "icmpv6" else word))
        return f"{word} {following}", at + 2
    raise ValueError(word)


def _fib(words: list[str], at: int) -> tuple[str, int]:
    """``fib daddr type``, and ``fib saddr . iif oif``, which asks whether the source has a way back."""
    end = at + 1
    asked = []
    while words[end] not in ("type", "oif", "oifname", "check"):
        asked.append(words[end])
        end += 1
    if words[end] == "type" and asked[0] in ("saddr", "daddr"):
        if len(asked) > 1:
            return f"fib {' '.join(asked)} type", end + 1
        return f"fib {asked[0]} type", end + 1
    if asked[0] == "saddr":
        return "fib missing", end + 1
    raise ValueError("fib")


def _of_protocol(protocol: str) -> Match:
    return Match(("l4proto",), Elements([Element((Pattern(protocol),))]))
