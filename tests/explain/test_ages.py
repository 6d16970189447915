"""Ages as kubectl shows them, and where the time of the evidence comes from."""

import io
import tarfile
from datetime import UTC, datetime
from pathlib import Path

import pytest

from kdns.explain.ages import age_text, duration_text
from kdns.explain.question import parse_question
from kdns.explain.run import Request, run
from tests.explain.cases import CASES, COMMON
from tests.explain.evidence import explained

MINUTE, HOUR, DAY = 60, 3600, 86400
HUMAN = {
    0: "0s", 119: "119s", 2 * MINUTE: "2m", 2 * MINUTE + 5: "2m5s", 10 * MINUTE + 5: "10m", 179 * MINUTE: "179m",
    3 * HOUR: "3h", 3 * HOUR + 4 * MINUTE + 9: "3h4m", 8 * HOUR + 4 * MINUTE: "8h", 47 * HOUR: "47h", 2 * DAY: "2d",
    2 * DAY + 3 * HOUR: "2d3h", 8 * DAY + 3 * HOUR: "8d", 12 * DAY: "12d", 729 * DAY: "729d", 730 * DAY: "2y",
    800 * DAY: "2y70d", 8 * 365 * DAY + DAY: "8y",
}  # fmt: skip
"""The branches of HumanDuration in k8s.io/apimachinery/pkg/util/duration/duration.go."""


@pytest.mark.parametrize("seconds", HUMAN)
def test_durations_are_those_of_kubectl(seconds: int) -> None:
    """Two units where the larger one is small, one unit above."""
    assert duration_text(seconds) == HUMAN[seconds]


@pytest.mark.parametrize(
    ("created", "at", "age"),
    [
        ("2026-11-20T08:00:00Z", "2026-12-02T09:00:00Z", "12d"),
        ("2026-11-20T08:00:01Z", "2026-11-20T08:00:00Z", "0s"),
        ("2026-11-20T09:00:00Z", "2026-11-20T08:00:00Z", ""),
        ("2026-11-20T08:00:00Z", "", ""),
        ("", "2026-11-20T08:00:00Z", ""),
        ("yesterday", "2026-11-20T08:00:00Z", ""),
        ("2026-11-20T08:00:00", "2026-11-20T08:00:00Z", ""),
    ],
)
def test_an_age_needs_two_times(created: str, at: str, age: str) -> None:
    """Without one of them, or where an object is younger than the evidence, there is no age."""
    assert age_text(created, at) == age


def _text(path: Path) -> str:
    out = io.StringIO()
    question = parse_question("cart.shop:8080")
    run(Request(question, str(COMMON), evidence=(str(path),)), lambda *_: None, colour=False, out=out)
    return " ".join(out.getvalue().split())


def test_the_file_collected_txt_says_when(tmp_path: Path) -> None:
    """With the time of the evidence the text has an age, without it the time stamp; JSON always has the time stamp."""
    source = (CASES / "E25-readiness-gate" / "objects.yaml").read_text()
    (tmp_path / "objects.yaml").write_text(source)
    assert "created 2026-11-20T08:00:00Z" in _text(tmp_path)
    (tmp_path / "collected.txt").write_text("2026-11-20T11:04:30Z\n")
    assert "3h4m old" in _text(tmp_path)
    assert "created" not in _text(tmp_path)
    [fault] = [entry for entry in explained(tmp_path, "cart.shop:8080")["links"] if entry["code"] == "E25"]
    assert any("created 2026-11-20T08:00:00Z" in item.get("text", "") for item in fault["evidence"])


def test_files_of_an_archive_have_a_time(tmp_path: Path) -> None:
    """The time of the newest member is that of the evidence."""
    path = tmp_path / "evidence.tar.gz"
    data = (CASES / "E25-readiness-gate" / "objects.yaml").read_bytes()
    with tarfile.open(path, "w:gz") as archive:
        member = tarfile.TarInfo("objects.yaml")
        member.size, member.mtime = len(data), int(datetime(2026, 12, 2, 9, tzinfo=UTC).timestamp())
        archive.addfile(member, io.BytesIO(data))
    assert "12d old" in _text(path)
