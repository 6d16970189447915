"""log: which questions have a line, and what stands in it. Lines that CoreDNS 1.14.7 wrote are marked "seen"."""

from ipaddress import ip_address
from typing import NamedTuple

import pytest

from kdns.base.errors import UpstreamError
from kdns.base.objects import ObjectKey, Pod
from kdns.config.settings import KubernetesOptions
from kdns.dns.api.handler import Client, Request, Response
from kdns.dns.api.plugin import Built, sees_nothing
from kdns.dns.plugins import log
from kdns.dns.query.responder import Responder
from kdns.dns.query.router import RoutedBlock, Router
from kdns.wire.name import ROOT, parse_name
from kdns.wire.numbers import AA, NXDOMAIN, RA, REFUSED, SERVFAIL, A
from kdns.wire.query import Edns, edns_option
from tests.dns.messages import CLIENT, Opt, query
from tests.dns.parts import FakeParts, scripted
from tests.dns.plugins.asking import built, client, handler, mistakes, ready, request, response, takes_the_fast_way
from tests.records.zone_text import blank

EDNS = Edns(1232, 0, False)
PAIR = response("one.example.org. 5 A 10.0.0.1", "one.example.org. 5 A 10.0.0.2")
LONG = response(*(f"x{n}.example. 5 TXT {'t' * 250}" for n in range(6)))


class Case(NamedTuple):
    title: str
    question: str
    behind: Response | Exception
    line: str
    edns: Edns | None = None
    asker: Client = client()
    text: str = "log"
    metadata: tuple[tuple[str, str], ...] = ()


CASES = (
    Case("the common format (seen)", "one.example.org. A", PAIR,
         '10.1.0.7:4053 - 7 "A IN one.example.org. udp 44 false 1232" NOERROR qr,aa,rd 95 0.25s', EDNS),
    Case("without EDNS (seen)", "nope.example.org. A", Response(SERVFAIL),
         '10.1.0.7:4053 - 7 "A IN nope.example.org. udp 34 false 512" SERVFAIL qr,rd 34 0.25s'),
    Case("over TCP, from an IPv6 address", "a.test. AAAA", Response(NXDOMAIN, AA | RA),
         '[fd00::7]:4053 - 7 "AAAA IN a.test. tcp 24 false 65535" NXDOMAIN qr,aa,rd,ra 24 0.25s',
         asker=client("fd00::7", "tcp")),
    Case("over TLS", "a.test. A", Response(REFUSED),
         '10.1.0.7:4053 - 7 "A IN a.test. tcp 35 true 65535" REFUSED qr,rd 24 0.25s', Edns(512, 0, True),
         client(proto="tls")),
    Case("what a plugin gave up", "a.test. A", UpstreamError("no"),
         '10.1.0.7:4053 - 7 "A IN a.test. udp 24 false 512" SERVFAIL qr,rd 24 0.25s'),
    Case("what is dropped (seen)", "d.acl.test. A", Response(dropped=True),
         '10.1.0.7:4053 - 7 "A IN d.acl.test. udp 28 false 512" - - 0 0.25s'),
    Case("an answer with an EDNS option (seen)", "b.acl.test. A",
         Response(REFUSED, options=edns_option(15, b"\0\x0f")),
         '10.1.0.7:4053 - 7 "A IN b.acl.test. udp 39 false 1232" REFUSED qr,rd 45 0.25s', EDNS),
    Case("an answer that is cut (seen)", "x0.example. TXT", LONG,
         '10.1.0.7:4053 - 7 "TXT IN x0.example. udp 28 false 512" NOERROR qr,aa,tc,rd 1666 0.25s'),
    Case("... and the same over TCP", "x0.example. TXT", LONG,
         '10.1.0.7:4053 - 7 "TXT IN x0.example. tcp 28 false 65535" NOERROR qr,aa,rd 1666 0.25s',
         asker=client(proto="tcp")),
    Case("other types and classes (seen)", "x. TYPE999 CH", Response(17),
         '10.1.0.7:4053 - 7 "TYPE999 CH x. udp 19 false 512" 17 qr,rd 19 0.25s'),
    Case("a type by its name", "x. TYPE257", Response(),
         '10.1.0.7:4053 - 7 "CAA IN x. udp 19 false 512" NOERROR qr,rd 19 0.25s'),
    Case("the combined format", "a.test. A", Response(),
         '10.1.0.7:4053 - 7 "A IN a.test. udp 24 false 512" NOERROR qr,rd 24 0.25s "0"', text='log . "{combined}"'),
    Case("what is no placeholder is text (seen)", "one.example.org. A", PAIR, "10.96.0.10 - {nope} { A }",
         text='log . "{local} {/x} {nope} { {type} }"'),
    Case("a line may be JSON", "a.test. A", Response(), '{"name": "a.test.", "rcode": "NOERROR"}',
         text=r'log . "{\"name\": \"{name}\", \"rcode\": \"{rcode}\"}"'),
    Case("metadata", "a.test. A", Response(), "default -", text='log . "{/kubernetes/client-namespace} {/none}"',
         metadata=(("kubernetes/client-namespace", "default"),)),
    Case("its own metadata", "a.test. A", Response(NXDOMAIN), "NXDOMAIN denial",
         text='log . "{/log/type} {/log/class}"'),
)  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.title)
async def test_the_line(case: Case, caplog: pytest.LogCaptureFixture) -> None:
    """A question leaves exactly this line, at INFO, and no plugin's name before it."""
    caplog.set_level("INFO")
    parts = FakeParts()
    asking = request(case.question, case.edns, case.asker)
    asking.metadata.update(case.metadata)

    async def behind(asked: Request) -> Response:
        parts.clock.now += 0.25
        return await scripted(case.behind)(asked)

    made = built(log, case.text, parts)
    assert made.plugin is not None
    ask = made.plugin(behind)
    if isinstance(case.behind, Exception):
        with pytest.raises(UpstreamError):
            await ask(asking)
    else:
        assert await ask(asking) == case.behind
    assert [(each.name, each.levelname, each.getMessage()) for each in caplog.records] == [
        ("kdns.query", "INFO", case.line)
    ]


