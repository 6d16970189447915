"""template: replies from patterns and texts. What CoreDNS 1.14.7 answered is marked "seen"."""

from typing import NamedTuple

import pytest

from kdns.base.errors import UpstreamError
from kdns.dns.api.handler import Request, Response, chain
from kdns.dns.plugins import template
from kdns.wire.name import parse_name
from kdns.wire.query import edns_options
from tests.dns.parts import FakeParts, scripted
from tests.dns.plugins.asking import built, handler, mistakes, request, response, takes_the_fast_way, words

BEHIND = "NOERROR aa | behind. 5 A 192.0.2.1"
SERVFAIL = "SERVFAIL"
IP = r"""template IN A d.test {
    match ^x\.(?P<a>.*)\.d\.test\.$
    answer "{{ .Name }} 60 IN A {{ .Group.a }}"
    fallthrough
}"""
HEX = """template IN A example {
    match "^ip0a(?P<b>[a-f0-9]{2})(?P<c>[a-f0-9]{2})(?P<d>[a-f0-9]{2})[.]example[.]$"
    answer "{{.Name}} 60 IN A 10.{{parseInt .Group.b 16 8}}.{{parseInt .Group.c 16 8}}.{{parseInt .Group.d 16 8}}"
    fallthrough
}"""
SECTIONS = """template IN A b.test {
    match nothing ^(?P<l>.*)[.]b[.]test[.]$
    authority "b.test. 60 IN NS ns.{{ .Name }}"
    additional "x.{{ .Name }} 60 IN A 10.0.0.2"
    answer "{{ .Name }} 60 IN A 10.0.0.1" "{{ .Name }} A 10.0.0.{{ len .Group.l }}"
}"""
NX = """template ANY ANY invalid {
    rcode NXDOMAIN
    authority "invalid. 60 {{ .Class }} SOA ns.invalid. hostmaster.invalid. (1 60 60 60 60)"
    ederror 21 "Blocked according to RFC2606"
}"""
ALL = """template IN TXT d.test {
    answer "{{ .Name }} TXT \\"{{.Class}} {{.Type}} {{.Zone}} {{.Remote}} {{.Question.Qtype}} {{.Group.no}}\\""
}"""
PART = """template IN A part.d.test {
    match ^yes
    answer "{{ .Name }} A 1.2.3.4"
    fallthrough sub.part.d.test
}"""
TWO = f'{IP}\ntemplate IN A d.test {{\n answer "two. 60 IN A 10.0.0.2"\n}}'
ANYTHING = 'template ANY ANY any.d.test {\n answer "{{ .Name }} {{ .Class }} HINFO {{ .Type }} x"\n}'
HTTPS = 'template IN HTTPS h.test {\n answer "{{ .Name }} 60 IN HTTPS 1 . alpn=h2"\n}'


class Case(NamedTuple):
    title: str
    text: str
    question: str
    words: str


