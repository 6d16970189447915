"""Single values of kube-proxy's configuration: what is allowed, read from YAML or a flag, and written again. Pure.

Readers raise ValueError saying what is wrong, with what is allowed after a line break.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from typing import Any, Final, NamedTuple

from kdns.base.addresses import parse_address, parse_network
from kdns.base.objects import Network, address_text
from kdns.config.arguments import near
from kdns.config.durations import parse_duration
from kdns.config.kubeproxy.settings import ALL, LOCALHOST, PRIMARY, NodePortAddresses

LONGEST: Final = 292 * 365 * 86400.0
"""Seconds; about Go's longest duration."""
LARGEST: Final = 2**31 - 1
LONGEST_SHOWN: Final = 80
"""Characters of a value that are shown with its mistake."""
FALSE: Final = ("0", "f", "F", "false", "FALSE", "False")
TRUE: Final = ("1", "t", "T", "true", "TRUE", "True")
"""Booleans as Go's flags have them."""


class Kind(NamedTuple):
    """What a value may be."""

    read: Callable[[Any], Any]
    """A scalar of YAML as the value of a setting."""
    plain: Callable[[str], Any] = str
    """The text of a flag as YAML would have given it; what cannot be read is left as text, for `read` to refuse."""
    write: Callable[[Any], Any] = lambda value: value
    """A setting as it stands in YAML."""
    check: Callable[[Any], None] = lambda _value: None
    """Whether what was read may be: apart from `read`, since a zero may stand for the default."""


class ManyKind(NamedTuple):
    """A list: each item is read where it stands, then all of them."""

    item: Callable[[Any], Any]
    build: Callable[[tuple[Any, ...]], Any]
    write: Callable[[Any], Any]


class MapKind(NamedTuple):
    """A mapping with any keys."""

    item: Callable[[Any], Any]


