"""ExternalName Services: a CNAME, and what is at its end (RFC 1034 section 3.6.2, RFC 6604)."""

from itertools import pairwise
from typing import NamedTuple

import pytest

from kdns.wire.name import parse_name
from kdns.wire.numbers import CNAME, NOERROR, SERVFAIL, A
from tests.build import view
from tests.records.shop import SHOP, WEB
from tests.records.zone_text import ask, cluster, expected, present, rr_lines


class Case(NamedTuple):
    title: str
    question: str
    answer: str


CASES = (
    Case(
        "a target in the zone is followed",
        "alias.shop.svc.cluster.local. A",
        """
        alias.shop.svc.cluster.local. 5 IN CNAME web.shop.svc.cluster.local.
        web.shop.svc.cluster.local. 5 IN A 10.96.0.9
        """,
    ),
    Case(
        "over several links",
        "alias2.shop.svc.cluster.local. AAAA",
        """
        alias2.shop.svc.cluster.local. 5 IN CNAME alias.shop.svc.cluster.local.
        alias.shop.svc.cluster.local. 5 IN CNAME web.shop.svc.cluster.local.
        web.shop.svc.cluster.local. 5 IN AAAA fd00:10:96::9
        """,
    ),
    Case(
        "for SRV too, with the additional records of the end",
        "alias.shop.svc.cluster.local. SRV",
        """
        alias.shop.svc.cluster.local. 5 IN CNAME web.shop.svc.cluster.local.
        web.shop.svc.cluster.local. 5 IN SRV 0 25 80 web.shop.svc.cluster.local.
        web.shop.svc.cluster.local. 5 IN SRV 0 25 443 web.shop.svc.cluster.local.
        ; additional
        web.shop.svc.cluster.local. 5 IN A 10.96.0.9
        web.shop.svc.cluster.local. 5 IN AAAA fd00:10:96::9
        """,
    ),
    Case(
        "a question for the CNAME itself is not followed",
        "alias.shop.svc.cluster.local. CNAME",
        "alias.shop.svc.cluster.local. 5 IN CNAME web.shop.svc.cluster.local.",
    ),
    Case(
        "nor is a question for anything, which the CNAME matches (RFC 1034 section 4.3.2 step 3a)",
        "dangling.shop.svc.cluster.local. ANY",
        "dangling.shop.svc.cluster.local. 5 IN CNAME nobody.shop.svc.cluster.local.",
    ),
    Case(
        "also at a loop",
        "self.shop.svc.cluster.local. ANY",
        "self.shop.svc.cluster.local. 5 IN CNAME self.shop.svc.cluster.local.",
    ),
    Case(
        "the CNAME is in the answer also when its end has no such type",
        "alias6.shop.svc.cluster.local. A",
        """
        alias6.shop.svc.cluster.local. 5 IN CNAME six.shop.svc.cluster.local.
        ; authority
        NODATA
        """,
    ),
    Case(
        "of any type",
        "alias.shop.svc.cluster.local. TXT",
        """
        alias.shop.svc.cluster.local. 5 IN CNAME web.shop.svc.cluster.local.
        ; authority
        NODATA
        """,
    ),
    Case(
        "the rcode is that of the end of the chain",
        "dangling.shop.svc.cluster.local. A",
        """
        NXDOMAIN
        dangling.shop.svc.cluster.local. 5 IN CNAME nobody.shop.svc.cluster.local.
        """,
    ),
    Case(
        "but a CNAME question is answered without looking there",
        "dangling.shop.svc.cluster.local. CNAME",
        "dangling.shop.svc.cluster.local. 5 IN CNAME nobody.shop.svc.cluster.local.",
    ),
    Case(
        "a loop of two is SERVFAIL with its chain",
        "loop-a.shop.svc.cluster.local. A",
        """
        SERVFAIL
        loop-a.shop.svc.cluster.local. 5 IN CNAME loop-b.shop.svc.cluster.local.
        loop-b.shop.svc.cluster.local. 5 IN CNAME loop-a.shop.svc.cluster.local.
        """,
    ),
    Case(
        "so is a name that points to itself",
        "self.shop.svc.cluster.local. AAAA",
        """
        SERVFAIL
        self.shop.svc.cluster.local. 5 IN CNAME self.shop.svc.cluster.local.
        """,
    ),
    Case(
        "a loop answers a CNAME question",
        "self.shop.svc.cluster.local. CNAME",
        "self.shop.svc.cluster.local. 5 IN CNAME self.shop.svc.cluster.local.",
    ),
    Case("nothing is below an ExternalName", "www.outside.shop.svc.cluster.local. A", "NXDOMAIN"),
    Case("nor two labels below", "_http._tcp.alias.shop.svc.cluster.local. SRV", "NXDOMAIN"),
    Case("an IPv4 address as externalName is no name", "literal.shop.svc.cluster.local. A", "NODATA"),
    Case("no CNAME either", "literal.shop.svc.cluster.local. CNAME", "NODATA"),
    Case("nor is an IPv6 address", "literal6.shop.svc.cluster.local. AAAA", "NODATA"),
    Case("and nothing is below it", "x.literal.shop.svc.cluster.local. A", "NXDOMAIN"),
)


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.question}: {case.title}")
def test_external_names(case: Case) -> None:
    """This question has exactly this answer, and nobody else need be asked."""
    result = ask(cluster(*SHOP), case.question)
    assert present(result) == expected(case.answer)
    assert result.chase is None


