"""CoreDNS's flags on our command line. Pure.

Bare flags, without a command, mean ``serve``: ``kdns -conf FILE -dns.port 53`` is what a CoreDNS Deployment says.
Flags as Go has them: one or two dashes, the value behind a blank or ``=``.
"""

from collections.abc import Sequence
from typing import Final

VALUES: Final = {"conf": "--conf", "dns.port": "--port", "p": "--port"}
"""Flags with a value, and ours of the same meaning."""
SWITCHES: Final = {"quiet": "--quiet", "version": "", "plugins": ""}
"""Flags without; those with an empty text are commands here."""
GO_FLAGS: Final = ("-conf", "-dns.port", "-p", "-quiet", "-version", "-plugins")
DEFAULT_COREFILE: Final = "Corefile"
"""In the working directory, for bare flags without -conf."""
FALSE: Final = frozenset({"0", "f", "false"})


def as_commands(argv: Sequence[str], commands: Sequence[str]) -> tuple[list[str], bool]:
    """The command line in our own words; True if its flags were bare."""
    if not argv or argv[0] in {"-h", "--help", "--version"}:
        return list(argv), False
    if argv[0] in {"serve", "check"}:
        return [argv[0], *_translated(argv[1:])[0]], False
    if argv[0] in commands or not argv[0].startswith("-"):
        return list(argv), False
    flags, asked = _translated(argv)
    command = next((name for name in ("version", "plugins") if name in asked), "serve")
    return [command, *flags] if command != "version" else [command], command == "serve"


def _translated(argv: Sequence[str]) -> tuple[list[str], set[str]]:
    """Our own flags for CoreDNS's, all others as they are; and the names of the commands asked for."""
    flags: list[str] = []
    asked: set[str] = set()
    for word in argv:
        name, equals, value = word.lstrip("-").partition("=")
        dashes = len(word) - len(word.lstrip("-"))
        if dashes not in {1, 2} or (word.startswith("--") and name in {"version", "plugins"}):
            flags.append(word)  # --plugins DIR is ours
        elif name in VALUES:
            flags.append(VALUES[name] + equals + value)
        elif name in SWITCHES:
            if value.lower() not in FALSE:
                asked.add(name)
                flags += [SWITCHES[name]] if SWITCHES[name] else []
        else:
            flags.append(word)
    return flags, asked
