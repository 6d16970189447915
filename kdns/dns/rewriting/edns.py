"""EDNS options of a query are set, appended, replaced and unset (RFC 6891 section 6.1.2). Pure."""

from collections.abc import Iterable
from ipaddress import ip_address, ip_network
from typing import Final, Literal, NamedTuple

from kdns.dns.api.handler import Request
from kdns.dns.rewriting.replies import Option
from kdns.wire.name import name_text
from kdns.wire.query import Edns, edns_option, edns_options

Action = Literal["set", "append", "replace", "unset"]
ACTIONS: Final[tuple[Action, ...]] = ("set", "append", "replace", "unset")
NSID: Final = 3
SUBNET: Final = 8
PAYLOAD: Final = 4096
"""Octets that we take over UDP where the client said nothing, as in CoreDNS."""
VARIABLES: Final = ("qname", "qtype", "client_ip", "client_port", "protocol", "server_ip", "server_port")


class Subnet(NamedTuple):
    """The client's network (RFC 7871 section 6)."""

    four: int
    """Bits of an IPv4 address."""
    six: int


class Variable(NamedTuple):
    """One of `VARIABLES`, or a key of the metadata."""

    name: str
    port: int
    """The server's."""


class Edit(NamedTuple):
    """One change to the options of a query."""

    action: Action
    code: int
    data: bytes | Variable | Subnet = b""
    revert: bool = False
    """The reply shows nothing of it."""

    def apply(self, request: Request) -> tuple[Request, Option | None] | None:
        """The changed request, and what undoes it; None if nothing is to be done."""
        edns = request.query.edns or Edns(PAYLOAD, 0, False)
        options = list(edns_options(edns.options))
        undo: Option | None = None
        if self.action == "unset":
            options = [option for option in options if option[0] != self.code]
        else:
            data = value(self.data, request)
            there = next((number for number, option in enumerate(options) if option[0] == self.code), None)
            if data is None or self.action == ("replace" if there is None else "append"):
                return None
            if there is None:
                options.append((self.code, data))
                undo = Option(self.code, None)
            else:
                undo = Option(self.code, options[there][1])
                options[there] = self.code, data
        changed = edns._replace(options=octets(options))
        query = request.query._replace(edns=changed)
        return request._replace(query=query), undo if self.revert else None


def value(data: bytes | Variable | Subnet, request: Request) -> bytes | None:
    """What an option is to hold for one request; None if there is no such thing."""
    if isinstance(data, Variable):
        return _variable(data, request)
    if isinstance(data, Subnet):
        address = ip_address(request.client.address.partition("%")[0])
        family, bits = (1, data.four) if address.version == 4 else (2, data.six)
        network = ip_network((address, bits), strict=False)
        # RFC 7871 section 6: no more octets of the address than its prefix needs
        return family.to_bytes(2, "big") + bytes((bits, 0)) + network.network_address.packed[: (bits + 7) // 8]
    return data


def _variable(variable: Variable, request: Request) -> bytes | None:
    client, query = request.client, request.query
    match variable.name:
        case "qname":
            return name_text(query.question[:-4]).encode("ascii")
        case "qtype":
            return query.rtype.to_bytes(2, "big")
        case "client_ip":
            return ip_address(client.address.partition("%")[0]).packed
        case "client_port":
            return client.port.to_bytes(2, "big")
        case "protocol":
            return b"udp" if client.proto == "udp" else b"tcp"
        case "server_ip":
            return ip_address(client.local.partition("%")[0]).packed
        case "server_port":
            return variable.port.to_bytes(2, "big")
        case label:
            return request.metadata.get(label, "").encode() or None


def octets(options: Iterable[tuple[int, bytes]]) -> bytes:
    """Options in wire form."""
    return b"".join(edns_option(code, data) for code, data in options)


def echoed(edns: Edns | None, undone: Iterable[Option], codes: frozenset[int], present: bytes) -> bytes:
    """What the reply's options are: those that are there, and those of the query with one of the codes.

    ``undone`` is applied to the query's first, in the order given.
    """
    options = dict(edns_options(edns.options)) if edns is not None else {}
    for code, before in undone:
        if before is None:
            options.pop(code, None)
        else:
            options[code] = before
    known = {code for code, _ in edns_options(present)}
    return present + octets((code, data) for code, data in options.items() if code in codes and code not in known)
