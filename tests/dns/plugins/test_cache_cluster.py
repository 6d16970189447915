"""The ``cache`` plugin and the cluster's own names: never kept, never hidden, counted as hits."""

from kdns.config.settings import KubernetesOptions
from kdns.dns.api.handler import Handler, Request, Response, chain
from kdns.dns.plugins import cache, kubernetes
from kdns.dns.query.responder import Responder, SocketResponder
from kdns.dns.query.router import RoutedBlock, Router
from kdns.records.answers import Answers
from kdns.wire.name import ROOT, parse_name
from kdns.wire.numbers import PTR, A
from tests.address_plan import NOW
from tests.build import change, tcp, view
from tests.config.text import directives
from tests.dns.cache.play import reply
from tests.dns.messages import query, replies, slow
from tests.dns.parts import FakeParts, Script, scripted
from tests.records.shop import SHOP, WEB
from tests.records.zone_text import cluster

OPTIONS = KubernetesOptions(fallthrough=("in-addr.arpa.",))


def served(corefile: str, answers: Answers, behind: Handler) -> tuple[FakeParts, SocketResponder]:
    """A block of cache, kubernetes and what stands behind them."""
    parts = FakeParts(offers={"kubernetes": answers})
    parts.answer_lookup = behind
    built = (
        cache.build(cache.parse(directives(corefile), parts.place), parts),
        kubernetes.built(answers, parts.lookup),
    )
    handler = chain([each.plugin for each in built if each.plugin is not None], behind)
    site = Router((RoutedBlock(zones={ROOT: "."}, handler=handler, built=built),))
    socket_responder = Responder(site, parts.clock).for_socket("udp", 1, "dns://:53")
    socket_responder.tick()
    return parts, socket_responder


async def test_the_next_question_sees_the_change() -> None:
    """Whatever the Corefile says, a new address is answered at once, with the TTL that kubernetes gives it."""
    answers = cluster(*SHOP)
    _, socket_responder = served("cache 3600", answers, scripted(Response()))
    message = query(parse_name("web.shop.svc.cluster.local."), A)
    await replies(socket_responder, [message] * 2)
    answers.apply(change(WEB, view("shop/web", ips=("10.96.0.77",), ports=(tcp(80, "http"),))), NOW + 9)
    (found,) = await replies(socket_responder, [message])
    assert found is not None
    assert found.endswith(b"\0\0\0\x05\0\4\x0a\x60\0\x4d")


async def test_they_count_as_hits() -> None:
    """On both ways, answers and denials of the cluster count as hits where the block has a cache."""
    answers = cluster(*SHOP)
    parts, socket_responder = served("cache 30", answers, scripted(Response()))
    web, nope = (query(parse_name(f"{name}.shop.svc.cluster.local."), A) for name in ("web", "nope"))
    for message in (web, nope, nope):
        assert socket_responder.fast(message) is not None
    reserved_flag = query(parse_name("web.shop.svc.cluster.local."), A, flags=0x0140)
    assert socket_responder.fast(reserved_flag) is not None
    assert await slow(socket_responder, web) is not None
    socket_responder.counts.settle()
    assert parts.value("coredns_cache_hits_total", type="success") == 3
    assert parts.value("coredns_cache_hits_total", type="denial") == 2
    assert parts.value("coredns_cache_requests_total") == 5
    assert parts.value("coredns_cache_misses_total") in {None, 0}
    assert not parts.value("coredns_cache_entries")


async def test_a_kept_denial_does_not_hide_a_new_service() -> None:
    """PTR falls through to an upstream whose NXDOMAIN is kept; the Service that takes the address is seen at once."""
    answers = cluster(*SHOP, options=OPTIONS)
    upstream = scripted(reply("NXDOMAIN | -- in-addr.arpa. 300 SOA ns.test. root.test. 1 2 3 4 5"))
    _, socket_responder = served("cache 3600", answers, upstream)
    message = query(parse_name("77.0.96.10.in-addr.arpa."), PTR)
    for _ in range(3):
        (found,) = await replies(socket_responder, [message])
        assert found is not None
        assert found[3] & 0xF == 3
    assert len(upstream.requests) == 1
    answers.apply(change(None, view("shop/new", ips=("10.96.0.77",), ports=(tcp(80, "http"),))), NOW + 9)
    (found,) = await replies(socket_responder, [message])
    assert found is not None
    assert found[3] & 0xF == 0
    answers.apply(change(view("shop/new", ips=("10.96.0.77",), ports=(tcp(80, "http"),)), None), NOW + 10)
    (found,) = await replies(socket_responder, [message])
    assert found is not None
    assert found[3] & 0xF == 3


async def test_what_an_alias_leads_to_is_kept_by_its_own_lookup() -> None:
    """An ExternalName's answer is never kept as a whole, since the Service may change; the target is, on its own."""
    answers = cluster(*SHOP)
    upstream: Script = scripted(reply("NOERROR | example.com. 60 A 192.0.2.1"))
    parts, socket_responder = served("cache 3600", answers, upstream)
    entered: list[Request] = []

    async def whole(request: Request) -> Response:
        entered.append(request)
        site: Router = socket_responder._responder.site
        return (await site.handle(request))[0]

    parts.answer_lookup = whole
    external = view("shop/ext", external="example.com")
    answers.apply(change(None, external), NOW + 1)
    message = query(parse_name("ext.shop.svc.cluster.local."), A)
    for _ in range(3):
        (found,) = await replies(socket_responder, [message])
        assert found is not None
        assert found.endswith(bytes((192, 0, 2, 1)))
    assert len(upstream.requests) == 1
    assert len(entered) == 3
    answers.apply(change(external, None), NOW + 2)
    (found,) = await replies(socket_responder, [message])
    assert found is not None
    assert found[3] & 0xF == 3
