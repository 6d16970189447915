"""The package explains itself: what lies where, in words that people would search for."""

import ast
import io
import re
import tokenize
from pathlib import Path

import pytest

HOUSE = Path(__file__).parent.parent
PACKAGE = HOUSE / "kdns"
MODULES = sorted(PACKAGE.rglob("*.py"))
PAGES = [HOUSE / "README.md", *sorted((HOUSE / "docs").rglob("*.md"))]
FOLDERS = sorted({path.parent for path in MODULES})
BANNED = re.compile(r"\b(nobody|somebody|anybody|whoever|anew|told|said)\b", re.IGNORECASE)
"""Words of which an operator cannot guess what they stand for here: say who, or that nothing does."""
PATIENT = 60
"""Seconds. A wait in a test is there to end what hangs, and must not fail on a busy machine."""


def name_of(path: Path) -> str:
    """A file's name in messages."""
    return str(path.relative_to(HOUSE))


def test_the_root_holds_only_folders() -> None:
    """Beside them there are the map, the way in, and the mark that says that types are checked."""
    assert {path.name for path in PACKAGE.iterdir() if path.is_file()} == {"__init__.py", "__main__.py", "py.typed"}


@pytest.mark.parametrize("folder", FOLDERS, ids=name_of)
def test_a_folder_names_the_jobs_of_its_files(folder: Path) -> None:
    """The docstring of every folder's ``__init__`` names each file and folder in it."""
    text = ast.get_docstring(ast.parse((folder / "__init__.py").read_text())) or ""
    words = set(re.findall(r"\w+", text))
    inside = {path.stem for path in folder.glob("*.py")} | {path.parent.name for path in folder.glob("*/__init__.py")}
    assert sorted(inside - {"__init__", "__main__"} - words) == []


def prose(path: Path) -> list[tuple[int, str]]:
    """Comments and strings of a module, docstrings and messages among them, each with its line."""
    tokens = tokenize.generate_tokens(io.StringIO(path.read_text()).readline)
    kinds = {tokenize.COMMENT, tokenize.STRING, getattr(tokenize, "FSTRING_MIDDLE", tokenize.STRING)}
    return [(token.start[0], token.string) for token in tokens if token.type in kinds]


@pytest.mark.parametrize("path", FOLDERS, ids=name_of)
def test_words(path: Path) -> None:
    """No comment, docstring or message of the package leaves open who is meant."""
    found = []
    for module in sorted(path.glob("*.py")):
        for line, text in prose(module):
            for match in BANNED.finditer(text):
                found.append(f"{name_of(module)}:{line + text[: match.start()].count(chr(10))}: {match[0]}")
    assert found == []


@pytest.mark.parametrize("path", PAGES, ids=name_of)
def test_words_of_the_docs(path: Path) -> None:
    """The pages for users have the same words."""
    lines = enumerate(path.read_text().splitlines(), 1)
    assert [f"{number}: {match[0]}" for number, line in lines for match in BANNED.finditer(line)] == []


def test_waits_are_patient() -> None:
    """``asyncio.timeout`` with whole seconds, in a test, waits long: shorter waits are those that are to end in it."""
    hasty = []
    for path in sorted((HOUSE / "tests").rglob("*.py")):
        for match in re.finditer(r"asyncio\.timeout\((\d+)\)", path.read_text()):
            hasty += [f"{name_of(path)}: {match[0]}"] * (int(match[1]) < PATIENT)
    assert hasty == []
