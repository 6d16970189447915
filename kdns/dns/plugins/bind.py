"""``bind ADDRESS|INTERFACE... { except ADDRESS|INTERFACE... }``: where a server block listens, instead of everywhere.

What listens is the server, which asks `addresses`.
"""

from collections.abc import Sequence
from ipaddress import IPv6Address, ip_address

from msgspec import Struct

from kdns.base.errors import ConfigError
from kdns.config.directive import Directive, Word
from kdns.config.reading import arguments, properties
from kdns.dns.api.plugin import BlockContext, Built, DirectiveContext, sees_nothing
from kdns.kernel.interfaces import InterfaceAddress, interface_addresses

NAME = "bind"


class Line(Struct, frozen=True):
    """One ``bind``: addresses and names of interfaces, as words with their places."""

    wanted: tuple[Word, ...]
    spared: tuple[Word, ...] = ()


class Options(Struct, frozen=True, kw_only=True):
    """Every ``bind`` of the block; they add up."""

    lines: tuple[Line, ...]


def parse(directives: Sequence[Directive], _place: DirectiveContext) -> Options:
    """Raises ConfigError."""
    lines: list[Line] = []
    for directive in directives:
        wanted = arguments(directive, 1, None)
        properties(directive, {"except": _spare})
        lines.append(Line(wanted, tuple(word for line in directive.block or () for word in line.args)))
    return Options(lines=tuple(lines))


def _spare(line: Directive) -> None:
    arguments(line, 1, None)


def build(_options: Options, _parts: BlockContext) -> Built:
    """No part of the chain."""
    return Built(must_see=sees_nothing)


def addresses(options: Options, here: Sequence[InterfaceAddress] | None = None) -> tuple[str, ...]:
    """The addresses to bind, each once; ``here`` are those of this machine's interfaces, looked up if not given.

    Raises ConfigError for what is neither an address nor an interface, or if nothing is left.
    """
    if here is None:
        here = interface_addresses()
    resolved: dict[str, None] = {}
    for line in options.lines:
        spared = {text for word in line.spared for text in _resolved(word, here)}
        resolved |= dict.fromkeys(text for word in line.wanted for text in _resolved(word, here) if text not in spared)
    if not resolved:
        raise options.lines[0].wanted[0].error("bind leaves no address to listen on", "see its except lines")
    return tuple(resolved)


def _resolved(word: Word, here: Sequence[InterfaceAddress]) -> list[str]:
    """Of an interface every address, a link-local one with its scope."""
    resolved = []
    for interface in here:
        if interface.interface == word.text:
            address = ip_address(interface.address)
            scoped = isinstance(address, IPv6Address) and address.is_link_local
            resolved.append(f"{address}%{interface.interface}" if scoped else str(address))
    if resolved:
        return resolved
    try:
        return [str(ip_address(word.text))]
    except ValueError:
        known = ", ".join(dict.fromkeys(interface.interface for interface in here))
        raise _unknown(word, known) from None


def _unknown(word: Word, known: str) -> ConfigError:
    return word.error(f"{word.text!r} is no IP address and no interface with one", f"interfaces here: {known}")
