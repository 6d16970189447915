"""Answers compiled into octets: complete, in turn, and never older than the last change."""

import struct
from collections import Counter
from itertools import pairwise

import pytest
from dnslib import DNSRecord
from msgspec.structs import replace

from kdns.base.objects import SERVING, ServiceView
from kdns.config.settings import KubernetesOptions
from kdns.records.answers import MAX_ANSWERS, MAX_OCTETS, Answer, Answers
from kdns.wire.name import child, parse_name
from kdns.wire.numbers import AAAA, NXDOMAIN, SRV, TXT, A
from tests.address_plan import NOW
from tests.build import change, namespace, pod, proxied, slices, states_slice, tcp, view
from tests.records.shop import SHOP, WEB
from tests.records.universe import reply
from tests.records.zone_text import ask, cluster, parse_question, present, rr_lines

QUESTIONS = (
    "cluster.local. SOA",
    "cluster.local. NS",
    "dns-version.cluster.local. TXT",
    "web.shop.svc.cluster.local. A",
    "web.shop.svc.cluster.local. AAAA",
    "web.shop.svc.cluster.local. TXT",
    "_http._tcp.web.shop.svc.cluster.local. SRV",
    "anon.shop.svc.cluster.local. SRV",
    "db.shop.svc.cluster.local. A",
    "db-0.db.shop.svc.cluster.local. AAAA",
    "alias2.shop.svc.cluster.local. A",
    "alias6.shop.svc.cluster.local. A",
    "dangling.shop.svc.cluster.local. A",
    "loop-a.shop.svc.cluster.local. A",
    "outside.shop.svc.cluster.local. A",
    "nope.shop.svc.cluster.local. A",
    "9.0.96.10.in-addr.arpa. PTR",
    "1.9.0.96.10.in-addr.arpa. PTR",
    "a.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.1.0.0.0.4.4.2.0.0.1.0.0.0.0.d.f.ip6.arpa. PTR",
    "ns.dns.cluster.local. A",
    "in-addr.arpa. A",
)


def find(answers: Answers, question: str) -> Answer:
    answer = answers.find(*parse_question(question))
    assert answer is not None, question
    return answer


def read(answers: Answers, question: str, turn: int = 0) -> DNSRecord:
    """The message as dnslib reads it."""
    return reply(*parse_question(question), find(answers, question), turn)


@pytest.mark.parametrize("question", QUESTIONS)
def test_the_octets_say_what_the_lookup_found(question: str) -> None:
    """Read by dnslib, an Answer has the rcode and the records of the Result, section by section."""
    answers = cluster(*SHOP, own=("192.0.2.1",))
    result = ask(answers, question)
    message = read(answers, question)
    assert message.header.rcode == result.rcode == find(answers, question).rcode
    for section, rrsets in (
        (message.rr, result.answer),
        (message.auth, result.authority),
        (message.ar, result.additional),
    ):
        shown = sorted(" ".join(str(rr).replace("\t", " ").split()) for rr in section)
        assert shown == sorted(rr_lines(rrsets))


def _crowd(count: int) -> Answers:
    endpoints = [f"10.244.{n // 250}.{n % 250}" for n in range(count)]
    return cluster(view("shop/crowd", ips=("None",), ports=(tcp(80, "http"),), endpoints=endpoints))


@pytest.mark.parametrize("count", [2, 3, 7, 100])
def test_every_endpoint_comes_first_equally_often(count: int) -> None:
    """In as many replies as there are address records each is once the first, and all are in each reply."""
    answers = _crowd(count)
    answer = find(answers, "crowd.shop.svc.cluster.local. A")
    firsts: Counter[str] = Counter()
    for _ in range(2 * count):
        lines = [str(rr.rdata) for rr in read(answers, "crowd.shop.svc.cluster.local. A", answer.next_turn()).rr]
        assert len(set(lines)) == len(lines) == count
        firsts[lines[0]] += 1
    assert set(firsts.values()) == {2}
    assert len(firsts) == count


def test_answers_that_change_often_do_not_begin_at_the_same_record() -> None:
    """Each change makes a new Answer; over many of them no endpoint gets all the first places."""
    answers = _crowd(10)
    firsts: Counter[str] = Counter()
    for n in range(100):
        answers.apply(change(None, namespace(f"other-{n}")), NOW + n)
        turn = find(answers, "crowd.shop.svc.cluster.local. A").next_turn()
        firsts[str(read(answers, "crowd.shop.svc.cluster.local. A", turn).rr[0].rdata)] += 1
    assert max(firsts.values()) <= 30


