"""``conntrack -L -o extended`` -> flows; ``conntrack -S`` -> what was lost. Pure."""

import re
from collections.abc import Iterator, Mapping
from ipaddress import ip_address
from typing import Final, NamedTuple

PAIR: Final = re.compile(r"(\w+)=(\S+)")
PROTOCOLS: Final = ("tcp", "udp", "sctp", "icmp", "icmpv6")
STATES: Final = frozenset({
    "SYN_SENT", "SYN_RECV", "ESTABLISHED", "FIN_WAIT", "CLOSE_WAIT", "LAST_ACK", "TIME_WAIT", "CLOSE", "LISTEN", "NONE",
    "COOKIE_WAIT", "COOKIE_ECHOED", "SHUTDOWN_SENT", "SHUTDOWN_RECD", "SHUTDOWN_ACK_SENT", "SYN_SENT2",
})  # fmt: skip


class Flow(NamedTuple):
    """One entry of connection tracking: how it came, and from where the answer is expected."""

    protocol: str
    source: bytes
    destination: bytes
    port: int
    """The destination's, as the client asked for it."""
    reply_source: bytes
    """Who answers: an endpoint, if the destination was translated."""
    reply_port: int
    reply_destination: bytes
    state: str
    """Of TCP and SCTP, such as SYN_SENT; else empty."""
    unreplied: bool
    timeout: int
    """Seconds that it stays if nothing comes; 0: not known."""
    line: int
    text: str

    @property
    def translated(self) -> bool:
        """Its destination is another one than the client asked for."""
        return self.reply_source != self.destination


def parse_flows(text: str) -> Iterator[Flow]:
    """Flows of a list; other lines (a summary, a warning) are passed over. With or without ``-o extended``."""
    for number, line in enumerate(text.splitlines(), 1):
        flow = parse_flow(line, number)
        if flow is not None:
            yield flow


def parse_flow(line: str, number: int) -> Flow | None:
    """``ipv4 2 udp 17 29 src=... dst=... sport=... dport=... [UNREPLIED] src=... dst=... mark=0 use=1``."""
    words = line.split()
    protocol = next((word for word in words[:4] if word in PROTOCOLS), None)
    if protocol is None:
        return None
    pairs = PAIR.findall(line)
    sides: list[dict[str, str]] = []
    for key, value in pairs:
        if key == "src":
            sides.append({})
        if sides:
            sides[-1].setdefault(key, value)
    if len(sides) < 2:
        return None
    there, back = sides[0], sides[1]
    place = words.index(protocol)
    timeout = words[place + 2] if len(words) > place + 2 and words[place + 2].isdigit() else "0"
    try:
        return Flow(
            protocol,
            ip_address(there["src"]).packed,
            ip_address(there["dst"]).packed,
            int(there.get("dport", "0")),
            ip_address(back["src"]).packed,
            int(back.get("sport", "0")),
            ip_address(back["dst"]).packed,
            next((word for word in words if word in STATES), ""),
            "[UNREPLIED]" in words,
            int(timeout),
            number,
            line.strip(),
        )
    except (ValueError, KeyError):
        return None


def parse_losses(text: str) -> Mapping[str, int]:
    """Counters of ``conntrack -S``, summed over the processors: insert_failed, drop, early_drop and so on."""
    sums: dict[str, int] = {}
    for key, value in PAIR.findall(text):
        if value.isdigit() and key != "cpu":
            sums[key] = sums.get(key, 0) + int(value)
    return sums
