"""``--probe``: real questions and connections, from where the command runs. The edge.

::

    each DNS address and each DNS Pod    the name in full, over UDP and over TCP
    the frontend and each endpoint       a TCP connection, closed at once

Nothing is sent but a question and the beginning of a connection. All go out at once, so that what takes long takes as
long as the slowest one.
"""

import asyncio
import secrets
import socket
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import Final, Literal, NamedTuple

from kdns.base.clock import Clock
from kdns.base.errors import FormError
from kdns.explain.case import Case
from kdns.explain.evidence import Probe
from kdns.explain.objects import Body, field, key_of
from kdns.wire.message import UpstreamQuery, compose_query, parse_reply
from kdns.wire.name import parse_name
from kdns.wire.numbers import HEADER, A
from kdns.wire.rcodes import rcode_text
from kdns.wire.types import type_number

PATIENCE: Final = 2.0
"""Seconds for each; a resolver asks again after five."""
MOST: Final = 64
"""Endpoints and DNS Pods that are asked at most."""
AT_ONCE: Final = 32


Kind = Literal["dns-udp", "dns-tcp", "tcp"]


class Wanted(NamedTuple):
    """A probe that is to be made; see `Probe`."""

    kind: Kind
    address: str
    port: int
    about: str
    rtype: int = A


async def probe(wanted: Sequence[Wanted], *, patience: float = PATIENCE, clock: Clock = time.monotonic) -> list[Probe]:
    """Make them, in their order."""
    places = asyncio.Semaphore(AT_ONCE)

    async def one(each: Wanted) -> Probe:
        async with places:
            began = clock()
            outcome = await _outcome(each, patience)
            return Probe(each.kind, each.address, each.port, outcome, clock() - began, each.about)

    return list(await asyncio.gather(*map(one, wanted)))


async def _outcome(wanted: Wanted, patience: float) -> str:
    """``ok``, ``refused``, ``timeout``, an rcode, or what the system says."""
    try:
        async with asyncio.timeout(patience):
            match wanted.kind:
                case "dns-udp":
                    return await _ask_udp(wanted)
                case "dns-tcp":
                    return await _ask_tcp(wanted)
                case _:
                    return await _connect(wanted)
    except TimeoutError:
        return "timeout"
    except ConnectionRefusedError:
        return "refused"
    except OSError as error:
        return (error.strerror or str(error)).lower()


async def _connect(wanted: Wanted) -> str:
    _, writer = await asyncio.open_connection(wanted.address, wanted.port)
    writer.close()
    return "ok"


async def _ask_udp(wanted: Wanted) -> str:
    """Over a connected socket, so that an ICMP error arrives as `ConnectionRefusedError`."""
    loop = asyncio.get_running_loop()
    number, ask, query = _query(wanted)
    family = socket.AF_INET6 if ":" in wanted.address else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        sock.setblocking(False)
        await loop.sock_connect(sock, (wanted.address, wanted.port))
        await loop.sock_sendall(sock, query)
        while True:  # what is not the reply to this question is not looked at
            reply = parse_reply(await loop.sock_recv(sock, 65535), number, ask)
            if reply is not None:
                return _rcode(reply.rcode)


async def _ask_tcp(wanted: Wanted) -> str:
    number, ask, query = _query(wanted)
    reader, writer = await asyncio.open_connection(wanted.address, wanted.port)
    try:
        writer.write(len(query).to_bytes(2, "big") + query)
        length = int.from_bytes(await reader.readexactly(2), "big")
        reply = parse_reply(await reader.readexactly(length), number, ask) if length >= HEADER else None
    except (asyncio.IncompleteReadError, FormError):
        return "closed"
    finally:
        writer.close()
    return _rcode(reply.rcode) if reply is not None else "no DNS reply"


def _query(wanted: Wanted) -> tuple[int, UpstreamQuery, bytes]:
    number, ask = secrets.randbits(16), UpstreamQuery(parse_name(wanted.about.split()[0]), wanted.rtype)
    return number, ask, compose_query(number, ask)


def _rcode(rcode: int) -> str:
    return "ok" if rcode == 0 else rcode_text(rcode)


def plan(case: Case, name: str) -> list[Wanted]:
    """What to probe for a question; ``name``: the name in full, empty for an address."""
    return [*(_dns(case, name) if name else ()), *_connections(case)]


def _dns(case: Case, name: str) -> Iterator[Wanted]:
    service = case.dns.service
    if service is None:
        return
    rtype = type_number(case.question.target.rtype or "A") or A
    asked = [(address, 53, name) for address in _cluster_ips(service)]
    asked += [(address, port, f"{name} {pod}") for address, port, pod in _endpoints(case, service, "UDP", 53)]
    for address, port, about in asked[:MOST]:
        yield Wanted("dns-udp", address, port, about.strip(), rtype)
        yield Wanted("dns-tcp", address, port, about.strip(), rtype)


def _connections(case: Case) -> Iterator[Wanted]:
    """The frontend and its endpoints, for TCP ports."""
    target, service = case.question.target, case.service
    if target.protocol != "TCP":
        return
    if service is None:
        if target.address and isinstance(target.port, int):
            yield Wanted("tcp", target.address, target.port, target.address)
        return
    for port in field(service, "spec.ports", []):
        number = port.get("port")
        asked = target.port in (None, number, port.get("name"), port.get("nodePort"))
        if not asked or port.get("protocol", "TCP") != "TCP" or not isinstance(number, int):
            continue
        about = str(key_of(service))
        node_port = port.get("nodePort")
        frontend = node_port if target.address and target.port == node_port else number
        for address in [target.address] if target.address else _cluster_ips(service):
            yield Wanted("tcp", address, frontend, about)
        for address, endpoint_port, pod in list(_endpoints(case, service, "TCP", number))[:MOST]:
            yield Wanted("tcp", address, endpoint_port, pod or about)


def _cluster_ips(service: Body) -> list[str]:
    addresses = field(service, "spec.clusterIPs", []) or [field(service, "spec.clusterIP", "")]
    return [address for address in addresses if address and address != "None"]


def _endpoints(case: Case, service: Body, protocol: str, number: int) -> Iterator[tuple[str, int, str]]:
    """(address, port, Pod) of the ready endpoints of a Service's port."""
    key = key_of(service)
    ports = [port for port in field(service, "spec.ports", [])
             if port.get("port") == number and port.get("protocol", "TCP") == protocol]  # fmt: skip
    names = {port.get("name") or "" for port in ports}
    for body in case.objects.all("EndpointSlice", key.namespace):
        if field(body, "metadata.labels", {}).get("kubernetes.io/service-name") != key.name:
            continue
        for port in body.get("ports") or ():
            if (port.get("name") or "") in names and port.get("port"):
                yield from _ready(body, int(port["port"]))


def _ready(body: Body, port: int) -> Iterable[tuple[str, int, str]]:
    for endpoint in body.get("endpoints") or ():
        if (endpoint.get("conditions") or {}).get("ready") is not False:
            pod = (endpoint.get("targetRef") or {}).get("name", "")
            yield from ((address, port, pod) for address in endpoint.get("addresses") or ())
