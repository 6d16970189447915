"""``whoami``: tells clients their own address and port, whatever they ask."""

from ipaddress import ip_address
from typing import Final

from kdns.dns.api.handler import Client, Handler, Request, Response
from kdns.dns.api.options import NoOptions, parse_bare
from kdns.dns.api.plugin import BlockContext, Built
from kdns.wire.name import MAX_NAME, ROOT, child
from kdns.wire.numbers import AA, AAAA, SRV, A
from kdns.wire.rr import RR

NAME: Final = "whoami"
parse = parse_bare


def build(_options: NoOptions, _parts: BlockContext) -> Built:
    """The plugin for one server block; nothing behind it is ever asked."""
    return Built(plugin=whoami)


def whoami(_following: Handler) -> Handler:
    """The plugin."""

    async def handle(request: Request) -> Response:
        query, client = request.query, request.client
        records = [_address(query.name, client, query.rclass)]
        service = f"_{'udp' if client.proto == 'udp' else 'tcp'}"
        if len(service) + 1 + len(query.name) <= MAX_NAME:
            rdata = bytes(4) + client.port.to_bytes(2, "big") + ROOT
            records.append(RR(child(query.name, service), SRV, 0, rdata, query.rclass))
        return Response(0, AA, additional=tuple(records), plugin=NAME)

    return handle


def _address(name: bytes, client: Client, rclass: int) -> RR:
    packed = ip_address(client.address.partition("%")[0]).packed
    return RR(name, A if len(packed) == 4 else AAAA, 0, packed, rclass)
