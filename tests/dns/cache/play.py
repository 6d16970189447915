"""What a cache does, as a dialogue in lines.

::

    cache 30                                                  the directive, with a block if need be; then
    behind NOERROR | www.test. 100 A 192.0.2.1                what the plugins behind it answer from now on
    behind fails                                              ... or raise
    ask www.test. A [do] [cd] [ad] [nord]
    says NOERROR aa | www.test. 30 A 192.0.2.1                what the last question was answered with
    fails                                                     ... or that it failed
    wait 5                                                    seconds
    settle                                                    whatever goes on in the background ends
    asked 1                                                   how many questions have reached the plugins behind
    recursive 2                                               the second of those had RD set
    count hits_total success 1                                a metric of the cache
"""

from msgspec.structs import replace

from kdns.base.errors import UpstreamError
from kdns.dns.api.handler import Client, Request, Response
from kdns.dns.api.plugin import Built
from kdns.dns.plugins import cache
from kdns.dns.query.responder import Responder, SocketResponder
from kdns.dns.query.router import RoutedBlock, Router
from kdns.wire.name import ROOT
from kdns.wire.numbers import AD, CD, RD, REFUSED
from kdns.wire.query import Edns
from kdns.wire.rcodes import RCODE_TEXT
from tests.config.text import directives
from tests.dns.messages import CLIENT
from tests.dns.parts import FakeParts, Script
from tests.dns.plugins.asking import FLAGS, question, rr, words

RCODES = {text: number for number, text in RCODE_TEXT.items()}


def reply(text: str, plugin: str = "forward") -> Response:
    """``NOERROR ra | www.test. 100 A 192.0.2.1 | -- test. 60 SOA ... | ++ ...``; the inverse of `words`."""
    first, *records = text.split(" | ")
    rcode, *flags = first.split()
    sections: dict[str, list[str]] = {"": [], "--": [], "++": []}
    for record in records:
        mark, _, rest = record.partition(" ")
        sections[mark if mark in {"--", "++"} else ""].append(rest if mark in {"--", "++"} else record)
    answer, authority, additional = (tuple(map(rr, each)) for each in sections.values())
    return Response(RCODES[rcode], sum(FLAGS[flag] for flag in flags), answer, authority, additional, plugin)


def asking(text: str, client: Client = CLIENT) -> Request:
    """``NAME TYPE [do] [cd] [ad] [nord]``; the last one is for a query without RD."""
    name, rtype, *more = text.split()
    query = question(f"{name} {rtype}", Edns(1232, 0, True) if "do" in more else None)
    flags = query.flags | ("cd" in more) * CD | ("ad" in more) * AD
    flags &= ~(("nord" in more) * RD)
    return Request(query._replace(flags=flags), client, 40, "dns://:53", {})


class Play:
    """One cache, and what stands behind it."""

    def __init__(self, corefile: str, parts: FakeParts | None = None) -> None:
        self.parts = parts or FakeParts()
        self.behind = Script([Response(REFUSED)])
        self.built: Built = cache.build(cache.parse(directives(corefile), self.parts.place), self.parts)
        assert self.built.plugin is not None
        self.handle = self.built.plugin(self.behind)
        self.said = "nothing yet"

    def answers(self, *replies: Response | Exception) -> None:
        """What the plugins behind answer from now on, the last one again and again."""
        self.behind._replies[:] = replies

    def for_socket(self, proto: str = "udp", *before: Built) -> SocketResponder:
        """A socket's way in, with the cache's own clock."""
        block = RoutedBlock(zones={ROOT: "."}, handler=self.handle, built=(*before, self.built))
        return Responder(Router((block,)), self.parts.clock).for_socket(proto, 1, "dns://:53")

    async def ask(self, text: str) -> str:
        """The response in words."""
        try:
            return words(replace(await self.handle(asking(text)), plugin=""))
        except UpstreamError:
            return "fails"

    async def run(self, text: str) -> None:
        """Play the lines; each expectation that is not met is told with its line."""
        for number, line in enumerate(filter(None, map(str.strip, text.splitlines())), 1):
            word, _, rest = line.partition(" ")
            where = f"line {number}: {line}"
            match word:
                case "behind":
                    self.answers(UpstreamError("no upstream") if rest == "fails" else reply(rest))
                case "ask":
                    self.said = await self.ask(rest)
                case "says":
                    assert self.said == rest, where
                case "fails":
                    assert self.said == "fails", where
                case "wait":
                    self.parts.clock.now += float(rest)
                case "settle":
                    await self.parts.settled()
                case "asked":
                    assert len(self.behind.requests) == int(rest), f"{where}: it was {len(self.behind.requests)}"
                case "recursive":
                    assert self.behind.requests[int(rest) - 1].query.flags & RD, where
                case "count":
                    name, *labels, value = rest.split()
                    found = self.parts.value(f"coredns_cache_{name}", **({"type": labels[0]} if labels else {})) or 0
                    assert found == float(value), f"{where}: it was {found:g}"
                case _:
                    raise ValueError(where)