def test_only_address_records_take_turns() -> None:
    """SRV has weights of its own, a CNAME stays in front, one record has no turn."""
    answers = cluster(*SHOP)
    for question in (
        "anon.shop.svc.cluster.local. SRV",
        "alias.shop.svc.cluster.local. A",
        "web.shop.svc.cluster.local. A",
        "nope.shop.svc.cluster.local. A",
    ):
        assert find(answers, question).ring_size == 0


def test_addresses_behind_a_cname_take_turns() -> None:
    """The CNAME stays first while the addresses at its end rotate."""
    answers = cluster(*SHOP, view("shop/to-db", external="db.shop.svc.cluster.local"))
    question = "to-db.shop.svc.cluster.local. A"
    answer = find(answers, question)
    firsts = set()
    for _ in range(2):
        lines = read(answers, question, answer.next_turn()).rr
        assert lines[0].rtype == 5
        firsts.add(str(lines[1].rdata))
    assert firsts == {"10.244.1.10", "10.244.2.10"}


def test_an_answer_is_compiled_once() -> None:
    """The same question gives the same object as long as nothing touches it."""
    answers = cluster(*SHOP)
    before = find(answers, "web.shop.svc.cluster.local. A")
    answers.apply(change(None, view("shop/unrelated", ips=("10.96.0.99",))), NOW)
    answers.apply(change(None, pod("shop/unrelated", "10.244.77.77")), NOW)
    assert find(answers, "web.shop.svc.cluster.local. A") is before
    assert before.live


def test_a_change_drops_what_it_touches() -> None:
    """Its own names, its ports', its reverse names and every chain that ends there are answered anew."""
    answers = cluster(*SHOP)
    questions = (
        "web.shop.svc.cluster.local. A",
        "_http._tcp.web.shop.svc.cluster.local. SRV",
        "9.0.96.10.in-addr.arpa. PTR",
        "alias2.shop.svc.cluster.local. A",
    )
    before = [find(answers, question) for question in questions]
    moved = view("shop/web", ips=("10.96.0.19",), ports=(tcp(81, "http"),))
    answers.apply(change(WEB, moved), NOW)
    assert [answer.live for answer in before] == [False] * 4
    assert present(ask(answers, questions[0])) == ["web.shop.svc.cluster.local. 5 IN A 10.96.0.19"]
    assert str(read(answers, questions[3]).rr[-1].rdata) == "10.96.0.19"
    assert find(answers, questions[2]).rcode == NXDOMAIN


def test_what_only_the_proxy_reads_touches_no_answer() -> None:
    """A hint, another policy or a node port leaves answers and the serial alone, and the zone holds the new objects:
    their going leaves no trace."""
    ports, path = (tcp(80, "http"),), "shop/routed"
    answers, question = cluster(namespace("shop")), "routed.shop.svc.cluster.local. A"
    steps = [
        (proxied(path, ["10.96.0.70"], ports), states_slice(path, ["10.244.0.70"], ports)),
        (proxied(path, ["10.96.0.70"], ports, etp="Local"), states_slice(path, ["10.244.0.70"], ports)),
        (proxied(path, ["10.96.0.70"], (tcp(80, "http", 30080),)), states_slice(path, ["10.244.0.70"], ports)),
        (proxied(path, ["10.96.0.70"], ports), states_slice(path, [("10.244.0.70", "node1", SERVING)], ports)),
    ]
    named = slices(path, ["10.244.0.70"], ports)[0]
    views = [ServiceView(kept, (replace(named, states=routed.states),)) for kept, routed in steps]
    answers.apply(change(None, views[0]), NOW)
    before, serial = find(answers, question), answers.zone.serial(parse_name("cluster.local."))
    for one, other in pairwise(views):
        answers.apply(change(one, other), NOW + 100)
        assert before.live
        assert answers.zone.serial(parse_name("cluster.local.")) == serial
    answers.apply(change(views[-1], None), NOW + 200)
    assert not before.live
    assert answers.zone.serial(parse_name("cluster.local.")) == NOW + 200
    assert find(answers, question).rcode == NXDOMAIN
    assert find(answers, "70.0.244.10.in-addr.arpa. PTR").rcode == NXDOMAIN


def test_a_no_does_not_outlive_the_name_that_appears() -> None:
    """A negative answer is dropped when the Service comes, for its own name and as the end of a chain."""
    answers = cluster(*SHOP)
    for question in ("nobody.shop.svc.cluster.local. A", "dangling.shop.svc.cluster.local. A"):
        assert find(answers, question).rcode == NXDOMAIN
    answers.apply(change(None, view("shop/nobody", ips=("10.96.0.42",))), NOW)
    for question in ("nobody.shop.svc.cluster.local. A", "dangling.shop.svc.cluster.local. A"):
        assert str(read(answers, question).rr[-1].rdata) == "10.96.0.42"


