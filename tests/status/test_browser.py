"""The pages in a real browser: what is drawn, and that nothing else is asked or goes wrong."""

import asyncio
import signal
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from kdns.demo.ask import Question, ask
from tests.running import Kdns
from tests.status.browsing import PHONE, WIDE, Browser
from tests.status.serving import cluster, served

pytestmark = [pytest.mark.browser, pytest.mark.e2e]
PAGES = (
    "/", "/services", "/services/shop/web", "/services/shop/broken", "/services/shop/peers", "/names?name=web.shop",
    "/explain?target=broken.shop:80", "/chains", "/top", "/nothing",
)  # fmt: skip
PHONE_PICTURES = {"/": "phone-overview", "/services/shop/web": "phone", "/services/shop/broken": "phone-broken"}
CUT_OFF = """
return [...document.querySelectorAll("body *:not(.skip)")].filter(element => !element.closest(".wide, svg")
  && element.getBoundingClientRect().right > innerWidth + 0.5).map(element => element.outerHTML.slice(0, 80));
"""
"""Elements that reach beyond the right edge, but for what scrolls in a box of its own."""
SHOWN = """
return [...document.querySelectorAll(".drawing svg")].filter(svg => svg.getClientRects().length).map(svg => ({
  which: svg.getAttribute("class"),
  letters: Math.min(...[...svg.querySelectorAll("text")].map(text =>
    parseFloat(getComputedStyle(text).fontSize) * svg.getScreenCTM().a)),
  outside: [...svg.querySelectorAll(".box")].filter(box => [...box.querySelectorAll("text")].some(text =>
    text.getBBox().x + text.getBBox().width > box.querySelector("rect").getBBox().x +
    box.querySelector("rect").getBBox().width)).map(box => box.textContent),
}));
"""
"""What is seen of the drawings of a page."""


async def test_the_demo_in_a_browser(browser: Browser) -> None:
    """`kdns demo` prints an address; from there every page is reached by its links, as people would."""
    async with Kdns("demo", "--port", "0") as kdns:
        await kdns.line("Ctrl-C ends it")
        url = (await kdns.line(r"^  (http://127\.0\.0\.1:\d+)/$"))[1]

        def visit() -> None:
            browser.open(url)
            assert browser.texts("h1") == ["Overview"]
            browser.picture("overview")
            browser.follow("Services")
            browser.fill("q", "storefront")
            browser.follow("shop/storefront")
            assert browser.texts("h1") == ["storefront LoadBalancer"]
            boxes = browser.texts(".wide-path .box text:first-of-type")
            assert boxes[:2] == ["storefront", "10.96.20.2"]
            assert {"10.96.20.2:443", "192.0.2.20:443", ":30443", "10.244.0.12:8443", "10.244.1.12:8443"} <= set(boxes)
            assert browser.texts(".wide-path .fault") == []
            browser.picture("service")
            browser.follow("storefront.shop.svc.cluster.local.")
            assert "10.96.20.2" in browser.texts("td.m")
            browser.picture("name")

        await asyncio.to_thread(visit)
        assert browser.asked() == {urlsplit(url).netloc}
        assert browser.complaints() == []
        kdns.send(signal.SIGINT)
        assert (await kdns.ended())[0] == 0


async def test_a_broken_service_is_red(browser: Browser, tmp_path: Path) -> None:
    """The overview leads to it; its rule and endpoint are red, the rest is not; explain says why, in both schemes."""
    async with served(cluster(tmp_path), small=True) as kdns:

        def visit() -> None:
            browser.open(kdns.url)
            browser.follow("3 of 5 Services")
            assert [text.split("/")[1] for text in browser.texts("tbody th")] == ["broken", "empty", "peers"]
            browser.follow("shop/broken")
            assert browser.texts(".wide-path .box.fault text:first-of-type") == ["10.244.0.7:8080", "refuse"]
            assert browser.texts(".wide-path .box.ok text:first-of-type") == ["broken", "10.96.0.10", "10.96.0.10:80"]
            red = browser.driver.find_element(By.CSS_SELECTOR, ".wide-path .box.fault rect").value_of_css_property(
                "stroke"
            )
            browser.picture("broken")
            browser.look(scheme="dark")
            assert (
                browser.driver.find_element(By.CSS_SELECTOR, ".wide-path .box.fault rect").value_of_css_property(
                    "stroke"
                )
                != red
            )
            browser.picture("broken-dark")
            browser.look()
            browser.follow("Why?")
            browser.fill("target", "broken.shop:81")
            assert any("has no port 81" in text for text in browser.texts(".chain > li.fault p"))
            browser.picture("why")

        await asyncio.to_thread(visit)
        assert browser.asked() == {urlsplit(kdns.url).netloc}
        assert browser.complaints() == []


