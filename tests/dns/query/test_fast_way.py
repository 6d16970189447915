"""The fast way is only faster: what it remembers is right, bounded, and counted like the rest."""

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kdns.base.objects import Object
from kdns.config.settings import KubernetesOptions
from kdns.dns.query.fast import MAX_ENTRIES, MAX_KINDS, MAX_MISSES, MAX_OCTETS, bounded, kind_of
from kdns.metrics.dns import SocketCounts, collect_sockets
from kdns.watch.source import Deleted, Upserted
from kdns.watch.store import Store
from kdns.wire.name import parse_name
from kdns.wire.numbers import AXFR, HTTPS, NXDOMAIN, SRV, TXT, A
from kdns.wire.query import parse_query
from tests.address_plan import NOW
from tests.build import change, tcp, view
from tests.dns.messages import Opt, chain_only, query, replies, socket_responder
from tests.dns.plan import FLAGS, IGNORED, NAMES, OBJECTS, OPTIONS, OPTS, RTYPES, VARIANTS, spelled
from tests.examples import examples
from tests.records.shop import SHOP, WEB
from tests.records.universe import ASKED, NESTED, OWN, SIBLINGS, SLOTS, STEPS
from tests.records.zone_text import blank, cluster


@pytest.mark.parametrize(("proto", "quarter"), [("udp", 0), ("tcp", 1)], ids=["udp", "tcp"])
@pytest.mark.parametrize("synced", [True, False], ids=["synced", "unsynced"])
async def test_the_fast_way_is_only_faster(proto: str, quarter: int, synced: bool) -> None:
    """For every kind of question, in every form, asked again and again, both ways give the same octets.

    Each of the four runs takes every fourth combination of name, type and form, together they take all of them; with
    ``make fuzz`` each takes all.
    """
    fast_answers, slow_answers = (cluster(*OBJECTS, options=OPTIONS, own=("192.0.2.1",)) for _ in range(2))
    fast_answers.synced = slow_answers.synced = synced
    messages = [
        query(spelled(name, seed) if seed else name, rtype, opt=opt, flags=flags, number=seed * 7919)
        for name in NAMES
        for rtype in RTYPES
        for seed, opt, flags in [
            *((seed, opt, 0x0100) for seed in range(2) for opt in OPTS),
            *((0, opt, flags) for opt in OPTS[:2] for flags in FLAGS),
            *((1, opt, 0x0130) for opt in VARIANTS),
            *((0, opt, 0x0100 | flags) for opt in (None, VARIANTS[0]) for flags in IGNORED),
        ]
    ]
    messages = messages[quarter + 2 * synced :: max(1, 4 // examples(1))]
    both, chained = socket_responder(fast_answers, proto=proto), chain_only(slow_answers, proto)
    served_fast = sum(both.fast(message) is not None for message in messages[:200])
    assert served_fast > 50, "the fast way serves hardly anything: this test would prove nothing"
    both = socket_responder(cluster_like := cluster(*OBJECTS, options=OPTIONS, own=("192.0.2.1",)), proto=proto)
    cluster_like.synced = synced
    for message, one, other in zip(
        messages, await replies(both, messages), await replies(chained, messages), strict=True
    ):
        assert one == other, message.hex()


@pytest.mark.parametrize("proto", ["udp", "tcp"])
async def test_both_ways_count_alike(proto: str) -> None:
    """What is counted for a message does not depend on the way it took."""
    messages = [query(name, rtype, opt=opt) for name in NAMES[:-2] for rtype in (A, SRV, HTTPS) for opt in OPTS[:3]] * 2
    sockets = (
        socket_responder(cluster(*OBJECTS, options=OPTIONS), proto=proto),
        chain_only(cluster(*OBJECTS, options=OPTIONS), proto),
    )
    for one in sockets:
        await replies(one, messages)
    told, also = (
        {
            (sample.name, *sorted(sample.labels.items())): sample.value
            for family in collect_sockets([one.counts])
            if family.name != "coredns_dns_request_duration_seconds"
            for sample in family.samples
            if sample.value
        }
        for one in sockets
    )
    assert told == also
    assert sum(value for (name, *_), value in told.items() if name == "coredns_dns_requests_total") == len(messages)


@pytest.mark.parametrize("flags", [0x0100, *(0x0100 | each for each in IGNORED)], ids=hex)
@pytest.mark.parametrize("opt", [None, Opt(), *VARIANTS], ids=str)
def test_what_no_plugin_reads_takes_the_fast_path(opt: Opt | None, flags: int) -> None:
    """Options and flags that change nothing of an answer cost no more than the plain query, and are not remembered."""
    one = socket_responder(cluster(*SHOP))
    name = parse_name("web.shop.svc.cluster.local.")
    replies_made = {
        one.fast(query(spelled(name, seed), A, opt=opt, flags=flags) + behind)
        for seed in (0, 1)
        for behind in (b"", b"x")
    }
    assert None not in replies_made
    assert len(replies_made) == 2, "one for each spelling"
    assert one.remembers.remembered == (1, 0)


def counting(message: bytes, at: int, count: int) -> bytes:
    """The message with another count of records in the octet of its header."""
    return message[:at] + bytes((count,)) + message[at + 1 :]


@pytest.mark.parametrize(
    ("title", "message"),
    [
        ("another version", query(NAMES[5], A, opt=Opt(version=1))),
        ("another opcode", query(NAMES[5], A, flags=0x2900)),
        ("a response", query(NAMES[5], A, flags=0x8400)),
        ("another class", query(NAMES[5], A, rclass=3, flags=0x0500)),
        ("a transfer", query(NAMES[5], AXFR, flags=0x0500)),
        ("options longer than the message", query(NAMES[5], A, opt=Opt(options=b"\0\x0a\0\x08cookie!!"))[:-1]),
        ("an OPT record with an owner", query(NAMES[5], A, opt=Opt(z=1)).replace(b"\0\0\x29\4", b"\1x\0\0\x29\4")),
        ("two OPT records", counting(query(NAMES[5], A, opt=Opt()) + Opt().octets(), 11, 2)),
        ("an answer", counting(query(NAMES[5], A), 7, 1)),
        ("a cut question", query(NAMES[5], A, flags=0x0500)[:-1]),
        ("a compressed question", query(b"\xc0\x0c", A, flags=0x0500)),
        ("nothing but a header", query(b"", A)[:12]),
    ],
)
def test_what_must_be_read_takes_the_slow_path(title: str, message: bytes) -> None:
    """Where a message is not the plain query with more octets, the fast path leaves it alone."""
    assert socket_responder(cluster(*SHOP)).fast(message) is None, title


async def test_variants_are_counted_like_the_rest() -> None:
    """Octets of queries and replies are those that were received and sent."""
    one = socket_responder(cluster(*SHOP))
    messages = [query(NAMES[5], A, opt=opt) for opt in VARIANTS]
    made = [reply for reply in await replies(one, messages) if reply is not None]
    sums = {
        family.name: [sample.value for sample in family.samples if sample.name.endswith("_sum")]
        for family in collect_sockets([one.counts])
    }
    assert sums["coredns_dns_request_size_bytes"] == [sum(map(len, messages))]
    assert sums["coredns_dns_response_size_bytes"] == [sum(map(len, made))]


async def test_the_next_question_sees_the_change() -> None:
    """An answer is never older than the last event, whatever was remembered for the message."""
    answers = cluster(*SHOP)
    one = socket_responder(answers)
    messages = [query(parse_name(f"{name}.shop.svc.cluster.local."), rtype, opt=opt)
                for name in ("web", "later") for rtype in (A, TXT) for opt in (None, Opt())]  # fmt: skip
    await replies(one, messages)
    moved = view("shop/web", ips=("10.96.0.77",), ports=(tcp(80, "http"),))
    answers.apply(change(WEB, moved), NOW + 9)
    answers.apply(change(None, view("shop/later", ips=("10.96.0.78",))), NOW + 9)
    fresh = socket_responder(answers)
    assert await replies(one, messages) == await replies(fresh, messages)
    (reply,) = await replies(one, messages[:1])
    assert reply is not None
    assert reply.endswith(b"\x0a\x60\x00\x4d")


async def test_the_spelling_of_the_client_comes_back() -> None:
    """0x20: the question is copied as it came, and no spelling is remembered that was made up for one query."""
    one = socket_responder(cluster(*SHOP))
    name = parse_name("web.shop.svc.cluster.local.")
    for seed in range(1, 200):
        message = query(spelled(name, seed), A)
        (reply,) = await replies(one, [message])
        assert reply is not None
        assert reply[12 : 12 + len(name)] == message[12 : 12 + len(name)]
    assert one.remembers is not None
    assert one.remembers.remembered == (1, 0)


async def test_random_names_do_not_grow_memory() -> None:
    """However many names that do not exist are asked for, what is remembered stays bounded, and right."""
    answers = cluster(*SHOP)
    one = socket_responder(answers)
    for number in range(MAX_MISSES + 1000):
        for parent in ("example.com.shop.svc", "shop.svc", f"y{number}.svc"):
            reply = one.fast(query(parse_name(f"x{number}.{parent}.cluster.local."), A))
            assert reply is not None
            assert reply[3] & 0xF == NXDOMAIN
    assert one.remembers is not None
    messages, misses = one.remembers.remembered
    assert messages < 10
    assert misses <= MAX_MISSES


async def test_misses_that_come_again_are_remembered() -> None:
    """Search lists make the same names that do not exist again and again: from the third time on they are hits."""
    one = socket_responder(cluster(*SHOP))
    for number in range(3):
        for name in range(50):
            reply = one.fast(query(parse_name(f"w{name:02}.example.com.shop.svc.cluster.local."), A, number=number))
            assert reply is not None
            assert (reply[:2], reply[3] & 0xF) == (number.to_bytes(2, "big"), NXDOMAIN)
    assert one.remembers is not None
    assert one.remembers.remembered[0] >= 49
    assert one.fast(query(spelled(parse_name("w07.example.com.shop.svc.cluster.local."), 5), A)) is not None


async def test_many_names_do_not_grow_memory() -> None:
    """Names of Pods exist for every address: what is remembered of them is bounded, and what is asked often stays."""
    one = socket_responder(cluster(*SHOP, options=OPTIONS))
    often = query(parse_name("web.shop.svc.cluster.local."), A)
    for number in range(2 * MAX_ENTRIES + 500):
        text = f"10-{number >> 16}-{number >> 8 & 255}-{number & 255}.shop.pod.cluster.local."
        assert one.fast(query(parse_name(text), A)) is not None
        if not number % 1000:
            assert one.fast(often) is not None
    assert one.remembers is not None
    assert MAX_ENTRIES < one.remembers.remembered[0] <= 2 * MAX_ENTRIES
    assert often[2:] in one.remembers._entries or often[2:] in one.remembers._elder


@pytest.mark.parametrize("proto", ["udp", "tcp"])
async def test_payload_sizes_do_not_grow_memory(proto: str) -> None:
    """Each EDNS payload size is another message: the octets of all that is remembered are bounded, however long."""
    ready = [f"10.{number >> 8}.{number & 255}.7" for number in range(2000)]
    one = socket_responder(cluster(view("shop/many", ("None",), (tcp(80, "http"),), ready)), proto=proto)
    name = parse_name("_http._tcp.many.shop.svc.cluster.local.")
    sizes = []
    for payload in range(512, 12_000, 1 if proto == "udp" else 20):
        reply = one.fast(query(name, SRV, opt=Opt(payload)))
        assert reply is not None
        sizes.append(len(reply))
    assert sum(sizes) > 3 * MAX_OCTETS, "too few octets to prove anything"
    assert one.remembers is not None
    assert one.remembers.octets <= 2 * (MAX_OCTETS + 65_535)


async def test_a_name_next_to_a_missing_one_may_exist() -> None:
    """What was learnt from a name that does not exist says nothing of a Service of another name, old or new."""
    answers = cluster(*SHOP)
    one = socket_responder(answers)

    def rcode(name: str) -> int:
        reply = one.fast(query(spelled(parse_name(f"{name}.shop.svc.cluster.local."), 3), A))
        assert reply is not None
        return reply[3] & 0xF

    assert [rcode(name) for name in ("nop", "nix", "web", "new", "nix.nop", "nop.web")] == [3, 3, 0, 3, 3, 3]
    later = view("shop/new", ips=("10.96.0.78",))
    answers.apply(change(None, later), NOW + 9)
    assert [rcode(name) for name in ("nop", "nix", "web", "new")] == [3, 3, 0, 0]
    answers.apply(change(later, None), NOW + 10)
    assert [rcode(name) for name in ("nop", "nix", "web", "new")] == [3, 3, 0, 3]


async def test_a_zone_next_to_a_missing_service_exists() -> None:
    """Zones may lie below a Namespace: they, and the names between, are no Services and exist all the same."""
    one = socket_responder(cluster(*SHOP, options=KubernetesOptions(zones=("cluster.local.", *_BELOW))))
    for name, rcode in (("nop", NXDOMAIN), ("api", 0), ("nix", NXDOMAIN), ("top", 0)):
        (reply,) = await replies(one, [query(parse_name(f"{name}.shop.svc.cluster.local."), A)])
        assert reply is not None
        assert reply[3] & 0xF == rcode, name


_BELOW = ("api.shop.svc.cluster.local.", "deep.top.shop.svc.cluster.local.")


async def test_type_65_is_not_type_97() -> None:
    """Folding is for the name alone: HTTPS (65, an A in ASCII) and 97 (an a) are different questions."""
    answers = cluster(*SHOP)
    one = socket_responder(answers)
    name = parse_name("web.shop.svc.cluster.local.")
    for rtype in (HTTPS, 97, HTTPS):
        (reply,) = await replies(one, [query(name, rtype)])
        assert reply is not None
        assert reply[12 + len(name) : 14 + len(name)] == rtype.to_bytes(2, "big")


@settings(max_examples=examples(15))
@given(
    STEPS,
    st.sampled_from(NESTED),
    st.lists(st.tuples(st.sampled_from((*ASKED, *SIBLINGS)), st.sampled_from((A, SRV))), max_size=40),
)
def test_what_a_lane_remembers_is_never_older_than_the_last_event(
    steps: Sequence[tuple[int, Object | None]], options: KubernetesOptions, questions: list[tuple[bytes, int]]
) -> None:
    """After each event a responder that was asked all the time says what a new responder over the same zone says."""
    answers, store = blank(options, OWN), Store()
    messages = [query(name, rtype) for name, rtype in questions]
    one = socket_responder(answers)
    for slot, thing in ((0, None), *steps):
        event = Deleted(SLOTS[slot][0].key) if thing is None else Upserted(thing)
        for each in store.apply(event):
            answers.apply(each, NOW)
        for message in messages:
            same_reply(socket_responder(answers).fast(message), one.fast(message), message)


def same_reply(new: bytes | None, old: bytes | None, message: bytes) -> None:
    """Both are none, or the same octets but for the rotation of addresses."""
    if new is None or old is None:
        assert new is old, message.hex()
    else:
        assert (new[:12], sorted(new[12:])) == (old[:12], sorted(old[12:])), message.hex()


def test_sizes_do_not_grow_memory() -> None:
    """However many sizes replies have, the kinds that are counted stay bounded, and every reply is counted."""
    counts = SocketCounts("dns://:53", "tcp", 1)
    asked = parse_query(query(parse_name("web.test."), A))
    for grow in range(MAX_KINDS + 500):
        counts.tallies[bounded(counts, kind_of(asked, 0, grow, ".", "forward"))][40] += 1
    assert len(counts.tallies) == MAX_KINDS
    assert sum(sum(lengths.values()) for lengths in counts.tallies.values()) == MAX_KINDS + 500
