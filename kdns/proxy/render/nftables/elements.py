"""Elements of nftables mode: keys and values as the kernel has them, and as nft spells them. Pure.

::

    cluster-ips                address
    hairpin                    address . address
    service-ips, firewall-ips, no-endpoint-services          address . protocol . port : verdict
    service-nodeports, no-endpoint-nodeports                           protocol . port : verdict
    backends-tcp, ...                                        address . port . number   : address . port
    nodeport-backends-tcp, ...                                         port . number   : address . port

Each part is padded to 4 octets (`kdns.kernel.nft_elements`).
"""

from struct import Struct
from typing import Final

from kdns.kernel.nft_elements import DROP, GOTO, Verdict, parse
from kdns.proxy.model import Backend, Protocol
from kdns.proxy.render.nftables import fixed
from kdns.proxy.render.nftables.text import address

ElementsOf = dict[str, dict[bytes, bytes]]
"""By container, and in it by key: the octets of an element."""

NUMBERS: Final[dict[Protocol, bytes]] = {"TCP": b"\x06\0\0\0", "UDP": b"\x11\0\0\0", "SCTP": b"\x84\0\0\0"}
"""Protocols as the kernel has them in keys."""
_NAMES: Final = {number: protocol.lower() for protocol, number in NUMBERS.items()}
_PORT: Final = Struct(">H2x")
_NUMBER: Final = Struct("=I")
port_octets = _PORT.pack
"""A port as a part of a key."""
number_octets = _NUMBER.pack
"""What numgen gives, which is in the machine's order."""


def frontend_key(packed: bytes, protocol: Protocol, port: int) -> bytes:
    """The key of a frontend in maps to verdicts; no address: a node port."""
    return packed + NUMBERS[protocol] + _PORT.pack(port)


def destination(backend: Backend) -> bytes:
    """A backend as the value of a map."""
    return backend.address + _PORT.pack(backend.port)


def verdict(text: str) -> Verdict:
    """What ``drop`` and ``goto CHAIN`` are in an element."""
    return Verdict(DROP) if text == fixed.DROP else Verdict(GOTO, text.removeprefix("goto "))


def element_text(container: str, octets: bytes) -> str:
    """An element as nft takes and lists it, with its value if it has one."""
    element = parse(octets)
    text = key_text(container, element.key)
    if element.comment:
        text += f' comment "{element.comment}"'
    if isinstance(element.data, Verdict):
        return f"{text} : {f'goto {element.data.chain}' if element.data.code == GOTO else fixed.DROP}"
    if element.data is not None:
        return f"{text} : {address(element.data[:-4])} . {_PORT.unpack(element.data[-4:])[0]}"
    return text


def key_text(container: str, key: bytes) -> str:
    """The key of an element as nft lists it: ``10.96.0.10 . udp . 53``."""
    if container in (fixed.CLUSTER_IPS, fixed.NODE_PORT_IPS):
        return address(key)
    if container == fixed.HAIRPIN:
        half = len(key) // 2
        return f"{address(key[:half])} . {address(key[half:])}"
    head = f"{address(key[:-8])} . " if len(key) > 8 else ""
    if container in fixed.TO_VERDICTS:
        return f"{head}{_NAMES[key[-8:-4]]} . {_PORT.unpack(key[-4:])[0]}"
    return f"{head}{_PORT.unpack(key[-8:-4])[0]} . {_NUMBER.unpack(key[-4:])[0]}"
