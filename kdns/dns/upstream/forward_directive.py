"""One ``forward`` line of a Corefile, as typed values; and how it is read. Pure."""

import posixpath
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from msgspec import Struct

from kdns.base.errors import ConfigError
from kdns.config.directive import Directive, Word
from kdns.config.reading import Mistakes, address, arguments, choice, duration, integer, no_args, properties, zone
from kdns.dns.upstream.https import Method
from kdns.dns.upstream.pool import Policy, PoolSettings
from kdns.dns.upstream.stream import Keep
from kdns.dns.upstream.upstream import Settings
from kdns.dns.upstream.upstream_address import File, UpstreamAddress, parse_upstream
from kdns.wire.message import UpstreamQuery
from kdns.wire.name import parse_name
from kdns.wire.numbers import NS, RD
from kdns.wire.rcodes import RCODES

MAX_UPSTREAMS: Final = 15
"""Upstreams in one line, as in CoreDNS."""
UNLIMITED: Final = 2**32 - 1


class To(NamedTuple):
    """One upstream, or several, and where the Corefile says so."""

    what: UpstreamAddress | File
    word: Word


class TlsFiles(NamedTuple):
    """Files in PEM form; empty: the system's CAs, and no certificate of our own."""

    ca: str = ""
    cert: str = ""
    key: str = ""
    word: Word | None = None
    """Where the Corefile says so."""


class ForwardDirective(Struct, frozen=True, kw_only=True):
    """What one ``forward`` line says."""

    zones: tuple[str, ...]
    to: tuple[To, ...]
    excepted: tuple[str, ...] = ()
    force_tcp: bool = False
    prefer_udp: bool = False
    settings: Settings = Settings()
    rules: PoolSettings = PoolSettings()
    tls: TlsFiles = TlsFiles()
    tls_servername: str = ""
    next: frozenset[int] = frozenset()
    """Rcodes with which the next ``forward`` line is asked instead."""
    next_on_nodata: bool = False
    resolvers: tuple[UpstreamAddress, ...] = ()
    folder: str = "."
    """What the paths of `to` are relative to."""


def parse_forward(directive: Directive, folder: str) -> ForwardDirective:
    """Read one line; all its mistakes are reported together, as ConfigErrors. Relative paths start at ``folder``."""
    reader = _Reader(folder)
    mistakes = reader.mistakes
    zones: tuple[str, ...] = ()
    to: list[To] = []
    with mistakes.noted():
        words = arguments(directive, 2, None)
        with mistakes.noted():
            zones = zone(words[0])
        if len(words) - 1 > MAX_UPSTREAMS:
            mistakes.add(
                words[MAX_UPSTREAMS + 1].error(f"{len(words) - 1} upstreams, at most {MAX_UPSTREAMS} are allowed")
            )
        for word in words[1:]:
            with mistakes.noted():
                to.append(To(_target(word), word))
    with mistakes.noted():
        properties(directive, reader.known())
    reader.check(to)
    mistakes.settle()
    return reader.line(zones, tuple(to))


def _target(word: Word) -> UpstreamAddress | File:
    try:
        return parse_upstream(word.text)
    except ValueError as error:
        problem, _, hint = str(error).partition("\n")
        raise word.error(problem, hint) from None


