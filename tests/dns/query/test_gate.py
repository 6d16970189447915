"""The gate: which acl is asked for a name, and what of a response it lets through."""

from collections.abc import Callable

import pytest

from kdns.dns.api.handler import Request, chain
from kdns.dns.plugins import acl
from kdns.dns.query.gate import gate
from kdns.dns.query.router import RoutedBlock, Router
from kdns.wire.name import ROOT, parse_name
from tests.dns.parts import FakeParts, scripted
from tests.dns.plugins.asking import built, client, request, response, words

FRIEND = "10.2.0.1"


def policy(text: str, parts: FakeParts) -> acl.Acl:
    """An acl as a block has it."""
    built(acl, text, parts)
    found = parts.offers[acl.NAME]
    assert isinstance(found, acl.Acl)
    return found


def site(text: str, parts: FakeParts, accepts: Callable[[Request], bool] | None = None) -> Router:
    """The root without an acl, and a narrower block with one."""
    narrow = RoutedBlock(
        zones={parse_name("secret.test."): "secret.test."},
        handler=scripted(response("db.secret.test. 5 A 10.0.0.9")),
        policy=policy(text, parts),
        accepts=accepts,
    )
    wide = RoutedBlock(zones={ROOT: "."}, handler=scripted(response()))
    return Router((narrow, wide))


BLOCK = "acl {\n allow net 10.2.0.0/16\n block\n}"
A_TO_SECRET = ("a.test. 5 CNAME db.secret.test.", "db.secret.test. 5 A 10.0.0.9")
CASES = (
    ("db.secret.test. A", ("db.secret.test. 5 A 10.0.0.9",), "REFUSED"),
    ("a.test. A", A_TO_SECRET, "NOERROR aa | a.test. 5 CNAME db.secret.test."),
    ("a.test. A", A_TO_SECRET[::-1], "NOERROR aa | a.test. 5 CNAME db.secret.test."),
    ("a.test. A", ("a.test. 5 CNAME DB.SECRET.test.", "DB.SECRET.test. 5 A 10.0.0.9"),
     "NOERROR aa | a.test. 5 CNAME db.secret.test."),
    ("a.test. A", ("a.test. 5 CNAME b.test.", "b.test. 5 CNAME db.secret.test.", "db.secret.test. 5 A 10.0.0.9"),
     "NOERROR aa | a.test. 5 CNAME b.test."),
    ("a.test. A", ("a.test. 5 CNAME b.test.", "b.test. 5 A 10.0.0.8"),
     "NOERROR aa | a.test. 5 CNAME b.test. | b.test. 5 A 10.0.0.8"),
    ("a.test. CNAME", A_TO_SECRET[:1], "NOERROR aa | a.test. 5 CNAME db.secret.test."),
    ("a.test. A", ("a.test. 5 CNAME db.notsecret.test.", "db.notsecret.test. 5 A 10.0.0.8"),
     "NOERROR aa | a.test. 5 CNAME db.notsecret.test. | db.notsecret.test. 5 A 10.0.0.8"),
    ("test. AXFR", A_TO_SECRET, "NOERROR aa | a.test. 5 CNAME db.secret.test. | db.secret.test. 5 A 10.0.0.9"),
    ("9.0.0.10.in-addr.arpa. PTR", ("9.0.0.10.in-addr.arpa. 5 PTR db.secret.test.",),
     "NOERROR aa | 9.0.0.10.in-addr.arpa. 5 PTR db.secret.test."),
)  # fmt: skip


@pytest.mark.parametrize(("asked", "found", "expected"), CASES)
async def test_what_goes_through(asked: str, found: tuple[str, ...], expected: str) -> None:
    """Names of the other block are judged there, be they asked or led to; a friend of it sees everything."""
    behind = site(BLOCK, FakeParts())
    handler = chain((gate(lambda _: behind, None),), scripted(response(*found)))
    assert words(await handler(request(asked))) == expected
    everything = " | ".join(("NOERROR aa", *found)).lower().replace("noerror", "NOERROR")
    friends = words(await handler(request(asked, None, client(FRIEND))))
    assert friends.lower() == everything.lower()


async def test_a_denial_hides_what_does_not_exist() -> None:
    """Whether an alias leads to a name that exists is not told either."""
    behind = site(BLOCK, FakeParts())
    missing = response("a.test. 5 CNAME nobody.secret.test.", rcode=3, authority=("secret.test. 5 NS ns.test.",))
    handler = chain((gate(lambda _: behind, None),), scripted(missing))
    assert words(await handler(request("a.test."))) == "NOERROR aa | a.test. 5 CNAME nobody.secret.test."


async def test_addresses_beside_an_answer() -> None:
    """What stands in the additional section is judged by its owner, each by itself."""
    behind = site(BLOCK, FakeParts())
    found = response(
        "a.test. 5 MX 10 db.secret.test.", additional=("db.secret.test. 5 A 10.0.0.9", "b.test. 5 A 10.0.0.8")
    )
    handler = chain((gate(lambda _: behind, None),), scripted(found))
    assert words(await handler(request("a.test. MX"))) == (
        "NOERROR aa | a.test. 5 MX 10 db.secret.test. | ++ b.test. 5 A 10.0.0.8"
    )


async def test_the_block_that_a_view_picks_is_asked() -> None:
    """Where the narrower block does not want a request, its acl is not about it."""
    behind = site(BLOCK, FakeParts(), accepts=lambda asked: asked.client.address == "10.1.0.8")
    handler = chain((gate(lambda _: behind, None),), scripted(response("db.secret.test. 5 A 10.0.0.9")))
    assert words(await handler(request("db.secret.test."))) == "NOERROR aa | db.secret.test. 5 A 10.0.0.9"
    assert words(await handler(request("db.secret.test.", None, client("10.1.0.8")))) == "REFUSED"


async def test_what_is_denied_is_counted_where_it_was() -> None:
    """A question is counted once, under the zone that denied it; what only comes with an answer is not."""
    parts = FakeParts()
    behind = site(BLOCK, parts)
    handler = chain((gate(lambda _: behind, None),), scripted(response(*A_TO_SECRET)))
    await handler(request("db.secret.test."))
    await handler(request("a.test."))
    assert parts.value("coredns_acl_blocked_requests_total", zone=".") == 1


async def test_the_blocks_own_acl_is_asked_once() -> None:
    """Its plugin stands right behind; the gate asks it about aliases only."""
    parts = FakeParts()
    own = policy(BLOCK, parts)
    whole = Router((RoutedBlock(zones={ROOT: "."}, handler=scripted(response()), policy=own),))
    handler = chain((gate(lambda _: whole, own),), scripted(response("a.test. 5 A 10.0.0.8")))
    assert words(await handler(request("a.test."))) == "NOERROR aa | a.test. 5 A 10.0.0.8"
    assert parts.value("coredns_acl_blocked_requests_total") is None
