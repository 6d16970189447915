"""The forward plugin in a chain: whose questions it takes, several lines, and what it tells others."""

import re
from pathlib import Path

import pytest

from kdns.base.errors import ConfigError, ConfigErrors, UpstreamError
from kdns.dns.api.handler import Response
from kdns.dns.plugins import forward
from kdns.wire.name import parse_name
from kdns.wire.numbers import AXFR, IXFR, NXDOMAIN, REFUSED, SERVFAIL
from tests.config.text import corefile, directives
from tests.dns.parts import FakeParts, fits
from tests.dns.upstream.forwarding import ELSEWHERE, forwarding, request
from tests.fakes.upstream import FakeUpstream

TAKEN = (
    ("forward . 10.0.0.1", ". a. a.b.", ""),
    ("forward example.org 10.0.0.1", "example.org. www.example.org.", ". org. badexample.org. example.org.evil."),
    ("forward . 10.0.0.1 {\n except example.org\n}", ". org.", "example.org. www.example.org."),
    ("forward example.org 10.0.0.1 {\n except org b.example.org\n}", "example.org.", "a.example.org. a.b.example.org."),
    ("forward 10.0.0.0/23 10.0.0.1", "1.0.0.10.in-addr.arpa. 1.1.0.10.in-addr.arpa.", "1.2.0.10.in-addr.arpa."),
    ("forward a.org 10.0.0.1\nforward b.org 10.0.0.1", "x.a.org. b.org.", "c.org."),
)


@pytest.mark.parametrize(("text", "taken", "passed"), TAKEN, ids=[case[0] for case in TAKEN])
async def test_whose_questions_it_takes(text: str, taken: str, passed: str) -> None:
    """A name in the zone and in no exception is taken, by whole labels; `sees` says the same."""
    parts = FakeParts()
    built = forward.build(forward.parse(directives(text), parts.place), fits(parts))
    assert [name for name in taken.split() if not built.must_see(parse_name(name), False)] == []
    assert [name for name in passed.split() if built.must_see(parse_name(name), False)] == []
    assert built.classes
    for name in passed.split():
        async with forwarding(text) as started:
            assert await started.ask(name) == ELSEWHERE


def test_what_it_sees_below() -> None:
    """A name above a zone has taken names below it; one beside it has none."""
    parts = FakeParts()
    built = forward.build(forward.parse(directives("forward a.example.org 10.0.0.1"), parts.place), fits(parts))
    below = {
        name: built.must_see(parse_name(name), True) for name in ("example.org.", "x.a.example.org.", "b.example.org.")
    }
    assert below == {"example.org.": True, "x.a.example.org.": True, "b.example.org.": False}


async def test_several_lines() -> None:
    """The first line whose zone the name is in answers; what is excepted there goes to the next one."""
    async with FakeUpstream() as first, FakeUpstream() as second:
        text = f"forward example.org {first.text} {{\n except b.example.org\n}}\nforward org {second.text}"
        async with forwarding(text) as started:
            for name in ("a.example.org.", "b.example.org.", "c.org."):
                await started.ask(name)
            assert (first.names, second.names) == (["a.example.org."], ["b.example.org.", "c.org."])
            assert await started.ask("d.net.") == ELSEWHERE


NEXT = (
    ("next NXDOMAIN", NXDOMAIN, "a.org.", "192.0.2.7"),
    ("next NXDOMAIN", SERVFAIL, "a.org.", "rcode 2"),
    ("next NXDOMAIN SERVFAIL", SERVFAIL, "a.org.", "192.0.2.7"),
    ("next_on_nodata", NXDOMAIN, "a.org.", "rcode 3"),
    ("next_on_nodata", 0, "a.org.", "192.0.2.7"),
    ("next NXDOMAIN", 0, "a.org.", "rcode 0"),
    ("next NXDOMAIN", NXDOMAIN, "b.org.", "rcode 3"),
)


@pytest.mark.parametrize(("option", "rcode", "name", "found"), NEXT)
async def test_next(option: str, rcode: int, name: str, found: str) -> None:
    """With some rcodes, or without data, the next line answers; the last line's answer stands."""
    async with FakeUpstream() as first, FakeUpstream() as second:
        first.rcode = rcode
        second.zone["a.org."] = ("192.0.2.7",)
        text = f"forward . {first.text} {{\n {option}\n}}\nforward . {second.text} {{\n next NXDOMAIN\n}}"
        async with forwarding(text) as started:
            assert await started.address(name) == found