CASES = (
    Case("a group of a pattern (seen)", IP, "x.10.9.8.7.d.test.", "NOERROR aa | x.10.9.8.7.d.test. 60 A 10.9.8.7"),
    Case("no match, and it may hand on (seen)", IP, "y.d.test.", BEHIND),
    Case("another type (seen)", IP, "x.10.9.8.7.d.test. AAAA", BEHIND),
    Case("outside of its zones", IP, "x.10.9.8.7.xd.test.", BEHIND),
    Case("the next template", TWO, "y.d.test.", "NOERROR aa | two. 60 A 10.0.0.2"),
    Case("parseInt (seen)", HEX, "ip0a7b7B7b.example.", "NOERROR aa | ip0a7b7b7b.example. 60 A 10.123.123.123"),
    Case("three sections, several records (seen)", SECTIONS, "abc.b.test.",
         "NOERROR aa | abc.b.test. 60 A 10.0.0.1 | abc.b.test. 3600 A 10.0.0.3 | -- b.test. 60 NS ns.abc.b.test. | "
         "++ x.abc.b.test. 60 A 10.0.0.2"),
    Case("no match, and it may not hand on (seen)", SECTIONS, "b.test.", SERVFAIL),
    Case("NXDOMAIN", NX, "a.invalid. TXT",
         "NXDOMAIN aa | -- invalid. 60 SOA ns.invalid. hostmaster.invalid. 1 60 60 60 60"),
    Case("another class", NX, "a.invalid. TXT CH",
         "NXDOMAIN aa | -- invalid. 60 CH SOA ns.invalid. hostmaster.invalid. 1 60 60 60 60"),
    Case("what a text sees (seen)", ALL, "y.d.test. TXT",
         'NOERROR aa | y.d.test. 3600 TXT "IN TXT d.test. 10.1.0.7 16 <no value>"'),
    Case("ANY fits every template", IP, "x.10.9.8.7.d.test. ANY", "NOERROR aa | x.10.9.8.7.d.test. 60 A 10.9.8.7"),
    Case("... and has its type", ANYTHING, "a.any.d.test. ANY", 'NOERROR aa | a.any.d.test. 3600 HINFO "ANY" "x"'),
    Case("a template for all types (seen)", ANYTHING, "a.any.d.test.", 'NOERROR aa | a.any.d.test. 3600 HINFO "A" "x"'),
    Case("fallthrough of some zones (seen)", PART, "no.part.d.test.", SERVFAIL),
    Case("... that the name is in (seen)", PART, "no.sub.part.d.test.", BEHIND),
    Case("no pattern is every name", "template IN A e.test", "a.e.test.", "NOERROR aa"),
    Case("rcode REFUSED (seen)", "template IN A e.test {\n rcode REFUSED\n answer \"a. 7 A 1.2.3.4\"\n}", "a.e.test.",
         "REFUSED aa | a. 7 A 1.2.3.4"),
    Case("rcode SERVFAIL has nothing (seen)", "template IN A e.test {\n rcode SERVFAIL\n answer \"a. A 1.2.3.4\"\n}",
         "a.e.test.", SERVFAIL),
    Case("the zones of the server block", "template IN A", "a.test.", "NOERROR aa"),
)  # fmt: skip


LOCAL = """template IN A d.test {
    match ^(?P<ip>[0-9]{1,3}(-[0-9]{1,3}){3})[.]d[.]test[.]$
    match ^x[.](y)[.]d[.]test[.]$
    var ip replace(group('ip'), '-', '.')
    var first int(split(ip, '.')[0])
    expr "any(['10.0.0.0/8', '192.168.0.0/16'], incidr(ip, #))"
    expr first != 192 or type() == 'ANY'
    answer "{{ .Name }} 60 IN A {{ .Var.ip }}"
    additional "{{ range $i, $x := .Match }}{{ if eq $i 1 }}n{{ $.Var.first }}.{{ $x }}.{{ end }}{{ end }} A 1.2.3.4"
    fallthrough
}"""
CONDITIONS = (
    ("10-1-2-3.d.test.", "NOERROR aa | 10-1-2-3.d.test. 60 A 10.1.2.3 | ++ n10.10-1-2-3. 3600 A 1.2.3.4"),
    ("8-8-8-8.d.test.", BEHIND),
    ("192-168-1-1.d.test.", BEHIND),
    ("192-168-1-1.d.test. ANY",
     "NOERROR aa | 192-168-1-1.d.test. 60 A 192.168.1.1 | ++ n192.192-168-1-1. 3600 A 1.2.3.4"),
    ("y.d.test.", BEHIND),
)  # fmt: skip


@pytest.mark.parametrize(("question", "answered"), CONDITIONS)
async def test_conditions(question: str, answered: str) -> None:
    """A condition that does not hold is as if no pattern matched; variables are for conditions and texts."""
    ask = handler(built(template, LOCAL, FakeParts()), response("behind. 5 A 192.0.2.1"))
    assert words(await ask(request(question))) == answered


async def test_a_condition_without_fallthrough() -> None:
    """SERVFAIL, as for a name that no pattern matches."""
    text = LOCAL.replace("    fallthrough\n", "")
    assert words(await handler(built(template, text, FakeParts()))(request("8-8-8-8.d.test."))) == SERVFAIL


