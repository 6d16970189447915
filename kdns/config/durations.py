"""Durations as operators write them: one reader for flags, Corefiles and KubeProxyConfiguration. Pure."""

import re
from fractions import Fraction
from typing import Final

NANOSECONDS: Final = {
    "ns": 1, "us": 10**3, "\u00b5s": 10**3, "\u03bcs": 10**3, "ms": 10**6, "s": 10**9,
    "m": 60 * 10**9, "h": 3600 * 10**9,
}  # fmt: skip
"""By unit, as Go's ``time.ParseDuration`` has them."""
LONGEST: Final = 1e9
"""Seconds; over thirty years, and less than Go's longest duration."""
LONGEST_TEXT: Final = 100
"""Characters."""
_PART: Final = re.compile(r"([0-9]+(?:\.[0-9]*)?|\.[0-9]+)(ns|us|\u00b5s|\u03bcs|ms|s|m|h)")
_BARE: Final = re.compile(r"[0-9]+(?:\.[0-9]+)?")


def parse_duration(text: str, *, bare: bool = False) -> float:
    """Seconds from Go's ``300ms``, ``-1.5h``, ``2h45m``. A unit is needed but for ``0``; ``bare``: seconds need none.

    Exact to the nanosecond. Raises ValueError, its message with a hint after a line break.
    """
    if bare and _BARE.fullmatch(text) and len(text) <= LONGEST_TEXT:
        return float(text)
    unsigned = re.sub(r"^[-+]", "", text, count=1)
    parts = _PART.findall(unsigned)
    if len(text) > LONGEST_TEXT or (unsigned != "0" and (not parts or "".join(map("".join, parts)) != unsigned)):
        if bare:
            hint = "each number needs its unit: 1m30s" if parts else "such as 5, 5s, 500ms or 1m30s"
        else:
            hint = "it needs a unit, such as s" if re.fullmatch(r"[0-9]+", unsigned) else "such as 300ms, 5s or 1m30s"
        raise ValueError(f"invalid duration {text[:LONGEST_TEXT]!r}\n{hint}")
    nanoseconds = round(sum(Fraction(number) * NANOSECONDS[unit] for number, unit in parts))
    return (-nanoseconds if text.startswith("-") else nanoseconds) / 10**9
