"""One browser for the tests of a file."""

import shutil
from collections.abc import Iterator

import pytest

from tests.status.browsing import Browser


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """One for all tests; its profile is gone with it."""
    if not (shutil.which("chromium") and shutil.which("chromedriver")):
        pytest.skip("needs chromium and chromium-driver")
    browser = Browser(tmp_path_factory.mktemp("profile"))
    yield browser
    browser.driver.quit()


@pytest.fixture
def browser(started: Browser) -> Browser:
    """It has an empty page, and forgets what it asked for and complained of before."""
    started.open("about:blank")
    started.look()
    started.asked()
    started.complaints()
    return started
