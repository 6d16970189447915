"""Reverse names: from an address to the Service or the endpoints that have it.

RFC 1035 section 3.5 and RFC 3596 section 2.5; Kubernetes DNS specification 1.1.0 sections 2.3.3 and 2.4.3. The index
is in two levels, so that an empty non-terminal (RFC 8020) is found without walking every address, and so that the
inner keys of IPv4 are single octets, which Python shares.
"""

from collections.abc import Iterator
from typing import Final, NamedTuple

from kdns.base.objects import EndpointSlice, ObjectKey, RecordSource, Service
from kdns.records.endpoint import endpoint_name
from kdns.records.reasons import ADDRESS, EMPTY, NOT_AN_ADDRESS, Missing
from kdns.records.rrset import Node, RRset, merged
from kdns.records.schema import Schema
from kdns.wire.name import child, leading_labels, under
from kdns.wire.numbers import PTR
from kdns.wire.reverse import IN_ADDR, IP6

Owner = Service | EndpointSlice

_NETWORK: Final = {4: 3, 16: 8}
"""Octets of an address that make the outer key: a /24 or a /64, about a node's worth of Pods."""


class Holders(NamedTuple):
    """Who has an address."""

    address: bytes
    """Packed."""
    owners: tuple[Owner, ...]
    """In the order of their keys."""


class AddressIndex:
    """Who has an address: Services by cluster IP, EndpointSlices by ready endpoint."""

    def __init__(self) -> None:
        # One owner is the rule; Pods on the host's network share its address, so many must not cost many times more.
        self._networks: dict[int, dict[bytes, dict[bytes, Owner | dict[ObjectKey, Owner]]]] = {4: {}, 16: {}}

    def add(self, address: bytes, owner: Owner) -> None:
        """Note that an owner has an address; it takes the place of one with the same key."""
        at = _NETWORK[len(address)]
        network = self._networks[len(address)].setdefault(address[:at], {})
        rest = address[at:]
        present = network.get(rest)
        if isinstance(present, dict):
            present[owner.key] = owner
        elif present is None or present.key == owner.key:
            network[rest] = owner
        else:
            network[rest] = {present.key: present, owner.key: owner}

    def remove(self, address: bytes, owner: Owner) -> None:
        """Forget that an owner has an address, unless another took its place."""
        at = _NETWORK[len(address)]
        networks = self._networks[len(address)]
        network = networks.get(address[:at], {})
        present = network.get(address[at:])
        if isinstance(present, dict):
            if present.get(owner.key) == owner:
                del present[owner.key]
                if len(present) == 1:
                    (network[address[at:]],) = present.values()
        elif present == owner:
            del network[address[at:]]
            if not network:
                del networks[address[:at]]

    def find(self, address: bytes) -> tuple[Owner, ...]:
        """All owners of an address, in a fixed order."""
        at = _NETWORK[len(address)]
        present = self._networks[len(address)].get(address[:at], {}).get(address[at:])
        if present is None:
            return ()
        if isinstance(present, dict):
            return tuple(owner for _, owner in sorted(present.items()))
        return (present,)

    def lookup(self, name: bytes) -> Holders | Missing:
        """Who has the address that a reverse name spells."""
        spelled = spelled_address(name)
        if isinstance(spelled, Missing):
            return spelled
        width, digits = spelled
        if len(digits) < 2 * width:
            return EMPTY if self.any_under(width, digits) else ADDRESS
        holders = self.holders(bytes.fromhex(digits))
        return holders if holders.owners else ADDRESS

    def holders(self, address: bytes) -> Holders:
        """Who has a packed address."""
        return Holders(address, self.find(address))

    def __iter__(self) -> Iterator[bytes]:
        """All addresses, IPv4 first, each family in order."""
        for networks in self._networks.values():
            for network in sorted(networks):
                for rest in sorted(networks[network]):
                    yield network + rest

    def any_under(self, width: int, digits: str) -> bool:
        """True if some address of a width (octets) begins with these hexadecimal digits."""
        networks = self._networks[width]
        outer = 2 * _NETWORK[width]
        if len(digits) <= outer:
            return any(network.hex().startswith(digits) for network in networks)
        network = networks.get(bytes.fromhex(digits[:outer]), {})
        return any(rest.hex().startswith(digits[outer:]) for rest in network)


def spelled_address(name: bytes) -> tuple[int, str] | Missing:
    """Width in octets and leading hexadecimal digits of the address that a reverse name spells, or the beginning of."""
    if under(name, IP6):
        nibbles = leading_labels(name, len(name) - len(IP6))[::-1]
        if len(nibbles) > 32 or any(len(nibble) != 1 or nibble not in b"0123456789abcdef" for nibble in nibbles):
            return NOT_AN_ADDRESS
        return 16, b"".join(nibbles).decode("ascii")
    octets = leading_labels(name, len(name) - len(IN_ADDR))[::-1]
    if len(octets) > 4 or any(octet not in _OCTETS for octet in octets):
        return NOT_AN_ADDRESS
    return 4, "".join(f"{_OCTETS[octet]:02x}" for octet in octets)


_OCTETS: Final = {str(octet).encode(): octet for octet in range(256)}


def reverse_node(holders: Holders, owner: bytes, schema: Schema) -> Node | Missing:
    """The PTR records of an address.

    A cluster IP has one name. An endpoint has one in each Service it belongs to, whatever the kind of Service and
    whether or not the Service object is still there.
    """
    for holder in holders.owners:
        if isinstance(holder, Service):
            target = child(schema.zones[0], holder.key.name, holder.key.namespace, "svc")
            return Node((RRset(owner, PTR, schema.ttl, (target,), holder.key),), tags=(holders.address,))
    sources: dict[bytes, RecordSource] = {}
    for part in holders.owners:
        if isinstance(part, EndpointSlice) and part.service:
            for row in range(part.rows):
                if part.address(row) == holders.address and (name := _endpoint_target(part, row, schema)):
                    sources.setdefault(name, part.source)
    if not sources:
        return ADDRESS
    return Node((merged(owner, PTR, schema.ttl, sources),), tags=(holders.address,))


def _endpoint_target(part: EndpointSlice, row: int, schema: Schema) -> bytes:
    """The name of an endpoint in the primary zone; empty when it would be too long to be one."""
    try:
        return child(schema.zones[0], endpoint_name(part, row, schema), part.service, part.key.namespace, "svc")
    except ValueError:
        return b""
