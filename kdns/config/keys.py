"""The keys of a server block: ``[scheme://]zone[:port]``, a zone being a name or a CIDR. Pure."""

import re
from typing import Final

from kdns.config.arguments import near
from kdns.config.directive import Key, Word
from kdns.config.reading import zone
from kdns.wire.reverse import CIDR

PORTS: Final = {"dns": 0, "tls": 853, "quic": 853, "grpc": 443, "https": 443, "https3": 443}
"""Each scheme's port; that of ``dns`` is what the command line says."""
PORT: Final = re.compile(r"(.*):([0-9]+)", re.DOTALL)


def parse_key(word: Word, port: int) -> tuple[Key, ...]:
    """What one key stands for: a CIDR is several zones. ``port`` is that of plain DNS where the key has none.

    Raises ConfigError at the word.
    """
    if word.text.startswith("("):
        raise word.error(f"{word.text!r} is not a zone", hint="a snippet is a name in parentheses, alone: (common) {")
    scheme, separator, rest = word.text.rpartition("://")
    if not separator:
        scheme = "dns"
    elif scheme not in PORTS:
        hint = near(scheme, PORTS) or f"there are {', '.join(PORTS)}"
        raise word.error(f"{word.text!r}: no such scheme", hint=hint)
    name = rest
    number = PORTS[scheme] or port
    if match := PORT.fullmatch(rest):
        name, digits = match[1], match[2]
        if len(digits) > 5 or int(digits) > 65535:
            raise word.error(f"{word.text!r}: no such port", hint="0 to 65535")
        number = int(digits)
    if not name:
        raise word.error(
            f"{word.text!r} has no zone", hint=f"the root is a dot: {word.text[: -len(rest) or None]}.{rest}"
        )
    if ":" in name and not CIDR.fullmatch(name):
        problem = f"{word.text!r} has no port after its colon" if name.endswith(":") else f"{word.text!r} is not a zone"
        raise word.error(problem, hint="such as example.org:53, or fd00::/64 for reverse names")
    return tuple(Key(scheme, text, number, word.at) for text in zone(word._replace(text=name)))
