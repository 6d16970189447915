"""Kubernetes selectors as predicates: which labels, which fields. Pure.

Label selectors are comma-separated requirements, all of which must hold (k8s.io/apimachinery labels.Parse):
``a``, ``!a``, ``a=b``, ``a==b``, ``a!=b``, ``a in (b,c)``, ``a notin (b,c)``, ``a>1``, ``a<1``. Those that say "not"
also pick what lacks the label. Field selectors know ``=``, ``==`` and ``!=`` only.
"""

import re
from collections.abc import Callable, Iterator, Mapping

from kdns.base.errors import ConfigError

Predicate = Callable[[Mapping[str, str]], bool]
"""Asked with labels (or fields) by name."""

TOKEN = re.compile(r"\s*(?:(==|!=|[=!(),<>])|([^\s=!(),<>]+))")
NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?")
PREFIX = re.compile(r"[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?")
LABEL_HINT = "such as a=b,c!=d,e in (x,y),f notin (z),g,!h"
FIELD_HINT = "such as status.phase!=Failed,spec.nodeName=node-1"


def label_selector(text: str) -> Predicate:
    """The predicate of a label selector; the empty text picks everything. ConfigError if it is none."""
    requirements = tuple(_Requirements(text)) if text.strip() else ()
    if not requirements:
        return _everything
    return lambda labels: all(holds(labels) for holds in requirements)


def field_selector(text: str, known: frozenset[str] | None = None) -> Predicate:
    r"""The predicate of a field selector; fields that an object lacks are the empty text.

    ``\`` keeps the next character from meaning anything. ConfigError if it is no field selector, or names a field
    that is not among the `known` ones.
    """
    requirements: list[tuple[str, bool, str]] = []
    for term in re.split(r"(?<!\\),", text):
        if not term.strip():
            continue
        match = re.fullmatch(r"\s*([A-Za-z][A-Za-z0-9_.]*)\s*(==|!=|=)((?:[^=!\\]|\\.)*)", term)
        if match is None:
            raise ConfigError(
                f"field selector {_quoted(text)}: expected FIELD=VALUE or FIELD!=VALUE, got {_quoted(term)}",
                hint=FIELD_HINT,
            )
        if known is not None and match[1] not in known:
            raise ConfigError(
                f"field selector {_quoted(text)}: expected one of {', '.join(sorted(known))}, got {_quoted(match[1])}"
            )
        requirements.append((match[1], match[2] != "!=", re.sub(r"\\(.)", r"\1", match[3].strip())))
    if not requirements:
        return _everything
    return lambda fields: all((fields.get(name, "") == value) is equal for name, equal, value in requirements)


def _everything(_: Mapping[str, str]) -> bool:
    """A selector without a requirement picks a hundred thousand objects as quickly as it can."""
    return True


class _Requirements:
    """Reads a label selector, one requirement at a time."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = _tokens(text)
        self._at = 0

    def __iter__(self) -> Iterator[Predicate]:
        while True:
            yield self._requirement()
            if self._take() == "":
                return
            if self._tokens[self._at - 1] != ",":
                raise self._expected("a comma")

    def _requirement(self) -> Predicate:
        if self._peek() == "!":
            self._take()
            absent = self._key()
            return lambda labels: absent not in labels
        key = self._key()
        match self._peek():
            case "" | ",":
                return lambda labels: key in labels
            case "=" | "==":
                self._take()
                value = self._value()
                return lambda labels: labels.get(key) == value
            case "!=":
                self._take()
                value = self._value()
                return lambda labels: labels.get(key) != value
            case "in" | "notin" as word:
                self._take()
                values = self._values()
                return lambda labels: (labels.get(key) in values) is (word == "in")
            case "<" | ">" as sign:
                self._take()
                return _compared(key, sign, self._number())
        self._take()
        raise self._expected("one of = == != in notin < >")

    def _key(self) -> str:
        key = self._take()
        prefix, slash, name = key.rpartition("/")
        if not NAME.fullmatch(name) or (slash and not PREFIX.fullmatch(prefix)):
            raise self._expected("the name of a label")
        return key

    def _value(self) -> str:
        if self._peek() in {"", ",", ")"}:
            return ""  # "a=" picks an empty label
        value = self._take()
        if not NAME.fullmatch(value):
            raise self._expected("the value of a label")
        return value

    def _values(self) -> frozenset[str]:
        if self._take() != "(":
            raise self._expected("(")
        values = {self._value()}
        while (token := self._take()) == ",":
            values.add(self._value())
        if token != ")":
            raise self._expected(")")
        return frozenset(values)

    def _number(self) -> int:
        token = self._take()
        if not re.fullmatch(r"-?[0-9]{1,18}", token):
            raise self._expected("a whole number")
        return int(token)

    def _peek(self) -> str:
        return self._tokens[self._at] if self._at < len(self._tokens) else ""

    def _take(self) -> str:
        token = self._peek()
        self._at += 1
        return token

    def _expected(self, what: str) -> ConfigError:
        taken = self._at - 1
        got = _quoted(self._tokens[taken]) if taken < len(self._tokens) else "its end"
        return ConfigError(f"label selector {_quoted(self._text)}: expected {what}, got {got}", hint=LABEL_HINT)


def _tokens(text: str) -> list[str]:
    return [match[1] or match[2] for match in TOKEN.finditer(text)]


def _compared(key: str, sign: str, limit: int) -> Predicate:
    def holds(labels: Mapping[str, str]) -> bool:
        value = labels.get(key, "")
        if not re.fullmatch(r"-?[0-9]{1,18}", value):
            return False
        return int(value) > limit if sign == ">" else int(value) < limit

    return holds


def _quoted(text: str) -> str:
    shown = ascii(text)
    return shown if len(shown) <= 80 else shown[:76] + "..."
