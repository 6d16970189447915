"""EDNS options of a query are set, appended, replaced and unset (RFC 6891 section 6.1.2). Pure.

What the Corefile sets goes on to upstreams (`Edns.added`); what the client sent of its own does not. None of it comes
back in the reply: options are between two neighbours.
"""

from collections.abc import Iterable
from ipaddress import ip_address
from typing import Final, Literal, NamedTuple

from kdns.dns.api.handler import Request
from kdns.dns.api.request_values import client as client_address
from kdns.wire.name import name_text
from kdns.wire.query import Edns, edns_option, edns_options

Action = Literal["set", "append", "replace", "unset"]
ACTIONS: Final[tuple[Action, ...]] = ("set", "append", "replace", "unset")
NSID: Final = 3
SUBNET: Final = 8
PAYLOAD: Final = 4096
"""Octets that we take over UDP for a client without EDNS, as in CoreDNS."""
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

    def apply(self, request: Request) -> Request | None:
        """The changed request; None if nothing is to be done."""
        edns = request.query.edns or Edns(PAYLOAD, 0, False)
        options, added = dict(edns_options(edns.options)), dict(edns_options(edns.added))
        if self.action == "unset":
            options.pop(self.code, None)
            added.pop(self.code, None)
        else:
            data = value(self.data, request)
            unwanted = {"replace": self.code not in options, "append": self.code in options}.get(self.action, False)
            if data is None or unwanted:
                return None
            options[self.code] = added[self.code] = data
        changed = edns._replace(options=octets(options.items()), added=octets(added.items()))
        return request._replace(query=request.query._replace(edns=changed))


def value(data: bytes | Variable | Subnet, request: Request) -> bytes | None:
    """What an option is to hold for one request; None if there is no such thing."""
    if isinstance(data, Variable):
        return _variable(data, request)
    if isinstance(data, Subnet):
        address = client_address(request)
        family, bits = (1, data.four) if len(address) == 4 else (2, data.six)
        spare = 8 * len(address) - bits
        network = (int.from_bytes(address, "big") >> spare << spare).to_bytes(len(address), "big")
        # RFC 7871 section 6: no more octets of the address than its prefix needs
        return family.to_bytes(2, "big") + bytes((bits, 0)) + network[: (bits + 7) // 8]
    return data


def _variable(variable: Variable, request: Request) -> bytes | None:
    client, query = request.client, request.query
    match variable.name:
        case "qname":
            return name_text(query.question[:-4]).encode("ascii")
        case "qtype":
            return query.rtype.to_bytes(2, "big")
        case "client_ip":
            return client_address(request)
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
