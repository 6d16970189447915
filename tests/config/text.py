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
        names = [name for name in sorted(there) if fnmatch(name.removeprefix(f"{folder}/"), pattern.replace("?", "*"))]
        return [Text(name, there[name]) for name in names if name.rpartition("/")[0] == folder]

    return parse_corefile(Text("/etc/coredns/Corefile", text), read=read, environ=environ or {}, port=port)
