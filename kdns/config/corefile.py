"""A Corefile becomes values: server blocks, snippets, imports. Pure: files come through a function handed in.

Directives are only grouped; what they mean is their plugins' matter. All mistakes of a text are reported together.
Words come from a stack of texts: an import puts a snippet's or file's words before those that follow it, so that a
snippet may hold lines of a block as well as whole blocks, as in CoreDNS.
"""

import hashlib
import json
import posixpath
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import pairwise, takewhile
from typing import Final, NamedTuple

from kdns.base.errors import ConfigError
from kdns.config.arguments import near
from kdns.config.directive import Corefile, Directive, Key, ServerBlock, Word
from kdns.config.keys import parse_key
from kdns.config.reading import Mistakes
from kdns.config.stack import Frame, Stack, Stop
from kdns.config.tokens import Token, tokens

MOST_SNIPPETS: Final = 10_000
"""Imports of snippets in all, as in CoreDNS."""
MOST_FILES: Final = 100_000
"""Imports of files in all, as in CoreDNS."""
MOST_TEXT: Final = 8 * 1024 * 1024
"""Characters of all files together; a ConfigMap holds 1 MiB."""
DEEPEST: Final = 50
"""Imports within imports, and braces within braces."""
WILDCARDS: Final = "*?[]"


class Text(NamedTuple):
    """A file that was read."""

    name: str
    """Its absolute path."""
    text: str


Read = Callable[[str], Sequence[Text]]
"""An absolute path, perhaps with a wildcard -> the files it names, in order. Raises ConfigError without a place."""


def parse_corefile(
    text: Text,
    *,
    read: Read,
    environ: Mapping[str, str],
    port: int = 53,
    known: Container[str] = (),
) -> Corefile:
    """The Corefile in a text. Raises ConfigError, or ConfigErrors with all that is wrong.

    ``port`` is for keys of plain DNS that have none. ``known`` are the names of directives there are: a file in which
    nothing looks like a Corefile is not quoted in mistakes, see `tokens`.
    """
    parser = Parser(read, environ, port, known)
    parser.open(text)
    return parser.corefile()


