"""Not knowing is not "no": until all lists are complete a missing name is SERVFAIL."""

import pytest

from kdns.wire.numbers import NOERROR, NXDOMAIN, SERVFAIL
from tests.records.shop import SHOP
from tests.records.zone_text import ask, cluster, present

CASES = (
    ("a missing Service", "nope.shop.svc.cluster.local. A", SERVFAIL),
    ("a missing Namespace", "nowhere.svc.cluster.local. A", SERVFAIL),
    ("a missing reverse name", "200.0.96.10.in-addr.arpa. PTR", SERVFAIL),
    ("a name beside the grammar", "foo.cluster.local. A", SERVFAIL),
    ("the missing end of a CNAME", "dangling.shop.svc.cluster.local. A", SERVFAIL),
    ("a Service that is known", "web.shop.svc.cluster.local. A", NOERROR),
    ("a type it lacks", "web.shop.svc.cluster.local. TXT", NOERROR),
    ("the apex", "cluster.local. SOA", NOERROR),
    ("the schema version", "dns-version.cluster.local. TXT", NOERROR),
    ("svc", "svc.cluster.local. A", NOERROR),
)


@pytest.mark.parametrize(("title", "question", "rcode"), CASES, ids=[row[0] for row in CASES])
def test_before_the_first_lists_are_complete(title: str, question: str, rcode: int) -> None:
    """Only what would be NXDOMAIN is SERVFAIL; all else is answered as ever."""
    unsynced, synced = cluster(*SHOP, synced=False), cluster(*SHOP)
    assert ask(unsynced, question).rcode == rcode
    assert ask(synced, question).rcode == (NXDOMAIN if rcode == SERVFAIL else rcode)
    if rcode == NOERROR:
        assert present(ask(unsynced, question)) == present(ask(synced, question))


def test_an_answer_from_before_the_sync_does_not_outlive_it() -> None:
    """The compiled SERVFAIL of a missing name is NXDOMAIN from the moment everything is known."""
    answers = cluster(*SHOP, synced=False)
    name, rtype = b"\4nope\4shop\3svc\7cluster\5local\0", 1
    before = answers.find(name, rtype)
    assert before is not None
    assert before.rcode == SERVFAIL
    answers.synced = True
    after = answers.find(name, rtype)
    assert after is not None
    assert (before.live, after.rcode) == (False, NXDOMAIN)
