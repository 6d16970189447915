"""Namespaces for the kernel tests."""

from collections.abc import Iterator
from os import getpid

import pytest

from tests.proxy.apply.node_net import ip
from tests.proxy.apply.space import Space


@pytest.fixture
def space() -> Iterator[Space]:
    name = f"kdns-{getpid()}-nft"
    ip("netns", "add", name)
    yield Space(name)
    ip("netns", "del", name)


@pytest.fixture(scope="module")
def two_spaces() -> Iterator[tuple[Space, Space]]:
    names = [f"kdns-{getpid()}-{which}" for which in ("changed", "fresh")]
    for name in names:
        ip("netns", "add", name)
    yield Space(names[0]), Space(names[1])
    for name in names:
        ip("netns", "del", name)