def test_a_namespace_takes_the_names_of_its_services_along() -> None:
    """Where Namespaces are selected, answers compiled before one comes or goes are not given after it."""
    answers = cluster(WEB, options=KubernetesOptions(namespace_labels="dns=yes"), spaces=False)
    question = "web.shop.svc.cluster.local. A"
    rcodes = [find(answers, question).rcode]
    for before, after in ((None, namespace("shop")), (namespace("shop"), None)):
        answers.apply(change(before, after), NOW)
        rcodes.append(find(answers, question).rcode)
    assert rcodes == [NXDOMAIN, 0, NXDOMAIN]


def test_the_serial_is_the_time_of_the_last_change_that_mattered() -> None:
    """It grows with every change, in every zone at once, also within one second and when a clock is set back."""
    answers = cluster(*SHOP)

    def serials() -> set[int]:
        zones = ("cluster.local.", "in-addr.arpa.", "ip6.arpa.")
        return {struct.unpack("!I", ask(answers, f"{zone} SOA").answer[0].rdatas[0][-20:-16])[0] for zone in zones}

    assert serials() == {NOW}
    answers.apply(change(None, view("shop/later", ips=("10.96.0.55",))), NOW + 60)
    assert serials() == {NOW + 60}
    assert str(read(answers, "nope.shop.svc.cluster.local. A").auth[0].rdata).split()[2] == str(NOW + 60)
    answers.apply(change(None, view("shop/earlier", ips=("10.96.0.56",))), NOW - 60)
    assert serials() == {NOW + 61}


def test_what_is_hidden_changes_nothing() -> None:
    """A change in a Namespace that is not exposed touches neither answers nor serial."""
    answers = cluster(*SHOP, options=KubernetesOptions(namespaces=("shop",)))
    before = find(answers, "nope.shop.svc.cluster.local. A")
    answers.apply(change(None, view("hidden/web", ips=("10.96.0.66",), endpoints=("10.244.6.6",))), NOW + 60)
    assert before.live
    assert find(answers, "nope.shop.svc.cluster.local. A") is before


def test_random_names_do_not_grow_memory() -> None:
    """A flood of names that do not exist shares a few answers: as many as there are lengths of names."""
    answers = cluster(*SHOP)
    parent = parse_name("shop.svc.cluster.local.")
    made = {id(answers.find(child(parent, f"random-{n:05}"), rtype)) for n in range(3000) for rtype in (A, AAAA)}
    assert len(made) <= 4


def test_misses_of_one_length_share_an_answer_and_still_say_their_own_name() -> None:
    """The octets are right for every name of that length: SOA owner and names are the zone's, not the first asker's."""
    answers = cluster(*SHOP)
    names = ("nope.shop.svc.cluster.local.", "abcdefghijklm.cluster.local.", "a.b.c.d.e.f.g.cluster.local.")
    assert len({len(parse_name(name)) for name in names}) == 1
    for name in names:
        message = read(answers, f"{name} A")
        assert message.header.rcode == NXDOMAIN
        (soa,) = message.auth
        assert str(soa.rname) == "cluster.local."
        assert str(soa.rdata).split()[:2] == ["ns.dns.cluster.local.", "hostmaster.cluster.local."]


NEIGHBOURS = (
    (
        "a zone inside a zone",
        KubernetesOptions(zones=("cluster.local.", "west.corp.cluster.local.")),
        "east.corp.cluster.local.",
        "west.corp.cluster.local.",
    ),
    (
        "a reverse zone inside a reverse zone",
        KubernetesOptions(zones=("cluster.local.", "in-addr.arpa.", "172.16.0.0/16")),
        "17.172.in-addr.arpa.",
        "16.172.in-addr.arpa.",
    ),
    (
        "a name that falls through",
        KubernetesOptions(fallthrough=("x.nope.cluster.local.",)),
        "y.nope.cluster.local.",
        "x.nope.cluster.local.",
    ),
)


@pytest.mark.parametrize(("title", "options", "missing", "other"), NEIGHBOURS, ids=[row[0] for row in NEIGHBOURS])
def test_a_missing_neighbour_says_nothing_about_the_next_name(
    title: str, options: KubernetesOptions, missing: str, other: str
) -> None:
    """That a sibling does not exist, and its parent neither, decides nothing for a name with its own zone or way."""
    answers, untouched = cluster(WEB, options=options), cluster(WEB, options=options)
    assert find(answers, f"{missing} SOA").rcode == NXDOMAIN
    before, after = (each.find(*parse_question(f"{other} SOA")) for each in (untouched, answers))
    assert (before and before.rcode) == (after and after.rcode)
    assert (before and before.sections) == (after and after.sections)