def shown(value: Any) -> str:
    """A value in messages."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None:
        return "null"
    if isinstance(value, str):
        return repr(value if len(value) <= LONGEST_SHOWN else value[:LONGEST_SHOWN] + "...")
    if isinstance(value, Mapping):
        return "a mapping"
    return "a list" if isinstance(value, Sequence) else str(value)[:LONGEST_SHOWN]


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(
            f"{shown(value)} is not text" + ("\nput it in quotes" if isinstance(value, int | float) else "")
        )
    return value


def _boolean(value: Any) -> bool:
    if not isinstance(value, bool):
        hint = "without quotes: " if isinstance(value, str) and value in {"true", "false"} else ""
        raise ValueError(f"{shown(value)} is neither true nor false\n{hint}true or false")
    return value


def integer(low: int, high: int = LARGEST) -> Kind:
    """A whole number from ``low`` to ``high``."""
    bounds = f"{low} to {high}" if high != LARGEST else f"at least {low}"

    def read(value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int | float) or value != value // 1:
            quoted = ", without quotes" if isinstance(value, str) and re.fullmatch(r"-?[0-9]+", value) else ""
            raise ValueError(f"invalid whole number {shown(value)}\n{bounds}{quoted}")
        if not low <= value <= high:
            raise ValueError(f"{shown(value)} is out of range\n{bounds}")
        return int(value)

    return Kind(read, _plain_number)


def _rate(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"{shown(value)} is not a number\nsuch as 5 or 2.5")
    if not -LARGEST <= value <= LARGEST:
        raise ValueError(f"{shown(value)} is out of range\nsuch as 5 or 2.5")
    return float(value)


def _plain_number(text: str) -> Any:
    if re.fullmatch(r"[-+]?[0-9]{1,18}", text):
        return int(text)
    return float(text) if re.fullmatch(r"[-+]?[0-9]{1,18}\.[0-9]{1,18}", text) else text


def _plain_boolean(text: str) -> Any:
    return True if text in TRUE else False if text in FALSE else text


def duration(*, positive: bool = False, nanoseconds: bool = False) -> Kind:
    """Seconds, from text as Go writes it. ``positive``: not 0; ``nanoseconds``: a bare number means those."""
    at_least = "longer than 0s" if positive else "at least 0s"

    def read(value: Any) -> float:
        if nanoseconds and isinstance(value, int) and not isinstance(value, bool):
            seconds = value / 10**9
        else:
            seconds = _seconds(value)
        if not 0.0 <= seconds <= LONGEST:
            bounds = at_least if seconds < 0 else "at most 292 years"
            raise ValueError(f"{shown(value)} is out of range\n{bounds}")
        return seconds

    def check(seconds: float) -> None:
        if positive and not seconds:
            raise ValueError(f"{go_duration(seconds)} is out of range\n{at_least}")

    return Kind(read, write=go_duration, check=check)


def _seconds(value: Any) -> float:
    if not isinstance(value, str):
        number = isinstance(value, int | float) and not isinstance(value, bool)
        hint = f"text with a unit, such as {value}s" if number and value else "such as 300ms, 5s or 1m30s"
        raise ValueError(f"invalid duration {shown(value)}\n{hint[:LONGEST_SHOWN]}")
    return parse_duration(value)


def go_duration(seconds: float) -> str:
    """A duration as Go writes it: ``30s``, ``15m0s``, ``1.5s``, ``500ms``."""
    left = round(abs(Fraction(seconds)) * 10**9)
    sign = "-" if seconds < 0 and left else ""
    if left == 0:
        return "0s"
    for unit, size in (("ns", 1), ("\u00b5s", 1000), ("ms", 1_000_000)):
        if left < size * 1000:
            return f"{sign}{_decimal(left, size)}{unit}"
    hours, left = divmod(left, 3600 * 10**9)
    minutes, left = divmod(left, 60 * 10**9)
    head = f"{hours}h{minutes}m" if hours else f"{minutes}m" if minutes else ""
    return f"{sign}{head}{_decimal(left, 10**9)}s"


def _decimal(value: int, size: int) -> str:
    whole, rest = divmod(value, size)
    digits = str(size)[1:]
    return f"{whole}.{rest:0{len(digits)}}".rstrip("0") if rest else str(whole)


def choice(known: Sequence[str], *, also: Sequence[str] = ()) -> Kind:
    """One of the known words; ``also`` are accepted, but not named in messages."""

    def read(value: Any) -> str:
        if not isinstance(value, str) or value not in (*known, *also):
            hint = near(value, known) if isinstance(value, str) and len(value) <= LONGEST_SHOWN else ""
            raise ValueError(f"{shown(value)} is none of {', '.join(known)}\n{hint}".rstrip())
        return value

    return Kind(read)


def _network(value: Any) -> Network:
    try:
        return parse_network(_text(value))
    except ValueError:
        raise ValueError(f"{shown(value)} is not a CIDR\nsuch as 10.244.0.0/16 or fd00:10:244::/56") from None


def _cluster_cidrs(value: Any) -> tuple[Network, ...]:
    networks = tuple(map(_network, filter(None, _text(value).split(","))))
    if len({len(network.address) for network in networks}) < len(networks):
        raise ValueError(
            f"{shown(value)} has two CIDRs of one family\nat most one of each: 10.244.0.0/16,fd00:10:244::/56"
        )
    return networks


NODE_PORT_WORDS: Final = (PRIMARY, LOCALHOST, ALL)


def _node_port_address(value: Any) -> Network | str:
    if value in NODE_PORT_WORDS:
        return str(value)
    try:
        return _network(value)
    except ValueError as error:
        raise ValueError(f"{error}, or {PRIMARY}, {LOCALHOST} or {ALL}") from None


def _node_port_addresses(items: tuple[Any, ...]) -> NodePortAddresses:
    networks = tuple(dict.fromkeys(item for item in items if isinstance(item, Network)))
    return NodePortAddresses(PRIMARY in items, networks, LOCALHOST in items, ALL in items)


def _write_node_port_addresses(value: NodePortAddresses) -> list[str] | None:
    words = ((PRIMARY, value.primary), (LOCALHOST, value.localhost), (ALL, value.all))
    return [word for word, given in words if given] + [str(network) for network in value.networks] or None


def _address(value: Any) -> str:
    try:
        return address_text(parse_address(_text(value)))
    except ValueError:
        raise ValueError(f"{shown(value)} is not an IP address\nsuch as 0.0.0.0 or ::") from None


def http_address(port: int) -> Kind:
    """ADDRESS:PORT, or an address alone, which gets the given port; empty stays empty."""

    def read(value: Any) -> str:
        text = _text(value)
        if not text:
            return ""
        match = re.fullmatch(r"\[([0-9A-Fa-f:.]+)\]:([0-9]{1,5})|([0-9.]+):([0-9]{1,5})|\[?([0-9A-Fa-f:.]+)\]?", text)
        six, six_port, four, four_port, bare = match.groups() if match else (None,) * 5
        number = int(six_port or four_port or port)
        try:
            host = parse_address(six or four or bare or "") if number <= 65535 else None
        except ValueError:
            host = None
        if host is None:
            raise ValueError(f"{shown(value)} is not ADDRESS:PORT\nsuch as 0.0.0.0:{port}, or [::]:{port} for IPv6")
        return f"[{address_text(host)}]:{number}" if len(host) == 16 else f"{address_text(host)}:{number}"

    return Kind(read)


def _interface(value: Any) -> str:
    text = _text(value)
    if text and not re.fullmatch(r"[A-Za-z0-9_.:@-]{1,15}", text):
        raise ValueError(f"{shown(value)} is not an interface name\nat most 15 letters, digits and . _ - : @")
    return text


TEXT: Final = Kind(_text)
INTERFACE: Final = Kind(_interface)
BOOLEAN: Final = Kind(_boolean, _plain_boolean)
RATE: Final = Kind(_rate, _plain_number)
ADDRESS: Final = Kind(_address)
CLUSTER_CIDRS: Final = Kind(_cluster_cidrs, write=lambda value: ",".join(map(str, value)))
CIDRS: Final = ManyKind(_network, lambda items: items, lambda value: [str(network) for network in value] or None)
NODE_PORT_ADDRESSES: Final = ManyKind(_node_port_address, _node_port_addresses, _write_node_port_addresses)
GATES: Final = MapKind(_boolean)
