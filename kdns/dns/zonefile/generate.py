"""``$GENERATE``: one line of a master file for many numbers, as BIND and others have it; in no RFC.

::

    $GENERATE 1-20 host-$ A 192.0.2.$
    $GENERATE 0-255/5 ${0,3,d} PTR host-${10}.example.org.

``$`` is the number; ``${OFFSET,WIDTH,BASE}`` is it with an offset, with zeros in front up to a width, and in a base:
d, o, x, X, or n and N, hexadecimal digits from the last to the first with dots between them. A dollar sign itself is
``\\$`` or ``$$``.
"""

import re
from typing import Final

from kdns.dns.zonefile.tokens import Token

MOST: Final = 65_536
"""Numbers of one line."""
WIDEST: Final = 63
RANGE: Final = re.compile(r"([0-9]{1,10})-([0-9]{1,10})(?:/([0-9]{1,10}))?")
PLACE: Final = re.compile(r"\\(.)|\$\$|\$\{([^}]*)\}|\$", re.DOTALL)
FORM: Final = re.compile(r"(-?[0-9]{1,10})(?:,([0-9]{1,2})(?:,([doxXnN]))?)?")


def numbers(text: str) -> range:
    """``START-STOP`` or ``START-STOP/STEP``. Raises ValueError."""
    match = RANGE.fullmatch(text)
    if match is None:
        raise ValueError(f"invalid range {text!r}: START-STOP or START-STOP/STEP")
    start, stop, step = int(match[1]), int(match[2]), int(match[3] or 1)
    if stop < start or step < 1 or stop >= 1 << 31:
        raise ValueError(f"invalid range {text!r}: from the smaller number to the greater, in steps of at least 1")
    span = range(start, stop + 1, step)
    if len(span) > MOST:
        raise ValueError(f"{text} has {len(span)} numbers, at most {MOST}")
    return span


def generated(token: Token, number: int) -> Token:
    """A word of the line for one number. Raises ValueError for invalid text between braces."""
    return token._replace(text=PLACE.sub(lambda place: _placed(place, number), token.text))


def _placed(place: re.Match[str], number: int) -> str:
    if place[1] is not None:
        return "$" if place[1] == "$" else place[0]
    if place[0] == "$$":
        return "$"
    if place[2] is None:
        return str(number)
    form = FORM.fullmatch(place[2])
    if form is None or int(form[2] or 0) > WIDEST:
        raise ValueError(f"invalid number format {place[0]!r}: ${{OFFSET,WIDTH,BASE}}, with d, o, x, X, n or N")
    value, width, base = number + int(form[1]), int(form[2] or 0), form[3] or "d"
    if value < 0:
        raise ValueError(f"{place[0]} is {value} for {number}")
    if base in "nN":
        return _nibbles(value, width, base)
    return format(value, base).zfill(width)


def _nibbles(value: int, width: int, base: str) -> str:
    digits = format(value, "x" if base == "n" else "X").zfill((width + 1) // 2)
    return ".".join(reversed(digits))
