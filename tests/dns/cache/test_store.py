"""The store of a cache: bounded, never mixed up, newest last."""

import asyncio

from hypothesis import given, settings
from hypothesis import strategies as st

from kdns.dns.api.handler import Response
from kdns.dns.cache.kinds import Kind
from kdns.dns.cache.partitions import key_of
from kdns.dns.cache.store import LEAST_ROOM, LOOKS, Entry, Key, Store
from kdns.wire.numbers import AAAA, CD, CH, IN, A
from kdns.wire.query import Edns, Query
from kdns.wire.rr import RR
from tests.dns.cache.play import Play, reply
from tests.examples import examples

KEYS = [key_of(Query(0, CD if cd else 0, b"", bytes((1, letter, 0)), rtype, rclass, Edns(1232, 0, do)))
        for letter in b"abc" for rtype in (A, AAAA) for rclass in (IN, CH) for do in (False, True)
        for cd in (False, True)]  # fmt: skip
ACTIONS = st.lists(st.tuples(st.sampled_from(("put", "put", "put", "remove")), st.sampled_from(KEYS)), max_size=120)


@given(ACTIONS, st.integers(1, 12))
def test_it_is_a_bounded_dictionary(actions: list[tuple[str, Key]], most: int) -> None:
    """Never more than its capacity; what is there is the newest for its question; what is gone is no longer sent."""
    store, newest = Store(most), dict[Key, Entry]()
    for now, (action, key) in enumerate(actions):
        before = {key: store.get(key) for key in KEYS}
        if action == "remove":
            store.remove(key)
            newest.pop(key, None)
        else:
            full = len(store) == most and before[key] is None
            newest[key] = entry = Entry(Response(), Kind.SUCCESS, now, 5)
            entry.aged(key[:3], rotate=False)
            assert store.put(key, entry, now) == full
        assert len(store) <= most
        there = {key: store.get(key) for key in KEYS if store.get(key) is not None}
        assert len(there) == len(store)
        assert all(newest[key] is entry for key, entry in there.items())
        gone = [old for at, old in before.items() if old is not None and store.get(at) is not old]
        assert all(old._aged is None for old in gone)


def test_what_is_over_goes_first() -> None:
    """When room is needed, an entry that is over is taken if it is among the few that are looked at."""
    store = Store(LOOKS + 1)
    for number, key in enumerate(KEYS[: LOOKS + 1]):
        store.put(key, Entry(Response(), Kind.SUCCESS, 0, 5 if number == LOOKS - 1 else 500), 0)
    assert store.put(KEYS[LOOKS + 1], Entry(Response(), Kind.SUCCESS, 10, 500), 10)
    assert store.get(KEYS[LOOKS - 1]) is None, "it is over, and among those that are looked at"
    assert store.put(KEYS[LOOKS + 2], Entry(Response(), Kind.SUCCESS, 10, 500), 10)
    gone = [number for number, key in enumerate(KEYS[: LOOKS + 3]) if store.get(key) is None]
    assert len(gone) == 2, "none is over, and one goes all the same"


def test_what_goes_is_not_always_the_same_place() -> None:
    """Room is made all over the store: what came first is gone when as many others have come as there is room for."""
    store = Store(100)
    for number in range(300):
        store.put(number.to_bytes(2, "big"), Entry(Response(), Kind.SUCCESS, 0, 500), 0)
    left = [number for number in range(100) if store.get(number.to_bytes(2, "big")) is not None]
    assert left == []


def test_large_answers_are_as_many_as_there_is_memory() -> None:
    """Somebody's own domain with thousands of addresses under each name does not fill a container."""
    store, gone = Store(10_000), 0
    answer = tuple(RR(b"\1a\0", A, 60, bytes(4)) for _ in range(4000))
    for number in range(200):
        key = number.to_bytes(2, "big")
        entry = Entry(Response(answer=answer), Kind.SUCCESS, 0, 60)
        gone += store.put(key, entry, 0)
        assert store.get(key) is entry
    assert gone == 200 - len(store)
    assert 20 < len(store) < 100
    assert store.weight == len(store) * entry.weight
    assert store.weight <= max(LEAST_ROOM, 10_000 * 4096)


QUESTIONS = st.tuples(
    st.sampled_from(("a.test.", "A.test.", "b.test.")),
    st.sampled_from(("A", "AAAA")),
    st.sampled_from(("", "do", "cd", "do cd", "ad")),
)


@settings(max_examples=examples(25))
@given(st.lists(st.tuples(QUESTIONS, st.integers(0, 12), st.integers(0, 40)), max_size=40))
def test_never_longer_than_allowed_and_never_mixed_up(steps: list[tuple[tuple[str, str, str], int, int]]) -> None:
    """A hit is the last response for the same name, type, DO and CD; its TTL and age together never pass its bounds."""

    async def play() -> None:
        played = Play("cache 20")
        known: dict[tuple[str, str, bool, bool], tuple[float, int, str]] = {}
        for number, ((name, rtype, flags), wait, ttl) in enumerate(steps):
            played.parts.clock.now += wait * 0.7
            rdata = f"192.0.2.{number}" if rtype == "A" else f"2001:db8::1:{number + 1:x}"
            played.answers(reply(f"NOERROR | {name.lower()} {ttl} {rtype} {rdata}"))
            before = len(played.behind.requests)
            said = await played.ask(f"{name} {rtype} {flags}")
            key = (name.lower(), rtype, "do" in flags, "cd" in flags)
            now = played.parts.clock.now
            left = int(said.split(" | ")[1].split()[1])
            if len(played.behind.requests) > before:
                lasts = min(max(ttl, 5), 20)
                assert left == lasts
                known[key] = (now, lasts, rdata)
            else:
                came, lasts, rdata = known[key]
                assert said.endswith(rdata)
                assert now < came + lasts
                assert 0 < left < lasts - (now - came) + 1

    asyncio.run(play())
