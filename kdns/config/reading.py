"""What every plugin's ``parse`` needs: arguments counted, words turned into values, mistakes reported at their place.

Pure. Each function raises ConfigError at the word that is wrong, with what would be right.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final, Protocol, TypeVar

from kdns.base.errors import ConfigError, ConfigErrors
from kdns.config.arguments import near
from kdns.config.directive import Directive, Word
from kdns.config.durations import LONGEST, parse_duration
from kdns.wire.name import name_text
from kdns.wire.reverse import zone_names

MOST_MISTAKES: Final = 100
"""The rest is reported once these are fixed."""
BOOLEANS: Final = {"true": True, "on": True, "yes": True, "false": False, "off": False, "no": False}

T = TypeVar("T")


class HasZones(Protocol):
    """A server block, as far as its zones go (`kdns.dns.api.plugin.Place`)."""

    @property
    def zones(self) -> tuple[str, ...]:
        """Absolute and lower case."""


class Mistakes:
    """Collects mistakes, so that all of a text are reported together."""

    def __init__(self) -> None:
        self.errors: list[ConfigError] = []

    def add(self, error: ConfigError) -> None:
        """Keep one; several in one are kept one by one."""
        several = error.errors if isinstance(error, ConfigErrors) else (error,)
        self.errors += several[: MOST_MISTAKES - len(self.errors)]

    @contextmanager
    def noted(self) -> Iterator[None]:
        """``with mistakes.noted():`` a ConfigError from within is kept, and what comes after the block goes on."""
        try:
            yield
        except ConfigError as error:
            self.add(error)

    def settle(self) -> None:
        """Raise what was kept: one mistake as it is, several as ConfigErrors; nothing if there is none."""
        if len(self.errors) == 1:
            raise self.errors[0]
        if self.errors:
            raise ConfigErrors(self.errors)


def once(directives: Sequence[Directive]) -> Directive:
    """The only occurrence of a directive. Raises ConfigError at the second one."""
    if len(directives) > 1:
        first, second = directives[0].name, directives[1].name
        problem = f"{second.text!r} stands twice in this server block"
        raise second.error(problem, hint=f"it stands in line {first.at.line} already")
    return directives[0]


def arguments(directive: Directive, least: int, most: int | None) -> tuple[Word, ...]:
    """The arguments, if there are ``least`` to ``most`` of them; ``most`` None means any number."""
    name, args = directive.name, directive.args
    wanted = _numbers(least, most)
    if len(args) < least:
        raise name.error(f"{name.text!r} needs {wanted}, got {len(args)}")
    if most is not None and len(args) > most:
        if most == 0:
            raise args[0].error(f"{name.text!r} takes no argument")
        raise args[most].error(f"{name.text!r} takes {wanted}, got {len(args)}")
    return args


def _numbers(least: int, most: int | None) -> str:
    if most is None:
        return f"at least {least} argument{'s' * (least != 1)}"
    return f"{least} argument{'s' * (least != 1)}" if least == most else f"{least} to {most} arguments"


def no_args(directive: Directive) -> None:
    """Raise ConfigError if there are arguments."""
    arguments(directive, 0, 0)


def no_block(directive: Directive) -> None:
    """Raise ConfigError if there are braces with something between them."""
    if directive.block:
        raise directive.block[0].name.error(f"{directive.name.text!r} has no block", hint="remove the braces")


def properties(directive: Directive, known: Mapping[str, Callable[[Directive], None]]) -> None:
    """Hand each line of the block to the function for its first word; all mistakes are reported together."""
    mistakes = Mistakes()
    for line in directive.block or ():
        with mistakes.noted():
            if line.name.text not in known:
                hint = near(line.name.text, known) or f"there are {', '.join(known)}"
                raise line.name.error(f"{directive.name.text!r} has no property {line.name.text!r}", hint=hint)
            known[line.name.text](line)
    mistakes.settle()


def choice(word: Word, known: Sequence[str]) -> str:
    """One of the known words."""
    if word.text not in known:
        hint = near(word.text, known)
        raise word.error(f"{word.text!r} is none of {', '.join(known)}", hint=hint)
    return word.text


def integer(word: Word, low: int, high: int | None = None) -> int:
    """A whole number from ``low`` to ``high``; ``high`` None means without limit."""
    bounds = f"at least {low}" if high is None else f"{low} to {high}"
    if not re.fullmatch(r"[-+]?[0-9]{1,18}", word.text):
        raise word.error(f"invalid whole number {word.text!r}", hint=bounds)
    number = int(word.text)
    if number < low or (high is not None and number > high):
        raise word.error(f"{word.text} is out of range", hint=bounds)
    return number


def duration(word: Word, low: float = 0.0, high: float | None = None) -> float:
    """Seconds from a duration as Go writes it: ``300ms``, ``1.5h``, ``2h45m``; a unit is needed but for ``0``."""
    seconds = value(word, parse_duration)
    most = LONGEST if high is None else high
    if not low <= seconds <= most:
        hint = f"at least {low:g}s" if seconds < low else f"at most {most:g}s"
        raise word.error(f"{word.text} is out of range", hint=hint)
    return seconds


def boolean(word: Word) -> bool:
    """True for ``true``, ``on`` and ``yes``; False for ``false``, ``off`` and ``no``."""
    return BOOLEANS[choice(word, tuple(BOOLEANS))]


def zones(words: Sequence[Word], place: HasZones) -> tuple[str, ...]:
    """Zones, absolute and in lower case; a CIDR is the reverse zones that cover it. No word: the block's own zones."""
    if not words:
        return place.zones
    zone_names_read: dict[str, None] = {}
    mistakes = Mistakes()
    for word in words:
        with mistakes.noted():
            zone_names_read |= dict.fromkeys(zone(word))
    mistakes.settle()
    return tuple(zone_names_read)


def zone(word: Word) -> tuple[str, ...]:
    """The zone, or for a CIDR the reverse zones, that one word stands for."""
    if not word.text:
        raise word.error("an empty text is not a zone", hint="the root is a dot")
    if not word.text.isprintable() or " " in word.text:
        raise word.error(
            f"{word.text!r} is not a zone: there is a blank in it", hint="write each zone as a word of its own"
        )
    try:
        return tuple(map(name_text, zone_names(word.text)))
    except UnicodeEncodeError:
        raise word.error(f"{word.text!r} is not a zone", hint="write it in ASCII (xn--...)") from None
    except ValueError as error:
        raise word.error(f"no zone: {error}") from None


def network(word: Word) -> IPv4Network | IPv6Network:
    """A network, or a single address as one; bits of the host may be set."""
    try:
        return ip_network(word.text, strict=False)
    except ValueError:
        raise word.error(f"{word.text!r} is not a network", hint="such as 10.0.0.0/8, fd00::/8 or 10.0.0.1") from None


def address(word: Word) -> IPv4Address | IPv6Address:
    """An IP address."""
    try:
        return ip_address(word.text)
    except ValueError:
        raise word.error(f"invalid IP address {word.text!r}", hint="such as 10.96.0.10 or fd00::10") from None


def value(word: Word, read: Callable[[str], T]) -> T:
    """What a reader of `kdns.config.arguments` makes of a word; its ValueError becomes a ConfigError at the word."""
    try:
        return read(word.text)
    except ValueError as error:
        problem, _, hint = str(error).partition("\n")
        raise word.error(problem, hint) from None


def word_at(words: Sequence[Word], at: int) -> Word:
    """The word that a character is in, of a text that several words make with blanks between them."""
    for word in words:
        if at <= len(word.text):
            return word
        at -= len(word.text) + 1
    return words[-1]
