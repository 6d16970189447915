"""The contract of datagram I/O: the same for every way of moving datagrams, both families, bound to one or to all."""

import asyncio
import random
import socket
from ipaddress import ip_address

import pytest

from kdns.dns.transport import mmsg, udp
from kdns.dns.transport.datagram import BATCH, SLOT
from kdns.dns.transport.packet_info import IP_PKTINFO
from kdns.dns.transport.udp import UdpListener
from tests.dns.socket_responders import FakeResponder, answer, at_once, big, bug, drop, fast, named, slow, until
from tests.dns.transport.udp_rig import CASES, LOOPBACK, Case, Rig, receive


async def test_an_answer_comes_back(rig: Rig) -> None:
    """What the FakeResponder answers at once arrives at the client that asked, and is timed once."""
    client = rig.client()
    client.send(fast("a"))
    assert await receive(client, 1) == [answer(fast("a"))]
    assert [count for count, _ in rig.responder.times] == [1]
    assert 0 < rig.responder.times[0][1] < 10


async def test_replies_leave_from_the_address_that_was_asked() -> None:
    """On a socket with every address, each of them replies for itself: at once, in a mixed batch, and late."""
    for case in CASES:
        if case.bind != "0.0.0.0":
            continue
        rig = Rig(case)
        addresses = ("127.0.0.1", "127.0.0.2", "127.200.3.4")
        clients = {address: rig.client(address) for address in addresses}
        for address, client in clients.items():
            client.send(fast(address))
            client.send(slow(address))
            client.send(at_once(address))
        rig.listener.start()
        for address, client in clients.items():
            expected = {answer(fast(address)), answer(at_once(address))}
            assert set(await receive(client, 2)) == expected, (case, address)
        assert {one.local for one in rig.responder.clients} == set(addresses), case
        for address, client in clients.items():
            rig.responder.finish(slow(address))
            assert await receive(client, 1) == [answer(slow(address))], (case, address)
        rig.close()


async def test_the_slow_way_knows_who_asks_and_whom(rig: Rig, request: pytest.FixtureRequest) -> None:
    """A Client has the addresses of both ends, the client's port, the transport and the family."""
    case: Case = request.node.callspec.params["rig"]
    client = rig.client()
    client.send(at_once(""))
    await receive(client, 1)
    here = LOOPBACK[case.family]
    assert rig.responder.clients == [(here, client.getsockname()[1], here, "udp", case.family)]


@pytest.mark.parametrize("count", [1, BATCH - 1, BATCH, BATCH + 1, 2 * BATCH])
async def test_a_burst_is_answered(rig: Rig, count: int) -> None:
    """Queries that lie ready together, up to and over a whole batch, all get their own answer."""
    rig.listener.stop()
    client = rig.client()
    messages = [fast(str(number)) for number in range(count)]
    for message in messages:
        client.send(message)
    rig.listener.start()
    assert await receive(client, count) == list(map(answer, messages))
    assert sum(answered for answered, _ in rig.responder.times) == count


async def test_a_batch_with_gaps_sends_what_it_has(rig: Rig) -> None:
    """Dropped, slow, failed and answered queries in one batch do not get in each other's way."""
    rig.listener.stop()
    client = rig.client()
    kinds = (drop, fast, slow, bug, fast, at_once)
    sent = [kinds[number % len(kinds)](str(number)) for number in range(BATCH)]
    for message in sent:
        client.send(message)
    rig.listener.start()
    at_once_answered = {answer(message) for message in sent if message[12:13] in {b"F", b"O"}}
    assert set(await receive(client, len(at_once_answered))) == at_once_answered
    late = list(reversed(rig.responder.waiting))
    for message in late:
        rig.responder.finish(message)
    assert await receive(client, len(late)) == [answer(message) for message in late]
    client.send(fast("after"))
    assert await receive(client, 1) == [answer(fast("after"))]


async def test_clients_in_one_batch_are_told_apart(rig: Rig) -> None:
    """Each client gets its own answers, also those that come late."""
    rig.listener.stop()
    clients = [rig.client() for _ in range(10)]
    for number, client in enumerate(clients):
        client.send(fast(str(number)))
        client.send(slow(str(number)))
    rig.listener.start()
    for number, client in enumerate(clients):
        assert await receive(client, 1) == [answer(fast(str(number)))]
    for number, client in enumerate(clients):
        rig.responder.finish(slow(str(number)))
        assert await receive(client, 1) == [answer(slow(str(number)))]


