"""hosts: names from a file and from the Corefile. What was answered by CoreDNS 1.14.7 is marked "seen"."""

import asyncio
from pathlib import Path
from typing import NamedTuple

import pytest

from kdns.dns.api.handler import Handler, chain
from kdns.dns.api.plugin import Built
from kdns.dns.plugins import hosts
from kdns.dns.plugins.hosts import Hosts
from kdns.wire.name import parse_name
from tests.config.text import directives
from tests.dns.parts import FakeParts, scripted
from tests.dns.plugins.asking import built, handler, mistakes, request, response, takes_the_fast_way, words

FILE = """\
10.0.0.1 one.example.org alias.example.org  # a comment
10.0.0.2 ONE.example.org.
10.0.0.2 one.example.org
fd00::1 one.example.org
fe80::1%eth0 link.example.org
::ffff:10.0.0.5 mapped.example.org
10.0.0.3 *.wild.example.org
10.0.0.4 own.wild.example.org
10.0.0.9 outside.test
10.0.0.300 bad.example.org
10.0.0.6
not a line
"""
BEHIND = "NOERROR aa | behind. 5 A 192.0.2.1"
SERVFAIL = "SERVFAIL"


async def started(
    text: str, folder: Path, file: str | None = FILE, zones: tuple[str, ...] = (".",)
) -> tuple[Built, FakeParts]:
    """The plugin with its file read."""
    if file is not None:
        (folder / "hosts").write_text(file)
    parts = FakeParts(zones=zones, folder=str(folder))
    made = built(hosts, text, parts)
    assert made.start is not None
    await made.start()
    return made, parts


def asked(made: Built) -> Handler:
    """With one answer behind it."""
    return handler(made, response("behind. 5 A 192.0.2.1"))


class Case(NamedTuple):
    title: str
    question: str
    words: str
    text: str = "hosts hosts example.org"


INLINE = "hosts hosts example.org {\n 10.0.0.7 inline.example.org one.example.org\n ttl 60\n fallthrough\n}"
CASES = (
    Case("all addresses, once each (seen)", "one.example.org. A",
         "NOERROR aa | one.example.org. 3600 A 10.0.0.1 | one.example.org. 3600 A 10.0.0.2"),
    Case("of the other family (seen)", "one.example.org. AAAA", "NOERROR aa | one.example.org. 3600 AAAA fd00::1"),
    Case("another type of a name it has (seen)", "one.example.org. TXT", "NOERROR aa"),
    Case("no address of that family", "alias.example.org. AAAA", "NOERROR aa"),
    Case("a name it does not have (seen)", "nope.example.org. A", SERVFAIL),
    Case("... and may hand on", "nope.example.org. A", BEHIND, INLINE),
    Case("outside of its zones", "outside.test. A", BEHIND),
    Case("an asterisk is one label (seen)", "x.wild.example.org. A",
         "NOERROR aa | x.wild.example.org. 3600 A 10.0.0.3"),
    Case("... not two (seen)", "y.x.wild.example.org. A", SERVFAIL),
    Case("... not none", "wild.example.org. A", SERVFAIL),
    Case("... and less than a name", "own.wild.example.org. A", "NOERROR aa | own.wild.example.org. 3600 A 10.0.0.4"),
    Case("a reverse name, whatever the zones", "1.0.0.10.in-addr.arpa. PTR",
         "NOERROR aa | 1.0.0.10.in-addr.arpa. 3600 PTR one.example.org. | "
         "1.0.0.10.in-addr.arpa. 3600 PTR alias.example.org."),
    Case("an asterisk has none", "3.0.0.10.in-addr.arpa. PTR", BEHIND),
    Case("another type of a reverse name", "1.0.0.10.in-addr.arpa. A", BEHIND),
    Case("PTR of a name it does not have (seen)", "nope.example.org. PTR", BEHIND),
    Case("no_reverse", "1.0.0.10.in-addr.arpa. PTR", BEHIND, "hosts hosts example.org {\n no_reverse\n}"),
    Case("a line of the Corefile, and its ttl", "inline.example.org. A",
         "NOERROR aa | inline.example.org. 60 A 10.0.0.7",
         INLINE),
    Case("the lines come behind the file", "one.example.org. A",
         "NOERROR aa | one.example.org. 60 A 10.0.0.1 | one.example.org. 60 A 10.0.0.2 | "
         "one.example.org. 60 A 10.0.0.7",
         INLINE),
    Case("an index of a link is left out", "link.example.org. AAAA",
         "NOERROR aa | link.example.org. 3600 AAAA fe80::1"),
    Case("a mapped address is an IPv4 one", "mapped.example.org. A",
         "NOERROR aa | mapped.example.org. 3600 A 10.0.0.5"),
    Case("bad lines are left out", "bad.example.org. A", SERVFAIL),
    Case("fallthrough for some zones", "nope.example.org. A", SERVFAIL,
         "hosts hosts example.org {\n fallthrough other.example.org\n}"),
    Case("... that the name is in", "a.other.example.org. A", BEHIND,
         "hosts hosts example.org {\n fallthrough other.example.org\n}"),
    Case("fallthrough does not change types of a name it has", "one.example.org. TXT", "NOERROR aa", INLINE),
    Case("... fallthrough_unsupported does", "one.example.org. TXT", BEHIND,
         "hosts hosts example.org {\n fallthrough\n fallthrough_unsupported\n}"),
    Case("another class is not its own", "one.example.org. A CH", BEHIND),
)  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.title)
async def test_what_it_answers(case: Case, tmp_path: Path) -> None:
    """A question is answered from the file, from the lines, or handed on."""
    made, parts = await started(case.text, tmp_path)
    assert words(await asked(made)(request(case.question))) == case.words
    await parts.close()


