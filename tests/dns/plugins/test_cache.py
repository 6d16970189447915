"""The ``cache`` plugin: what is kept, for how long, and what hits look like."""

import pytest

from tests.dns.cache.play import Play

SOA = "-- test. 60 SOA ns.test. root.test. 1 2 3 4 5"
A1 = "192.0.2.1"

DIALOGUES = {
    "the first reply already has the TTL that it is kept with, and hits grow old together": (
        "cache 30",
        f"""
        behind NOERROR ra | www.test. 100 CNAME web.test. | web.test. 20 A {A1} | -- test. 300 NS ns.test.
        ask www.test. A
        says NOERROR ra | www.test. 20 CNAME web.test. | web.test. 20 A {A1} | -- test. 20 NS ns.test.
        wait 7
        ask www.test. A
        says NOERROR aa ra | www.test. 13 CNAME web.test. | web.test. 13 A {A1} | -- test. 13 NS ns.test.
        wait 12
        ask www.test. A
        says NOERROR aa ra | www.test. 1 CNAME web.test. | web.test. 1 A {A1} | -- test. 1 NS ns.test.
        asked 1
        wait 1
        ask www.test. A
        asked 2
        count requests_total 4
        count hits_total success 2
        count misses_total 2
        count entries success 1
        """,
    ),
    "a short TTL is raised, a long one is cut": (
        "cache 30",
        f"""
        behind NOERROR | zero.test. 0 A {A1}
        ask zero.test. A
        says NOERROR | zero.test. 5 A {A1}
        behind NOERROR | long.test. 86400 A {A1}
        ask long.test. A
        says NOERROR | long.test. 30 A {A1}
        """,
    ),
    "bounds of both halves": (
        "cache {\n success 2000 100 40\n denial 2000 50 20\n}",
        f"""
        behind NOERROR | a.test. 7 A {A1}
        ask a.test. A
        says NOERROR | a.test. 40 A {A1}
        behind NXDOMAIN | -- test. 7 SOA ns.test. root.test. 1 2 3 4 5
        ask b.test. A
        says NXDOMAIN | -- test. 20 SOA ns.test. root.test. 1 2 3 4 5
        behind NXDOMAIN | -- test. 700 SOA ns.test. root.test. 1 2 3 4 5
        ask c.test. A
        says NXDOMAIN | -- test. 50 SOA ns.test. root.test. 1 2 3 4 5
        """,
    ),
    "a denial lives as long as its SOA's TTL, whatever its minimum says": (
        "cache 300",
        f"""
        behind NXDOMAIN aa | {SOA}
        ask no.test. A
        wait 59
        ask no.test. A
        says NXDOMAIN aa | -- test. 1 SOA ns.test. root.test. 1 2 3 4 5
        asked 1
        wait 1
        ask no.test. A
        asked 2
        count hits_total denial 1
        """,
    ),
    "an alias that leads nowhere is a denial if it has an SOA, and not kept without": (
        "cache",
        f"""
        behind NOERROR | a.test. 60 CNAME b.test. | {SOA}
        ask a.test. A
        ask a.test. A
        asked 1
        count entries denial 1
        behind NOERROR | c.test. 60 CNAME b.test.
        ask c.test. A
        ask c.test. A
        asked 3
        """,
    ),
    "never kept: NXDOMAIN without SOA, what is cut, other errors": (
        "cache",
        f"""
        behind NXDOMAIN
        ask a.test. A
        ask a.test. A
        asked 2
        behind NOERROR tc | b.test. 60 A {A1}
        ask b.test. A
        ask b.test. A
        asked 4
        behind REFUSED
        ask c.test. A
        ask c.test. A
        asked 6
        behind FORMERR
        ask d.test. A
        ask d.test. A
        asked 8
        count misses_total 8
        """,
    ),
    "an answer about something else is not kept, and counted": (
        "cache",
        f"""
        behind NOERROR | evil.test. 60 A {A1}
        ask a.test. A
        ask a.test. A
        asked 2
        count drops_total 2
        """,
    ),
    "nothing at all is good for five seconds": (
        "cache",
        """
        behind NOERROR
        ask a.test. A
        wait 4
        ask a.test. A
        asked 1
        wait 1
        ask a.test. A
        asked 2
        """,
    ),
    "SERVFAIL is kept for as long as servfail says, and not at all with 0": (
        "cache {\n servfail 3s\n}",
        """
        behind SERVFAIL
        ask a.test. A
        wait 2
        ask a.test. A
        says SERVFAIL aa
        asked 1
        wait 1
        ask a.test. A
        asked 2
        """,
    ),
    "servfail 0": (
        "cache {\n servfail 0\n}",
        """
        behind SERVFAIL
        ask a.test. A
        ask a.test. A
        asked 2
        """,
    ),
    "a failure while it is fetched ahead does not hide what was known": (
        "cache 100 {\n prefetch 1 1m 90%\n servfail 60s\n}",
        f"""
        behind NOERROR | a.test. 100 A {A1}
        ask a.test. A
        wait 20
        behind SERVFAIL
        ask a.test. A
        settle
        asked 2
        count entries denial 1
        ask a.test. A
        says NOERROR aa | a.test. 80 A {A1}
        settle
        """,
    ),
    "DO and CD have entries of their own, and so have types; letters have not": (
        "cache",
        f"""
        behind NOERROR | a.test. 60 A {A1}
        ask a.test. A
        ask A.tEsT. A
        asked 1
        ask a.test. A do
        asked 2
        ask a.test. A cd
        asked 3
        ask a.test. A do cd
        asked 4
        ask a.test. AAAA
        asked 5
        """,
    ),
    "without RD what is kept is served, and nothing is kept for those who want recursion (RFC 1035 section 4.1.1)": (
        "cache 100 {\n prefetch 1 1m 90%\n}",
        f"""
        behind REFUSED
        ask a.test. A nord
        says REFUSED
        behind NOERROR | -- test. 60 NS ns.test.
        ask a.test. A nord
        says NOERROR | -- test. 5 NS ns.test.
        behind SERVFAIL
        ask a.test. A nord
        says SERVFAIL
        asked 3
        behind NOERROR | a.test. 100 A {A1}
        ask a.test. A
        says NOERROR | a.test. 100 A {A1}
        asked 4
        ask a.test. A nord
        says NOERROR aa | a.test. 100 A {A1}
        asked 4
        wait 20
        behind NOERROR | a.test. 50 A {A1}
        ask a.test. A nord
        says NOERROR aa | a.test. 80 A {A1}
        settle
        asked 5
        recursive 5
        ask a.test. A
        says NOERROR aa | a.test. 50 A {A1}
        settle
        """,
    ),
    "AD is for those who asked for it": (
        "cache",
        f"""
        behind NOERROR ad | a.test. 60 A {A1}
        ask a.test. A
        says NOERROR | a.test. 60 A {A1}
        ask a.test. A ad
        says NOERROR aa ad | a.test. 60 A {A1}
        ask a.test. A
        says NOERROR aa | a.test. 60 A {A1}
        ask a.test. A do
        says NOERROR ad | a.test. 60 A {A1}
        """,
    ),
    "disable stops keeping, per half and zone": (
        "cache {\n disable success sub.test\n disable denial\n}",
        f"""
        behind NOERROR | a.sub.test. 60 A {A1}
        ask a.sub.test. A
        says NOERROR | a.sub.test. 60 A {A1}
        ask a.sub.test. A
        asked 2
        behind NOERROR | asub.test. 60 A {A1}
        ask asub.test. A
        ask asub.test. A
        asked 3
        behind NXDOMAIN | {SOA}
        ask no.test. A
        ask no.test. A
        asked 5
        """,
    ),
    "only names in the zones are touched": (
        "cache 30 in.test",
        """
        behind NOERROR | a.test. 600 A 192.0.2.1
        ask a.test. A
        says NOERROR | a.test. 600 A 192.0.2.1
        ask a.test. A
        asked 2
        count requests_total 0
        behind NOERROR | a.in.test. 600 A 192.0.2.1
        ask a.in.test. A
        ask a.in.test. A
        asked 3
        """,
    ),
    "keepttl keeps TTLs, not entries": (
        "cache 30 {\n keepttl\n}",
        f"""
        behind NOERROR | a.test. 60 A {A1}
        ask a.test. A
        wait 29
        ask a.test. A
        says NOERROR aa | a.test. 30 A {A1}
        wait 1
        ask a.test. A
        asked 2
        """,
    ),
    "a failure goes through, and nothing is kept of it": (
        "cache",
        """
        behind fails
        ask a.test. A
        fails
        ask a.test. A
        asked 2
        count misses_total 2
        """,
    ),
    "what is popular is asked again before it is over, once": (
        "cache 100 {\n prefetch 3 10s 20%\n}",
        f"""
        behind NOERROR | a.test. 100 A {A1}
        ask a.test. A
        wait 70
        ask a.test. A
        ask a.test. A
        ask a.test. A
        asked 1
        wait 10
        ask a.test. A
        ask a.test. A
        ask a.test. A
        says NOERROR aa | a.test. 20 A {A1}
        settle
        asked 2
        count prefetch_total 1
        ask a.test. A
        says NOERROR aa | a.test. 100 A {A1}
        """,
    ),
    "what is asked too seldom is not popular": (
        "cache 100 {\n prefetch 3 10s 20%\n}",
        f"""
        behind NOERROR | a.test. 100 A {A1}
        ask a.test. A
        wait 60
        ask a.test. A
        ask a.test. A
        wait 25
        ask a.test. A
        ask a.test. A
        settle
        asked 1
        """,
    ),
}


@pytest.mark.parametrize("title", DIALOGUES)
async def test_dialogues(title: str) -> None:
    """Each dialogue goes as written."""
    corefile, text = DIALOGUES[title]
    await Play(corefile).run(text)
