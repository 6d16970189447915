"""What `kdns explain` finds in evidence as people meet it."""

import pytest

from tests.explain.cases import CASES, differences, explained, names, questions


@pytest.mark.parametrize("name", names())
@pytest.mark.parametrize("dump", ["whole", "large"])
def test_case(name: str, dump: str) -> None:
    """Each question of a case gets the verdict, the first fault and the links that its expect.yaml has.

    It gets the same where the dump is so large that only what the question needs is read of it.
    """
    asked = list(questions(CASES / name))
    assert asked
    for question in asked:
        status, report = explained(CASES / name, question, **({"large": 0} if dump == "large" else {}))
        wanted = {key: question[key] for key in ("verdict", "first_fault", "links", "client") if key in question}
        assert wanted
        assert list(differences(wanted, report)) == [], report
        assert status == (1 if report["verdict"] == "fault" else 0)