K3S = "hosts hosts {\n ttl 60\n reload 15s\n fallthrough\n}"
FAST = (
    (K3S, "web.default.svc.cluster.local. A", True),
    (K3S, "one.example.org. A", False),
    (K3S, "one.example.org. TXT", False),
    (K3S, "x.wild.example.org. A", False),
    (K3S, "y.x.wild.example.org. A", True),
    (K3S, "1.0.0.10.in-addr.arpa. PTR", False),
    (K3S, "9.9.9.9.in-addr.arpa. PTR", True),
    ("hosts hosts", "web.default.svc.cluster.local. A", False),
    ("hosts hosts example.org", "web.default.svc.cluster.local. A", True),
    ("hosts hosts example.org", "nope.example.org. A", False),
)


@pytest.mark.parametrize(("text", "question", "fast"), FAST)
async def test_the_fast_way(text: str, question: str, fast: bool, tmp_path: Path) -> None:
    """Only names that it would answer itself are kept from the fast way."""
    made, parts = await started(text, tmp_path)
    assert takes_the_fast_way(made, question) is fast
    await parts.close()


BELOW = (
    (K3S, "svc.cluster.local.", False),
    (K3S, "example.org.", True),
    (K3S, "org.", True),
    (K3S, "wild.example.org.", True),
    (K3S, "0.0.10.in-addr.arpa.", True),
    (K3S, "a.b.", False),
    ("hosts hosts example.org", "a.example.org.", True),
    ("hosts none sub.example.org", "example.org.", True),
    ("hosts none sub.example.org {\n fallthrough\n}", "example.org.", False),
)


@pytest.mark.parametrize(("text", "name", "must_see"), BELOW)
async def test_names_below_a_name(text: str, name: str, must_see: bool, tmp_path: Path) -> None:
    """It must see questions below a name if it has a name there, or a zone that it does not hand on."""
    made, parts = await started(text, tmp_path)
    assert made.must_see(parse_name(name), True) is must_see
    await parts.close()


