"""view: which server block a request belongs to."""

import pytest

from kdns.dns.api.handler import Response
from kdns.dns.plugins import view
from kdns.dns.query.router import RoutedBlock, Router
from kdns.wire.name import ROOT
from kdns.wire.numbers import NXDOMAIN, REFUSED
from tests.dns.parts import FakeParts, scripted
from tests.dns.plugins.asking import built, client, mistakes, question, ready, request

INSIDE = "view inside {\n expr incidr(client_ip(), '10.0.0.0/8')\n}"
BOTH = "view both {\n expr incidr(client_ip(), '10.0.0.0/8')\n expr type() == 'A'\n}"
CASES = (
    (INSIDE, "x.test. A", "10.1.0.7", True),
    (INSIDE, "x.test. A", "192.0.2.1", False),
    (BOTH, "x.test. A", "10.1.0.7", True),
    (BOTH, "x.test. AAAA", "10.1.0.7", False),
    ("view all", "x.test. A", "10.1.0.7", True),
    ("view quoted {\n expr \"name() == 'x.test.'\"\n}", "x.test. A", "10.1.0.7", True),
)


@pytest.mark.parametrize(("text", "asked", "address", "wanted"), CASES)
def test_which_requests_are_wanted(text: str, asked: str, address: str, wanted: bool) -> None:
    """All expressions must hold; the request is then told the name of the view."""
    parts = FakeParts()
    made = built(view, text, parts)
    asking = request(asked, None, client(address))
    assert made.accepts is not None
    assert made.accepts(asking) is wanted
    assert asking.metadata.get("view/name", "") == (parts.sibling("view") if wanted else "")


async def test_blocks_are_asked_in_turn() -> None:
    """Of blocks for one zone the first that wants a request has it; if none does, it is refused; nothing is fast."""
    inside = built(view, INSIDE, FakeParts())
    made = built(view, BOTH, FakeParts()), ready("x.test. 5 A 10.0.0.1")
    first = RoutedBlock(
        zones={ROOT: "."}, handler=scripted(Response(NXDOMAIN)), built=(inside,), accepts=inside.accepts
    )
    second = RoutedBlock(zones={ROOT: "."}, handler=scripted(Response(0)), built=(made[0],), accepts=made[0].accepts)
    site = Router((first, second))
    rcodes = [
        (await site.handle(request("x.test. A", None, client(address))))[0].rcode
        for address in ("10.1.0.7", "192.0.2.1")
    ]
    assert rcodes == [NXDOMAIN, REFUSED]
    assert site.find(question("x.test. A")) is None


MISTAKES = (
    ("view", "1:1 'view' needs 1 argument, got 0"),
    ("view a b", "1:8 'view' takes 1 argument, got 2"),
    ("view a\nview b", "2:1 'view' stands twice in this server block"),
    ("view a {\n exp true\n}", "2:2 'view' has no property 'exp'"),
    ("view a {\n expr\n}", "2:2 'expr' needs at least 1 argument, got 0"),
    ("view a {\n expr true && nme() == 'a'\n}", "2:15 there is no 'nme'"),
    ("view a {\n expr id() / 1 == 8\n expr name()\n}",
     "2:12 '/' is not supported here\n3:7 the expression is a string, not true or false"),
)  # fmt: skip


@pytest.mark.parametrize(("text", "problem"), MISTAKES)
def test_mistakes_have_places(text: str, problem: str) -> None:
    """What is wrong with the directive or an expression is told at its word."""
    assert mistakes(view, text, FakeParts()) == problem