@pytest.mark.parametrize("size", [SLOT + 1, 3 * SLOT, 65_000])
async def test_of_an_oversize_datagram_only_the_header_is_read(rig: Rig, size: int) -> None:
    """It is never taken for the query it begins like, and its neighbours are unharmed."""
    client = rig.client()
    client.send(fast("before"))
    client.send(fast("long").ljust(size, b"x"))
    client.send(fast("after"))
    expected = {answer(fast("before")), answer(fast("after")), answer(fast("")[:12])}
    assert set(await receive(client, 3)) == expected
    assert rig.responder.seen == [fast("before"), fast("")[:12], fast("after")]


@pytest.mark.parametrize("size", [0, 1, 11, 12, SLOT])
async def test_any_length_up_to_a_slot_is_read_as_it_is(rig: Rig, size: int) -> None:
    """Nothing is added or lost, not even of an empty datagram."""
    client = rig.client()
    message = fast("").ljust(size, b"x")[:size]
    client.send(message)
    client.send(fast("next"))
    await receive(client, 1)
    assert rig.responder.seen == [message, fast("next")]


async def test_a_short_query_after_a_long_one_is_short(rig: Rig) -> None:
    """Buffers are used again, and nothing of the one before shows."""
    client = rig.client()
    for message in (fast("x" * 3000), fast(""), big(1200), fast("y")):
        client.send(message)
        assert await receive(client, 1) == [answer(message)]


async def test_a_datagram_without_packet_info_spoils_no_later_one() -> None:
    """The room for packet info is offered anew for each batch, whatever the kernel put there before."""
    if not mmsg.available():
        pytest.skip("this libc has no recvmmsg")
    rig = Rig(Case("mmsg", 1, "0.0.0.0"))
    rig.listener.start()
    client = rig.client()
    rig.sock.setsockopt(socket.IPPROTO_IP, IP_PKTINFO, 0)
    for number in range(BATCH):
        client.send(at_once(str(number)))
    await receive(client, BATCH)
    assert {one.local for one in rig.responder.clients} == {""}
    rig.sock.setsockopt(socket.IPPROTO_IP, IP_PKTINFO, 1)
    other = rig.client("127.0.0.2")
    other.send(fast("a"))
    assert await receive(other, 1) == [answer(fast("a"))]
    rig.close()


async def test_bugs_are_logged_counted_and_survived(rig: Rig, caplog: pytest.LogCaptureFixture) -> None:
    """A message that raises on either way is dropped, with its octets in the log; the next is answered."""
    client = rig.client()
    client.send(bug("1", "B"))
    client.send(bug("2", "b"))
    client.send(fast("on"))
    assert await receive(client, 1) == [answer(fast("on"))]
    assert rig.responder.counts.panics == 2
    assert bug("1", "B").hex() in caplog.text
    assert bug("2", "b").hex() in caplog.text
    assert rig.listener.pending_replies.count == 0


def who_has_a_bug(address: str) -> tuple[str, str]:
    """Which Pod an address is of."""
    raise KeyError(address)


async def test_a_client_is_counted_whatever_its_message_ids_are(rig: Rig) -> None:
    """Of two clients with 600 questions each, one with the same id for ever, both get about 600 of the count.

    One of eight messages is looked at. The expected scatter of a client's count is below 70, so 300 off is no chance.
    """
    top = rig.responder.top
    top.on, top.skipped, top._chance = True, 7, random.Random(1)
    client = rig.client()
    for number in range(600):
        client.send(named("same"))
        client.send(named("else", number))
        await receive(client, 2)
    names = top.values()["windows"]["1h"]["name"]["top"]  # a minute may end meanwhile
    counts = {row["key"]: row["questions"] for row in names}
    assert abs(sum(counts.values()) - 1200) <= 2 * 7
    assert abs(counts["same."] - 600) < 300
    assert abs(counts["else."] - 600) < 300


