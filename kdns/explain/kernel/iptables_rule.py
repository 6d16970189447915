"""One line of iptables-save -> statements. Pure.

Options are those of iptables-extensions(8). One that is not here makes an `Unknown`, never a guess.
"""

import re
from collections.abc import Callable, Iterator
from ipaddress import ip_address, ip_network
from typing import Final

from kdns.explain.kernel.model import (
    Chain,
    Dnat,
    Element,
    Elements,
    Jump,
    Line,
    MapMark,
    MarkMatch,
    Match,
    NoTrack,
    Pattern,
    Position,
    Random,
    Recent,
    Rule,
    SetMark,
    Snat,
    Statement,
    Strange,
    Unknown,
    Verdict,
)

WORD: Final = re.compile(r'"((?:[^"\\]|\\.)*)"|(\S+)')
FULL: Final = 0xFFFFFFFF
INERT: Final = frozenset({
    "LOG", "NFLOG", "ULOG", "TRACE", "CONNMARK", "TCPMSS", "TCPOPTSTRIP", "CHECKSUM", "SECMARK", "CONNSECMARK", "TOS",
    "DSCP", "TTL", "HL", "CLASSIFY", "AUDIT", "RATEEST", "LED", "IDLETIMER", "ECN", "HMARK",
})  # fmt: skip
"""Targets after which the next rule follows, and the way of the packet is the same."""
NUMBERS: Final = {"1": "icmp", "6": "tcp", "17": "udp", "50": "esp", "51": "ah", "58": "ipv6-icmp", "132": "sctp"}


def parse_rule(line: Line, chain: Chain) -> Rule:
    """A line such as ``-A KUBE-SERVICES -d 10.96.0.10/32 -p udp ... -j KUBE-SVC-...``."""
    words = [match[1] if match[2] is None else match[2] for match in WORD.finditer(line.text)][2:]
    parser = _Parser(words, chain)
    return Rule(tuple(parser.statements()), Position(chain.table.file, line.number, line.text))


def single(*patterns: Pattern) -> Elements:
    """Alternatives for one field."""
    return Elements([Element((pattern,)) for pattern in patterns])


def network(text: str) -> Pattern:
    """``10.0.0.0/8``, an address, or ``10.0.0.1-10.0.0.9``. Raises ValueError."""
    if "-" in text:
        low, _, high = text.partition("-")
        return Pattern(ip_address(low).packed, ip_address(high).packed)
    parsed = ip_network(text, strict=False)
    if parsed.num_addresses == 1:
        return Pattern(parsed.network_address.packed)
    return Pattern(parsed.network_address.packed, parsed.broadcast_address.packed)


def ports(text: str) -> list[Pattern]:
    """``80``, ``80:90``, ``80,443,1000:2000``. Raises ValueError."""
    patterns = []
    for part in text.split(","):
        low, colon, high = part.partition(":")
        patterns.append(Pattern(int(low or 0), int(high or 65535)) if colon else Pattern(int(low)))
    return patterns


def interface(name: str) -> Pattern:
    """``eth0``, or ``cali+``: every name that begins so."""
    return Pattern(name[:-1], "*") if name.endswith("+") else Pattern(name)


def mark(text: str) -> tuple[int, int]:
    """``0x4000/0x4000``, or a value alone. Raises ValueError."""
    value, slash, mask = text.partition("/")
    return int(value, 0), int(mask, 0) if slash else FULL