@pytest.mark.parametrize("question", ["999-1-1-1.d.test.", "x.y.d.test."])
async def test_an_expression_that_comes_to_nothing(question: str) -> None:
    """SERVFAIL and a word for `errors`, also with fallthrough, as in CoreDNS: it cannot be said whether it matches."""
    made = built(template, LOCAL, FakeParts())
    assert made.plugin is not None
    with pytest.raises(UpstreamError, match=r"^template: '"):
        await chain((made.plugin,), scripted(Response()))(request(question))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.title)
async def test_what_it_answers(case: Case) -> None:
    """A question is answered by the first template that it fits, or handed on."""
    ask = handler(built(template, case.text, FakeParts()), response("behind. 5 A 192.0.2.1"))
    assert words(await ask(request(case.question))) == case.words


async def test_an_extended_error() -> None:
    """The number and the text, for the OPT record of the reply (RFC 8914)."""
    reply = await handler(built(template, NX, FakeParts()))(request("a.invalid."))
    assert list(edns_options(reply.options)) == [(15, b"\0\x15Blocked according to RFC2606")]


async def test_a_type_that_is_rarely_written() -> None:
    """Types without a table of their own are read, too."""
    reply = await handler(built(template, HTTPS, FakeParts()))(request("h.test. HTTPS"))
    assert reply.answer[0].rdata == b"\0\1\0\0\1\0\3\2h2"


FOOGLE = 'template IN ANY foogle.com {\n match "^foogle\\.com\\.$"\n answer "foogle.com 60 IN CNAME google.com"\n}'


@pytest.mark.parametrize(("rtype", "followed"), [("A", True), ("AAAA", True), ("TXT", False)])
async def test_an_alias_is_followed(rtype: str, followed: bool) -> None:
    """For addresses, what the whole server says of the target is added, and TC with it."""

    async def lookup(_: Request) -> Response:
        return Response(0, 0x0200, response("google.com. 7 A 10.0.0.1").answer)

    parts = FakeParts(lookup=lookup)
    reply = await handler(built(template, FOOGLE, parts))(request(f"foogle.com. {rtype}"))
    alias = "foogle.com. 60 CNAME google.com."
    expected = f"NOERROR aa tc | {alias} | google.com. 7 A 10.0.0.1" if followed else f"NOERROR aa | {alias}"
    assert words(reply) == expected
    assert [(each.query.name, each.query.question[-4:-2]) for each in parts.looked_up] == (
        [(parse_name("google.com"), request(f"a. {rtype}").query.question[-4:-2])] if followed else []
    )


async def test_an_alias_that_leads_nowhere() -> None:
    """The alias alone is an answer."""
    reply = await handler(built(template, FOOGLE, FakeParts()))(request("foogle.com."))
    assert words(reply) == "NOERROR aa | foogle.com. 60 CNAME google.com."


FAILURES = (
    (
        "{{ index .Match 5 }} 60 IN A 1.2.3.4",
        "template: answer: error calling index: index out of range: 5",
        "template",
    ),
    ("{{ .Name }} 60 IN A 1.2.3", "dns: invalid A data: Expected 4 octets in '1.2.3'", "rr"),
    ("{{ if false }}x{{ end }}", "dns: there is no record", "rr"),
)


@pytest.mark.parametrize(("text", "problem", "kind"), FAILURES)
async def test_a_text_that_comes_to_nothing(text: str, problem: str, kind: str) -> None:
    """SERVFAIL, told to the errors plugin and counted with the text."""
    parts = FakeParts()
    made = built(template, f'template IN A test {{\n answer "{text}"\n}}', parts)
    assert made.plugin is not None
    with pytest.raises(UpstreamError) as caught:
        await chain((made.plugin,), scripted(Response()))(request("a.test."))
    assert (str(caught.value), caught.value.rcode) == (problem, 2)
    labels = {"server": "dns://:53", "zone": "test.", "view": "", "class": "IN", "type": "A"}
    assert parts.value("coredns_template_matches_total", **labels) == 1
    name = f"coredns_template_{kind}_failures_total"
    assert parts.value(name, **labels, section="answer", template=text) == 1


FAST = (
    (IP, "web.test.", True),
    (IP, "web.d.test.", True),
    (IP, "x.1.2.3.4.d.test.", False),
    (IP, "x.1.2.3.4.d.test. AAAA", True),
    (SECTIONS, "web.b.test.", False),
    (SECTIONS, "web.b.test. TXT", True),
    (NX, "web.cluster.local.", True),
    (NX, "web.invalid.", False),
)


