"""A line chart as SVG, drawn by hand: both axes logarithmic, a line a series, its name at its end."""

import math
from collections.abc import Mapping, Sequence

WIDTH, HEIGHT = 720, 400
LEFT, RIGHT, TOP, BOTTOM = 70, 130, 40, 50
COLOURS = ("#1b6ca8", "#c0392b", "#2e8b57", "#8e44ad", "#b9770e", "#111111", "#16a3a3")


def chart(title: str, across: str, up: str, series: Mapping[str, Sequence[tuple[float, float]]]) -> str:
    """``series``: name -> points (x, y), all above 0; ``across`` and ``up`` say what the axes are."""
    points = [point for some in series.values() for point in some]
    low_x, high_x = min(x for x, _ in points), max(x for x, _ in points)
    low_y, high_y = 10 ** math.floor(_log(min(y for _, y in points))), 10 ** math.ceil(_log(max(y for _, y in points)))

    def at(x: float, y: float) -> tuple[float, float]:
        along = (_log(x) - _log(low_x)) / ((_log(high_x) - _log(low_x)) or 1)
        above = (_log(y) - _log(low_y)) / ((_log(high_y) - _log(low_y)) or 1)
        return LEFT + along * (WIDTH - LEFT - RIGHT), HEIGHT - BOTTOM - above * (HEIGHT - TOP - BOTTOM)

    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}"',
        '  font-family="sans-serif" font-size="12">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
        f'<text x="{LEFT}" y="22" font-size="15">{title}</text>',
        f'<text x="{LEFT}" y="{HEIGHT - 10}">{across}</text>',
        f'<text x="8" y="{(TOP + HEIGHT - BOTTOM) / 2}">{up}</text>',
    ]
    for x in sorted({x for x, _ in points}):
        here, _ = at(x, low_y)
        lines.append(f'<line x1="{here:.1f}" y1="{TOP}" x2="{here:.1f}" y2="{HEIGHT - BOTTOM}" stroke="#ddd"/>')
        lines.append(f'<text x="{here:.1f}" y="{HEIGHT - BOTTOM + 16}" text-anchor="middle">{x:,.0f}</text>')
    for power in range(round(_log(low_y)), round(_log(high_y)) + 1):
        _, here = at(low_x, 10.0**power)
        lines.append(f'<line x1="{LEFT}" y1="{here:.1f}" x2="{WIDTH - RIGHT}" y2="{here:.1f}" stroke="#ddd"/>')
        lines.append(f'<text x="{LEFT - 6}" y="{here + 4:.1f}" text-anchor="end">{10.0**power:,g}</text>')
    lines_of = {name: [at(x, y) for x, y in sorted(some)] for name, some in series.items()}
    heights = _apart({name: places[-1][1] for name, places in lines_of.items()})
    for (name, places), colour in zip(lines_of.items(), COLOURS, strict=False):
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
        lines.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        lines += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>' for x, y in places]
        lines.append(f'<text x="{places[-1][0] + 8:.1f}" y="{heights[name] + 4:.1f}" fill="{colour}">{name}</text>')
    return "\n".join((*lines, "</svg>")) + "\n"


def _apart(heights: Mapping[str, float]) -> dict[str, float]:
    """Where the names of lines stand, from the top down, so that none covers another."""
    apart: dict[str, float] = {}
    least = -math.inf
    for name, height in sorted(heights.items(), key=lambda item: item[1]):
        apart[name] = max(height, least)
        least = apart[name] + 14
    return apart


def _log(number: float) -> float:
    return math.log10(number)


def dots(title: str, across: str, rows: Mapping[str, Mapping[str, float]]) -> str:
    """A dot for each value of each row on one logarithmic axis, a colour for each name; rows from top to bottom."""
    names = list(dict.fromkeys(name for values in rows.values() for name in values))
    every = [value for values in rows.values() for value in values.values()]
    low, high = math.floor(_log(min(every)) * 2) / 2, math.ceil(_log(max(every)) * 2) / 2
    left, step = 230, 24
    height = TOP + 30 + step * len(rows) + BOTTOM

    def at(value: float) -> float:
        return left + (_log(value) - low) / ((high - low) or 1) * (WIDTH - left - 30)

    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}"',
        '  font-family="sans-serif" font-size="12">',
        f'<rect width="{WIDTH}" height="{height}" fill="white"/>',
        f'<text x="10" y="22" font-size="15">{title}</text>',
        f'<text x="{left}" y="{height - 10}">{across}</text>',
    ]
    if len(names) > len(COLOURS):
        raise ValueError(f"{len(names)} names, and {len(COLOURS)} colours")
    colours = dict(zip(names, COLOURS, strict=False))
    for number, (name, colour) in enumerate(colours.items()):
        x = 16 + number * 110
        lines.append(
            f'<circle cx="{x}" cy="{TOP}" r="5" fill="{colour}"/><text x="{x + 10}" y="{TOP + 4}">{name}</text>'
        )
    bottom = height - BOTTOM + 8
    for value in (1, 2, 3, 5, 10, 20, 30, 50, 100, 200, 300, 500):
        if low <= _log(value) <= high:
            along = at(value)
            lines.append(f'<line x1="{along:.1f}" y1="{TOP + 16}" x2="{along:.1f}" y2="{bottom}" stroke="#ddd"/>')
            lines.append(f'<text x="{along:.1f}" y="{bottom + 14}" text-anchor="middle">{value}</text>')
    for number, (row, values) in enumerate(rows.items()):
        y = TOP + 34 + step * number
        lines.append(f'<text x="{left - 12}" y="{y + 4}" text-anchor="end">{row}</text>')
        lines.append(f'<line x1="{left}" y1="{y}" x2="{WIDTH - 30}" y2="{y}" stroke="#eee"/>')
        lines += [
            f'<circle cx="{at(value):.1f}" cy="{y}" r="5" fill="{colours[name]}" fill-opacity="0.8"/>'
            for name, value in values.items()
        ]
    return "\n".join((*lines, "</svg>")) + "\n"
