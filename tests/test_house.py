"""The repository tests itself: who imports whom, sizes, what must not be committed, and that the docs are true."""

import argparse
import ast
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from kdns.cli import main as cli
from kdns.lab.flags import add_flags as add_lab_flags
from kdns.metrics.dns import Metrics

HOUSE = Path(__file__).parent.parent
LONGEST = 400
"""Lines; 250 is normal."""


def committed() -> list[Path]:
    """The files of the repository; without git, all that are not products of tools."""
    listed = subprocess.run(
        ("git", "-C", str(HOUSE), "ls-files", "-z", "--cached", "--others", "--exclude-standard"),
        capture_output=True,
        check=False,
        text=True,
    )
    if listed.returncode == 0:
        return [HOUSE / name for name in listed.stdout.split("\0") if name and (HOUSE / name).is_file()]
    products = re.compile(r"/(\.[a-z_]+_?cache|\.venv|\.git|\.hypothesis|__pycache__|[^/]*\.egg-info|build|dist)/")
    return [path for path in HOUSE.rglob("*") if path.is_file() and not products.search(str(path))]


PYTHON = [path for path in committed() if path.suffix == ".py"]
PAGES = [path for path in committed() if path.suffix == ".md"]


def name_of(path: Path) -> str:
    """A file's name in messages."""
    return str(path.relative_to(HOUSE))


def test_imports_keep_to_the_layers() -> None:
    """Every import-linter contract of pyproject.toml is kept."""
    # In a process of its own: import-linter sets up logging, which would silence the loggers of this one.
    lint = "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports(no_cache=True))"
    done = subprocess.run((sys.executable, "-c", lint), cwd=HOUSE, capture_output=True, check=False, text=True)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]


def test_files_are_short() -> None:
    """No Python file is longer than 400 lines."""
    lengths = {name_of(path): len(path.read_text().splitlines()) for path in PYTHON}
    assert {name: length for name, length in lengths.items() if length > LONGEST} == {}


UNWANTED = {
    "a path of the machine it was written on": r"(?:^|[^\w.-])/(?:work|farm)/",
    "an address of a package index": r"--(?:extra-)?index" + r"-url|--find" + r"-links|//[\w.-]*py" + r"pi[\w.-]*/",
    "something left open": r"\b(?:TO" + r"DO|FIX" + r"ME)\b",
}


@pytest.mark.parametrize("what", UNWANTED)
def test_nothing_unwanted_is_committed(what: str) -> None:
    """No file names the machine it was written on or a package index, or leaves something for later."""
    pattern = re.compile(UNWANTED[what], re.MULTILINE)
    found = []
    for path in committed():
        text = path.read_bytes().decode("utf-8", "replace")
        found += [f"{name_of(path)}: {match[0]!r}" for match in pattern.finditer(text)]
    assert found == []


def test_every_test_says_what_must_hold() -> None:
    """Every test function has a docstring."""
    silent = []
    for path in PYTHON:
        if "tests" not in path.parts:
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
                silent += [f"{name_of(path)}: {node.name}"] * (ast.get_docstring(node) is None)
    assert silent == []


def project() -> dict[str, object]:
    """The [project] table of pyproject.toml."""
    table = tomllib.loads((HOUSE / "pyproject.toml").read_text())["project"]
    assert isinstance(table, dict)
    return table


def lock() -> dict[str, tuple[str, int]]:
    """What requirements.lock pins: name -> version and number of hashes."""
    text = (HOUSE / "requirements.lock").read_text().replace("\\\n", " ")
    pins: dict[str, tuple[str, int]] = {}
    for line in text.splitlines():
        if line and not line.startswith("#"):
            pinned, *hashes = line.split()
            name, _, version = pinned.partition("==")
            assert all(re.fullmatch(r"--hash=sha256:[0-9a-f]{64}", word) for word in hashes), line
            pins[str(canonicalize_name(name))] = (version, len(hashes))
    return pins


def test_the_lock_has_every_dependency() -> None:
    """Each dependency, also that for kubeconfigs, is pinned in requirements.lock, within its range."""
    pins, missing = lock(), []
    dependencies, extras = project()["dependencies"], project()["optional-dependencies"]
    assert isinstance(dependencies, list)
    assert isinstance(extras, dict)
    for requirement in map(Requirement, [*dependencies, *extras["kubeconfig"]]):
        version, _ = pins.get(canonicalize_name(requirement.name), ("", 0))
        if not version or not requirement.specifier.contains(version):
            missing.append(f"{requirement}: {version or 'not pinned'}")
    assert missing == []


def test_the_lock_pins_by_hash() -> None:
    """Every pin is an exact version with at least one hash."""
    assert {name: pin for name, pin in lock().items() if not pin[0] or not pin[1]} == {}


def test_the_project_has_one_address() -> None:
    """Metadata, chart, image and alerts name the same, and beside them only the page that says how to change it."""
    home = home_of(HOUSE)
    assert strangers(HOUSE, home) == []
    text_files = (path for path in committed() if path.suffix not in {".png", ".gz"} and not path.is_symlink())
    assert {name_of(path) for path in text_files if home in path.read_text()} == {*ADDRESSED, "docs/releasing.md"}


