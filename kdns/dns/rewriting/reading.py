"""The words of one ``rewrite`` line become a rule. Pure."""

import re
from collections.abc import Callable, Sequence
from typing import Final, cast

from kdns.base.errors import ConfigError
from kdns.config.arguments import near
from kdns.config.directive import Directive, Word
from kdns.config.reading import choice, integer, no_block
from kdns.dns.lang.patterns import Pattern, compile_pattern
from kdns.dns.rewriting.edns import ACTIONS, NSID, SUBNET, VARIABLES, Action, Edit, Subnet, Variable
from kdns.dns.rewriting.names import KINDS, Kind, Matcher, absolute, largest_group
from kdns.dns.rewriting.replies import FOREVER, Alias, Owners, Pairs, Rcode, Reply, Ttl, Values
from kdns.dns.rewriting.rules import AliasRule, EdnsRule, NameRule, NumberRule, ReplyRule, Rule
from kdns.wire.rcodes import RCODES
from kdns.wire.types import CLASSES, type_number

FIELDS: Final = ("name", "type", "class", "ttl", "rcode", "cname", "edns0")
RANGE: Final = re.compile(r"([0-9]{0,10})-([0-9]{0,10})")
BRACES: Final = re.compile(r"\{[^{}]*[^{}0-9][^{}]*\}")
"""What looks like a variable, and is not a group of a pattern."""
METADATA: Final = re.compile(r"[^/{}]+(/[^/{}]+)+")


Warn = Callable[[ConfigError], None]


def read_rule(directive: Directive, port: int, warn: Warn = lambda _: None) -> Rule:
    """One rule, from a line or from a line and its block. Raises ConfigError at the word that is wrong.

    ``warn`` is called with what is allowed, and never meant.
    """
    words = list(directive.args)
    if len(words) < 2:
        for line in directive.block or ():
            no_block(line)
            words += [line.name, *line.args]
    else:
        no_block(directive)
    stop = True
    if words and words[0].text.lower() in {"stop", "continue"}:
        stop = words.pop(0).text.lower() == "stop"
    if not words:
        raise directive.name.error("'rewrite' needs a field", hint=f"there are {', '.join(FIELDS)}")
    field, *rest = words
    what = field.text.lower()
    if what == "answer":
        raise field.error("'answer' stands behind 'name'", hint="such as name suffix .a.test .b.test answer auto")
    if what not in FIELDS:
        raise field.error(f"'rewrite' has no field {field.text!r}", near(what, FIELDS) or f"there are {FIELDS}")
    return _Words(field, rest, stop, port, warn).rule()


class _Words:
    """What stands behind the field."""

    def __init__(self, field: Word, words: Sequence[Word], stop: bool, port: int, warn: Warn) -> None:
        self.field, self.words, self.stop, self.port, self.warn = field, list(words), stop, port, warn

    def rule(self) -> Rule:
        match self.field.text.lower():
            case "name":
                return self._name()
            case "ttl":
                matcher, rest = self._matched(1)
                return ReplyRule(matcher, _ttl(rest[0]), self.stop)
            case "rcode":
                matcher, rest = self._matched(2)
                return ReplyRule(matcher, Rcode(_rcode(rest[0]), _rcode(rest[1])), self.stop)
            case "cname":
                return self._alias()
            case "edns0":
                return EdnsRule(self._edit(), self.stop)
            case what:
                self._count(2, 2)
                read = _type if what == "type" else _class
                return NumberRule(what, read(self.words[0]), read(self.words[1]), self.stop)

    def _count(self, least: int, most: int | None) -> None:
        name = self.field.text
        if len(self.words) < least:
            raise self.field.error(f"{name!r} needs {least} words behind it, got {len(self.words)}")
        if most is not None and len(self.words) > most:
            raise self.words[most].error(f"{name!r} takes {most} words, got {len(self.words)}")

    def _matched(self, behind: int) -> tuple[Matcher, list[Word]]:
        """``[exact|prefix|...] STRING``, and so many words behind it."""
        self._count(behind + 1, behind + 2)
        words = self.words
        kind = cast(Kind, choice(_lower(words.pop(0)), KINDS)) if len(words) == behind + 2 else "exact"
        return _matcher(kind, words[0]), words[1:]

    def _name(self) -> NameRule:
        self._count(2, None)
        words = self.words
        kind: Kind = "exact"
        if len(words) > 2:
            kind = cast(Kind, choice(_lower(words[0]), KINDS))
            words = words[1:]
        if len(words) < 2:
            raise self.field.error(f"'name {kind}' needs FROM and TO")
        matcher = _matcher(kind, words[0])
        to = _target(words[1], matcher, self.warn)
        auto, answers = _answers(words[2:], self.warn)
        return NameRule(matcher, absolute(to), auto or kind == "exact", answers, self.stop)

    def _alias(self) -> AliasRule:
        self._count(2, 3)
        words = self.words
        kind = cast(Kind, choice(_lower(words.pop(0)), KINDS)) if len(words) == 3 else "exact"
        whole = kind in {"exact", "suffix"}
        matcher = _matcher(kind, words[0], whole=whole)
        to = _target(words[1], matcher, self.warn)
        return AliasRule(Alias(matcher, absolute(to) if whole else to.lower()), self.stop)

    def _edit(self) -> Edit:
        self._count(2, None)
        what, words = self.words[0], self.words[2:]
        kind = choice(_lower(what), ("local", "nsid", "subnet"))
        action = cast(Action, choice(_lower(self.words[1]), ACTIONS))
        if action != "unset" and words and words[-1].text == "revert":
            words.pop()  # options never come back
        wanted = {"local": 1 if action == "unset" else 2, "nsid": 0, "subnet": 0 if action == "unset" else 2}[kind]
        if len(words) != wanted:
            problem = f"'{kind} {action}' takes {wanted} words, got {len(words)}"
            raise (words[wanted] if len(words) > wanted else what).error(problem)
        if kind == "nsid":
            return Edit(action, NSID)
        if kind == "subnet":
            bits = Subnet(integer(words[0], 0, 32), integer(words[1], 0, 128)) if words else b""
            return Edit(action, SUBNET, bits)
        return Edit(action, _code(words[0]), _data(words[1], self.port) if len(words) > 1 else b"")


