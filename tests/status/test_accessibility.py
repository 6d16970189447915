"""What a screen reader, a keyboard and weak eyes find on every page (WCAG 2.2, level AA), in a real browser."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from selenium.webdriver.common.keys import Keys

from tests.status.browsing import PHONE, WIDE, Browser
from tests.status.serving import cluster, served

pytestmark = [pytest.mark.browser, pytest.mark.e2e]
PAGES = (
    "/", "/services", "/services/shop/web", "/services/shop/broken", "/services/shop/elsewhere",
    "/names?name=web.shop", "/names?name=none.shop", "/explain?target=http://", "/chains", "/top", "/nothing",
)  # fmt: skip
STRUCTURE = """
const levels = [...document.querySelectorAll("h1, h2, h3, h4")].map(heading => Number(heading.tagName[1]));
const named = element => element.getAttribute("aria-label") || element.labels?.length || element.closest("label")
  || element.getAttribute("aria-labelledby");
const ids = [...document.querySelectorAll("[id]")].map(element => element.id);
return {
  language: document.documentElement.lang,
  title: document.title,
  landmarks: ["body > header", "header > nav", "body > main", "body > footer"].map(
    path => document.querySelectorAll(path).length),
  first: levels[0],
  topmost: levels.filter(level => level === 1).length,
  skipped: levels.some((level, at) => at && level > levels[at - 1] + 1),
  unnamed: [...document.querySelectorAll("input, nav, [role=region], [role=img]")].filter(
    element => !named(element)).length,
  headless: [...document.querySelectorAll("table")].filter(table =>
    !table.caption && !table.closest("[aria-label]")).length,
  unscoped: [...document.querySelectorAll("th")].filter(cell => !cell.scope).length,
  undescribed: [...document.querySelectorAll(".drawing > svg")].filter(svg =>
    !(svg.querySelector("title")?.textContent && svg.querySelector("desc")?.textContent.length > 20)).length,
  dangling: [...document.querySelectorAll("[aria-labelledby], [aria-describedby]")].flatMap(element =>
    ["aria-labelledby", "aria-describedby"].map(name => element.getAttribute(name))
      .filter(id => id && !ids.includes(id))),
  twice: ids.filter((id, at) => ids.indexOf(id) !== at),
};
"""
"""What a page is made of, for those who do not see it."""
FAINT = """
const LEAST = arguments[0];
const channels = colour => colour.match(/[\\d.]+/g).map(Number);
const linear = value => value <= 0.04045 * 255 ? value / 255 / 12.92 : ((value / 255 + 0.055) / 1.055) ** 2.4;
const luminance = ([red, green, blue]) => 0.2126 * linear(red) + 0.7152 * linear(green) + 0.0722 * linear(blue);
function behind(element) {
  for (let at = element; at; at = at.parentElement) {
    if (at instanceof SVGElement && at.classList.contains("box"))
      return channels(getComputedStyle(at.querySelector("rect")).fill);
    const back = channels(getComputedStyle(at).backgroundColor);
    if (back.length < 4 || back[3] > 0) return back;
  }
  throw new Error("nothing is behind " + element.outerHTML);
}
const found = [];
for (const element of document.querySelectorAll("body *")) {
  const own = [...element.childNodes].some(node => node.nodeType === Node.TEXT_NODE && node.textContent.trim());
  if (!own || !element.getClientRects().length || ["title", "desc"].includes(element.tagName)) continue;
  const style = getComputedStyle(element);
  const front = luminance(channels(element instanceof SVGElement ? style.fill : style.color));
  const back = luminance(behind(element));
  const ratio = (Math.max(front, back) + 0.05) / (Math.min(front, back) + 0.05);
  if (ratio < LEAST) found.push([element.outerHTML.slice(0, 90), ratio.toFixed(2)]);
}
return found;
"""
"""Texts whose contrast with what is really behind them is less than that."""
OUTLINE = """
const style = getComputedStyle(document.activeElement);
return document.activeElement === document.body ? null : [style.outlineStyle, parseFloat(style.outlineWidth)];
"""
"""How what has the focus shows it."""


async def test_pages_are_whole_for_those_who_do_not_see_them(browser: Browser, tmp_path: Path) -> None:
    """One main heading and no level left out, landmarks, names for all that asks or scrolls, words for the drawing."""
    async with served(cluster(tmp_path), small=True) as kdns:

        def visit() -> None:
            for path in PAGES:
                browser.open(kdns.url + path)
                page: dict[str, Any] = browser.run(STRUCTURE)
                assert page.pop("title").endswith(" – kdns serve")
                assert page == {
                    "language": "en", "landmarks": [1, 1, 1, 1], "first": 1, "topmost": 1, "skipped": False,
                    "unnamed": 0, "headless": 0, "unscoped": 0, "undescribed": 0, "dangling": [], "twice": [],
                }, path  # fmt: skip

        await asyncio.to_thread(visit)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [WIDE, PHONE])
async def test_every_text_stands_out(browser: Browser, tmp_path: Path, scheme: str, size: tuple[int, int]) -> None:
    """Also in banners, marks and boxes of the drawing; WCAG 2.2, success criterion 1.4.3."""
    async with served(cluster(tmp_path), small=True) as kdns:

        def visit() -> None:
            browser.look(size, scheme)
            for path in PAGES:
                browser.open(kdns.url + path)
                assert browser.run(FAINT, 4.5) == [], path
                assert len(browser.run(FAINT, 22)) > 5  # more than there is: each text is looked at

        await asyncio.to_thread(visit)


async def test_the_focus_is_seen(browser: Browser, tmp_path: Path) -> None:
    """Whatever Tab reaches has an outline of two pixels; WCAG 2.2, success criterion 2.4.7."""
    async with served(cluster(tmp_path)) as kdns:

        def visit() -> None:
            for path in ("/services", "/services/shop/web", "/explain?target=broken.shop:80"):
                browser.open(kdns.url + path)
                reached = 0
                while reached < 60:
                    browser.driver.switch_to.active_element.send_keys(Keys.TAB)
                    if (outline := browser.run(OUTLINE)) is None:
                        break
                    assert outline == ["solid", 2], browser.run("return document.activeElement.outerHTML")
                    reached += 1
                assert reached > 8

        await asyncio.to_thread(visit)
