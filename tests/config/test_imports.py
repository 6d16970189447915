"""``import``: what it brings, what stops it, and that no secret that it meets is told."""

from collections.abc import Mapping, Sequence
from textwrap import dedent

import pytest

from kdns.base.errors import ConfigError
from kdns.config.corefile import Text, parse_corefile
from tests.config.text import corefile, nothing, outline

HERE = "/etc/coredns"

IMPORTS: Sequence[tuple[str, str, Mapping[str, str], str]] = (
    ("lines of a block", ". {\n import common\n b\n}", {"common": "a 1\nc {\n d\n}\n"}, ".:53\n  a 1\n  c\n    d\n  b"),
    ("whole blocks [coredns]", "import custom/*.server", {"custom/b.server": "b {\n}", "custom/a.server": "a {\n}"},
     "a.:53\nb.:53"),
    ("k3s's and AKS's: a pattern in the block and one outside",
     ". {\n a\n import custom/*.override\n}\nimport custom/*.server",
     {"custom/log.override": "log", "custom/x.server": "x.org:53 {\n}", "custom/readme": "{{{"},
     ".:53\n  a\n  log\nx.org.:53"),
    ("relative to the file that imports [coredns]", "import sub/a", {"sub/a": "import b", "sub/b": ". {\n}"}, ".:53"),
    ("an absolute path", "import /srv/x", {"/srv/x": "import y", "/srv/y": ". {\n}"}, ".:53"),
    ("upwards", "import sub/a", {"sub/a": "import ../b", "b": ". {\n}"}, ".:53"),
    ("in a directive's block", ". {\n hosts {\n  import names\n  fallthrough\n }\n}",
     {"names": "192.0.2.1 a.example\n192.0.2.2 b.example"},
     ".:53\n  hosts\n    192.0.2.1 a.example\n    192.0.2.2 b.example\n    fallthrough"),
    ("snippets of a file", "import s\n. {\n import common\n}", {"s": "(common) {\n a\n}"}, ".:53\n  a"),
    ("a file in a snippet is relative to the snippet's file", "import sub/s\n. {\n import common\n}",
     {"sub/s": "(common) {\n import x\n}", "sub/x": "a"}, ".:53\n  a"),
    ("a snippet before a file of that name", "(common) {\n a\n}\n. {\n import common\n}", {"common": "b"}, ".:53\n  a"),
    ("the same file twice", ". {\n import x\n import x\n}", {"x": "a"}, ".:53\n  a\n  a"),
    ("a question mark", ". {\n import x?\n}", {"x1": "a", "x22": "b"}, ".:53\n  a"),
    ("an empty file", ". {\n import x\n a\n}", {"x": ""}, ".:53\n  a"),
)  # fmt: skip


def placed(files: Mapping[str, str]) -> dict[str, str]:
    """Files by absolute path."""
    return {name if name.startswith("/") else f"{HERE}/{name}": text for name, text in files.items()}


@pytest.mark.parametrize(("title", "text", "files", "expected"), IMPORTS, ids=[case[0] for case in IMPORTS])
def test_imports(title: str, text: str, files: Mapping[str, str], expected: str) -> None:
    """What is imported stands where the import stood."""
    assert outline(corefile(text, placed(files))) == expected


def test_what_is_to_be_watched() -> None:
    """Every file that has a part in it, and the folders in which patterns look, even those that match nothing."""
    files = placed({"custom/a.server": "import ../deep/x", "deep/x": "a {\n}"})
    found = corefile(". {\n import no/*/thing\n}\nimport custom/*.server", files)
    assert sorted(found.files) == [
        f"{HERE}/{name}" for name in ("Corefile", "custom", "custom/a.server", "deep/x", "no")
    ]


def test_a_pattern_that_matches_nothing() -> None:
    """It is a warning, as in CoreDNS: k3s and AKS import folders that need not be there."""
    (warning,) = corefile(". {\n import custom/*.override\n}").warnings
    assert str(warning).startswith(f"{HERE}/Corefile:2:9: no file matches 'custom/*.override'\n")


MISTAKES: Sequence[tuple[str, str, Mapping[str, str], str]] = (
    ("nothing named", ". {\n import\n}", {}, """
        C:2:2: import needs a snippet or file
           2 |  import
                ^ such as import common
    """),
    ("two things named", "(a) {\n}\n. {\n import a b\n}", {}, """
        C:4:11: import takes one snippet or file
           4 |  import a b
                         ^ write another import for it
    """),
    ("an empty text", '. {\n import ""\n import {$NO}\n}', {}, """
        C:2:9: import needs a snippet or file, not an empty text
           2 |  import ""
                       ^
        C:3:9: import needs a snippet or file, not an empty text
           3 |  import {$NO}
                       ^
    """),
    ("no such thing", "(common) {\n}\n. {\n import commn\n import later\n}\n(later) {\n}", {}, """
        C:4:9: there is no snippet and no file 'commn'
           4 |  import commn
                       ^ did you mean common?
        C:5:9: there is no snippet and no file 'later'
           5 |  import later
                       ^ a snippet must stand above its import
    """),
    ("two wildcards", ". {\n import */*.x\n import [ab]\n}", {}, """
        C:2:9: a pattern may have one wildcard, *
           2 |  import */*.x
                       ^ import each folder on its own
        C:3:9: a pattern may have one wildcard, *
           3 |  import [ab]
                       ^ import each folder on its own
    """),
    ("a snippet of itself", "(s) {\n import s\n}\n. {\n import s\n}", {}, """
        C:2:9: the snippet 's' imports itself
           2 |  import s
                       ^
    """),
    ("snippets of each other", "(a) {\n import b\n}\n(b) {\n import a\n}\n. {\n import a\n}", {}, """
        C:5:9: the snippet 'a' imports itself
           5 |  import a
                       ^
    """),
    ("a file of itself", ". {\n import x\n}", {"x": "errors {\n}\nimport x"}, """
        /etc/coredns/x:3:8: the file /etc/coredns/x imports itself
           3 | import x
                      ^
    """),
    ("files of each other", ". {\n import x\n}", {"x": "errors {\n}\nimport y", "y": "errors {\n}\nimport x"}, """
        /etc/coredns/y:3:8: the file /etc/coredns/x imports itself
           3 | import x
                      ^
    """),
    ("what is no Corefile, where zones are told when they are served", ". {\n}\nimport x\nimport y",
     {"x": "s3cr3t", "y": "import z", "z": "s3cr3t"}, """
        C:3:8: nothing in /etc/coredns/x looks like a Corefile
           3 | import x
                      ^ a zone and a brace: example.org {
        /etc/coredns/y:1:8: nothing in /etc/coredns/z looks like a Corefile
          a zone and a brace: example.org {
    """),
    ("the Corefile itself", ". {\n}\nimport Core*", {"Corefile": ""}, """
        C:3:8: the file C imports itself
           3 | import Core*
                      ^
    """),
)  # fmt: skip


