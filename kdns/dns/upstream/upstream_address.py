"""What a Corefile says of an upstream: an address and how to talk to it, a host name, or a file of addresses. Pure.

::

    10.0.0.10   10.0.0.10:5353   [2001:db8::1]:53   2001:db8::1   fe80::1%eth0
    tls://9.9.9.9   tls://9.9.9.9%dns.quad9.net:853   https://9.9.9.9
    resolver.example:53   tls://resolver.example   /etc/resolv.conf
"""

from typing import Final, Literal, NamedTuple

from kdns.base.addresses import is_address
from kdns.base.listen_address import parse_port, split_port
from kdns.wire.name import parse_name

Transport = Literal["dns", "tls", "https"]
PORTS: Final[dict[Transport, int]] = {"dns": 53, "tls": 853, "https": 443}


class UpstreamAddress(NamedTuple):
    """One upstream."""

    transport: Transport
    host: str
    """An IP address (with its zone, if it is link-local), or a host name that has yet to be resolved."""
    port: int
    server_name: str = ""
    """Whose certificate it must show, if the upstream itself says so."""

    @property
    def resolved(self) -> bool:
        """It has an address."""
        return is_address(self.host)

    @property
    def text(self) -> str:
        """``ADDRESS:PORT``, as in metrics and errors."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class File(NamedTuple):
    """A file in the form of resolv.conf; only its ``nameserver`` lines count."""

    path: str


def parse_upstream(text: str) -> UpstreamAddress | File:
    """What one word after the zone means. Raises ValueError for what is not an upstream.

    What has a slash is a file; a word that is not an address is a host name, unless a file of that name is there
    (`File` of one word is never made here: see `kdns.dns.upstream.resolve`).
    """
    scheme, separator, rest = text.partition("://")
    if not separator:
        scheme, rest = "dns", text
    transport = next((known for known in PORTS if known == scheme.lower()), None)
    if transport is None:
        raise ValueError(f"no such transport: {scheme}\ndns, tls or https")
    if "/" in rest:
        if transport == "https":
            raise ValueError("no path may follow the address of an upstream over HTTPS\nit is always /dns-query")
        if separator:
            raise ValueError("a file of upstreams has no transport before it\nwrite just its path")
        return File(rest)
    host, server_name, port = _split(rest, transport)
    if not host:
        raise ValueError("no address\nsuch as 10.0.0.10, [2001:db8::1]:53, tls://9.9.9.9 or /etc/resolv.conf")
    if not is_address(host):
        _check_host_name(host)
    return UpstreamAddress(transport, host, port, server_name)


def _split(rest: str, transport: Transport) -> tuple[str, str, int]:
    """Host, server name and port. After ``%`` comes a link-local zone, or for TLS the server's name."""
    rest, percent, tail = rest.partition("%")
    name, port = "", ""
    if percent:
        name, _, port = tail.partition(":")
        if rest.startswith("["):
            rest, name = rest[1:], name.removesuffix("]")
        if not name:
            raise ValueError("nothing stands after %\nthe name of the server, as in tls://9.9.9.9%dns.quad9.net")
    else:
        rest, port = split_port(rest)
    if name and transport == "dns":
        return f"{rest}%{name}", "", _port(port, transport)
    if name and transport == "https":
        raise ValueError("the name of a server over HTTPS is not written with %\nuse tls_servername")
    return rest, name, _port(port, transport)


def _port(text: str, transport: Transport) -> int:
    return parse_port(text, 1) if text else PORTS[transport]


def _check_host_name(host: str) -> None:
    try:
        parse_name(host)
    except ValueError as error:
        raise ValueError(f"neither an address nor a host name: {error}") from None
    if all(part.isdigit() for part in host.rstrip(".").split(".")) or ":" in host or "%" in host:
        raise ValueError(f"invalid IP address {host!r}\nsuch as 10.0.0.10 or 2001:db8::1")


def nameservers(text: str) -> list[UpstreamAddress]:
    """The upstreams of a file like resolv.conf; lines that say something else are skipped (resolv.conf(5))."""
    found = []
    for line in text.splitlines():
        words = line.split()
        if len(words) >= 2 and words[0] == "nameserver" and is_address(words[1]):
            found.append(UpstreamAddress("dns", words[1], PORTS["dns"]))
    return found