class _Parser:
    """Words of a rule, taken one after the other."""

    def __init__(self, words: list[str], chain: Chain) -> None:
        self._words, self._at, self._chain = words, 0, chain
        self._module = ""

    def statements(self) -> Iterator[Statement]:
        """Matches, then the target."""
        while self._at < len(self._words):
            start = self._at
            negated = self._words[self._at] == "!"
            self._at += negated
            try:
                yield from self._option(negated)
            except (IndexError, ValueError, KeyError):
                yield Unknown(" ".join(self._words[start:]))
                return

    def _next(self) -> str:
        self._at += 1
        return self._words[self._at - 1]

    def _option(self, negated: bool) -> Iterator[Statement]:
        start, word = self._at, self._next()
        if word == "-m":
            self._module = self._next()
            if self._module in ("socket",):
                yield Unknown(f"-m {self._module}")
            elif self._module == "rpfilter":
                # A packet whose source is where its route says; `--invert` means those that are not.
                while self._at < len(self._words) and self._words[self._at].startswith("--"):
                    if self._next() == "--invert":
                        yield Random(0.0)
            return
        if word in ("-j", "-g"):
            yield from self._target(self._next(), goto=word == "-g")
            return
        read = OPTIONS.get(word)
        if read is not None:
            yield from read(self, negated)
            return
        # Its arguments are whatever follows up to the next option.
        while self._at < len(self._words) and not self._words[self._at].startswith(("-", "!")):
            self._at += 1
        yield Unknown(" ".join((*(["!"] if negated else []), *self._words[start : self._at])))

    def _target(self, name: str, *, goto: bool) -> Iterator[Statement]:
        rest, self._at = self._words[self._at :], len(self._words)
        match name:
            case "ACCEPT" | "DROP" | "RETURN" | "REJECT":
                yield Verdict(name.lower())  # type: ignore[arg-type]
            case "MARK":
                yield _set_mark(rest)
            case "DNAT":
                yield _dnat(rest)
            case "REDIRECT":
                yield Dnat(b"", _redirect(rest))
            case "MASQUERADE" | "SNAT":
                yield Snat(name == "MASQUERADE")
            case "NOTRACK" | "CT":
                yield from (NoTrack(),) if name == "NOTRACK" or "--notrack" in rest else ()
            case "SET":
                yield from self._map_mark(rest)
            case _ if name in self._chain.table.chains:
                yield Jump(name, goto)
            case _ if name not in INERT:
                yield Strange(f"-j {' '.join((name, *rest))}")

    def _map_mark(self, rest: list[str]) -> Iterator[Statement]:
        """``--map-set NAME dst,dst --map-mark``; to add to a set changes nothing for the packet."""
        if "--map-set" in rest:
            ipset = self._chain.table.sets.get(rest[1])
            yield MapMark(tuple(_directions(rest[2], ipset.kind if ipset else "")), rest[1])

    # The options. Each takes its arguments.

    def _addresses(self, negated: bool, field: str) -> Iterator[Statement]:
        yield Match((field,), single(*(network(part) for part in self._next().split(","))), negated)

    def _interface(self, negated: bool, field: str) -> Iterator[Statement]:
        yield Match((field,), single(interface(self._next())), negated)

    def _protocol(self, negated: bool) -> Iterator[Statement]:
        name = self._next().lower()
        if name not in ("all", "0"):
            yield Match(
                ("l4proto",), single(Pattern(NUMBERS.get(name, "ipv6-icmp" if name == "icmpv6" else name))), negated
            )

    def _ports(self, negated: bool, field: str) -> Iterator[Statement]:
        yield Match((field,), single(*ports(self._next())), negated)

    def _mark(self, negated: bool) -> Iterator[Statement]:
        value, mask = mark(self._next())
        yield MarkMatch(value, mask, negated, self._module == "connmark")

    def _states(self, negated: bool) -> Iterator[Statement]:
        states = self._next().lower().split(",")
        yield Match(
            ("ct state",), single(*(Pattern(state) for state in states if state not in ("dnat", "snat"))), negated
        )

    def _status(self, negated: bool) -> Iterator[Statement]:
        yield Match(("ct status",), single(*(Pattern(state) for state in self._next().lower().split(","))), negated)

    def _type(self, negated: bool, field: str) -> Iterator[Statement]:
        yield Match((field,), single(*(Pattern(kind) for kind in self._next().lower().split(","))), negated)

    def _statistic(self, negated: bool) -> Iterator[Statement]:
        """``random --probability P``, or ``nth --every N --packet K``; both are shares."""
        mode, option, value = self._next(), self._next(), self._next()
        share = float(value) if mode == "random" else 1 / int(value)
        if mode == "nth" and self._words[self._at : self._at + 1] == ["--packet"]:
            self._at += 2
        if option not in ("--probability", "--every"):
            raise ValueError(option)
        yield Random(1 - share if negated else share)

    def _recent(self, negated: bool) -> Iterator[Statement]:
        """All its options; ``--set`` and ``--remove`` match every packet."""
        asks, name = self._words[self._at - 1] in ("--rcheck", "--update"), "DEFAULT"
        while self._at < len(self._words) and self._words[self._at].startswith("--"):
            option = self._next()
            asks = asks or option in ("--rcheck", "--update")
            if option == "--name":
                name = self._next()
            elif option in ("--seconds", "--hitcount", "--mask"):
                self._next()
        if asks:
            yield Unknown(f"-m recent ! --name {name}") if negated else Recent(name)

    def _set(self, negated: bool) -> Iterator[Statement]:
        name, directions = self._next(), self._next()
        ipset = self._chain.table.sets.get(name)
        yield Match(tuple(_directions(directions, ipset.kind if ipset else "")), name, negated)

    def _flags(self, negated: bool) -> Iterator[Statement]:
        """The first packet of a TCP connection has SYN, and no other flag."""
        mask, value = set(self._next().split(",")), self._next()
        first = (("SYN" in mask or "ALL" in mask) and value == "SYN") or (value == "NONE" and not mask & {"SYN", "ALL"})
        yield from () if first != negated else (Random(0.0),)

    def _syn(self, negated: bool) -> Iterator[Statement]:
        yield from (Random(0.0),) if negated else ()

    def _skip(self, negated: bool) -> Iterator[Statement]:
        self._next()
        return iter(())


