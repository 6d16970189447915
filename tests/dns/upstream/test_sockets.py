"""The pool of sockets to an upstream: how much a forger has to guess, what ends a socket, few open files (RFC 5452)."""

import asyncio
import logging
from collections import Counter

import pytest

from kdns.base.errors import UpstreamError
from kdns.dns.upstream.exchange import Address, address_of
from kdns.dns.upstream.udp import SOCKETS, OpenFiles, Udp, draws
from kdns.dns.upstream.upstream_address import UpstreamAddress
from kdns.wire.message import UpstreamQuery
from kdns.wire.name import parse_name
from kdns.wire.numbers import A
from kdns.wire.query import UDP_LIMIT
from tests.fakes.upstream import FakeUpstream


def address(upstream: FakeUpstream) -> Address:
    """Where it listens."""
    return address_of(UpstreamAddress("dns", upstream.host, upstream.port))


async def asked(udp: Udp, numbers: range, seconds: float = 5.0) -> None:
    """Ask for so many names, some at a time."""
    for first in range(numbers.start, numbers.stop, 64):
        part = range(first, min(first + 64, numbers.stop))
        queries = [UpstreamQuery(parse_name(f"n{number}.example.org."), A) for number in part]
        await asyncio.gather(*(udp.exchange(query, seconds, UDP_LIMIT) for query in queries))


def test_there_are_1024_ports() -> None:
    """As many as the ten bits that are promised."""
    assert SOCKETS >= 1024


async def test_ports_and_ids_have_their_entropy() -> None:
    """Of 8,192 queries each source port is used about equally often, each id is new, and no bit of either is fixed."""
    async with FakeUpstream() as upstream:
        udp = Udp(address(upstream))
        try:
            await asked(udp, range(SOCKETS))
            assert len(set(udp.ports)) == SOCKETS
            assert len({port for _, port in upstream.sources}) == SOCKETS, "each of the first has a port of its own"
            upstream.sources.clear()
            upstream.queries.clear()
            count = 8 * SOCKETS
            await asked(udp, range(SOCKETS, SOCKETS + count))
        finally:
            await udp.close()
        ports = Counter(port for _, port in upstream.sources)
        # Poisson with mean 8: e**-8 of 1,024 are expected to be left out (0.3), and one in 10**6 has over 26
        assert len(ports) >= SOCKETS - 8
        assert max(ports.values()) <= 32
        ids = [query.id for query in upstream.queries]
        assert len(set(ids)) > count * 0.9, "8,192 draws of 65,536 repeat about 500"
        for bit in range(16):
            ones = sum(number >> bit & 1 for number in ids)
            assert abs(ones - count / 2) < 5 * (count / 4) ** 0.5, f"bit {bit}: five standard deviations off"


def test_numbers_are_never_repeated() -> None:
    """Two sources of numbers have nothing in common, also where new octets are taken from the system."""
    first, second = draws(), draws()
    assert len({next(each) for each in (first, second) for _ in range(2000)}) > 3990


async def test_a_socket_is_exchanged() -> None:
    """After its time another one takes its place; one on which something is asked stays open until that is over."""
    async with FakeUpstream() as upstream:
        udp = Udp(address(upstream), sockets=4, lifetime=0.2)
        try:
            await asked(udp, range(4))
            before = set(udp.ports)
            assert len(before) == 4
            upstream.delay = 0.5
            await asked(udp, range(4, 5))
            upstream.delay = 0.0
            await asked(udp, range(5, 9))
            assert not before & set(udp.ports)
        finally:
            await udp.close()
        assert udp.ports == []


async def test_what_is_not_used_is_closed() -> None:
    """A server that forwards nothing keeps nothing open."""
    async with FakeUpstream() as upstream:
        udp = Udp(address(upstream), lifetime=0.05)
        try:
            await asked(udp, range(8))
            async with asyncio.timeout(60):
                while udp.ports:  # noqa: ASYNC110 - closing is no event
                    await asyncio.sleep(0.01)
        finally:
            await udp.close()


async def test_few_open_files(caplog: pytest.LogCaptureFixture) -> None:
    """Where few files may be open there are fewer sockets, all queries are answered, and the log says so once."""
    files = OpenFiles(lambda: 20)
    async with FakeUpstream() as upstream:
        udp, other = Udp(address(upstream), files=files), Udp(address(upstream), files=files)
        try:
            with caplog.at_level(logging.WARNING):
                await asked(udp, range(50))
                await asked(other, range(50, 100))
        finally:
            await udp.close()
            await other.close()
        assert len({port for _, port in upstream.sources}) == 11, "half of the files, and one that each needs"
        assert [record.message for record in caplog.records] == [
            "20 open files are allowed: upstreams are asked from 10 source ports and no more, which makes answers "
            "easier to forge: raise the limit of open files (RLIMIT_NOFILE)"
        ]


async def test_one_refusal_is_for_all_on_that_socket() -> None:
    """What the upstream's machine refuses fails at once, and not by a timeout; the next query goes out all the same."""
    async with FakeUpstream() as upstream:
        udp = Udp(address(upstream), sockets=1)
        try:
            await asked(udp, range(1))
            await upstream.die()
            for number in range(3):
                with pytest.raises(UpstreamError, match="connection refused"):
                    await asked(udp, range(number, number + 1), 30.0)
            await upstream.live()
            await asked(udp, range(1))
        finally:
            await udp.close()