class _Reader:
    """Takes the lines of the block one by one."""

    def __init__(self, folder: str) -> None:
        self.mistakes = Mistakes()
        self._folder = folder
        self._line: dict[str, object] = {"folder": folder}
        self._keep: dict[str, float] = {}
        self._settings: dict[str, object] = {}
        self._rules: dict[str, object] = {}
        self._excepted: list[str] = []
        self._failover: set[int] = set()
        self._next: set[int] = set()
        self._max_age: Word | None = None
        self._server_name: Word | None = None

    def known(self) -> dict[str, Callable[[Directive], None]]:
        """What each line is read by."""
        return {
            "except": self._except,
            "force_tcp": self._flag(self._line, "force_tcp"),
            "prefer_udp": self._flag(self._line, "prefer_udp"),
            "expire": self._duration(self._keep, "expire"),
            "max_age": self._age,
            "max_idle_conns": self._number(self._keep, "most_idle"),
            "read_timeout": self._duration(self._settings, "read_timeout", low=1e-9),
            "max_fails": self._number(self._settings, "max_fails"),
            "max_connect_attempts": self._number(self._rules, "max_attempts"),
            "doh_method": self._method,
            "tls": self._tls,
            "tls_servername": self._servername,
            "policy": self._policy,
            "health_check": self._health,
            "max_concurrent": self._number(self._rules, "max_concurrent"),
            "next": lambda line: self._next.update(_rcodes(line)),
            "next_on_nodata": self._flag(self._line, "next_on_nodata"),
            "failfast_all_unhealthy_upstreams": self._flag(self._rules, "failfast"),
            "failover": self._failed_over,
            "source_address": self._source,
            "resolver": self._resolver,
        }

    def _flag(self, into: dict[str, object], key: str) -> Callable[[Directive], None]:
        def read(line: Directive) -> None:
            no_args(line)
            into[key] = True

        return read

    def _number(self, into: dict[str, object] | dict[str, float], key: str) -> Callable[[Directive], None]:
        def read(line: Directive) -> None:
            into[key] = integer(arguments(line, 1, 1)[0], 0, UNLIMITED)

        return read

    def _duration(
        self, into: dict[str, object] | dict[str, float], key: str, low: float = 0.0
    ) -> Callable[[Directive], None]:
        def read(line: Directive) -> None:
            into[key] = duration(arguments(line, 1, 1)[0], low)

        return read

    def _except(self, line: Directive) -> None:
        for word in arguments(line, 1, None):
            with self.mistakes.noted():
                self._excepted += zone(word)

    def _age(self, line: Directive) -> None:
        self._duration(self._keep, "max_age")(line)
        self._max_age = line.args[0]

    def _method(self, line: Directive) -> None:
        method: Method = "GET" if choice(arguments(line, 1, 1)[0], ("GET", "POST")) == "GET" else "POST"
        self._settings["doh_method"] = method

    def _policy(self, line: Directive) -> None:
        known: tuple[Policy, ...] = ("random", "round_robin", "sequential")
        self._rules["policy"] = choice(arguments(line, 1, 1)[0], known)

    def _tls(self, line: Directive) -> None:
        paths = [posixpath.join(self._folder, word.text) for word in arguments(line, 0, 3)]
        ca = paths.pop() if len(paths) in {1, 3} else ""
        cert, key = paths or ("", "")
        self._line["tls"] = TlsFiles(ca, cert, key, line.args[0] if line.args else line.name)

    def _servername(self, line: Directive) -> None:
        self._server_name = arguments(line, 1, 1)[0]
        self._line["tls_servername"] = self._server_name.text

    def _health(self, line: Directive) -> None:
        words = list(arguments(line, 1, 4))
        self._settings["probe_every"] = duration(words.pop(0))
        name, flags = b"\0", RD
        while words:
            word = words.pop(0)
            if word.text == "no_rec":
                flags = 0
            elif word.text == "domain" and words:
                name = parse_name_of(words.pop(0))
            elif word.text == "domain":
                raise word.error("'domain' needs a name", hint="such as: health_check 1s domain example.org")
            else:
                raise word.error(f"'health_check' has no option {word.text!r}", hint="no_rec, or domain and a name")
        self._settings["probe"] = UpstreamQuery(name, NS, flags=flags)

    def _failed_over(self, line: Directive) -> None:
        found = _rcodes(line)
        if 0 in found:
            raise line.args[0].error("NOERROR cannot be used in failover", hint="with it, an answer is an answer")
        self._failover.update(found)

    def _source(self, line: Directive) -> None:
        self._settings["source"] = str(address(arguments(line, 1, 1)[0]))

    def _resolver(self, line: Directive) -> None:
        found = []
        for word in arguments(line, 1, None):
            target = _target(word)
            if isinstance(target, File) or target.transport != "dns" or not target.resolved:
                raise word.error(f"invalid IP address {word.text!r}", hint="with a port, if need be: 10.0.0.10:53")
            found.append(target)
        self._line["resolvers"] = tuple(found)

    def check(self, to: Sequence[To]) -> None:
        """What only all lines together can get wrong."""
        keep = Keep(**self._keep)  # type: ignore[arg-type]
        if self._max_age is not None and 0 < keep.max_age < keep.expire:
            self.mistakes.add(
                self._max_age.error(f"max_age is less than expire ({keep.expire:g}s)", hint="raise it, or lower expire")
            )
        for each in to:
            if self._server_name is not None and isinstance(each.what, UpstreamAddress) and each.what.server_name:
                problem = "the server's name is given twice, here and by tls_servername"
                self.mistakes.add(each.word.error(problem, hint="remove one of them"))

    def line(self, zones: tuple[str, ...], to: tuple[To, ...]) -> ForwardDirective:
        """Everything, when there was no mistake."""
        probe_tcp = bool(self._line.get("force_tcp"))
        keep = Keep(**self._keep)  # type: ignore[arg-type]
        settings = Settings(keep=keep, probe_tcp=probe_tcp, **self._settings)  # type: ignore[arg-type]
        rules = PoolSettings(failover=frozenset(self._failover), **self._rules)  # type: ignore[arg-type]
        return ForwardDirective(
            zones=zones,
            to=to,
            excepted=tuple(dict.fromkeys(self._excepted)),
            settings=settings,
            rules=rules,
            next=frozenset(self._next),
            **self._line,  # type: ignore[arg-type]
        )


def parse_name_of(word: Word) -> bytes:
    """A name in folded wire form."""
    try:
        return parse_name(word.text)
    except ValueError as error:
        raise word.error(f"no name: {error}") from None


def _rcodes(line: Directive) -> set[int]:
    found = set()
    for word in arguments(line, 1, None):
        if word.text.upper() not in RCODES:
            raise _no_rcode(word)
        found.add(RCODES[word.text.upper()])
    return found


def _no_rcode(word: Word) -> ConfigError:
    return word.error(f"unknown rcode {word.text!r}", hint="such as NXDOMAIN, SERVFAIL or REFUSED")