async def test_live_numbers_and_nothing_without_a_script(browser: Browser, tmp_path: Path) -> None:
    """The number of questions follows by itself; with scripts off the page is whole and stays as it was."""
    async with served(cluster(tmp_path)) as kdns:
        await asyncio.to_thread(browser.open, kdns.url)
        assert browser.texts("[data-key='dns.total']") == ["0"]
        await ask(Question("web.shop.svc.cluster.local", "A"), "127.0.0.1", kdns.app.serving.bound[0].port)
        await asyncio.to_thread(browser.until, "[data-key='dns.total']", "1")

        def visit_without_script() -> None:
            browser.look(script=False)
            for path in (
                "/",
                "/services/shop/web",
                "/names?name=web.shop",
                "/explain?target=web.shop",
                "/chains",
                "/top",
            ):
                browser.driver.get(kdns.url + path)
                assert len(browser.driver.find_elements(By.CSS_SELECTOR, "main h1")) == 1
            browser.look()

        await asyncio.to_thread(visit_without_script)
        assert browser.complaints() == []


@pytest.mark.parametrize("size", [PHONE, (768, 900), (1100, 900), (2200, 1000)])
async def test_no_page_is_wider_than_the_window(browser: Browser, tmp_path: Path, size: tuple[int, int]) -> None:
    """From a phone to a wide screen only tables scroll sideways, in their own boxes, and never the page itself."""
    async with served(cluster(tmp_path), small=True) as kdns:

        def visit() -> None:
            browser.look(size)
            for path in PAGES:
                browser.open(kdns.url + path)
                assert browser.run("return document.scrollingElement.scrollWidth <= innerWidth"), path
                assert browser.run(CUT_OFF) == [], path
                if size == PHONE and path in PHONE_PICTURES:
                    browser.picture(PHONE_PICTURES[path])
            browser.look()

        await asyncio.to_thread(visit)


@pytest.mark.parametrize("size", [PHONE, (768, 900), WIDE])
async def test_the_drawing_can_be_read(browser: Browser, tmp_path: Path, size: tuple[int, int]) -> None:
    """One of both drawings is seen, its letters are at least 11 pixels high, and no text leaves its box."""
    async with served(cluster(tmp_path)) as kdns:

        def visit() -> None:
            browser.look(size)
            for name in ("web", "broken", "peers", "elsewhere"):
                browser.open(f"{kdns.url}/services/shop/{name}")
                (shown,) = browser.run(SHOWN)
                assert shown["which"] == ("wide-path" if size == WIDE else "narrow-path")
                assert shown["letters"] >= 11
                assert shown["outside"] == []
            browser.look()

        await asyncio.to_thread(visit)


async def test_by_keyboard_alone(browser: Browser, tmp_path: Path) -> None:
    """The first Tab offers to skip to the content; all that scrolls or leads on can be reached, and has a name."""
    async with served(cluster(tmp_path)) as kdns:

        def visit() -> None:
            browser.open(f"{kdns.url}/services/shop/web")
            reached: list[str] = []
            for _ in range(40):
                browser.driver.switch_to.active_element.send_keys(Keys.TAB)
                element = browser.driver.switch_to.active_element
                name = element.get_attribute("aria-label") or element.text
                if element.tag_name == "body" or name in reached[:1]:
                    break
                assert name, element.get_attribute("outerHTML")
                reached.append(name)
            assert reached[0] == "Skip to the content"
            assert {"Overview", "Records", "Endpoints", "this page as JSON"} <= set(reached)
            assert reached[1:4] == ["kdns serve", "Overview", "Services"]
            assert reached[-1] == "this page as JSON"

        await asyncio.to_thread(visit)
