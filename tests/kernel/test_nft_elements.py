"""Elements as octets: there and back, and the quick ways are the same as the general one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kdns.kernel.nft_elements import (
    DROP,
    GOTO,
    JUMP,
    Element,
    Verdict,
    compose,
    compose_key,
    compose_leading,
    compose_mapped,
    compose_plain,
    key_of,
    parse,
    split,
)

KEYS = st.binary(min_size=1, max_size=64)
WORDS = st.integers(1, 10).flatmap(lambda count: st.binary(min_size=4 * count, max_size=4 * count))
COMMENTS = st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=120)
NAMES = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=200)
VERDICTS = st.one_of(st.just(Verdict(DROP)), NAMES.map(lambda name: Verdict(GOTO, name)))
DATA = st.one_of(st.none(), KEYS, VERDICTS)
ELEMENTS = st.builds(Element, KEYS, DATA, COMMENTS, st.one_of(st.none(), st.integers(0, 1 << 60)))


@given(st.lists(ELEMENTS, max_size=5))
def test_elements_come_back(elements: list[Element]) -> None:
    """Whatever is composed is read again, one by one from a list."""
    octets = [compose(element) for element in elements]
    padded = b"".join(one + bytes(-len(one) % 4) for one in octets)
    assert list(split(padded)) == octets
    assert [parse(one) for one in octets] == elements
    assert [key_of(one) for one in octets] == [element.key for element in elements]


@given(WORDS, WORDS, VERDICTS, COMMENTS.filter(bool))
def test_the_quick_ways_give_the_same_octets(key: bytes, value: bytes, verdict: Verdict, comment: str) -> None:
    """Sets, maps to values, and maps to verdicts."""
    assert compose_plain(key) == compose(Element(key)) == compose_key(key)
    assert compose_mapped(key, value) == compose(Element(key, value))
    assert compose_leading(key, verdict, comment) == compose(Element(key, verdict, comment))


@pytest.mark.parametrize(
    ("verdict", "octets"),
    [
        # linux/netfilter/nf_tables.h: NFT_GOTO is -4, NFT_JUMP -3; linux/netfilter.h: NF_DROP is 0; big-endian.
        (Verdict(GOTO, "c"), "fffffffc"),
        (Verdict(JUMP, "c"), "fffffffd"),
        (Verdict(DROP), "00000000"),
    ],
)
def test_verdicts_have_the_kernels_codes(verdict: Verdict, octets: str) -> None:
    """The code is the first thing in the verdict."""
    assert compose(Element(bytes(4), verdict))[28:32].hex() == octets
