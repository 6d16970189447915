"""What must hold for any cluster and any order of events."""

import random
from collections import Counter
from collections.abc import Iterable, Sequence

from hypothesis import given, settings
from hypothesis import strategies as st

from kdns.base.objects import Change, Kind, Object, ObjectKey
from kdns.config.settings import KubernetesOptions, PodMode
from kdns.records.answers import Answer, Answers
from kdns.records.reasons import Missing
from kdns.records.rrset import Result
from kdns.watch.source import Deleted, ListComplete, Listing, Upserted
from kdns.watch.store import Store
from kdns.wire.compose import compose_rrsets
from kdns.wire.name import labels, parse_name, under
from kdns.wire.numbers import NXDOMAIN, SOA, A
from tests.address_plan import NOW
from tests.build import namespace
from tests.examples import examples
from tests.records.shop import SHOP
from tests.records.universe import (
    ALL_OPTIONS,
    ASKED,
    NAMES,
    NESTED,
    OPTIONS,
    OWN,
    QUESTIONS,
    RTYPES,
    SIBLINGS,
    SLOTS,
    STEPS,
    meaning,
    plain,
    question_text,
    said,
    same_answer,
)
from tests.records.zone_text import blank, cluster

CLUSTER, IMPORTS = parse_name("cluster.local"), parse_name("clusterset.local")
Steps = Sequence[tuple[int, Object | None]]
ANCHOR = namespace("anchor")
"""Always there, so that the serial is never the one of a zone without any change."""


def built(objects: Iterable[Object], options: KubernetesOptions = OPTIONS, now: int = NOW) -> Answers:
    """The zone of these objects, each put once."""
    answers, store = blank(options, OWN), Store()
    for each in (ANCHOR, *objects):
        take(answers, store.apply(Upserted(each)), now)
    return answers


def take(answers: Answers, changes: Iterable[Change], now: int = NOW) -> None:
    """All of them at one time."""
    for change in changes:
        answers.apply(change, now)


def key_of(slot: int) -> ObjectKey:
    return SLOTS[slot][0].key


def final(steps: Steps) -> list[Object]:
    """What is there after the steps."""
    last = dict(steps)
    return [each for each in last.values() if each is not None]


def run(steps: Steps) -> Answers:
    """The zone after these steps."""
    answers, store = built(()), Store()
    store.apply(Upserted(ANCHOR))
    for slot, thing in steps:
        take(answers, store.apply(Upserted(thing) if thing is not None else Deleted(key_of(slot))))
    return answers


def assert_same(one: Answers, other: Answers) -> None:
    """Both have the same records and give the same results and answers."""
    assert plain(one.records()) == plain(other.records())
    for name, rtype in QUESTIONS:
        asked = question_text(name, rtype)
        assert meaning(one.lookup(name, rtype)) == meaning(other.lookup(name, rtype)), asked
        assert same_answer(name, rtype, one.find(name, rtype), other.find(name, rtype)), asked


@settings(max_examples=examples(20))
@given(STEPS, st.randoms(use_true_random=False))
def test_the_way_does_not_matter_only_the_end(steps: Steps, order: random.Random) -> None:
    """Any order of events that ends in the same objects gives the same zone as building it at once."""
    objects = final(steps)
    order.shuffle(objects)
    assert_same(run(steps), built(objects))


@settings(max_examples=examples(15))
@given(STEPS, st.sets(st.sampled_from(RTYPES), min_size=1, max_size=3), st.sampled_from(ALL_OPTIONS))
def test_no_answer_survives_the_change_that_makes_it_wrong(
    steps: Steps, rtypes: set[int], options: KubernetesOptions
) -> None:
    """After each event every answer, compiled before or after it, says what a new zone of the same objects says."""
    questions = [(name, rtype) for name in NAMES for rtype in sorted(rtypes)]
    answers, store = built((), options), Store()
    store.apply(Upserted(ANCHOR))
    there: dict[int, Object | None] = {}
    held: dict[tuple[bytes, int], Answer] = {}
    for seconds, (slot, thing) in enumerate(steps):
        take(answers, store.apply(Upserted(thing) if thing is not None else Deleted(key_of(slot))), NOW + seconds)
        there[slot] = thing
        objects = [each for each in there.values() if each is not None]
        fresh = {serial: built(objects, options, serial) for serial in map(answers.zone.serial, (CLUSTER, IMPORTS))}
        for name, rtype in questions:
            apex = IMPORTS if under(name, IMPORTS) and options.multicluster else CLUSTER
            kept, new = held.get((name, rtype)), fresh[answers.zone.serial(apex)].find(name, rtype)
            told = f"{question_text(name, rtype)} after {thing or key_of(slot)}"
            if kept is not None and kept.live:
                assert same_answer(name, rtype, kept, new), f"outlived: {told}"
            found = answers.find(name, rtype)
            assert same_answer(name, rtype, found, new), told
            if found is not None:
                held[name, rtype] = found