DENIED = Response(NXDOMAIN)
NODATA = response(authority=("test. 5 SOA a. b. 1 2 3 4 5",))
WHICH = (
    ("log", "a.test.", Response(), True),
    ("log example.org", "a.example.org.", Response(), True),
    ("log example.org", "a.test.", Response(), False),
    ("log example.org", "aexample.org.", Response(), False),
    ("log example.org test", "a.test.", Response(), True),
    ("log . {\n class denial\n}", "a.test.", DENIED, True),
    ("log . {\n class denial\n}", "a.test.", NODATA, True),
    ("log . {\n class denial\n}", "a.test.", Response(), False),
    ("log . {\n class success error\n}", "a.test.", DENIED, False),
    ("log . {\n class success\n class error\n}", "a.test.", Response(REFUSED), True),
    ("log {\n class error\n}", "a.test.", Response(SERVFAIL), True),
    ("log {\n class error\n}", "a.test.", UpstreamError(""), True),
    ("log {\n class error\n}", "a.test.", Response(), False),
    ("log {\n class all\n}", "a.test.", Response(), True),
    ("log a.test {\n class error\n}\nlog test", "a.test.", Response(), False),
    ("log a.test {\n class error\n}\nlog test", "b.test.", Response(), True),
    ("log {\n rcode NXDOMAIN servfail\n}", "a.test.", DENIED, True),
    ("log {\n rcode NXDOMAIN servfail\n}", "a.test.", UpstreamError(""), True),
    ("log {\n rcode NXDOMAIN servfail\n}", "a.test.", Response(), False),
    ("log {\n class success\n rcode NXDOMAIN\n}", "a.test.", DENIED, False),
)