MISSING = parse_name("nope.cluster.local.")
NO_NAMES = (
    ("nothing", b""),
    ("a root before a name", b"\0" + MISSING),
    ("no root at the end", MISSING[:-1]),
    ("a label that ends behind the end", b"\x20" + MISSING),
    ("a label cut short by the root", b"\4ab\0"),
    ("a pointer", b"\xc0\x0c"),
    ("a pointer before a name", b"\xc0" + b"x" * 0xC0 + MISSING),
    ("a label of 64 octets", b"\x40" + b"x" * 64 + MISSING),
    ("a root inside", b"\1x\0" + MISSING),
    ("over 255 octets", (b"\x3f" + b"x" * 63) * 4 + MISSING),
    ("octets behind the root", b"\1x" + MISSING + b"\0"),
)


@pytest.mark.parametrize(("title", "octets"), NO_NAMES, ids=[row[0] for row in NO_NAMES])
def test_octets_that_are_no_name_have_no_answer(title: str, octets: bytes) -> None:
    """Also right after a question that left something to share."""
    answers = cluster(WEB)
    for label in (b"\1x", b"\1y", b"\2ab"):
        assert answers.find(label + MISSING, A) is not None
    assert answers.find(octets, A) is None


def test_a_name_that_does_not_exist_and_a_node_without_data_do_not_share() -> None:
    """NODATA and NXDOMAIN of the same length, zone and type are different answers, in either order."""
    for first, second in (("A", "B"), ("B", "A")):
        answers = cluster(*SHOP)
        question = {"A": "web.shop.svc.cluster.local. TXT", "B": "nop.shop.svc.cluster.local. TXT"}
        rcodes = {which: find(answers, question[which]).rcode for which in (first, second)}
        assert rcodes == {"A": 0, "B": NXDOMAIN}


def test_pod_names_do_not_grow_memory() -> None:
    """In mode insecure every address is a name: the answers kept for them stay bounded."""
    answers = cluster(*SHOP, options=KubernetesOptions(pods="insecure"))
    parent = parse_name("shop.pod.cluster.local.")
    for n in range(70_000):
        answer = answers.find(child(parent, f"10-{n >> 16}-{n >> 8 & 255}-{n & 255}"), A)
        assert answer is not None
    assert sum(map(len, answers._kept.values())) <= MAX_ANSWERS


@pytest.mark.parametrize("rtype", [A, AAAA, SRV, TXT])
def test_somebody_elses_names_have_no_answer(rtype: int) -> None:
    """Outside the zones, and where the next plugin is to be asked, `find` gives None."""
    assert cluster(*SHOP).find(parse_name("www.example.com."), rtype) is None
    falling = cluster(*SHOP, options=KubernetesOptions(fallthrough=(".",)))
    assert falling.find(parse_name("nope.shop.svc.cluster.local."), rtype) is None


def test_a_target_outside_is_ours_only_when_nobody_can_look_it_up() -> None:
    """Without an upstream the bare CNAME is the answer; with one the chain must be asked."""
    answers = cluster(*SHOP)
    question = parse_question("outside.shop.svc.cluster.local. A")
    assert answers.find(*question) is not None
    other = cluster(*SHOP)
    other.chased_elsewhere = True
    assert other.find(*question) is None
    assert other.find(*parse_question("alias.shop.svc.cluster.local. A")) is not None


def test_large_answers_are_bounded_by_their_octets() -> None:
    """A large set asked for under all its spellings does not stay compiled under each of them."""
    endpoints = [f"10.244.{i // 250}.{i % 250}" for i in range(5000)]
    ports = (tcp(80, "http"), tcp(81, "more"))
    answers = cluster(*(view(f"shop/large{number}", ("None",), ports, endpoints) for number in range(4)))
    asked = [f"{port}.{proto}.large{number}.shop.svc.cluster.local. {rtype}"
             for number in range(4)
             for port in ("_http", "http", "_", "_more", "more") for proto in ("_tcp", "tcp", "_")
             for rtype in ("SRV", "A")]  # fmt: skip
    found = [find(answers, question) for question in asked for _ in range(2)]
    live = {id(each): each.octets for each in found if each.live}
    assert sum({id(each): each.octets for each in found}.values()) > MAX_OCTETS
    assert sum(live.values()) <= MAX_OCTETS + max(live.values())
    assert found[-1].live


def test_after_a_bug_no_older_answer_is_served(monkeypatch: pytest.MonkeyPatch) -> None:
    """A change that could not be indexed whole may have touched anything: what was compiled before it is dropped."""
    answers = cluster(view("shop/web", ips=("10.96.0.9",)))
    name, rtype = parse_question("web.shop.svc.cluster.local. A")
    kept = answers.find(name, rtype)
    assert kept is not None

    def broken(*_: object) -> None:
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(answers.zone.cluster, "update", broken)
    with pytest.raises(ZeroDivisionError):
        answers.apply(change(None, view("shop/db", ips=("10.96.0.8",))), NOW)
    assert not kept.live
