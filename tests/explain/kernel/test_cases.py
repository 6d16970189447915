"""What `kdns explain` says of rules that real kernels held and that were broken as life does it."""

import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TextIO

import pytest
import yaml

from kdns.explain.question import parse_question
from kdns.explain.run import Request, run
from tests.explain.kernel.breaking import BROKEN, CASES


def explained(folder: Path, asked: Mapping[str, Any]) -> dict[str, Any]:
    """The report of one question, with the evidence of a folder."""
    question = parse_question(
        asked["target"], from_pod=asked.get("from", ""), from_node=asked.get("from_node", ""),
        outside=asked.get("outside"),
    )  # fmt: skip
    out = io.StringIO()
    run(Request(question, "", "", "", (str(folder),), "json"), _json, colour=False, out=out)
    report: dict[str, Any] = json.loads(out.getvalue())
    return report


def _json(values: object, form: str, out: TextIO) -> None:
    json.dump(values, out)


@pytest.mark.parametrize("name", [case.name for case in BROKEN])
def test_a_broken_kernel_is_explained(name: str) -> None:
    """The link says the code that the case stands for first, and shows the line that did it."""
    folder = CASES / name
    for asked in yaml.safe_load_all((folder / "expect.yaml").read_text()):
        for wanted in asked["links"]:
            report = explained(folder, asked)
            rows = [row for row in report["links"] if row["link"] == wanted["link"]]
            first = next((row for row in rows if row["state"] == wanted["state"]), rows[0])
            assert (first["state"], first["code"]) == (wanted["state"], wanted["code"]), rows
            assert wanted.get("says", "~")[1:] in first["says"], first
            for line in wanted.get("evidence", ()):
                assert any(line["text"][1:] in item.get("text", "") for item in first["evidence"]), first
            if wanted["state"] == "ok":
                assert [row for row in rows if row["state"] != "ok"] == []