async def test_next_is_for_forward_lines_only() -> None:
    """Without a line behind it, `next` makes no difference; with one for another zone, the chain goes on."""
    async with FakeUpstream() as upstream:
        text = f"forward . {upstream.text} {{\n next NXDOMAIN\n}}"
        async with forwarding(text) as started:
            assert (await started.ask("a.org.")).rcode == NXDOMAIN
        async with forwarding(text + f"\nforward net {upstream.text}") as started:
            assert await started.ask("a.org.") == ELSEWHERE


@pytest.mark.parametrize("rtype", [AXFR, IXFR])
async def test_zone_transfers_are_refused(rtype: int) -> None:
    """A zone does not come through a forwarder."""
    async with FakeUpstream() as upstream, forwarding(f"forward . {upstream.text}") as started:
        assert await started.ask("example.org.", rtype, proto="tcp") == Response(REFUSED, plugin="forward")
        assert upstream.queries == []


async def test_who_was_asked() -> None:
    """The upstream that answered is in the metadata."""
    async with FakeUpstream() as upstream, forwarding(f"forward . {upstream.text}") as started:
        asking = request("example.org.")
        await started.handler(asking)
        assert asking.metadata == {"forward/upstream": upstream.text}


async def test_upstreams_from_a_file(tmp_path: Path) -> None:
    """Upstreams come from a file, those that stand there twice once."""
    (tmp_path / "resolv.conf").write_text("nameserver 127.0.0.1\nnameserver 127.0.0.1\nnameserver 127.0.0.3\n")
    parts = FakeParts(folder=str(tmp_path))
    options = forward.parse(directives("forward . ./resolv.conf 127.0.0.4 127.0.0.1"), parts.place)
    forwarder = forward.Forwarder(options.lines[0], fits(parts))
    await forwarder.start()
    assert forwarder.pool is not None
    assert [each.text for each in forwarder.pool.upstreams] == ["127.0.0.1:53", "127.0.0.3:53", "127.0.0.4:53"]
    await forwarder.close()


CANNOT_START = (
    ("forward . ./a\0b", "1:11: cannot read .*null byte"),
    ("forward . ./gone", r"1:11: cannot read ./gone: No such file or directory"),
    ("forward . ./empty ./empty", "1:11: no upstream"),
    ("forward . gone.example {\n resolver 127.0.0.1:9\n}", "1:11: failed to resolve 'gone.example'"),
    ("forward . fe80::1%nowhere", "1:11: dial"),
)


@pytest.mark.parametrize(("text", "message"), CANNOT_START, ids=[case[0] for case in CANNOT_START])
async def test_what_cannot_start(text: str, message: str, tmp_path: Path) -> None:
    """Files and names without an upstream are errors with their place."""
    (tmp_path / "empty").write_text("search example.org\n")
    with pytest.raises(ConfigError, match=message):
        async with forwarding(text, str(tmp_path)):
            raise AssertionError("started")


async def test_before_the_start_and_after_the_end() -> None:
    """A question that comes too early or too late is an error, not a crash."""
    parts = FakeParts()
    built = forward.build(forward.parse(directives("forward . 127.0.0.1"), parts.place), fits(parts))
    assert built.plugin is not None
    with pytest.raises(UpstreamError):
        await built.plugin(lambda _: forwarding)(request("a.org."))  # type: ignore[arg-type, return-value]


def test_mistakes_of_all_lines() -> None:
    """The mistakes of several lines are told together."""
    parts = FakeParts()
    with pytest.raises(ConfigErrors) as caught:
        forward.parse(directives("forward . 10.0.0.256\nforward"), parts.place)
    assert [error.at and error.at.line for error in caught.value.errors] == [1, 2]


def test_every_option_is_documented() -> None:
    """The page has each option in its syntax and in its table, and no other."""
    page = (Path(__file__).parents[3] / "docs/plugins/forward.md").read_text()
    syntax = page.partition("```\n")[2].partition("```")[0]
    in_syntax = set(re.findall(r"^    (\w+)", syntax, re.MULTILINE))
    in_table = set(re.findall(r"^\| `(\w+)", page, re.MULTILINE))
    with pytest.raises(ConfigError) as caught:
        forward.parse(directives("forward . 10.0.0.1 {\n zzzzz\n}"), FakeParts().place)
    known = set(caught.value.hint.removeprefix("there are ").split(", "))
    assert in_syntax == in_table == known


def test_the_documented_example() -> None:
    """The Corefile in the plugin's page is read without a mistake, and its options are all there."""
    page = (Path(__file__).parents[3] / "docs/plugins/forward.md").read_text()
    examples = re.findall(r"^```corefile\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    for example in examples:
        block = corefile(example).blocks[0]
        lines = [directive for directive in block.directives if directive.name.text == "forward"]
        assert len(forward.parse(lines, FakeParts().place).lines) == 2
    assert len(examples) == 1