def test_its_address_is_changed_in_one_go(tmp_path: Path) -> None:
    """`.ci/address` writes another one everywhere, and again another one; what is not an address is refused."""
    for name in (*ADDRESSED, ".ci/address"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(HOUSE / name, tmp_path / name)
    command = (sys.executable, str(tmp_path / ".ci/address"))
    for address in ("https://dns.example.net", "https://code.example.net/people/kdns", home_of(HOUSE)):
        subprocess.run((*command, address), check=True, capture_output=True)
        assert home_of(tmp_path) == address
        assert strangers(tmp_path, address) == []
    assert [name for name in ADDRESSED if (tmp_path / name).read_bytes() != (HOUSE / name).read_bytes()] == []
    for bad in ("dns.example.net", "https://dns.example.net/", "https://a b"):
        assert subprocess.run((*command, bad), capture_output=True, check=False).returncode == 2


ADDRESSED = (
    ".github/ISSUE_TEMPLATE/config.yml",
    "charts/kdns/Chart.yaml",
    "Dockerfile",
    "manifests/monitoring/rules.yaml",
    "pyproject.toml",
)


def home_of(house: Path) -> str:
    """The project's address, as the package has it."""
    urls = tomllib.loads((house / "pyproject.toml").read_text())["project"]["urls"]
    home: str = urls["Homepage"]
    assert all(url.startswith(home) for url in urls.values())
    return home


def strangers(house: Path, home: str) -> list[str]:
    """What those files name that does not begin with the address."""
    urls = [url for name in ADDRESSED for url in re.findall(r"https://[^\s\"]+", (house / name).read_text())]
    assert len(urls) > len(ADDRESSED)
    return [url for url in urls if url != home and not url.startswith(f"{home}/")]


def test_the_package_has_its_data() -> None:
    """Every file of the package that is not Python is named in pyproject.toml, so that a wheel has it."""
    table = tomllib.loads((HOUSE / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]
    packed = {path for pattern in table["kdns"] for path in (HOUSE / "kdns").glob(pattern)}
    data = {path for path in committed() if path.is_relative_to(HOUSE / "kdns") and path.suffix != ".py"}
    assert packed == data


def commands(page: Path) -> list[str]:
    """The lines of a page's fenced blocks that this repository can check: kdns, make and kustomize commands."""
    found = []
    for block in re.findall(r"^```\w*\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL):
        for line in block.replace("\\\n", " ").splitlines():
            if re.match(r"(\.venv/bin/)?kdns |make |kubectl .*-k ", line):
                found.append(line)
    return found


COMMANDS = [(name_of(page), command) for page in PAGES for command in commands(page)]


@pytest.mark.parametrize(("page", "command"), COMMANDS)
def test_commands_in_the_docs_exist(page: str, command: str) -> None:
    """A documented `kdns` or `make` command is one that exists, and a path it names is there."""
    words = shlex.split(command, comments=True)
    while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):
        words.pop(0)
    if words[:1] == ["kdns"] or words[:1] == [".venv/bin/kdns"]:
        until = next((n for n, word in enumerate(words) if word in ("|", ">", "&")), len(words))
        cli.parse(words[1:until])
    elif words[:1] == ["make"]:
        targets = re.findall(r"^([a-z]+):", (HOUSE / "Makefile").read_text(), re.MULTILINE)
        assert {word for word in words[1:] if "=" not in word} <= set(targets)
    elif words[:1] == ["kubectl"] and "-k" in words:
        assert (HOUSE / words[words.index("-k") + 1] / "kustomization.yaml").is_file()


def test_links_in_the_docs_lead_somewhere() -> None:
    """A link to a file in this repository leads to one that is there."""
    broken = []
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text()):
            if "://" not in target and not (page.parent / target).exists():
                broken.append(f"{name_of(page)}: {target}")
    assert broken == []


def test_every_flag_is_documented() -> None:
    """docs/operating.md has each flag of `kdns serve` and of `kdns lab up` in its tables, and no other."""
    _, parts = cli.parser()
    known = {flag for flag in parts["serve"].flags if flag.startswith("--")} - {"--help"}
    text, _, of_lab = (HOUSE / "docs/operating.md").read_text().partition("\n## The lab\n")
    assert _flags_in_tables(text) == known
    up = argparse.ArgumentParser()
    add_lab_flags(up)
    (actions,) = (action for action in up._actions if isinstance(action, argparse._SubParsersAction))
    known = {flag for action in actions.choices["up"]._actions for flag in action.option_strings if flag[:2] == "--"}
    assert _flags_in_tables(of_lab) == known - {"--help"}


def _flags_in_tables(text: str) -> set[str]:
    return set(re.findall(r"^\| `(--[a-z-]+)", text, re.MULTILINE))


def test_every_metric_is_documented() -> None:
    """docs/operating.md names each metric that every server has, and otherwise only what some plugin declares."""
    registry = Metrics("0", "test").registry()
    families = [family for family in registry.collect() if family.name.startswith(("coredns_", "kdns_"))]
    known = {family.name + "_total" * (family.type == "counter") for family in families}
    documented = set(re.findall(r"`((?:coredns|kdns)_\w+)`", (HOUSE / "docs/operating.md").read_text()))
    assert known <= documented
    code = "".join(path.read_text() for path in (HOUSE / "kdns").rglob("*.py"))
    assert [name for name in documented - known if f'"{name.removesuffix("_total")}' not in code] == []