@pytest.mark.parametrize(("text", "question", "fast"), FAST)
def test_the_fast_way(text: str, question: str, fast: bool) -> None:
    """Names of other zones, types of other templates and names that are handed on keep the fast way."""
    assert takes_the_fast_way(built(template, text, FakeParts()), question) is fast


def test_names_below_a_name() -> None:
    """It must see questions in and above its zones."""
    must_see = built(template, IP, FakeParts()).must_see
    assert [must_see(parse_name(name), True) for name in ("test.", "a.d.test.", "cluster.local.")] == [
        True,
        True,
        False,
    ]


MISTAKES = (
    ("template", "1:1 'template' needs at least 2 arguments, got 0"),
    ("template XX A", "1:10 'XX' is none of IN, CH, HS, NONE, ANY"),
    ("template IN NOPE", "1:13 unknown type 'NOPE'"),
    ("template IN A {\n match (\n}", "2:8 invalid regular expression: missing ): ("),
    ("template IN A {\n match\n}", "2:2 'match' needs at least 1 argument, got 0"),
    ("template IN A {\n answer a 60 IN A 1.2.3.4\n}", "2:9 invalid resource record: this record has no type"),
    ("template IN A {\n answer \"a 60 IN A 1.2.3\"\n}",
     "2:9 invalid resource record: invalid A data: Expected 4 octets in '1.2.3'"),
    ("template IN A {\n answer \"{{ .Nme }} 60 IN A 1.2.3\"\n}",
     "2:13 no template: there is no field .Nme; there are .Class, .Group, .Match, .Message, .Meta, .Name, .Question, "
     ".Regex, .Remote, .Type, .Var, .Zone"),
    ("template IN A {\n answer \"a TXT \\\"{{ foo }}\\\"\"\n}", "2:21 no template: function 'foo' is not defined"),
    ("template IN A {\n answer \"{{ .Name\"\n}", "2:10 no template: unclosed action: there is no }}"),
    ("template IN A {\n rcode NOPE\n}",
     "2:8 'NOPE' is none of NOERROR, FORMERR, SERVFAIL, NXDOMAIN, NOTIMP, REFUSED, YXDOMAIN, YXRRSET, "
     "NXRRSET, NOTAUTH, NOTZONE, DSOTYPENI, BADVERS, BADKEY, BADTIME, BADMODE, BADNAME, BADALG, BADTRUNC, BADCOOKIE, "
     "NOTIMPL, BADSIG"),
    ("template IN A {\n ederror 70000\n}", "2:10 70000 is out of range"),
    ("template IN A {\n var ip\n}", "2:2 'var' needs at least 2 arguments, got 1"),
    ("template IN A {\n var i-p 1\n}", "2:6 invalid name of a variable: 'i-p'"),
    ("template IN A {\n var len 1\n var group 1\n var true 1\n}",
     "2:6 'len' is a word of the language already\n3:6 'group' is a word of the language already\n"
     "4:6 'true' is a word of the language already"),
    ("template IN A {\n var a 1\n var a 2\n}", "3:6 'a' is a variable already"),
    ("template IN A {\n var a b\n var b 2\n}", "2:8 there is no 'b'"),
    ("template IN A {\n var a group(true)\n}", "2:8 group takes 1 string or int"),
    ("template IN A {\n expr name()\n}", "2:7 the expression is a string, not true or false"),
    ("template IN A {\n var a 1\n expr true && a\n}", "3:12 '&&' is for true and false, not for a int"),
    ("template IN A {\n anser x\n}", "2:2 'template' has no property 'anser'"),
    ("template IN A {\n rcode x y\n match (\n}",
     "2:10 'rcode' takes 1 argument, got 2\n3:8 invalid regular expression: missing ): ("),
)  # fmt: skip


@pytest.mark.parametrize(("text", "problem"), MISTAKES)
def test_mistakes_have_places(text: str, problem: str) -> None:
    """What is wrong with a template is told at its place."""
    assert mistakes(template, text, FakeParts()) == problem