async def test_the_file_is_read_again(tmp_path: Path) -> None:
    """A changed file is used from the next look on, and what was remembered of the old one is forgotten."""
    (tmp_path / "hosts").write_text("10.0.0.1 one.test\n")
    parts = FakeParts(folder=str(tmp_path))
    looks: asyncio.Queue[None] = asyncio.Queue()
    waits: list[float] = []

    async def pause(seconds: float) -> None:
        waits.append(seconds)
        await looks.get()

    options = hosts.parse(directives("hosts hosts {\n reload 15s\n}"), parts.place)
    made = Hosts(options, parts, pause)
    await made.start()
    ask = chain((made.plugin,), scripted(response()))
    assert words(await ask(request("one.test."))) == "NOERROR aa | one.test. 3600 A 10.0.0.1"
    (tmp_path / "hosts").write_text("10.0.0.22 one.test\n10.0.0.3 two.test\n")
    looks.put_nowait(None)
    async with asyncio.timeout(120):
        while len(waits) < 2:
            await parts.turns(1)
    assert words(await ask(request("one.test."))) == "NOERROR aa | one.test. 3600 A 10.0.0.22"
    assert (waits, parts.forgotten) == ([15.0, 15.0], 1)
    assert parts.value("coredns_hosts_entries") == 4
    (tmp_path / "hosts").unlink()
    assert not await made.refresh()  # what is gone stays in use
    assert words(await ask(request("two.test."))) == "NOERROR aa | two.test. 3600 A 10.0.0.3"
    await made.close()
    assert parts.value("coredns_hosts_entries") == 0
    await parts.close()


@pytest.mark.parametrize("reload", ["", " reload 0\n"])
async def test_no_reload_means_no_task(reload: str, tmp_path: Path) -> None:
    """With `reload 0` nothing looks at the file a second time."""
    _, parts = await started(f"hosts hosts {{\n{reload}}}", tmp_path)
    assert len(parts.tasks) == (0 if reload else 1)
    await parts.close()


async def test_a_missing_file_is_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A file that is not there is told, and the lines work without it."""
    made, parts = await started("hosts none {\n 10.0.0.7 a.test\n}", tmp_path)
    assert f"File does not exist: {tmp_path / 'none'}" in caplog.text
    assert words(await asked(made)(request("a.test."))) == "NOERROR aa | a.test. 3600 A 10.0.0.7"
    await parts.close()


MISTAKES = (
    ("hosts x {\n ttl 0\n}", "2:6 0 is out of range"),
    ("hosts x {\n ttl\n}", "2:2 'ttl' needs 1 argument, got 0"),
    ("hosts x {\n ttl 65536\n reload 5\n}", "2:6 65536 is out of range\n3:9 invalid duration '5'"),
    ("hosts x {\n no_reverse x\n}", "2:13 'no_reverse' takes no argument"),
    ("hosts x {\n fallthrogh\n}", "2:2 'hosts' has no property 'fallthrogh'"),
    ("hosts x {\n 10.0.0.300 a.test\n}", "2:2 'hosts' has no property '10.0.0.300'"),
    ("hosts x {\n 10.0.0.3\n}", "2:2 '10.0.0.3' needs at least 1 argument, got 0"),
    ("hosts x {\n 10.0.0.3 a..b\n}", "2:11 no name: empty label in 'a..b'"),
    ("hosts x {\n fallthrough\n 10.0.0.3 a.b\n}", "3:2 addresses stand before 'fallthrough'"),
    ("hosts x {\n fallthrough_unsupported\n}", "2:2 'fallthrough_unsupported' does nothing without 'fallthrough'"),
    ("hosts x\nhosts y", "2:1 'hosts' stands twice in this server block"),
)


@pytest.mark.parametrize(("text", "problem"), MISTAKES)
def test_mistakes_have_places(text: str, problem: str) -> None:
    """What is wrong with the directive is told at its place."""
    assert mistakes(hosts, text, FakeParts()) == problem
