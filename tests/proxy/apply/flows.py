"""Makes flows as the kernel would have them after a Service's rules: by hand, by the thousand."""

from collections.abc import Iterator
from ipaddress import ip_address
from itertools import count as numbers
from itertools import islice
from socket import IPPROTO_UDP

from pyroute2.netlink import NETLINK_NETFILTER, NLM_F_CREATE, NLM_F_EXCL
from pyroute2.netlink.nfnetlink import NFNL_SUBSYS_CTNETLINK

from kdns.kernel.netlink import Netlink, attribute, nested
from kdns.proxy.apply.applier import AF
from kdns.proxy.model import Family

_backend_ports = numbers(5353)
"""Another one for each call, or two frontends' flows to one backend would look alike to it."""
CONFIRMED_AND_ANSWERED = 0x8 | 0x4 | 0x2


def _tuple(kind: int, family: Family, source: bytes, destination: bytes, source_port: int, port: int) -> bytes:
    first = 1 if family is Family.IPV4 else 3
    return nested(
        kind,
        nested(1, attribute(first, source), attribute(first + 1, destination)),
        nested(
            2,
            attribute(1, bytes((IPPROTO_UDP,))),
            attribute(2, source_port.to_bytes(2, "big")),
            attribute(3, port.to_bytes(2, "big")),
        ),
    )


def make_flows(count: int, frontend: str, port: int, backend: str) -> None:
    """`count` flows from as many clients to a frontend, answered by a backend."""
    destination, answering = ip_address(frontend).packed, ip_address(backend).packed
    family = Family.IPV4 if len(destination) == 4 else Family.IPV6
    size, backend_port = family.width, next(_backend_ports)
    prefix = b"\x0b" if family is Family.IPV4 else b"\xfd\x0b" + bytes(13)

    def messages() -> Iterator[bytes]:
        for number in range(count):
            client = prefix + (number // 50_000).to_bytes(size - len(prefix), "big")
            client_port = 1000 + number % 50_000
            yield (
                bytes((AF[family], 0, 0, 0))
                + _tuple(1, family, client, destination, client_port, port)
                + _tuple(2, family, answering, client, backend_port, client_port)
                + attribute(3, CONFIRMED_AND_ANSWERED.to_bytes(4, "big"))
                + attribute(7, (600).to_bytes(4, "big"))
            )

    with Netlink(NETLINK_NETFILTER, "conntrack") as link:
        source = messages()
        while batch := list(islice(source, 200)):
            codes = link.ask(NFNL_SUBSYS_CTNETLINK << 8, NLM_F_CREATE | NLM_F_EXCL, batch)
            assert not any(codes), codes
