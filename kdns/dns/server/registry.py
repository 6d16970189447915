"""Which plugins there are, and where each comes from.

Built-in ones are the modules of `kdns.dns.plugins`. Others come from the entry-point group ``kdns.plugins`` and from
a folder of ``NAME.py`` files; their code is imported only when a Corefile names their directive, and a built-in can
never be replaced.
"""

import sys
from collections.abc import Iterable, Iterator
from difflib import get_close_matches
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Final, NamedTuple, cast

from kdns.base.errors import ConfigError
from kdns.config.directive import Word
from kdns.dns.api.plugin import PluginModule
from kdns.dns.plugins import ORDER, UNSUPPORTED

GROUP: Final = "kdns.plugins"
PLACES: Final = {name: number for number, name in enumerate(ORDER)}


class LoadedPlugin(NamedTuple):
    """A plugin whose module is imported."""

    name: str
    module: PluginModule
    origin: str = ""
    """Where its code came from: a file, or ``NAME VERSION`` of a package; empty for a built-in."""
    rank: tuple[int, int, str] = (0, 0, "")
    """Sorts the plugins of a block from the client inwards."""


def built_in() -> tuple[str, ...]:
    """The names of the built-in plugins that are there, in order."""
    return tuple(name for name in ORDER if find_spec(f"kdns.dns.plugins.{name}") is not None)


class Registry:
    """The plugins that a Corefile may name; ``folder`` may hold more of them, empty for none."""

    def __init__(self, folder: str = "") -> None:
        """Raises ConfigError if the folder cannot be read."""
        self._folder = folder
        self._known: dict[str, LoadedPlugin] = {}
        self._files = {path.stem: path for path in _files(folder)} if folder else {}
        self._packaged: dict[str, list[EntryPoint]] = {}
        for entry in entry_points(group=GROUP):
            self._packaged.setdefault(entry.name, []).append(entry)

    def names(self) -> tuple[str, ...]:
        """Every name that a Corefile may use: the built-in ones in order, then others."""
        return tuple(dict.fromkeys((*built_in(), *sorted({*self._packaged, *self._files} - set(ORDER)))))

    def ignored(self) -> Iterator[str]:
        """Others that bear the name of a built-in, and so are never used, a line each."""
        for name in sorted({*self._packaged, *self._files} & set(ORDER)):
            where = self._files.get(name) or _package(self._packaged[name][0])
            yield f"{name} from {where} is not used: it has the name of a built-in plugin"

    def load(self, word: Word) -> LoadedPlugin:
        """The plugin of a directive. Raises ConfigError at the word: there is none, or its code is not a plugin."""
        name = word.text
        if name not in self._known:
            self._known[name] = self._find(word)
        return self._known[name]

    def _find(self, word: Word) -> LoadedPlugin:
        name = word.text
        if name in PLACES:
            if find_spec(f"kdns.dns.plugins.{name}") is None:
                raise word.error(f"plugin {name} is not supported yet", "`kdns plugins` lists those there are")
            module = import_module(f"kdns.dns.plugins.{name}")
            return LoadedPlugin(name, cast(PluginModule, module), "", (PLACES[name], 0, ""))
        candidates = [*self._packaged.get(name, ()), *([self._files[name]] if name in self._files else ())]
        if len(candidates) > 1:
            places = " and ".join(
                str(candidate) if isinstance(candidate, Path) else _package(candidate) for candidate in candidates
            )
            raise word.error(f"plugin {name} is there more than once: {places}", "take away all but one")
        if candidates:
            return _foreign(word, candidates[0])
        raise self._unknown(word)

    def _unknown(self, word: Word) -> ConfigError:
        if word.text in UNSUPPORTED:
            return word.error(f"kdns does not have CoreDNS's plugin {word.text}", UNSUPPORTED[word.text])
        names = self.names()
        close = get_close_matches(word.text, names, n=1, cutoff=0.6)
        hint = f"did you mean {close[0]}?" if close else "`kdns plugins` lists those there are"
        return word.error(f"unknown plugin {word.text!r}", hint)


def _files(folder: str) -> Iterable[Path]:
    try:
        return sorted(path for path in Path(folder).iterdir() if path.suffix == ".py" and path.stem.isidentifier())
    except OSError as error:
        raise ConfigError(f"cannot read the folder of plugins: {error}", hint="see --plugins") from error


def _package(entry: EntryPoint) -> str:
    return f"{entry.dist.name} {entry.dist.version}" if entry.dist is not None else entry.value


def _foreign(word: Word, plugin: EntryPoint | Path) -> LoadedPlugin:
    """Import a plugin that is not ours. Raises ConfigError for whatever is wrong with it."""
    origin = str(plugin) if isinstance(plugin, Path) else f"{_package(plugin)} ({plugin.value})"
    try:
        module = _run(plugin) if isinstance(plugin, Path) else plugin.load()
    except (Exception, SystemExit) as error:
        raise word.error(
            f"plugin {word.text} cannot be imported: {type(error).__name__}: {error}", f"it is {origin}"
        ) from error
    missing = [name for name in ("NAME", "parse", "build") if not hasattr(module, name)]
    if missing:
        raise word.error(f"plugin {word.text} has no {' and no '.join(missing)}", f"it is {origin}")
    if word.text != module.NAME:
        raise word.error(f"plugin {word.text} calls itself {module.NAME!r}", f"set NAME in {origin}")
    before, after = getattr(module, "BEFORE", None), getattr(module, "AFTER", None)
    neighbour = before if after is None else after
    if (before is None) == (after is None) or neighbour not in ORDER:
        raise word.error(
            f"plugin {word.text} does not say where it stands",
            f'set BEFORE or AFTER to a built-in plugin, such as BEFORE = "forward", in {origin}',
        )
    side = -1 if after is None else 1
    return LoadedPlugin(word.text, cast(PluginModule, module), origin, (PLACES[neighbour], side, word.text))


def _run(path: Path) -> ModuleType:
    name = f"kdns_plugin_{path.stem}"
    spec = spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    sys.modules[name] = module  # where msgspec and dataclasses look for the names in annotations
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module
