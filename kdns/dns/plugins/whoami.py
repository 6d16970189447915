"""``whoami``: tells clients their own address and port, whatever they ask."""

from collections.abc import Sequence
from ipaddress import ip_address
from typing import Final

from msgspec import Struct

from kdns.config.directive import Directive
from kdns.config.reading import no_args, no_block
from kdns.dns.api.handler import Client, Handler, Request, Response
from kdns.dns.api.plugin import BlockContext, Built, DirectiveContext
from kdns.wire.name import MAX_NAME, ROOT, child
from kdns.wire.numbers import AA, AAAA, SRV, A
from kdns.wire.rr import RR

NAME: Final = "whoami"


class Options(Struct, frozen=True):
    """There are none."""


def parse(directives: Sequence[Directive], _place: DirectiveContext) -> Options:
    """No argument, no block."""
    for directive in directives:
        no_args(directive)
        no_block(directive)
    return Options()


def build(_options: Options, _parts: BlockContext) -> Built:
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