Read = Callable[[_Parser, bool], Iterator[Statement]]


def _with(read: Callable[[_Parser, bool, str], Iterator[Statement]], field: str) -> Read:
    return lambda parser, negated: read(parser, negated, field)


OPTIONS: Final[dict[str, Read]] = {
    "-s": _with(_Parser._addresses, "saddr"),
    "-d": _with(_Parser._addresses, "daddr"),
    "--src-range": _with(_Parser._addresses, "saddr"),
    "--dst-range": _with(_Parser._addresses, "daddr"),
    "-i": _with(_Parser._interface, "iifname"),
    "-o": _with(_Parser._interface, "oifname"),
    "-p": _Parser._protocol,
    "--dport": _with(_Parser._ports, "dport"),
    "--dports": _with(_Parser._ports, "dport"),
    "--sport": _with(_Parser._ports, "sport"),
    "--sports": _with(_Parser._ports, "sport"),
    "--mark": _Parser._mark,
    "--ctstate": _Parser._states,
    "--state": _Parser._states,
    "--ctstatus": _Parser._status,
    "--ctdir": _with(_Parser._type, "ct direction"),
    "--src-type": _with(_Parser._type, "fib saddr type"),
    "--dst-type": _with(_Parser._type, "fib daddr type"),
    "--mode": _Parser._statistic,
    "--rcheck": _Parser._recent,
    "--update": _Parser._recent,
    "--set": _Parser._recent,
    "--remove": _Parser._recent,
    "--match-set": _Parser._set,
    "--tcp-flags": _Parser._flags,
    "--syn": _Parser._syn,
    "--comment": _Parser._skip,
    "--nfacct-name": _Parser._skip,
}


def _directions(directions: str, kind: str) -> Iterator[str]:
    """Fields by an ipset's type: of ``hash:ip,port`` with ``dst,dst`` the address, and the protocol and port."""
    dimensions = kind.partition(":")[2].split(",") if kind else []
    for place, direction in enumerate(directions.split(",")):
        dimension = dimensions[place] if place < len(dimensions) else ("ip", "port", "ip")[min(place, 2)]
        side = "d" if direction == "dst" else "s"
        match dimension:
            case "port":
                yield f"{side}port" if kind.startswith("bitmap:") else f"{side}port of protocol"
            case "iface":
                yield "oifname" if side == "d" else "iifname"
            case "mark":
                yield "mark"
            case _:
                yield f"{side}addr"


def _set_mark(rest: list[str]) -> Statement:
    option, text = rest[0], rest[1]
    value, mask = mark(text)
    match option:
        case "--set-xmark":
            return SetMark(~mask & FULL, value)
        case "--set-mark":
            return SetMark(~(mask | value) & FULL, value)
        case "--or-mark":
            return SetMark(~value & FULL, value)
        case "--and-mark":
            return SetMark(value, 0)
        case "--xor-mark":
            return SetMark(FULL, value)
    return Strange(f"-j MARK {' '.join(rest)}")


def _dnat(rest: list[str]) -> Statement:
    """``--to-destination 10.0.0.1:80``, ``[fd00::1]:80``, or without a port; ranges are not understood."""
    text = rest[rest.index("--to-destination") + 1]
    if match := re.fullmatch(r"\[([0-9a-fA-F:.]+)\](?::(\d+))?|([0-9.]+)(?::(\d+))?|([0-9a-fA-F:]+)", text):
        port = match[2] or match[4]
        return Dnat(ip_address(match[1] or match[3] or match[5]).packed, int(port) if port else None)
    return Strange(f"-j DNAT {' '.join(rest)}")


def _redirect(rest: list[str]) -> int | None:
    return int(rest[rest.index("--to-ports") + 1]) if "--to-ports" in rest else None
