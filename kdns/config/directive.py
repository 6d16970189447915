"""A parsed Corefile, as values with places: what every plugin's ``parse`` gets.

Nothing here knows a plugin; words are text until a plugin reads them.
"""

import re
from typing import Final, NamedTuple

from kdns.base.errors import ConfigError, Span

QUOTED: Final = r"""'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*\""""


class Word(NamedTuple):
    """One token, its environment variables expanded."""

    text: str
    at: Span

    def error(self, problem: str, hint: str = "") -> ConfigError:
        """A mistake, reported at this word.

        Where the line must not be shown, neither must the word, nor anything in quotes: it may be a secret.
        """
        if not self.at.text and len(self.text) > 1:
            word = rf"{QUOTED}|(?<!\w){re.escape(self.text)}(?!\w)"
            problem, hint = (re.sub(word, "(not shown)", text, flags=re.DOTALL) for text in (problem, hint))
        return ConfigError(problem, self.at, hint)


class Directive(NamedTuple):
    """One line: a name, its arguments, and the lines of its block if it has one."""

    name: Word
    args: tuple[Word, ...] = ()
    block: tuple["Directive", ...] | None = None
    """None: there are no braces."""


class Key(NamedTuple):
    """One thing that a server block serves."""

    scheme: str
    """``dns``, ``tls``, ``https``..."""
    zone: str
    """Lower case, with the final dot; one key of a CIDR stands for each of its reverse zones."""
    port: int
    at: Span


class ServerBlock(NamedTuple):
    """Keys, and the directives for them in the order of the file; a directive may come more than once."""

    keys: tuple[Key, ...]
    directives: tuple[Directive, ...]


class Corefile(NamedTuple):
    """All server blocks, and what they were read from."""

    blocks: tuple[ServerBlock, ...]
    files: tuple[str, ...]
    """Every file and folder that has a part in it, to be watched."""
    digest: str
    """SHA-512 in hexadecimal of the parsed blocks: comments and layout make no difference."""
    warnings: tuple[ConfigError, ...] = ()
    """What is odd but no mistake, such as a pattern that no file matches."""
