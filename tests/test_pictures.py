"""The pictures of terminals show what their commands print."""

import pytest

from bench.pictures import HOUSE, PICTURES, Picture, svg


@pytest.mark.e2e
@pytest.mark.parametrize("picture", PICTURES, ids=lambda picture: picture.file)
def test_a_picture_is_what_is_printed(picture: Picture) -> None:
    """`python -m bench.pictures` makes them again."""
    assert (HOUSE / picture.file).read_text() == svg(picture)
