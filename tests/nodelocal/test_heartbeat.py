"""Which messages are an answer to an own question."""

import asyncio
import socket
from collections.abc import Callable

import pytest

from kdns.base.objects import address_text
from kdns.nodelocal import heartbeat
from kdns.nodelocal.heartbeat import NAME, OUTSTANDING, Questions, UdpHeartbeat
from kdns.wire.name import parse_name
from tests.build import packed

REPLY = 0x8000


def reply(question: bytes, flags: int = REPLY, *, number: int | None = None, asked: bytes | None = None) -> bytes:
    """What a server answers to a question (RFC 1035 section 4.1.1)."""
    head = question[:2] if number is None else number.to_bytes(2, "big")
    return head + flags.to_bytes(2, "big") + question[4:12] + (question[12:] if asked is None else asked)


def number(message: bytes) -> int:
    """Its id."""
    return int.from_bytes(message[:2], "big")


def test_the_question() -> None:
    """A query with one question: the name, type A, class IN; each has another id."""
    questions = Questions()
    first, second = questions.compose(1.0), questions.compose(2.0)
    assert first[2:] == b"\0\0\0\1\0\0\0\0\0\0" + parse_name(NAME) + b"\0\1\0\1"
    assert number(second) == (number(first) + 1) % 65536


def test_an_answer_says_when_it_was_asked() -> None:
    """With its own id and question; a further copy of it answers nothing."""
    questions = Questions()
    first, second = questions.compose(1.0), questions.compose(2.0)
    assert questions.answered(reply(first)) == 1.0
    assert questions.answered(reply(first)) is None
    assert questions.answered(reply(second) + b"additional") == 2.0


def test_a_later_answer_makes_an_earlier_one_too_old() -> None:
    """So that the moments of answers never go back."""
    questions = Questions()
    first, second = questions.compose(1.0), questions.compose(2.0)
    assert questions.answered(reply(second)) == 2.0
    assert questions.answered(reply(first)) is None


def test_a_stale_answer() -> None:
    """One to a question of long ago, whose id may come again, is none."""
    questions = Questions()
    first = questions.compose(1.0)
    for later in range(OUTSTANDING):
        questions.compose(2.0 + later)
    assert questions.answered(reply(first)) is None


WRONG: dict[str, Callable[[bytes], bytes]] = {
    "another id": lambda question: reply(question, number=(number(question) + 1) % 65536),
    "another name": lambda question: reply(question, asked=parse_name("heartbeat.kdns.example.") + b"\0\1\0\1"),
    "another type": lambda question: reply(question, asked=question[12:-4] + b"\0\x1c\0\1"),
    "no question": lambda question: question[:2] + b"\x80\0" + bytes(8),
    "a query": lambda question: question,
    "another opcode": lambda question: reply(question, REPLY | 2 << 11),
    "SERVFAIL": lambda question: reply(question, REPLY | 2),
    "NXDOMAIN, as every other server says of the name": lambda question: reply(question, REPLY | 3),
    "cut off": lambda question: reply(question)[:-1],
    "empty": lambda question: b"",
}


@pytest.mark.parametrize("title", WRONG)
def test_what_is_not_an_answer(title: str) -> None:
    """It leaves the question waiting for its own answer (RFC 5452 section 9.1)."""
    questions = Questions()
    question = questions.compose(1.0)
    assert questions.answered(WRONG[title](question)) is None
    assert questions.answered(reply(question)) == 1.0


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
async def test_on_a_socket(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It asks from the address to the address, and reports what was answered, and nothing else."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as server:
        server.bind((address, 0))
        server.setblocking(False)
        monkeypatch.setattr(heartbeat, "PORT", server.getsockname()[1])
        came = asyncio.Queue[tuple[bytes, float]]()
        beat = UdpHeartbeat(packed(address), lambda *answer: came.put_nowait(answer), lambda: 7.0)
        try:
            beat.ask()
            loop = asyncio.get_running_loop()
            question, client = await loop.sock_recvfrom(server, 512)
            assert client[0] == address_text(packed(address))
            server.sendto(reply(question, number=(number(question) + 1) % 65536), client)
            server.sendto(reply(question), client)
            assert await came.get() == (packed(address), 7.0)
            assert came.empty()
        finally:
            beat.close()
