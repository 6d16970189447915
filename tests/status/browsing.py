"""A real browser for the tests of the pages.

With KDNS_PICTURES=DIR its screenshots go there (``make pictures``), which are those of the docs.
"""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from selenium.webdriver import Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.expected_conditions import staleness_of
from selenium.webdriver.support.wait import WebDriverWait

from tests.running import PATIENCE

PICTURES: Final = os.environ.get("KDNS_PICTURES", "")
QUIET: Final = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--hide-scrollbars",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
)  # fmt: skip
"""What makes Chromium start as root, and ask for nothing by itself."""
WIDE, PHONE = (1280, 900), (360, 800)


class Browser:
    """A browser that notes what it asks for."""

    def __init__(self, profile: Path) -> None:
        options = ChromeOptions()
        options.binary_location = str(shutil.which("chromium"))
        for flag in (*QUIET, f"--user-data-dir={profile}"):
            options.add_argument(flag)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
        self.driver = Chrome(options=options, service=Service(str(shutil.which("chromedriver"))))
        self.look()

    def look(self, size: tuple[int, int] = WIDE, scheme: str = "light", *, script: bool = True) -> None:
        """The window, in CSS pixels, what colours the system prefers, and whether scripts run."""
        metrics = {"width": size[0], "height": size[1], "deviceScaleFactor": 1, "mobile": size[0] < 600}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        features = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", features)
        self.driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": not script})

    def open(self, url: str) -> None:
        """Go there."""
        self.driver.get(url)

    def follow(self, text: str) -> None:
        """Click on a link, and wait for the page it leads to."""
        self._leave(lambda: self.driver.find_element(By.LINK_TEXT, text).click())

    def fill(self, name: str, text: str) -> None:
        """Type into the field with that id, press Enter, and wait for the page that comes."""
        self._leave(lambda: self.driver.find_element(By.ID, name).send_keys(text, Keys.ENTER))

    def _leave(self, act: Callable[[], None]) -> None:
        page = self.driver.find_element(By.TAG_NAME, "html")
        act()
        wait: WebDriverWait[Chrome] = WebDriverWait(self.driver, PATIENCE)
        wait.until(staleness_of(page))
        wait.until(lambda driver: driver.execute_script("return document.readyState") == "complete")

    def texts(self, selector: str) -> list[str]:
        """The texts of elements, spaces folded."""
        found = self.driver.find_elements(By.CSS_SELECTOR, selector)
        return [" ".join(str(one.get_attribute("textContent")).split()) for one in found]

    def run(self, script: str, *arguments: object) -> Any:
        """What a script in the page returns."""
        driver: Any = self.driver  # selenium gives this method no types
        return driver.execute_script(script, *arguments)

    def until(self, selector: str, text: str) -> None:
        """Wait until an element has a text."""
        WebDriverWait(self.driver, PATIENCE).until(lambda _: text in self.texts(selector))

    def _log(self, kind: str) -> list[Any]:
        driver: Any = self.driver  # selenium gives this method no types
        return list(driver.get_log(kind))

    def asked(self) -> set[str]:
        """Hosts of all requests so far, with what browsers say of their own pages left out."""
        hosts = set()
        for line in self._log("performance"):
            event: Any = json.loads(line["message"])["message"]
            if event["method"] == "Network.requestWillBeSent":
                url = urlsplit(event["params"]["request"]["url"])
                if url.scheme not in {"data", "chrome"}:
                    hosts.add(url.netloc)
        return hosts

    def complaints(self) -> list[str]:
        """What is on the console: errors of scripts, of the policy, of requests."""
        return [str(line["message"]) for line in self._log("browser")]

    def picture(self, name: str) -> None:
        """A screenshot for the docs; only looked at if they are not wanted."""
        picture = self.driver.get_screenshot_as_png()
        assert picture.startswith(b"\x89PNG")
        if PICTURES:
            Path(PICTURES, f"{name}.png").write_bytes(picture)
