"""loadbalance: in which order records leave."""

from typing import NamedTuple

import pytest

from kdns.dns.plugins import loadbalance
from kdns.wire.numbers import NXDOMAIN
from tests.dns.parts import FakeParts
from tests.dns.plugins.asking import built, handler, lines, mistakes, ready, request, response, takes_the_fast_way

TWO = ("web.test. 5 A 10.0.0.1", "web.test. 5 A 10.0.0.2")


class Case(NamedTuple):
    title: str
    text: str
    answer: tuple[str, ...]
    orders: set[str]
    """The last words of the records, in every order that may come."""
    question: str = "web.test. A"
    rcode: int = 0


CASES = (
    Case("two addresses come in either order", "loadbalance", TWO, {"10.0.0.1 10.0.0.2", "10.0.0.2 10.0.0.1"}),
    Case("the policy may be named", "loadbalance round_robin", TWO, {"10.0.0.1 10.0.0.2", "10.0.0.2 10.0.0.1"}),
    Case("one address", "loadbalance", TWO[:1], {"10.0.0.1"}),
    Case(
        "aliases, others, addresses, mail exchangers",
        "loadbalance",
        (
            "m.test. 5 MX 1 a.",
            "w.test. 5 A 10.0.0.1",
            "w.test. 5 NS n.",
            "v.test. 5 CNAME w.test.",
            "m.test. 5 MX 1 b.",
        ),
        {"w.test. n. 10.0.0.1 a. b.", "w.test. n. 10.0.0.1 b. a."},
    ),
    Case("no order in an error", "loadbalance", TWO, {"10.0.0.1 10.0.0.2"}, rcode=NXDOMAIN),
    Case("no order in a transfer", "loadbalance", TWO, {"10.0.0.1 10.0.0.2"}, "test. AXFR"),
    Case(
        "preferred networks come first, in their order",
        "loadbalance {\n prefer 10.2.0.0/16 10.1.0.0/16\n}",
        tuple(f"web.test. 5 A {each}" for each in ("10.9.0.1", "10.1.0.1", "10.2.0.1")),
        {"10.2.0.1 10.1.0.1 10.9.0.1"},
    ),
    Case(
        "several prefer lines add up, and may be of both families",
        "loadbalance round_robin {\n prefer fd00::/8\n prefer 10.1.0.0/16\n}",
        tuple(f"web.test. 5 {each}" for each in ("A 10.9.0.1", "A 10.1.0.1", "AAAA fd00::1")),
        {"fd00::1 10.1.0.1 10.9.0.1"},
    ),
)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.title)
async def test_the_order_of_records(case: Case) -> None:
    """Exactly these orders come, and each of them, in the answer and in the additional section."""
    made = built(loadbalance, case.text, FakeParts())
    asked = handler(made, response(*case.answer, rcode=case.rcode, additional=case.answer))
    seen, extra = set(), set()
    for _ in range(50):
        reply = await asked(request(case.question))
        seen.add(" ".join(each.split()[-1] for each in lines(reply.answer)))
        extra.add(" ".join(each.split()[-1] for each in lines(reply.additional)))
    assert (seen, extra) == (case.orders, case.orders)


@pytest.mark.parametrize(
    ("text", "records", "fast"),
    [
        ("loadbalance", TWO, True),
        ("loadbalance {\n prefer 10.0.0.0/8\n}", TWO, False),
        ("loadbalance {\n prefer 10.0.0.0/8\n}", TWO[:1], True),
    ],
)
def test_the_fast_way(text: str, records: tuple[str, ...], fast: bool) -> None:
    """What is ready rotates by itself; with prefer, what has several addresses takes the chain."""
    assert takes_the_fast_way(built(loadbalance, text, FakeParts()), "web.test.", ready(*records)) is fast


def test_it_offers_itself() -> None:
    """Other plugins of the block can tell that it is there."""
    parts = FakeParts()
    built(loadbalance, "loadbalance", parts)
    assert parts.sibling("loadbalance") is not None


MISTAKES = (
    ("loadbalance weighted f.txt", "1:13 the policy 'weighted' is not supported yet"),
    ("loadbalance robin", "1:13 'robin' is none of round_robin"),
    ("loadbalance round_robin x", "1:25 'loadbalance' takes 0 to 1 arguments, got 2"),
    ("loadbalance {\n prefer\n}", "2:2 'prefer' needs at least 1 argument, got 0"),
    ("loadbalance {\n prefer 10.0.0.0/33 x\n}", "2:9 '10.0.0.0/33' is not a network\n2:21 'x' is not a network"),
    ("loadbalance {\n reload 5s\n}", "2:2 'loadbalance' has no property 'reload'"),
    ("loadbalance\nloadbalance", "2:1 'loadbalance' stands twice in this server block"),
)


@pytest.mark.parametrize(("text", "problem"), MISTAKES)
def test_mistakes_have_places(text: str, problem: str) -> None:
    """What is wrong with the directive is told at its place."""
    assert mistakes(loadbalance, text, FakeParts()) == problem