def _lower(word: Word) -> Word:
    return word._replace(text=word.text.lower())


def _pattern(word: Word) -> Pattern:
    try:
        return compile_pattern(word.text)
    except ValueError as error:
        raise word.error(f"invalid regular expression: {error}") from None


def _matcher(kind: Kind, word: Word, *, whole: bool = True) -> Matcher:
    if kind == "regex":
        return Matcher(kind, word.text, _pattern(word))
    if not word.text:
        raise word.error("an empty text matches everything", hint="use regex .*")
    return Matcher(kind, absolute(word.text) if whole else word.text.lower())


def _target(word: Word, matcher: Matcher, warn: Warn) -> str:
    groups = matcher.pattern.groups if matcher.pattern is not None else 999
    if largest_group(word.text) > groups:
        raise word.error(f"{word.text!r} uses more groups than the pattern has", hint=f"it has {groups}")
    if not word.text.isascii():
        raise word.error(f"invalid name: {word.text!r}", hint="write it in ASCII (xn--...)")
    if variable := BRACES.search(word.text):
        raise word.error(
            f"{variable[0]} is not replaced in a name",
            hint='names take groups such as {1}; `template` has metadata: {{ .Meta "kubernetes/client-namespace" }}',
        )
    if "\\" in word.text:
        warn(
            word.error(
                "the backslash becomes a part of the name, which Go's resolver refuses",
                hint=f"a replacement is not a pattern; did you mean {word.text.replace(chr(92), '')}?",
            )
        )
    return word.text


def _answers(words: Sequence[Word], warn: Warn) -> tuple[bool, tuple[Reply, ...]]:
    """``answer auto | name FROM TO | value FROM TO``, again and again; only the first ``answer`` is needed."""
    if words and words[0].text.lower() != "answer":
        raise words[0].error("behind the name comes 'answer', or nothing")
    auto = False
    owner: Word | None = None
    replies: list[Reply] = []
    at = 0
    while at < len(words):
        before = words[at]
        at += before.text.lower() == "answer"
        if at == len(words):
            raise before.error("'answer' needs auto, name or value")
        what = _lower(words[at])
        if choice(what, ("auto", "name", "value")) == "auto":
            auto = True
            at += 1
            continue
        if len(words) > at + 1 and what.text == "name" and words[at + 1].text.lower() == "auto":
            auto = True  # as the manual of CoreDNS writes it
            at += 2
            continue
        if len(words) < at + 3:
            raise what.error(f"'answer {what.text}' needs FROM and TO")
        matcher = _matcher("regex", words[at + 1])
        pairs = Pairs(matcher, absolute(_target(words[at + 2], matcher, warn)))
        if what.text == "name":
            owner = what
        replies.append(Owners(pairs) if what.text == "name" else Values(pairs))
        at += 3
    if auto and owner is not None:
        raise owner.error("'answer auto' and 'answer name' exclude each other")
    return auto, tuple(replies)


def _ttl(word: Word) -> Ttl:
    if "-" not in word.text:
        seconds = integer(word, 0, 2**32 - 1)
        return Ttl(seconds, seconds)
    match = RANGE.fullmatch(word.text)
    if match is None or word.text == "-":
        raise word.error(f"{word.text!r} is no TTL", hint="seconds, or a range such as 30-300, -300 or 30-")
    low, high = int(match[1] or 0), int(match[2] or FOREVER)
    if low > high or high > 2**32 - 1:
        raise word.error(f"invalid range {word.text!r}", hint="from the smaller number to the larger one")
    return Ttl(low, high)


def _rcode(word: Word) -> int:
    if word.text.isdigit():
        return integer(word, 0, 23)
    return RCODES[choice(word._replace(text=word.text.upper()), tuple(RCODES))]


def _type(word: Word) -> int:
    number = type_number(word.text.upper())
    if number is None:
        raise word.error(f"unknown type {word.text!r}", hint="such as A, AAAA or TYPE65")
    return number


def _class(word: Word) -> int:
    return CLASSES[choice(word._replace(text=word.text.upper()), tuple(CLASSES))]


def _code(word: Word) -> int:
    """A number as Go writes it: decimal, ``0x``, ``0o``, ``0b``."""
    try:
        code = int(word.text, 0)
    except ValueError:
        code = -1
    if not 0 <= code <= 0xFFFF:
        raise word.error(f"invalid option code {word.text!r}", hint="0 to 65535, such as 0xffee")
    return code


def _data(word: Word, port: int) -> bytes | Variable:
    text = word.text
    if text.startswith("{") and text.endswith("}"):
        name = text[1:-1]
        if name not in VARIABLES and not METADATA.fullmatch(name):
            hint = near(name, VARIABLES) or f"there are {', '.join(VARIABLES)}, and keys of the metadata"
            raise word.error(f"there is no variable {text!r}", hint=hint)
        return Variable(name, port)
    if text.startswith("0x"):
        try:
            return bytes.fromhex(text[2:])
        except ValueError:
            raise word.error(f"{text!r} is not hexadecimal") from None
    return text.encode()
