"""Directives and Corefiles from text, for tests."""

from collections.abc import Mapping, Sequence
from fnmatch import fnmatch

from kdns.config.corefile import Parser, Text, parse_corefile
from kdns.config.directive import Corefile, Directive


def nothing(_path: str) -> Sequence[Text]:
    """There is no file."""
    return ()


def directives(text: str) -> tuple[Directive, ...]:
    """The lines of a server block, without its braces."""
    parser = Parser(nothing, {}, 53, ())
    parser.open(Text("Corefile", text), shown=True)
    return parser.directives()


def corefile(
    text: str, files: Mapping[str, str] | None = None, environ: Mapping[str, str] | None = None, port: int = 53
) -> Corefile:
    """A Corefile, with the files that it may import by their absolute paths."""
    there = files or {}

    def read(path: str) -> Sequence[Text]:
        folder, _, pattern = path.rpartition("/")
        names = [name for name in sorted(there) if fnmatch(name.removeprefix(f"{folder}/"), pattern)]
        return [Text(name, there[name]) for name in names if name.rpartition("/")[0] == folder]

    return parse_corefile(Text("/etc/coredns/Corefile", text), read=read, environ=environ or {}, port=port)


def outline(found: Corefile) -> str:
    """A Corefile as an outline: keys at the margin, each level two spaces further in; odd words are quoted."""
    lines: list[str] = []
    for block in found.blocks:
        keys = [f"{key.zone}:{key.port}" if key.scheme == "dns" else f"{key.scheme}://{key.zone}:{key.port}"
                for key in block.keys]  # fmt: skip
        lines += [" ".join(keys), *_lines(block.directives, 1)]
    return "\n".join(lines)


def _lines(found: Sequence[Directive], depth: int) -> list[str]:
    lines: list[str] = []
    for directive in found:
        words = [repr(word) if set(word) & set(" \n\"'") or not word else word for word in texts(directive)]
        lines.append("  " * depth + " ".join(words))
        lines += _lines(directive.block or (), depth + 1)
    return lines


def texts(directive: Directive) -> list[str]:
    """A line's words."""
    return [directive.name.text, *(word.text for word in directive.args)]
