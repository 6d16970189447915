"""Extended DNS errors (RFC 8914) for names of the cluster: why there is no answer, as far as the client may know that.

::

    no Service crat in Namespace shop     to a Pod of shop
    nothing                               to all others: what another Namespace has is none of their business
"""

from typing import Final

from kdns.records.clients import Unidentified
from kdns.records.reasons import Missing, Reason
from kdns.wire.name import label
from kdns.wire.numbers import EDE, NXDOMAIN, SERVFAIL
from kdns.wire.query import edns_option

OTHER: Final = 0
"""RFC 8914 section 4.1: "Other Error", explained by its text."""
NOT_READY: Final = 14
"""RFC 8914 section 4.15: "The server is unable to answer the query, as it was not fully functional when the query was
received"."""
LONGEST: Final = 200
"""Octets of the text: a reply must still fit."""
OF_THE_SERVER: Final = frozenset({Reason.SCHEMA, Reason.PODS_DISABLED, Reason.NOT_AN_ADDRESS})
"""Reasons that tell nothing of any object."""


def extended_error(missing: Missing | None, rcode: int, namespace: bytes | Unidentified, *, synced: bool) -> bytes:
    """The EDNS option for a reply to a client of a Namespace (as a label); empty if there is nothing to say to it."""
    if rcode == SERVFAIL and not synced:
        return _option(NOT_READY, "the cluster is not listed yet")
    if missing is None or rcode not in {NXDOMAIN, SERVFAIL} or isinstance(namespace, Unidentified):
        return b""
    if missing.reason in OF_THE_SERVER:
        return _option(OTHER, str(missing))
    about = missing.object
    if about is None or not about.namespace:
        return b""
    try:
        own = label(about.namespace) == namespace
    except ValueError:
        return b""
    return _option(OTHER, str(missing)) if own else b""


def _option(code: int, text: str) -> bytes:
    return edns_option(EDE, code.to_bytes(2, "big") + text.encode()[:LONGEST].decode(errors="ignore").encode())