class Parser:
    """One reading of a Corefile."""

    def __init__(self, read: Read, environ: Mapping[str, str], port: int, known: Container[str]) -> None:
        self._read, self._environ, self._port, self._known = read, environ, port, known
        self.mistakes = Mistakes()
        self._words = Stack()
        self._snippets: dict[str, tuple[Word, list[Token]]] = {}
        self._files: dict[str, None] = {}
        self._warnings: list[ConfigError] = []
        self._characters = self._snippet_imports = self._file_imports = 0
        self._broken = False
        """A text ended in the middle of a word: what is missing at the end is not reported as well."""

    def open(self, text: Text, *, shown: bool = False, imported: Word | None = None) -> None:
        """Take words from a file next; ``imported``: by a word that stands where server blocks do."""
        self._characters += len(text.text)
        if self._characters > MOST_TEXT:
            raise ConfigError(f"{text.name}: a Corefile of more than {MOST_TEXT // 1024 // 1024} MiB is too large")
        text_tokens = tokens(text.text, text.name, self._environ, self._known, shown)
        if (
            imported is not None
            and not text_tokens.shown
            and any(token.first and not token.mark for token in text_tokens.tokens)
        ):
            # Anything is a zone, and zones are printed when they are served.
            raise imported.error(f"nothing in {text.name} looks like a Corefile", "a zone and a brace: example.org {")
        for error in text_tokens.errors:
            self.mistakes.add(error)
        self._broken = self._broken or text_tokens.broken
        self._files[text.name] = None
        self._words.push(Frame(text_tokens.tokens, text.name, posixpath.dirname(text.name)))

    def corefile(self) -> Corefile:
        """All server blocks. Raises what is wrong."""
        blocks: list[ServerBlock] = []
        with self._until_stop():
            while (token := self._words.take()) is not None:
                self._top(token, blocks)
        if not (blocks or self.mistakes.errors):
            raise ConfigError(f"{next(iter(self._files))}: there is no server block", hint="such as .:53 { ... }")
        self.mistakes.settle()
        return Corefile(tuple(blocks), tuple(self._files), digest(blocks), tuple(self._warnings))

    def directives(self) -> tuple[Directive, ...]:
        """All there is as lines of a server block, without its braces. Raises what is wrong."""
        parsed: tuple[Directive, ...] = ()
        with self._until_stop():
            parsed = self._lines(None, 0)
        self.mistakes.settle()
        return parsed

    @contextmanager
    def _until_stop(self) -> Iterator[None]:
        try:
            yield
        except Stop as stop:
            self.mistakes.add(stop.error)

    # Top level

    def _top(self, token: Token, blocks: list[ServerBlock]) -> None:
        if token.mark == "import" and token.first:
            self._import(token.word, top=True)
        elif token.mark == "}":
            self.mistakes.add(token.word.error("this brace closes nothing", "is there one too many?"))
        elif token.mark == "{":
            problem = "a server block needs a zone before its brace"
            self.mistakes.add(token.word.error(problem, "such as .:53 {, or (name) { for a snippet"))
            self._lines(token.word, 1)
        else:
            self._block(token, blocks)

    def _block(self, token: Token, blocks: list[ServerBlock]) -> None:
        words = self._keys(token)
        brace = self._words.peek()
        opened = brace.word if brace is not None and brace.mark == "{" else None
        if opened is not None:
            self._words.take()
        if len(words) == 1 and (name := words[0].text).startswith("(") and name.endswith(")"):
            self._snippet(words[0], name[1:-1], opened)
            return
        directives = self._lines(opened, 1)
        keys: dict[tuple[str, str, int], Key] = {}
        for word in words:
            with self.mistakes.noted():
                for key in parse_key(word, self._port):
                    if key[:3] in keys:
                        problem = f"{word.text!r} stands for {key.zone} on port {key.port} a second time"
                        raise word.error(problem, hint="remove one of them")
                    keys[key[:3]] = key
        if not words:
            self.mistakes.add(token.word.error("this server block has no zone", "is a variable not set?"))
        blocks.append(ServerBlock(tuple(keys.values()), directives))

    def _keys(self, token: Token) -> list[Word]:
        """The keys from a first one on; a comma at the end of a line lets them go on in the next."""
        words: list[Word] = []
        while True:
            word = token.word
            comma = word.text.endswith(",")
            if comma:
                word = word._replace(text=word.text[:-1])
            if word.text:
                words.append(word)
            following = self._words.peek()
            if following is None or following.mark == "{" or (following.first and not comma):
                if comma and (following is None or following.mark == "{"):
                    self.mistakes.add(token.word.error("no zone follows the comma", "remove the comma"))
                return words
            if following.mark == "}":
                return words
            token = self._words.take() or following

    def _snippet(self, word: Word, name: str, opened: Word | None) -> None:
        """Keep the words between a snippet's braces."""
        if opened is None:
            self.mistakes.add(word.error(f"the snippet {word.text!r} needs braces", f"such as {word.text} {{"))
            self._lines(None, 1)
            return
        body: list[Token] = []
        depth = 1
        while (token := self._words.take()) is not None:
            depth += {"{": 1, "}": -1}.get(token.mark, 0)
            if depth == 0:
                break
            body.append(token)
        else:
            self._never_closed(opened)
        if not name:
            self.mistakes.add(word.error("a snippet needs a name", "such as (common) {"))
        elif name in self._snippets:
            earlier = self._snippets[name][0].at
            hint = f"it is defined at {earlier.source}:{earlier.line} already"
            self.mistakes.add(word.error(f"the snippet {word.text!r} is defined twice", hint))
        else:
            if body:
                body[0] = body[0]._replace(first=True)
            for token, following in pairwise(body):
                if token.mark == "import" and token.first and following.word.text == name:
                    self.mistakes.add(following.word.error(f"the snippet {name!r} imports itself"))
                    body = []
            self._snippets[name] = word, body

    def _never_closed(self, opened: Word, within: Sequence[Directive] = ()) -> None:
        """Reported for the innermost brace only, or of a server block that has begun within it."""
        if not self._broken:
            blocks = (
                directive.name
                for directive in within
                if directive.block is not None and set(directive.name.text) & set(".:")
            )
            hint = next(
                (f"a line with }} is missing above line {block.at.line}" for block in blocks),
                "a line with } is missing",
            )
            self.mistakes.add(opened.error("this brace is never closed", hint))
            self._broken = True

    # Lines

    def _lines(self, opened: Word | None, depth: int) -> tuple[Directive, ...]:
        """The lines up to the brace that closes, or without braces up to the end."""
        directives: list[Directive] = []
        while (token := self._words.take()) is not None:
            if token.mark == "}":
                if opened is not None:
                    return tuple(directives)
                self.mistakes.add(token.word.error("this brace closes nothing", "is there one too many?"))
            elif token.mark == "{":
                problem = "a brace cannot begin a line here"
                self.mistakes.add(token.word.error(problem, "it belongs at the end of the line above"))
                self._lines(token.word, self._deeper(token.word, depth))
            elif token.mark == "import":
                self._import(token.word)
            else:
                directives.append(self._directive(token.word, depth))
        if opened is not None:
            self._never_closed(opened, directives)
        return tuple(directives)

    def _directive(self, name: Word, depth: int) -> Directive:
        args: list[Word] = []
        block: tuple[Directive, ...] | None = None
        if not name.text:
            self.mistakes.add(name.error("a line cannot begin with an empty word"))
        while (token := self._words.more()) is not None and token.mark != "}":
            self._words.take()
            if token.mark == "{":
                block = self._lines(token.word, self._deeper(token.word, depth))
                extra = self._words.more()
                if extra is not None and extra.mark != "}":
                    problem = "nothing can follow the brace that closes a directive"
                    self.mistakes.add(extra.word.error(problem, "begin a new line"))
                    self._words.skip_line()
                break
            args.append(token.word)
        return Directive(name, tuple(args), block)

    def _deeper(self, brace: Word, depth: int) -> int:
        if depth >= DEEPEST:
            raise Stop(brace.error("braces within braces go too deep"))
        return depth + 1

    # Imports

    def _import(self, word: Word, *, top: bool = False) -> None:
        within, folder = self._words.origins(), self._words.folder
        following = self._words.more()
        if following is None or following.mark in {"{", "}"}:
            self.mistakes.add(word.error("import needs a snippet or file", "such as import common"))
            return
        self._words.take()
        what = following.word
        extra = self._words.more()
        if extra is not None and extra.mark != "}":
            self.mistakes.add(extra.word.error("import takes one snippet or file", "write another import for it"))
            self._words.skip_line()
        if not what.text:
            self.mistakes.add(what.error("import needs a snippet or file, not an empty text"))
        elif len(self._words) > DEEPEST:
            raise Stop(what.error("imports within imports go too deep"))
        elif what.text in self._snippets:
            self._import_snippet(what, within)
        else:
            self._import_files(what, folder, within, top)

    def _import_snippet(self, what: Word, within: set[str]) -> None:
        self._snippet_imports += 1
        if self._snippet_imports > MOST_SNIPPETS:
            raise Stop(what.error(f"snippets are imported more than {MOST_SNIPPETS} times"))
        origin = f"({what.text})"
        if origin in within:
            self.mistakes.add(what.error(f"the snippet {what.text!r} imports itself"))
            return
        definition, body = self._snippets[what.text]
        self._words.push(Frame(body, origin, posixpath.dirname(definition.at.source)))

    def _import_files(self, what: Word, folder: str, within: set[str], top: bool) -> None:
        self._file_imports += 1
        if self._file_imports > MOST_FILES:
            raise Stop(what.error(f"files are imported more than {MOST_FILES} times"))
        path = posixpath.normpath(posixpath.join(folder, what.text))
        glob = any(wildcard in path for wildcard in WILDCARDS)
        if path.count("*") > 1 or path.count("?") > 1 or ("[" in path and "]" in path):
            self.mistakes.add(what.error("a pattern may have one wildcard, *", "import each folder on its own"))
            return
        try:
            texts = self._read(path)
        except ConfigError as error:
            self.mistakes.add(what.error(f"cannot import: {error.problem}", error.hint))
            return
        if glob:
            parts = takewhile(lambda part: not any(wildcard in part for wildcard in WILDCARDS), path.split("/"))
            self._files["/".join(parts) or ("/" if path.startswith("/") else ".")] = None
        if not texts and glob:
            self._warnings.append(what.error(f"no file matches {what.text!r}"))
        elif not texts:
            hint = near(what.text, self._snippets) or "a snippet must stand above its import"
            self.mistakes.add(what.error(f"there is no snippet and no file {what.text!r}", hint))
        for text in reversed(texts):
            if text.name in within:
                self.mistakes.add(what.error(f"the file {text.name} imports itself"))
            else:
                with self.mistakes.noted():
                    self.open(text, imported=what if top else None)


def digest(blocks: Sequence[ServerBlock]) -> str:
    """SHA-512 in hexadecimal of what the blocks say; where the words stand makes no difference."""
    values = [[[key[:3] for key in block.keys], [_value(line) for line in block.directives]] for block in blocks]
    return hashlib.sha512(json.dumps(values).encode()).hexdigest()


def _value(line: Directive) -> list[object]:
    block = None if line.block is None else [_value(nested) for nested in line.block]
    return [line.name.text, [word.text for word in line.args], block]