@settings(max_examples=examples(10))
@given(STEPS, STEPS)
def test_a_relist_leaves_what_the_list_said(before: Steps, after: Steps) -> None:
    """What vanished during an outage vanishes here: after full lists of every kind only what they held is left."""
    answers, store = built(()), Store()
    store.apply(Upserted(ANCHOR))
    for slot, thing in before:
        take(answers, store.apply(Upserted(thing) if thing is not None else Deleted(key_of(slot))))
    objects = [ANCHOR, *final(after)]
    kinds: tuple[Kind, ...] = ("Service", "EndpointSlice", "Namespace", "Pod", "ServiceImport")
    for kind in kinds:
        take(answers, store.apply(Listing(kind)))
    for each in objects:
        take(answers, store.apply(Upserted(each)))
    for kind in kinds:
        take(answers, store.apply(ListComplete(kind, "7")))
    assert_same(answers, built(objects[1:]))


@settings(max_examples=examples(20))
@given(STEPS)
def test_the_whole_zone_is_what_lookups_find(steps: Steps) -> None:
    """`records` lists each RRset once, and each is the answer to its own question."""
    answers = run(steps)
    listed = list(answers.records())
    twice = [each for each, times in Counter((rrset.owner, rrset.rtype) for rrset in listed).items() if times > 1]
    assert not twice, question_text(*twice[0])
    for rrset in listed:
        asked = question_text(rrset.owner, rrset.rtype)
        result = answers.lookup(rrset.owner, rrset.rtype)
        assert isinstance(result, Result), asked
        assert plain((rrset,)) == plain(each for each in result.answer if each.owner == rrset.owner), asked


@settings(max_examples=examples(20))
@given(STEPS)
def test_what_lookups_find_is_in_the_whole_zone(steps: Steps) -> None:
    """No record is answered at a name the specification has that `records` does not list."""
    answers = run(steps)
    listed = plain(answers.records())
    owners = {owner for owner, *_ in listed}
    for name, rtype in QUESTIONS:
        result = answers.lookup(name, rtype)
        if isinstance(result, Result) and name in owners:
            assert plain(result.answer) <= listed, question_text(name, rtype)


@settings(max_examples=examples(20))
@given(STEPS)
def test_below_nothing_there_is_nothing(steps: Steps) -> None:
    """RFC 8020: if a name is NXDOMAIN all names below it are; and NXDOMAIN holds for every type (RFC 2308)."""
    answers = run(steps)
    missing: set[bytes] = set()
    for name in NAMES:
        results = {rtype: answers.lookup(name, rtype) for rtype in RTYPES}
        rcodes = {result.rcode for result in results.values() if isinstance(result, Result)}
        nodes = {each.rcode for rtype in (A, SOA) if isinstance(each := results[rtype], Result) and not each.answer}
        if NXDOMAIN in nodes:
            assert rcodes == {NXDOMAIN}, question_text(name, A)
            missing.add(name)
    for name in NAMES:
        parts = list(labels(name))
        above = {b"".join(bytes((len(part),)) + part for part in parts[at:]) + b"\0" for at in range(1, len(parts))}
        if above & missing:
            assert name in missing, question_text(name, A)


ORDERS = st.tuples(st.permutations(SIBLINGS), st.lists(st.sampled_from(ASKED), max_size=40)).map(
    lambda both: [*both[0], *both[1]]
)


@settings(max_examples=examples(30))
@given(STEPS, st.sampled_from(NESTED), ORDERS, st.sets(st.sampled_from(RTYPES), min_size=1, max_size=2))
def test_what_was_asked_before_makes_no_difference(
    steps: Steps, options: KubernetesOptions, names: list[bytes], rtypes: set[int]
) -> None:
    """Answers that are shared or remembered are octet by octet what a lookup of this very question would compile."""
    answers = built(final(steps), options)
    for name in names:
        for rtype in rtypes:
            told = question_text(name, rtype)
            result, answer = answers.lookup(name, rtype), answers.find(name, rtype)
            if isinstance(result, Missing) or result.fallthrough:
                assert answer is None, told
                continue
            assert answer is not None, told
            assert answer.rcode == result.rcode, told
            assert answer.sections == compose_rrsets(name, result.answer, result.authority, result.additional), told


LABEL = st.one_of(
    st.sampled_from([b"svc", b"pod", b"a", b"x", b"y", b"_tcp", b"_http", b"_", b"", b"dns", b"ns", b"10", b"0", b"f"]),
    st.binary(min_size=1, max_size=63).map(bytes.lower),
).filter(bool)
POD_MODES: dict[PodMode, Answers] = {
    mode: cluster(*SHOP, options=KubernetesOptions(pods=mode)) for mode in ("disabled", "insecure", "verified")
}
ANY_NAME = st.tuples(
    st.lists(LABEL, max_size=36),
    st.sampled_from([b"\7cluster\5local\0", b"\7in-addr\4arpa\0", b"\3ip6\4arpa\0", b"\3a.b\0", b"\0"]),
).map(lambda parts: b"".join(bytes((len(part),)) + part for part in parts[0]) + parts[1])


@settings(max_examples=examples(100))
@given(ANY_NAME.filter(lambda name: len(name) <= 255), st.integers(0, 65535), st.sampled_from(sorted(POD_MODES)))
def test_any_question_has_a_result(name: bytes, rtype: int, mode: PodMode) -> None:
    """Whatever octets are asked for whatever type, a lookup gives a result or says the name is not ours."""
    answers = POD_MODES[mode]
    result = answers.lookup(name, rtype)
    if isinstance(result, Missing):
        return
    assert name.endswith(result.zone)
    answer = answers.find(name, rtype)
    if answer is not None and name.isascii():  # dnslib reads no other labels
        assert said(name, rtype, answer)
