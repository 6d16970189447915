"""Names in text are matched, and others made of them. Pure.

Text is matched as text, as CoreDNS does it: the suffix ``example.org.`` is that of ``myexample.org.``, too.
"""

import re
from typing import Final, Literal, NamedTuple, cast

from kdns.dns.lang.patterns import Match, Pattern

Kind = Literal["exact", "prefix", "suffix", "substring", "regex"]
KINDS: Final[tuple[Kind, ...]] = ("exact", "prefix", "suffix", "substring", "regex")
GROUP: Final = re.compile(r"\{([0-9]{1,3})\}")


def absolute(text: str) -> str:
    """In lower case, with the final dot."""
    return text.lower() if text.endswith(".") else f"{text.lower()}."


class Matcher(NamedTuple):
    """What a name must look like."""

    kind: Kind
    text: str
    """In lower case, but for a pattern."""
    pattern: Pattern | None = None

    def matches(self, name: str) -> bool:
        """True if a name looks like it."""
        match self.kind:
            case "exact":
                return name == self.text
            case "prefix":
                return name.startswith(self.text)
            case "suffix":
                return name.endswith(self.text)
            case "substring":
                return self.text in name
            case "regex":
                return cast(Pattern, self.pattern).search(name) is not None

    def touches(self, name: str, below: bool) -> bool:
        """True if a name, or, below, one under it, can look like it."""
        if self.matches(name):
            return True
        if self.kind in {"exact", "suffix"}:
            return below and (self.text.endswith(name) or name == ".")
        ending = self.pattern.ending if self.pattern is not None else ""
        return below and (ending.endswith(name) or name.endswith(ending) or name == ".")

    def replaced(self, name: str, to: str) -> str | None:
        """Another name for one that looks like it; None for one that does not."""
        if self.kind == "regex":
            match = cast(Pattern, self.pattern).search(name)
            return fill(to, match) if match is not None else None
        if not self.matches(name):
            return None
        match self.kind:
            case "prefix":
                return to + name.removeprefix(self.text)
            case "suffix":
                return name.removesuffix(self.text) + to
            case "substring":
                return name.replace(self.text, to)
            case _:
                return to


def fill(to: str, match: Match) -> str:
    """A text with the groups of a match in the place of ``{0}``, ``{1}``..."""
    return GROUP.sub(lambda group: match.groups[int(group[1])], to)


def largest_group(to: str) -> int:
    """The largest number of a group in a text; 0 if there is none."""
    return max((int(number) for number in GROUP.findall(to)), default=0)
