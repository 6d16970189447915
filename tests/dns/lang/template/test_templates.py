"""Templates as text. What they give was seen from CoreDNS 1.14.7, which runs Go's text/template."""

import pytest

from kdns.dns.lang.template.functions import Fields, Method, TemplateFailure, Value
from kdns.dns.lang.template.parser import parse_template
from kdns.dns.lang.template.tokens import TemplateMistake

DATA: dict[str, Value] = {
    "Name": "x.12.t.test.",
    "Type": "TXT",
    "Match": ["x.12", "x", "12"],
    "Group": {"0": "x.12", "a": "x", "b": "12", "empty": ""},
    "Question": Fields({"Name": "X.12.t.test.", "Qtype": 16}),
    "Message": Fields({"Id": 7, "Question": [Fields({"Qtype": 16})]}),
    "Meta": Method(lambda key: f"<{key}>"),
}
CASES = (
    ("{{ .Name }} 60 IN A 10.0.0.1", "x.12.t.test. 60 IN A 10.0.0.1"),
    ("{{.Group.a}}-{{index .Match 2}}-{{ index .Group `b` }}", "x-12-12"),
    ("{{ .Group.nope }}|{{ index .Group `nope` }}|", "<no value>||"),
    ("{{ .Match }} {{ .Group }} {{ len .Match }}", "[x.12 x 12] map[0:x.12 a:x b:12 empty:] 3"),
    ("{{ parseInt `0a` 16 8 }}.{{ parseInt .Group.b 10 8 }}", "10.12"),
    ("{{ .Group.b | printf `%04s` }} {{ .Name | len | printf `%03d` }}", "0012 012"),
    ("{{ if eq .Group.a `x` }}X{{ else if .Group.b }}B{{ else }}other{{ end }}", "X"),
    ("{{ if .Group.empty }}X{{ else if .Group.b }}B{{ else }}other{{ end }}", "B"),
    ("{{ if .Group.empty }}X{{ else }}other{{ end }}", "other"),
    ("{{ with .Group.b }}<{{ . }}>{{ end }}{{ with .Group.empty }}no{{ else }}yes{{ end }}", "<12>yes"),
    ("{{ $x := index .Match 1 }}{{ $x }}{{ $x = `y` }}{{ $x }} {{ $.Type }}", "xy TXT"),
    ("a  {{- .Type -}}  b {{/* a comment */}}c {{- /* another */ -}} d", "aTXTb cd"),
    ("{{ printf `%05d|%-5s|%5s|%v|%x|%.2s|%d` 42 `ab` `cd` .Match 255 `xyz` `s` }}",
     "00042|ab   |   cd|[x.12 x 12]|ff|xy|%!d(string=s)"),
    ("{{ printf `%d` }} {{ printf `x` 1 }} {{ printf `%q%%%t` `a\"b` true }}",
     '%!d(MISSING) x%!(EXTRA int=1) "a\\"b"%true'),
    ("{{ print 1 2 `a` 3 }}", "1 2a3"),
    ("{{ and 1 0 }} {{ or `` `z` }} {{ not true }} {{ lt 1 2 }} {{ ge `a` `b` }} {{ ne 1 1 }}",
     "0 z false true false false"),
    ("{{ slice .Name 0 2 }} {{ slice .Match 1 }} {{ 0x1f }} {{ 'a' }} {{ 010 }} {{ index .Name 0 }}",
     "x. [x 12] 31 97 8 120"),
    ("{{ .Question.Name }} {{ .Question.Qtype }} {{ .Message.Id }} {{ (index .Message.Question 0).Qtype }}",
     "X.12.t.test. 16 7 16"),
    ("{{ range .Match }}<{{ . }}>{{ end }}", "<x.12><x><12>"),
    ("{{ range $i, $m := .Match }}{{ $i }}={{ $m }} {{ end }}", "0=x.12 1=x 2=12 "),
    ("{{ range $m := .Match }}{{ $m }}{{ $.Type }} {{ end }}", "x.12TXT xTXT 12TXT "),
    ("{{ range $key, $value := .Group }}{{ $key }}:{{ $value }};{{ end }}", "0:x.12;a:x;b:12;empty:;"),
    ("{{ range 3 }}{{ . }}{{ end }}{{ range $i := 2 }}{{ $i }}{{ end }}", "01201"),
    ("{{ range slice .Match 3 }}x{{ else }}none{{ end }}{{ range .Group.nope }}x{{ else }} at all{{ end }}",
     "none at all"),
    ("{{ range .Match }}{{ if eq . `x` }}{{ continue }}{{ end }}{{ . }} {{ end }}", "x.12 12 "),
    ("{{ range .Match }}{{ if eq . `x` }}{{ break }}{{ end }}{{ . }} {{ end }}", "x.12 "),
    ("{{ range $a := 2 }}{{ range $b := 2 }}{{ $a }}{{ $b }} {{ if $b }}{{ break }}{{ end }}{{ end }}{{ end }}",
     "00 01 10 11 "),
    ("{{ $n := 0 }}{{ range .Match }}{{ $n = len . }}{{ end }}{{ $n }}", "2"),
    ("{{ $x := `out` }}{{ range 2 }}{{ $x := `in` }}{{ $x }} {{ end }}{{ $x }}", "in in out"),
    ("{{ $x := `out` }}{{ if true }}{{ $x := `in` }}{{ $x }} {{ end }}{{ $x }}", "in out"),
    ("{{ $x := `out` }}{{ range $x := 2 }}{{ $x }} {{ end }}{{ $x }}", "0 1 out"),
    ("{{ $x := 7 }}{{ range $x = 2 }}{{ end }}{{ $x }}", "1"),
    ("{{ .Meta `kubernetes/namespace` }}", "<kubernetes/namespace>"),
    ("{{ \"\\\"a\\x41\\n\" }}", '"aA\n'),
)  # fmt: skip