@pytest.mark.parametrize("rtype", ["A", "AAAA", "TXT", "HTTPS", "MX", "SRV"])
def test_a_target_outside_is_for_somebody_else_to_look_up(rtype: str) -> None:
    """The bare CNAME is the answer so far, and `chase` names the target, folded."""
    result = ask(cluster(*SHOP), f"outside.shop.svc.cluster.local. {rtype}")
    assert present(result) == ["outside.shop.svc.cluster.local. 5 IN CNAME WWW.Example.com."]
    assert result.rcode == NOERROR
    assert result.chase == parse_name("www.example.com.")
    assert result.authority == ()


@pytest.mark.parametrize("rtype", ["CNAME", "ANY"])
def test_a_question_that_the_cname_matches_chases_nothing(rtype: str) -> None:
    """The CNAME is the whole answer when it was asked for."""
    result = ask(cluster(*SHOP), f"outside.shop.svc.cluster.local. {rtype}")
    assert present(result) == ["outside.shop.svc.cluster.local. 5 IN CNAME WWW.Example.com."]
    assert result.chase is None


def test_the_last_link_of_a_chain_may_lead_outside() -> None:
    """The links inside are in the answer, in order, and `chase` is where the last one points."""
    answers = cluster(
        view("shop/one", external="two.shop.svc.cluster.local"),
        view("shop/two", external="three.example.org."),
    )
    result = ask(answers, "one.shop.svc.cluster.local. A")
    assert list(rr_lines(result.answer)) == [
        "one.shop.svc.cluster.local. 5 IN CNAME two.shop.svc.cluster.local.",
        "two.shop.svc.cluster.local. 5 IN CNAME three.example.org.",
    ]
    assert result.chase == parse_name("three.example.org.")


def test_a_target_in_capitals_is_followed_and_keeps_its_spelling() -> None:
    """The CNAME has the text of the object; what it leads to is the same name, folded (RFC 4343)."""
    result = ask(
        cluster(WEB, view("shop/loud", external="Web.Shop.SVC.cluster.local")), "loud.shop.svc.cluster.local. A"
    )
    assert list(rr_lines(result.answer)) == [
        "loud.shop.svc.cluster.local. 5 IN CNAME Web.Shop.SVC.cluster.local.",
        "web.shop.svc.cluster.local. 5 IN A 10.96.0.9",
    ]


def test_a_loop_is_a_loop_whatever_its_spelling() -> None:
    """A Service that points at its own name in capitals."""
    answers = cluster(view("shop/self", external="SELF.shop.svc.cluster.local"))
    assert ask(answers, "self.shop.svc.cluster.local. A").rcode == SERVFAIL


def test_a_chain_is_in_the_order_in_which_it_is_followed() -> None:
    """First the name that was asked, link by link, the address last (eight links are followed)."""
    links = [view(f"shop/link{n}", external=f"link{n + 1}.shop.svc.cluster.local") for n in range(7)]
    answers = cluster(WEB, *links, view("shop/link7", external="web.shop.svc.cluster.local"))
    lines = list(rr_lines(ask(answers, "link0.shop.svc.cluster.local. A").answer))
    owners = [f"link{n}.shop.svc.cluster.local." for n in range(8)]
    assert [line.split()[0] for line in lines] == [*owners, "web.shop.svc.cluster.local."]
    assert all(" CNAME " in line for line in lines[:-1])
    assert lines[-1].endswith(" A 10.96.0.9")


@pytest.mark.parametrize(("links", "rcode"), [(11, NOERROR), (12, SERVFAIL)])
def test_a_chain_has_eleven_links_at_most(links: int, rcode: int) -> None:
    """As in CoreDNS; a longer one is no answer, and what was walked of it is shown."""
    names = [*(f"link{n}" for n in range(links)), "web"]
    chain = [
        view(f"shop/{name}", external=f"{following}.shop.svc.cluster.local") for name, following in pairwise(names)
    ]
    result = ask(cluster(WEB, *chain), "link0.shop.svc.cluster.local. A")
    assert result.rcode == rcode
    assert [rrset.rtype for rrset in result.answer[:11]] == [CNAME] * 11
    assert (result.answer[-1].rtype == A) is (rcode == NOERROR)


def test_a_chain_heals_when_its_end_appears() -> None:
    """What was NXDOMAIN at the end of a chain is an address as soon as the Service is there."""
    answers = cluster(view("shop/early", external="late.shop.svc.cluster.local"))
    assert present(ask(answers, "early.shop.svc.cluster.local. A"))[0] == "NXDOMAIN"
    healed = cluster(
        view("shop/early", external="late.shop.svc.cluster.local"),
        view("shop/late", ips=("10.96.0.77",)),
    )
    result = ask(healed, "early.shop.svc.cluster.local. A")
    assert result.answer[0].rtype == CNAME
    assert list(rr_lines(result.answer[1:])) == ["late.shop.svc.cluster.local. 5 IN A 10.96.0.77"]
