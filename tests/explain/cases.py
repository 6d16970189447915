"""Cases as people meet them: folders of evidence in ``tests/explain/cases``, with a question and what must be found."""

import io
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TextIO

import yaml

from kdns.explain.question import parse_question
from kdns.explain.run import Request, run

CASES = Path(__file__).parent / "cases"
COMMON = CASES / "common.yaml"
"""Objects that most clusters have: DNS, nodes, Namespaces; a case takes them by ``common: true``."""


def names() -> list[str]:
    """The folders of cases."""
    return sorted(folder.name for folder in CASES.iterdir() if folder.is_dir())


def explained(folder: Path, asked: Mapping[str, Any], **options: Any) -> tuple[int, dict[str, Any]]:
    """Exit status and report of one question, with the evidence of a folder; ``options`` are more of the request's."""
    question = parse_question(
        str(asked["target"]), namespace=asked.get("namespace", ""), from_pod=asked.get("from", ""),
        from_node=asked.get("from_node", ""), outside=asked.get("outside"), port=str(asked.get("port", "")),
        protocol=asked.get("protocol", ""), rtype=asked.get("type", ""),
    )  # fmt: skip
    corefile = str(folder / "Corefile") if (folder / "Corefile").exists() else ""
    source = str(COMMON) if asked.get("common", True) else ""
    out = io.StringIO()
    request = Request(question, source, corefile, "", (str(folder),), "json", **options)
    status = run(request, _json, colour=False, out=out)
    return status, json.loads(out.getvalue())


def _json(values: object, form: str, out: TextIO) -> None:
    json.dump(values, out)


def questions(folder: Path) -> Iterator[dict[str, Any]]:
    """The questions of ``expect.yaml``, each with what must be found."""
    yield from yaml.safe_load_all((folder / "expect.yaml").read_text())


def differences(expected: Any, actual: Any, at: str = "") -> Iterator[str]:
    """Where what was found is not what was expected: mappings may have more, lists must have each entry somewhere."""
    if isinstance(expected, dict):
        for key, value in expected.items():
            if not isinstance(actual, dict) or key not in actual:
                yield f"{at}.{key}: missing"
            else:
                yield from differences(value, actual[key], f"{at}.{key}")
    elif isinstance(expected, list):
        for entry in expected:
            if not any(not list(differences(entry, other)) for other in actual):
                yield f"{at}: nothing is like {entry}"
    elif isinstance(expected, str) and expected.startswith("~"):
        if expected[1:] not in str(actual):
            yield f"{at}: {expected[1:]!r} is not in {actual!r}"
    elif expected != actual:
        yield f"{at}: expected {expected!r}, got {actual!r}"
