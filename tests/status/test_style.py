"""The style sheet: contrast in both schemes, nothing that moves, and no address of others (WCAG 2.2)."""

import re
from importlib.resources import files

import pytest

SHEET = files("kdns.status").joinpath("static", "status.css").read_text()
TEXT, GRAPHICS = 4.5, 3.0
"""Least contrasts: WCAG 2.2, success criteria 1.4.3 (text of any size) and 1.4.11 (lines, edges, focus)."""
BACKS = ("back", "card", "ok-back", "warn-back", "fault-back", "idle-back")
WRITTEN = [
    *(("text", back) for back in BACKS),
    *(("dim", back) for back in BACKS),
    *(("link", back) for back in BACKS),
    *((state, back) for state in ("ok", "warn", "fault", "idle") for back in ("back", "card", f"{state}-back")),
    ("back", "link"),
]
"""Colour of a text, and what it stands on: banners, marks, tables, boxes of the drawing, buttons."""
DRAWN = [(state, back) for state in ("ok", "warn", "fault", "idle", "link") for back in ("back", "card")]
"""Lines and edges of the drawing, of fields, and of what has the focus."""


def schemes() -> dict[str, dict[str, str]]:
    """The colours by name, of the light and of the dark scheme."""
    light, dark = re.findall(r":root \{(.*?)\}", SHEET, re.DOTALL)
    read = {"light": light, "dark": dark}
    return {scheme: dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6});", text)) for scheme, text in read.items()}


def luminance(colour: str) -> float:
    """Relative luminance, as WCAG defines it."""
    channels = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [channel / 12.92 if channel <= 0.04045 else ((channel + 0.055) / 1.055) ** 2.4 for channel in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    """From 1 to 21."""
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def test_black_on_white() -> None:
    """The two ends of WCAG's scale, and its own example of a grey that just passes."""
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#777777") == 1
    assert contrast("#767676", "#ffffff") == pytest.approx(4.54, abs=0.01)


def test_both_schemes_have_the_same_colours() -> None:
    """None is left as the other scheme has it."""
    light, dark = schemes().values()
    assert light.keys() == dark.keys()
    assert {name for pair in WRITTEN for name in pair} <= light.keys()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(("pairs", "least"), [(WRITTEN, TEXT), (DRAWN, GRAPHICS)], ids=["text", "graphics"])
def test_it_can_be_read(scheme: str, pairs: list[tuple[str, str]], least: float) -> None:
    """Every colour stands out from what is behind it."""
    colours = schemes()[scheme]
    ratios = {f"{front} on {back}": round(contrast(colours[front], colours[back]), 2) for front, back in pairs}
    assert {pair: ratio for pair, ratio in ratios.items() if ratio < least} == {}


def test_colours_are_named() -> None:
    """No rule has a colour of its own, which would stay the same in the other scheme and escape this test."""
    rules = re.sub(r":root \{.*?\}", "", SHEET, flags=re.DOTALL)
    assert re.findall(r"#[0-9a-f]{3,8}\b|rgba?\(|hsla?\(|opacity", rules) == []
    assert set(re.findall(r"(?:color|fill|stroke|background)(?:-color)?: ([a-z]+)[;\s}]", rules)) <= {
        "inherit", "none", "transparent", "light",
    }  # fmt: skip


def test_nothing_moves() -> None:
    """There is nothing to stop for those who want less motion; what would be added belongs into a query for it."""
    moving = re.sub(r"@media \(prefers-reduced-motion: no-preference\) \{.*?\n\}", "", SHEET, flags=re.DOTALL)
    assert re.findall(r"transition|animation|@keyframes|scroll-behavior", moving) == []


def test_no_address_is_in_it() -> None:
    """Fonts and pictures of others would be asked for."""
    assert "url(" not in SHEET
    assert "@import" not in SHEET