@pytest.mark.parametrize(("text", "result"), CASES)
def test_what_a_template_gives(text: str, result: str) -> None:
    """A template and its text."""
    assert parse_template(text, frozenset(DATA)).run(DATA) == result


MISTAKES = (
    ("a {{ .Name", 2, "unclosed action: there is no }}"),
    ("{{ }}", 0, "missing value for command"),
    ("{{ .Nme }}", 3, "there is no field .Nme; there are"),
    ("{{ foo .Name }}", 3, "function 'foo' is not defined"),
    ("{{ html .Name }}", 3, "'html' is not supported in templates"),
    ("{{ range }}{{ end }}", 3, "missing value for range"),
    ("{{ range $x := }}{{ end }}", 3, "missing value for range"),
    ("{{ range .Match }}", 3, "'range' has no {{end}}"),
    ("{{ range .Match }}{{ else if 1 }}{{ end }}", 26, "unexpected 'if' behind else"),
    ("{{ range $x = .Match }}{{ end }}", 9, "undefined variable '$x'"),
    ("{{ range $x := .Match }}{{ end }}{{ $x }}", 36, "undefined variable '$x'"),
    ("{{ if 1 }}{{ break }}{{ end }}", 13, "{{break}} outside of range"),
    ("{{ range .Match }}{{ end }}{{ continue }}", 30, "{{continue}} outside of range"),
    ("{{ range .Match }}{{ break 1 }}{{ end }}", 27, "unexpected '1' in a template"),
    ("{{ if .Name }}x", 3, "'if' has no {{end}}"),
    ("x{{ end }}", 4, "unexpected {{end}}"),
    ("{{ if .Name }}{{ else foo }}{{ end }}", 22, "unexpected 'foo' behind else"),
    ("{{ if }}{{ end }}", 3, "missing value for if"),
    ("{{ $x }}", 3, "undefined variable '$x'"),
    ("{{ if $y := .Name }}{{ end }}{{ $y }}", 32, "undefined variable '$y'"),
    ("{{ (len .Name }}", 3, "unclosed left paren"),
    ("{{ .Name | }}", 9, "missing value for command"),
    ("{{ .Name .Type }}", 3, "can't give argument to non-function .Name"),
    ("{{ `a` | .Name }}", 9, "can't give argument to non-function .Name"),
    ("{{ len }}", 3, "wrong number of args for len: got 0"),
    ("{{ parseInt .Name 10 }}", 3, "wrong number of args for parseInt: got 2"),
    ("{{ ? }}", 3, "unexpected '?' in a template"),
    ("{{ \"\\q\" }}", 3, "unknown escape sequence"),
    ("{{ 1x }}", 3, "unexpected '1' in a template"),
    ("{{ " + "(" * 60 + "1" + ")" * 60 + " }}", 3, "over 50 parentheses"),
    ("{{ if 1 }}" * 60, 600, "over 50 conditions"),
)  # fmt: skip


@pytest.mark.parametrize(("text", "at", "problem"), MISTAKES)
def test_what_is_no_template(text: str, at: int, problem: str) -> None:
    """Mistakes are told with their place before anything runs."""
    with pytest.raises(TemplateMistake) as caught:
        parse_template(text, frozenset(DATA))
    assert (caught.value.at, str(caught.value)[: len(problem)]) == (at, problem)


FAILURES = (
    ("{{ index .Match 5 }}", "error calling index: index out of range: 5"),
    ("{{ index .Match `a` }}", "error calling index: cannot index with a"),
    ("{{ index .Type.x 0 }}", "can't evaluate field x"),
    ("{{ parseInt .Group.a 10 8 }}", 'error calling parseInt: parsing "x": invalid syntax'),
    ("{{ parseInt `256` 10 8 }}", 'error calling parseInt: parsing "256": value out of range'),
    ("{{ parseInt `1_0` 10 8 }}", 'error calling parseInt: parsing "1_0": invalid syntax'),
    ("{{ printf `%9999d` 1 }}", "error calling printf: a width of over 1000"),
    ("{{ eq 1 `a` }}", "error calling eq: incompatible types for comparison"),
    ("{{ len 3 }}", "error calling len: it has no length"),
    ("{{ slice .Name 3 2 }}", "error calling slice: index out of range: 3, 2"),
    ("{{ .Group.nope.x }}", "nil data; no entry for x"),
    ("{{ .Question.Nme }}", "can't evaluate field Nme"),
    ("{{ range .Type }}{{ end }}", "range can't iterate over it"),
    ("{{ range 99999999999 }}{{ end }}", "over 10000 turns of range"),
    ("{{ range 1000 }}{{ range 1000 }}{{ end }}{{ end }}", "over 10000 turns of range"),
    ("{{ .Meta }}", "wrong number of args for .Meta: want 1 got 0"),
)


@pytest.mark.parametrize(("text", "problem"), FAILURES)
def test_what_fails_while_it_runs(text: str, problem: str) -> None:
    """What cannot be worked out is a failure, and no other exception."""
    with pytest.raises(TemplateFailure) as caught:
        parse_template(text, frozenset(DATA)).run(DATA)
    assert str(caught.value) == problem
