"""One endpoint: its row in a packed slice, and the label that names it.

Kubernetes DNS specification 1.1.0 section 2.4.1; without a hostname, the address with dashes, as in CoreDNS.
"""

import ipaddress
from collections.abc import Iterable, Iterator

from kdns.base.objects import EndpointSlice
from kdns.records.schema import Schema
from kdns.wire.name import label

Row = tuple[EndpointSlice, int]
"""A slice and the number of an address in it."""


def rows(slices: Iterable[EndpointSlice]) -> Iterator[Row]:
    """Every row of some slices."""
    for part in slices:
        for row in range(part.rows):
            yield part, row


def row_addresses(rows: Iterable[Row]) -> Iterator[bytes]:
    """The packed address of each row."""
    for part, row in rows:
        yield part.address(row)


def endpoint_name(part: EndpointSlice, row: int, schema: Schema) -> str:
    """The label of one endpoint: its hostname, or its Pod's name if that is asked for, or its address with dashes."""
    if part.hostnames and _is_label(part.hostnames[row]):
        return part.hostnames[row]
    if schema.endpoint_pod_names and part.pods and _is_label(part.pods[row]):
        return part.pods[row]
    return dashed(part.texts[row] if part.texts else address_text(part.address(row)))


def endpoint_labels(part: EndpointSlice, row: int, schema: Schema, *, imported: bool) -> bytes:
    """What stands left of the Service's name in that of one endpoint; for a ServiceImport with its cluster's label.

    Raises ValueError if that is not a label.
    """
    name = label(endpoint_name(part, row, schema))
    return name + label(part.cluster) if imported and part.cluster else name


def rows_named(slices: Iterable[EndpointSlice], endpoint: bytes, schema: Schema) -> Iterator[Row]:
    """The rows whose endpoint name is a folded label, found without making the names of all rows."""
    text = endpoint.decode("latin-1")
    address = undashed(text)
    for part in slices:
        candidates: set[int] = set()
        if part.texts:
            candidates.update(range(part.rows))
        else:
            for column in (part.hostnames, part.pods):
                candidates.update(_positions(column, text))
            if address is not None and len(address) == part.width:
                candidates.update(_positions_of_address(part, address))
        for row in sorted(candidates):
            if endpoint_name(part, row, schema).lower() == text:
                yield part, row


def _positions(column: tuple[str, ...], text: str) -> Iterator[int]:
    at = -1
    for _ in range(column.count(text)):
        at = column.index(text, at + 1)
        yield at


def _positions_of_address(part: EndpointSlice, address: bytes) -> Iterator[int]:
    at = part.addresses.find(address)
    while at >= 0:
        row, rest = divmod(at, part.width)
        if not rest:
            yield row
        at = part.addresses.find(address, at + 1)


def _is_label(text: str) -> bool:
    return 0 < len(text) < 64 and "." not in text and text.isascii()


def address_text(address: bytes) -> str:
    """The canonical text of a packed address (RFC 5952 for IPv6)."""
    if len(address) == 4:
        return ".".join(map(str, address))
    return ipaddress.IPv6Address(address).compressed


def dashed(text: str) -> str:
    """An address as a label: ``10-244-0-7``; an IPv6 text that would end in a dash gets a 0 behind it."""
    name = text.replace(".", "-").replace(":", "-").lower()
    return name + "0" if name.endswith("-") else name


def undashed(text: str) -> bytes | None:
    """The packed address that a dashed label spells; None if it spells none."""
    for candidate in (text.replace("-", "."), text.replace("-", ":")):
        try:
            return ipaddress.ip_address(candidate).packed
        except ValueError:
            continue
    return None
