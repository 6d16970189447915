"""Which plugins there are, in which order they stand, and what is said of those that are not there."""

from pathlib import Path

import pytest

from kdns.base.errors import ConfigError, Span
from kdns.config.directive import Word
from kdns.dns.plugins import LEFT_OUT, ORDER, UNSUPPORTED
from kdns.dns.server.registry import Registry, built_in

GOOD = """
from msgspec import Struct
from kdns.dns.api.plugin import Built

NAME = {name!r}
{where}

class Options(Struct, frozen=True):
    pass

def parse(directives, place):
    return Options()

def build(options, parts):
    return Built()
"""


def word(text: str) -> Word:
    """A directive's name, as it stands in a Corefile."""
    return Word(text, Span("Corefile", 2, 5, f"    {text}"))


def folder(path: Path, **files: str) -> Registry:
    """A registry with a folder of plugins."""
    for name, text in files.items():
        (path / f"{name}.py").write_text(text)
    return Registry(str(path))


def test_built_in_plugins_are_what_they_are_called() -> None:
    """Each built-in module is the plugin of its name, and stands where the order says."""
    registry = Registry()
    found = [registry.load(word(name)) for name in built_in()]
    assert [known.name for known in found] == [known.module.NAME for known in found]
    assert sorted(found, key=lambda known: known.rank) == found
    assert [known.origin for known in found] == [""] * len(found)
    assert "kubernetes" in built_in()
    assert not set(ORDER) & {*LEFT_OUT, *UNSUPPORTED}
    assert not set(LEFT_OUT) & set(UNSUPPORTED)


@pytest.mark.parametrize(
    ("name", "problem", "hint"),
    [
        ("kuberntes", "unknown plugin 'kuberntes'", "did you mean kubernetes?"),
        ("qqqqq", "unknown plugin 'qqqqq'", "`kdns plugins` lists those there are"),
        ("etcd", "kdns does not have CoreDNS's plugin etcd", "kdns does not read etcd"),
        ("route53", "kdns does not have CoreDNS's plugin route53", "forward to the VPC's resolver"),
        ("os", "unknown plugin 'os'", ""),
        ("..errors", "unknown plugin '..errors'", "did you mean errors?"),
    ],
)
def test_what_is_not_there(name: str, problem: str, hint: str) -> None:
    """An unknown name has its place, the nearest name or what to use instead, and nothing is imported for it."""
    with pytest.raises(ConfigError) as caught:
        Registry().load(word(name))
    assert caught.value.problem == problem
    assert hint in caught.value.hint
    assert len(caught.value.hint) < 120
    assert caught.value.at == word(name).at


@pytest.mark.parametrize(
    ("where", "before", "after"),
    [
        ('BEFORE = "forward"', "forward", "loop"),
        ('AFTER = "acl"', "shortnames", "acl"),
        ('BEFORE = "metadata"', "metadata", ""),
    ],
)
def test_a_plugin_from_a_folder_stands_where_it_says(tmp_path: Path, where: str, before: str, after: str) -> None:
    """It comes right before or after the built-in that it names, and its file is its origin."""
    registry = folder(tmp_path, mine=GOOD.format(name="mine", where=where))
    mine = registry.load(word("mine"))
    assert mine.origin == str(tmp_path / "mine.py")
    order = {name: (number, 0, "") for number, name in enumerate(ORDER)}
    assert mine.rank < order[before]
    assert not after or order[after] < mine.rank
    assert "mine" in registry.names()


def test_code_is_run_only_when_it_is_named(tmp_path: Path) -> None:
    """A folder with broken and noisy files does no harm until a Corefile names one."""
    registry = folder(tmp_path, broken="raise RuntimeError('no')", leaving="raise SystemExit(3)", syntax="def (")
    assert {"broken", "leaving", "syntax"} <= set(registry.names())
    for name, problem in (("broken", "RuntimeError: no"), ("leaving", "SystemExit: 3"), ("syntax", "SyntaxError: ")):
        with pytest.raises(ConfigError, match=f"plugin {name} cannot be imported: {problem}") as caught:
            registry.load(word(name))
        assert str(tmp_path) in caught.value.hint


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("NAME = 'mine'", "plugin mine has no parse and no build"),
        (GOOD.format(name="other", where='AFTER = "acl"'), "plugin mine calls itself 'other'"),
        (GOOD.format(name="mine", where=""), "plugin mine does not say where it stands"),
        (GOOD.format(name="mine", where='AFTER = "acl"\nBEFORE = "log"'), "plugin mine does not say where it stands"),
        (GOOD.format(name="mine", where='AFTER = "nothing"'), "plugin mine does not say where it stands"),
        (GOOD.format(name="mine", where="AFTER = ['acl']"), "plugin mine does not say where it stands"),
    ],
)
def test_what_is_no_plugin(tmp_path: Path, text: str, problem: str) -> None:
    """A file that lacks what a plugin has is told at the word that names it."""
    with pytest.raises(ConfigError, match=problem) as caught:
        folder(tmp_path, mine=text).load(word("mine"))
    assert caught.value.at is not None


def test_a_built_in_cannot_be_replaced(tmp_path: Path) -> None:
    """A file of a built-in's name is never run, and that is told."""
    registry = folder(tmp_path, errors="raise RuntimeError", shortnames="raise RuntimeError")
    assert registry.load(word("errors")).origin == ""
    assert [line.partition(" ")[0] for line in registry.ignored()] == ["errors", "shortnames"]


def test_a_folder_that_is_not_there() -> None:
    """It is told at the start."""
    with pytest.raises(ConfigError, match="cannot read the folder of plugins"):
        Registry("/nonexistent/plugins")
