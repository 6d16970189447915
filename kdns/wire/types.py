"""Types and classes by their names in text: all that there are. Those kdns itself uses are in `kdns.wire.numbers`."""

import re
from typing import Final

from dnslib import QTYPE

from kdns.wire.numbers import RTYPE_TEXT

NAMES: Final[dict[int, str]] = {**QTYPE.forward, **RTYPE_TEXT}
NUMBERS: Final[dict[str, int]] = {text: number for number, text in NAMES.items()}
CLASS_TEXT: Final = {1: "IN", 3: "CH", 4: "HS", 254: "NONE", 255: "ANY"}


def type_text(rtype: int) -> str:
    """``A``, ``CAA``..., or ``TYPE1234`` (RFC 3597 section 5)."""
    return NAMES.get(rtype) or f"TYPE{rtype}"


def type_number(text: str) -> int | None:
    """The number of a type in capitals, or of ``TYPE1234``; None for what is no type."""
    known = NUMBERS.get(text)
    if known is None and re.fullmatch(r"TYPE[0-9]{1,5}", text) and int(text[4:]) < 65536:
        return int(text[4:])
    return known


def class_text(rclass: int) -> str:
    """``IN``, ``CH``..., or ``CLASS1234`` (RFC 3597 section 5)."""
    return CLASS_TEXT.get(rclass) or f"CLASS{rclass}"