async def test_a_bug_in_what_is_counted_keeps_no_answer_back(rig: Rig, caplog: pytest.LogCaptureFixture) -> None:
    """Every message is answered; each bug is logged and counted."""
    rig.responder.top.on, rig.responder.top.who = True, who_has_a_bug
    client = rig.client()
    client.send(fast("a"))
    client.send(fast("b"))
    assert await receive(client, 2) == [answer(fast("a")), answer(fast("b"))]
    assert rig.responder.counts.panics == 2
    assert "was answered but not counted" in caplog.text


async def test_what_is_owed_is_known(rig: Rig) -> None:
    """Replies are owed from the slow call until they are sent or forgotten."""
    client = rig.client()
    for message in (slow("1"), slow("2"), drop("3"), at_once("4")):
        client.send(message)
    await until(lambda: len(rig.responder.clients) == 4)
    assert rig.listener.pending_replies.count == 2
    rig.responder.finish(slow("1"))
    assert rig.listener.pending_replies.count == 1
    settled = asyncio.create_task(rig.listener.pending_replies.drained())
    await asyncio.sleep(0)
    assert not settled.done()
    rig.responder.waiting.clear()
    await asyncio.wait_for(settled, 120)


async def test_a_reply_is_sent_once(rig: Rig) -> None:
    """A second call of the same reply does nothing."""
    client = rig.client()
    client.send(slow("a"))
    await until(lambda: bool(rig.responder.waiting))
    _, reply = rig.responder.waiting[slow("a")]
    reply(b"first")
    reply(b"second")
    client.send(fast("b"))
    assert await receive(client, 2) == [b"first", answer(fast("b"))]
    assert rig.listener.pending_replies.count == 0


async def test_a_reply_after_the_end_goes_nowhere(rig: Rig) -> None:
    """When the socket is closed, a late reply is no error."""
    rig.client().send(slow("a"))
    await until(lambda: bool(rig.responder.waiting))
    rig.listener.close()
    rig.responder.finish(slow("a"))
    assert rig.listener.losses.unsent == 0


async def test_what_has_arrived_is_answered_before_the_end(rig: Rig) -> None:
    """A query that lies in the socket when it stops is not lost."""
    client = rig.client()
    client.send(fast("a"))
    rig.listener.stop()
    assert await receive(client, 1) == [answer(fast("a"))]


async def test_stopped_means_no_new_queries_but_late_replies(rig: Rig) -> None:
    """After `stop` nothing is read, and what is owed still leaves."""
    client = rig.client()
    client.send(slow("a"))
    await until(lambda: bool(rig.responder.waiting))
    rig.listener.stop()
    client.send(fast("b"))
    rig.responder.finish(slow("a"))
    assert await receive(client, 1) == [answer(slow("a"))]
    assert fast("b") not in rig.responder.seen


def test_the_plain_way_is_refused_where_it_would_lie() -> None:
    """recvfrom cannot tell which address was asked, so a socket with all addresses may not use it."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("0.0.0.0", 0))
        with pytest.raises(ValueError, match="which address"):
            UdpListener(sock, 1, FakeResponder(), way="plain")


async def test_others_get_their_turn_in_a_flood(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many queries lie ready, one turn of the loop takes a bounded number."""
    monkeypatch.setattr(udp, "BATCHES", 2)
    rig.listener.stop()
    client = rig.client()
    count = 2 * BATCH + 10
    for number in range(count):
        client.send(fast(str(number)))
    rig.listener._readable()
    assert len(rig.responder.seen) == 2 * BATCH
    rig.listener.start()
    await receive(client, count)


async def test_the_fast_path_may_ask_who_asks(rig: Rig, request: pytest.FixtureRequest) -> None:
    """With recvmmsg it is told the address of the client of the message at hand, also within a batch."""
    case: Case = request.node.callspec.params["rig"]
    rig.listener.stop()
    addresses = ["127.0.0.1", "127.0.0.2", "127.0.0.1"] if case.family == 1 else ["::1"]
    for address in addresses:
        rig.client(asking=address).send(fast(address))
    rig.listener.start()
    await until(lambda: len(rig.responder.seen) == len(addresses))
    packed = [ip_address(address).packed for address in addresses]
    assert rig.responder.askers == (packed if case.way == "mmsg" else [])