@pytest.mark.parametrize(("title", "text", "files", "told"), MISTAKES, ids=[case[0] for case in MISTAKES])
def test_mistakes(title: str, text: str, files: Mapping[str, str], told: str) -> None:
    """What cannot be imported is told at the import."""
    with pytest.raises(ConfigError) as raised:
        corefile(text, placed(files))
    assert str(raised.value).replace(f"{HERE}/Corefile", "C") == dedent(told).strip("\n")


def test_ten_thousand_snippets_and_no_more() -> None:
    """Snippets that import each other ten times a level soon meet a limit: CoreDNS's."""
    bodies = ["a", *("\n".join([f"import s{n}"] * 10) for n in range(7))]
    levels = [f"(s{n}) {{\n{body}\n}}\n" for n, body in enumerate(bodies)]
    with pytest.raises(ConfigError, match="snippets are imported more than 10000 times"):
        corefile("".join(levels) + ". {\n import s7\n}")


def test_a_hundred_thousand_files_and_no_more() -> None:
    """So do files."""
    files = {f"f{n}": f"import f{n - 1}\n" * 20 if n else "" for n in range(7)}
    with pytest.raises(ConfigError, match=r"files are imported more than 100000 times|more than 100000 words"):
        corefile(". {\n import f6\n}", placed(files))


def test_a_long_way_down() -> None:
    """A chain of files has an end, too."""
    files = {f"f{n}": f"import f{n + 1}" for n in range(100)}
    with pytest.raises(ConfigError, match="imports within imports go too deep"):
        corefile(". {\n import f0\n}", placed(files))


def test_large_files_together() -> None:
    """The limit is for all files together."""
    with pytest.raises(ConfigError, match="more than 8 MiB"):
        corefile(". {\n import x\n import y\n}", placed({"x": "#" * 5_000_000, "y": "#" * 5_000_000}))


SECRETS = (
    "s3cr3t-t0ken\n",
    "s3cr3t }\n}\n",
    's3cr3t "abc\n',
    "user: admin\npassword: s3cr3t\n",
    "-----BEGIN PRIVATE KEY-----\ns3cr3t\n-----END PRIVATE KEY-----\n",
    '{\n  "auths" : {\n    "registry": { "auth": "s3cr3t" }\n  }\n}\n',
    "data: { password: s3cr3t }\n",
    "s3cr3t://s3cr3t:s3cr3t@s3cr3t {$s3cr3t\n",
    "import s3cr3t\n",
    '"s3cr3t s3cr3t",\n"s3cr3t\'s"\n',
    "s3cr3t" * 40 + ".example {}\n",
)


def complain(text: str, files: Mapping[str, str]) -> None:
    """Raise what the parser, or a plugin, says about the first line that it can."""
    for block in corefile(text, files).blocks:
        for line in block.directives:
            word = line.name
            raise word.error(f"{word.text!r} is no plugin: {word.text}", f"did you mean {word.text}?")


@pytest.mark.parametrize("secret", SECRETS)
@pytest.mark.parametrize(
    "around", ["{}", ". {{\n errors\n {}\n}}", "a {{\n hosts {{\n {}\n }}\n}}", "{}\n}}\n:53", "(s) {{\n {}"]
)
def test_secrets_are_not_told(secret: str, around: str) -> None:
    """A file in which nothing looks like a Corefile is not quoted: not its lines, and not its words."""
    text = around.format("import secret") + "\n}\n}"
    with pytest.raises(ConfigError) as raised:
        complain(text, placed({"secret": secret}))
    assert "s3cr3t" not in str(raised.value)


def test_a_corefile_that_is_a_secret() -> None:
    """Nor is the Corefile itself, when it is something else."""
    with pytest.raises(ConfigError) as raised:
        parse_corefile(Text("Corefile", "s3cr3t:s3cr3t\n}\n"), read=nothing, environ={})
    assert "s3cr3t" not in str(raised.value)
    assert str(raised.value).startswith("Corefile:2:1: this brace closes nothing\n")


@pytest.mark.parametrize("text", ["log . x {\n}\n}", "custom\n}", "errors\n}", "a.example {\n}\n}"])
def test_what_looks_like_a_corefile_is_told(text: str) -> None:
    """One line with the name of a directive, or with a key and its brace, is enough for excerpts."""
    with pytest.raises(ConfigError) as raised:
        parse_corefile(Text("C", text), read=nothing, environ={}, known={"custom", "errors"})
    assert "| }" in str(raised.value)