@pytest.mark.parametrize(("text", "name", "behind", "logged"), WHICH)
async def test_which_questions_are_logged(
    text: str, name: str, behind: Response | Exception, logged: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """The first rule for a name decides, by the class of the answer."""
    caplog.set_level("INFO")
    try:
        await handler(built(log, text, FakeParts()), behind)(request(name))
    except UpstreamError:
        assert isinstance(behind, UpstreamError)
    assert bool(caplog.records) is logged


@pytest.mark.parametrize(("namespace", "logged"), [("shop", True), ("data", True), ("other", False), (None, False)])
async def test_namespaces(namespace: str | None, logged: bool, caplog: pytest.LogCaptureFixture) -> None:
    """Only what Pods of these Namespaces ask; an unknown client is in none."""
    caplog.set_level("INFO")
    asked = request("a.test.")
    if namespace is not None:
        asked.metadata["kubernetes/client-namespace"] = namespace
    await handler(built(log, "log {\n namespace shop data\n}", FakeParts()), Response())(asked)
    assert bool(caplog.records) is logged


async def test_every_nth(caplog: pytest.LogCaptureFixture) -> None:
    """Of the lines that are left, not of all questions; each rule counts its own."""
    caplog.set_level("INFO")
    text = "log a.test {\n class denial\n every 3\n}\nlog b.test {\n every 2\n}"
    made = built(log, text, FakeParts())
    for name, behind, count in (("a.test.", DENIED, 7), ("a.test.", Response(), 7), ("b.test.", Response(), 3)):
        for _ in range(count):
            await handler(made, behind)(request(name))
    assert [record.getMessage().split()[5] for record in caplog.records] == ["a.test."] * 2 + ["b.test."]


FAST = (
    ("log", 0, False),
    ("log example.org", 0, True),
    ("log test", 0, False),
    ("log . {\n class error\n}", 0, True),
    ("log . {\n class error\n}", NXDOMAIN, True),
    ("log . {\n class error\n}", SERVFAIL, False),
    ("log . {\n class denial\n}", 0, True),
    ("log . {\n class denial\n}", NXDOMAIN, False),
    ("log a.test {\n class error\n}\nlog test {\n class denial\n}", 0, False),
    ("log {\n every 2\n}", 0, True),
    ("log {\n rcode SERVFAIL\n}", 0, True),
    ("log {\n rcode SERVFAIL\n}", SERVFAIL, False),
    ("log {\n rcode SERVFAIL\n every 2\n}", SERVFAIL, True),
    ("log {\n namespace shop\n}", 0, False),
    ("log {\n namespace shop\n every 2\n}", 0, False),
)


@pytest.mark.parametrize(("text", "rcode", "fast"), FAST)
def test_the_fast_way(text: str, rcode: int, fast: bool) -> None:
    """What a rule leaves out by its name, its class or its rcode is answered without a look; with `every` the most."""
    records = () if rcode else ("web.test. 5 A 10.0.0.1",)
    assert takes_the_fast_way(built(log, text, FakeParts()), "web.test.", ready(*records, rcode=rcode)) is fast


def test_names_below_a_name() -> None:
    """It must see what is below a name if a rule is for some of it."""
    made = built(log, "log a.test", FakeParts())
    assert made.must_see(parse_name("test."), True)
    assert made.must_see(parse_name("b.a.test."), True)
    assert not made.must_see(parse_name("b.test."), True)


MISTAKES = (
    ('log "{name}"', "1:5 a format needs a name before it"),
    ("log a..b", "1:5 no zone: empty label in 'a..b'"),
    ("log {\n class\n}", "2:2 'class' needs at least 1 argument, got 0"),
    ("log {\n class eror\n}", "2:8 'eror' is none of all, success, denial, error"),
    ("log {\n rcode NXDOMAN\n}", "2:8 unknown response code 'NXDOMAN'"),
    ("log {\n every 0\n}", "2:8 0 is out of range"),
    ("log {\n clas all\n}", "2:2 'log' has no property 'clas'"),
)


@pytest.mark.parametrize(("text", "problem"), MISTAKES)
def test_mistakes_have_places(text: str, problem: str) -> None:
    """What is wrong with the directive is told at its place."""
    assert mistakes(log, text, FakeParts()) == problem


def test_most_uses_pass_the_log_by() -> None:
    """With `every 3` the chain gets each third query for what is ready, whatever its spelling and its form."""
    parts = FakeParts()
    find = ready("web.test. 5 A 10.0.0.1")
    built_ones = (built(log, "log {\n every 3\n}", parts), Built(precompiled=find, must_see=sees_nothing))
    block = RoutedBlock(zones={ROOT: "."}, handler=handler(built_ones[0], Response()), built=built_ones)
    one = Responder(Router((block,)), parts.clock).for_socket("udp", 1, "dns://:53")
    forms = [query(name, A, opt=opt) for name in (b"\3web\4test\0", b"\3WEB\4test\0") for opt in (None, Opt(do=True))]
    passed = []
    for number in range(12):
        message = forms[number % 4]
        passed.append(one.fast(message) is not None)
        if not passed[-1]:
            one.slow(message, CLIENT, lambda _: None)
    assert passed == [True, True, False] * 4


def test_questions_of_other_namespaces_pass_the_log_by() -> None:
    """Where Pods are followed, and the transport knows who asks, only those of the rule's Namespaces take the chain."""
    answers = blank(KubernetesOptions(by_client=True))
    for address, namespace in (("10.244.0.5", "shop"), ("10.244.0.6", "data")):
        answers.zone.cluster.clients.update(None, Pod(ObjectKey("Pod", namespace, "asking"), address))
    parts = FakeParts()
    parts.offer("kubernetes", answers)
    find = ready("web.test. 5 A 10.0.0.1")
    built_ones = (built(log, "log {\n namespace shop\n}", parts), Built(precompiled=find, must_see=sees_nothing))
    block = RoutedBlock(zones={ROOT: "."}, handler=handler(built_ones[0], Response()), built=built_ones)
    one = Responder(Router((block,)), parts.clock).for_socket("udp", 1, "dns://:53")
    message = query(b"\3web\4test\0", A)
    assert one.fast(message) is None, "it is not known who asks"
    asker = [""]
    one.asks(lambda: ip_address(asker[0]).packed)
    for address, fast in (("10.244.0.6", True), ("10.244.0.5", False), ("192.0.2.1", True), ("10.244.0.6", True)):
        asker[0] = address
        assert (one.fast(message) is not None) is fast, address
    answers.zone.cluster.clients.update(None, Pod(ObjectKey("Pod", "shop", "new"), "192.0.2.1"))
    asker[0] = "192.0.2.1"
    assert one.fast(message) is None
