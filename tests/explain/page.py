"""docs/explain.md with the examples as `kdns explain` prints them; ``python -m tests.explain.page`` writes the page."""

import contextlib
import io
import re
import shlex
from pathlib import Path
from typing import Final, TextIO

import yaml

from kdns.cli.main import parse
from kdns.explain.codes import TITLES
from kdns.explain.question import parse_question
from kdns.explain.run import Request, run
from tests.explain.cases import CASES, COMMON

PAGE: Final = Path(__file__).parents[2] / "docs" / "explain.md"
EXAMPLE: Final = re.compile(r"<!-- (\S+) -->\n```text\n\$ kdns (explain [^\n]*)\n.*?```\n", re.DOTALL)
CODES: Final = re.compile(r"<!-- codes -->\n(?:\n\|[^\n]*(?:\n\|[^\n]*)*\n)?")


def printed(case: str, command: str) -> str:
    """What a command prints with the evidence of a case."""
    arguments = parse(shlex.split(command))
    question = parse_question(arguments.target, namespace=arguments.namespace, from_pod=arguments.client)
    folder = CASES / case
    asked = next(iter(yaml.safe_load_all((folder / "expect.yaml").read_text())))
    source = str(COMMON) if asked.get("common", True) else ""
    out = io.StringIO()
    with contextlib.chdir(folder):  # lines break by the length of the path that is printed
        corefile = "Corefile" if Path("Corefile").exists() else ""
        run(Request(question, source, corefile, "", (str(folder),)), _no_values, colour=False, out=out)
    return out.getvalue()


def _no_values(values: object, form: str, out: TextIO) -> None:
    raise AssertionError(f"{form} was not asked for")


def page(text: str) -> str:
    """The page with its examples and its table of codes."""
    text = EXAMPLE.sub(
        lambda found: f"<!-- {found[1]} -->\n```text\n$ kdns {found[2]}\n{printed(found[1], found[2])}```\n", text
    )
    rows = "".join(f"| {code} | {title} |\n" for code, title in TITLES.items())
    return CODES.sub(f"<!-- codes -->\n\n| code | cause |\n|---|---|\n{rows}", text)


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text()))
