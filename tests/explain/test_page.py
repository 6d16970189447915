"""The page about `kdns explain`."""

from tests.explain.page import EXAMPLE, PAGE, page


def test_the_page_shows_what_is_printed() -> None:
    """Every example of the page, and its table of codes, is what the program prints today."""
    text = PAGE.read_text()
    assert len(EXAMPLE.findall(text)) >= 11
    assert page(text) == text, "python -m tests.explain.page writes it"
