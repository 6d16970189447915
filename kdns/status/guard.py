"""Which requests are answered: those of people who look at this server, and not of pages of other sites. Pure.

A page of another site can make a browser send requests here. Its script cannot read the answers, unless its name is
made to resolve to this address (DNS rebinding): then the Host header has that name. So only addresses, which need no
DNS, and localhost (RFC 6761 section 6.3) are taken.
"""

from collections.abc import Mapping
from typing import Final

from kdns.base.listen_address import parse_ip, split_port

HEADERS: Final = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; "
    "img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}
"""Of every response: nothing is loaded from elsewhere, sent elsewhere, framed, or kept."""


def refusal(headers: Mapping[str, str]) -> str | None:
    """Why a request is not answered, in a sentence; None: it is."""
    if (reason := host_refusal(headers.get("Host", ""))) is not None:
        return reason
    site, mode = headers.get("Sec-Fetch-Site", ""), headers.get("Sec-Fetch-Mode", "")
    if site in {"cross-site", "same-site"} and mode != "navigate":
        return "a page of another site asked for this"
    return None


def host_refusal(host: str) -> str | None:
    """Why a request to that host and port is not answered; None: it is."""
    if local_host(host):
        return None
    return f"the host {host[:100]!r} is a name; open this page by its address, or as localhost"


def local_host(host: str) -> bool:
    """A Host header that no DNS answer can have led to."""
    try:
        name, _ = split_port(host)
    except ValueError:
        return False
    name = name.lower().rstrip(".")
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        parse_ip(name)
    except ValueError:
        return False
    return True
