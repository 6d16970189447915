"""A Corefile's text as words with places. Pure.

Words end at white space. One that starts with a quotation mark goes on to the next and may span lines; only ``\\"``
is an escape in it. ``#`` where a word may begin starts a comment up to the end of the line; inside a word it hides the
rest of the word only, which is CoreDNS's way. Environment variables, ``{$NAME}`` and ``{%NAME%}``, are put in once the
words are known, so that a value stays one word.
"""

import re
from collections.abc import Container, Mapping
from itertools import chain, pairwise, zip_longest
from typing import Final, NamedTuple

from kdns.base.errors import ConfigError, Span
from kdns.config.directive import Word

BLANK: Final = " \\t\\n\\v\\f\\x85\\xa0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000"
"""White space as Go has it, as a class of a regular expression; a CR is as if it were not there."""
PIECE: Final = re.compile(
    rf"""(?P<blank>[{BLANK}\r]+) | (?P<comment>\#[^\n]*) | "(?P<quoted>(?:[^"\\]++|\\.)*+)" | (?P<open>")
       | (?P<word>[^{BLANK}\#]+)(?:\#[^{BLANK}]*)?""",
    re.VERBOSE | re.DOTALL,
)
ESCAPED: Final = re.compile(r"\\(.)", re.DOTALL)
ENVIRONMENT: Final = (re.compile(r"\{%([^%{}]+)%\}"), re.compile(r"\{\$([^{}]+)\}"))
MOST_WORDS: Final = 100_000
"""Of a Corefile, after all imports are expanded."""
LONGEST_WORD: Final = 16_384
"""Characters; CoreDNS's longest regular expressions have 10,000."""
GLUED: Final = re.compile(r"[\w.:/*()-]+\{")
KEY: Final = re.compile(r"(\{\$|:\d|[\w(.*])[\w.,:/*()}-]*(?<!:)")
LONGEST_LINE: Final = 1000
"""Characters; a longer line is not shown with its mistakes."""


class Token(NamedTuple):
    """A word, and what the layout around it says."""

    word: Word
    first: bool
    """It is the first of its line."""
    mark: str = ""
    """``{``, ``}`` or ``import`` when it is that, unquoted."""


class Tokens(NamedTuple):
    """What a text was made into."""

    tokens: list[Token]
    errors: list[ConfigError]
    broken: bool
    """A quotation mark has no other: nothing behind it was read."""
    shown: bool
    """The text has something of a Corefile, so that mistakes may quote it."""


class _Raw(NamedTuple):
    text: str
    start: int
    line: int
    column: int
    first: bool
    quoted: bool


def tokens(text: str, source: str, environ: Mapping[str, str], known: Container[str], shown: bool = False) -> Tokens:
    """The tokens of one file.

    ``known`` are names of directives. A text with none of them at the start of a line, and without a block's opening
    brace, may be anything, such as a secret that is imported by mistake: its lines are not for showing, unless
    ``shown``.
    """
    text = text.removeprefix("\ufeff")
    raws, opened = _split(text)
    shown = shown or _like_a_corefile(raws, known)
    spans = _Spans(text, source, shown)
    read: list[Token] = []
    errors: list[ConfigError] = []
    for raw, following in zip_longest(raws, raws[1:]):
        text = raw.text
        if len(text) > LONGEST_WORD:
            errors.append(ConfigError(f"a word of more than {LONGEST_WORD} characters", spans.at(raw)))
            text = text[:1]
        mark = text if text in {"{", "}", "import"} and not raw.quoted else ""
        if text.endswith("{") and not raw.quoted and GLUED.fullmatch(text) and (following is None or following.first):
            brace = raw._replace(text="{", start=raw.start + len(text) - 1, column=raw.column + len(text) - 1)
            errors.append(ConfigError("a blank is missing before the brace", spans.at(brace)))
            read.append(Token(Word(text[:-1], spans.at(raw)), raw.first))
            read.append(Token(Word("{", spans.at(brace)), first=False, mark="{"))
        else:
            read.append(Token(Word(_expanded(text, environ), spans.at(raw)), raw.first, mark))
    if opened is not None:
        errors.append(
            ConfigError("this quotation mark has no other", spans.at(opened), 'inside quotes write \\" for one')
        )
    return Tokens(read, errors, opened is not None, shown)


def _split(text: str) -> tuple[list[_Raw], _Raw | None]:
    """The pieces that are words, and the quotation mark that has no other."""
    raws: list[_Raw] = []
    line, begun = 1, 0  # number of the line, and where it begins
    first = True
    for match in PIECE.finditer(text):
        kind, piece, start = match.lastgroup, match[0], match.start()
        if kind not in {"blank", "comment"}:
            word = (
                ESCAPED.sub(_unescaped, match["quoted"])
                if kind == "quoted"
                else (match["word"] or "").replace("\r", "")
            )
            raw = _Raw(word, start, line, start - begun + 1, first, kind == "quoted")
            if kind == "open":
                return raws, raw
            if raw.text or raw.quoted:
                raws.append(raw)
            if len(raws) > MOST_WORDS:  # no use to keep millions of them
                return raws, None
            first = False
        if breaks := piece.count("\n"):
            line += breaks
            begun = start + piece.rindex("\n") + 1
            first = first or kind == "blank"
    return raws, None


def _unescaped(match: re.Match[str]) -> str:
    return '"' if match[1] == '"' else match[0]


def _like_a_corefile(raws: list[_Raw], known: Container[str]) -> bool:
    """True if a line begins with the name of a directive, or ends with a key and a brace."""
    for raw, following in pairwise(chain(raws, (None,))):
        assert raw is not None
        if raw.first and not raw.quoted and raw.text in known:
            return True
        if following is None or following.first:
            continue
        if following.text == "{" and not (raw.quoted or following.quoted) and KEY.fullmatch(raw.text):
            return True
    return any(raw.text.endswith("{") and not raw.quoted and GLUED.fullmatch(raw.text) for raw in raws)


class _Spans:
    """Places in one text; the lines are cut out once each."""

    def __init__(self, text: str, source: str, shown: bool) -> None:
        self._text, self._source, self._shown = text, source, shown
        self._line, self._excerpt = 0, ""

    def at(self, raw: _Raw) -> Span:
        """The place of a word."""
        if raw.line != self._line:
            self._line, self._excerpt = raw.line, self._cut(raw.start - raw.column + 1) if self._shown else ""
        return Span(self._source, raw.line, raw.column, self._excerpt)

    def _cut(self, begin: int) -> str:
        end = self._text.find("\n", begin, begin + LONGEST_LINE + 2)
        if end < 0:
            end = len(self._text)
        if end - begin > LONGEST_LINE:
            return ""
        line = self._text[begin:end]
        return (
            line
            if line.isprintable()
            else "".join(character if character.isprintable() else " " for character in line).rstrip()
        )


def _expanded(text: str, environ: Mapping[str, str]) -> str:
    if "{" in text:
        for pattern in ENVIRONMENT:
            text = pattern.sub(lambda match: environ.get(match[1], ""), text)
    return text
