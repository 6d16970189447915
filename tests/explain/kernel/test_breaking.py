"""The cases of broken kernels are those of this list, and this machine's kernel breaks in the same way."""

from pathlib import Path

import pytest

from tests.explain.cases import differences, explained, names, questions
from tests.explain.kernel.breaking import write
from tests.explain.kernel.broken import BROKEN, Broken
from tests.proxy.apply.namespaces import needs_root


def test_every_case_is_written() -> None:
    """Each case of the list has its folder: the test of all cases explains them."""
    assert {case.name for case in BROKEN} <= set(names())


@needs_root
@pytest.mark.kernel
@pytest.mark.parametrize("case", BROKEN, ids=lambda case: case.name)
def test_a_kernel_that_is_broken_now_is_explained(case: Broken, tmp_path: Path) -> None:
    """Written again by the tools of this machine, the evidence leads to the same answer."""
    write(case, tmp_path)
    for asked in questions(tmp_path / case.name):
        _, report = explained(tmp_path / case.name, asked)
        wanted = {key: asked[key] for key in ("first_fault", "links")}
        assert list(differences(wanted, report)) == []
