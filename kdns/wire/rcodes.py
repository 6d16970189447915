"""Response codes by name: the whole of IANA's table, for every part of kdns (iana.org/assignments/dns-parameters)."""

from typing import Final

RCODE_TEXT: Final[dict[int, str]] = {
    0: "NOERROR", 1: "FORMERR", 2: "SERVFAIL", 3: "NXDOMAIN", 4: "NOTIMP", 5: "REFUSED", 6: "YXDOMAIN", 7: "YXRRSET",
    8: "NXRRSET", 9: "NOTAUTH", 10: "NOTZONE", 11: "DSOTYPENI", 16: "BADVERS", 17: "BADKEY", 18: "BADTIME",
    19: "BADMODE", 20: "BADNAME", 21: "BADALG", 22: "BADTRUNC", 23: "BADCOOKIE",
}  # fmt: skip
RCODES: Final[dict[str, int]] = {**{text: number for number, text in RCODE_TEXT.items()}, "NOTIMPL": 4, "BADSIG": 16}
"""Names that a Corefile may use; the last two as CoreDNS has them."""


def rcode_text(rcode: int) -> str:
    """``NXDOMAIN``..., or ``RCODE12`` for a code without a name."""
    return RCODE_TEXT.get(rcode) or f"RCODE{rcode}"
