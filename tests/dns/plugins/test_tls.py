"""``tls``: its options, its files, and which server blocks must have it."""

import contextlib
import ssl
from pathlib import Path

import pytest

from kdns.base.errors import ConfigError, ConfigErrors
from kdns.dns.api.plugin import DirectiveContext
from kdns.dns.plugins.tls import Contexts, parse
from tests.config.text import directives
from tests.dns.server.test_plan import blocks, plans
from tests.fakes.certificates import EXPIRED, SERVER

PLACE = DirectiveContext(("a.test.",), 853, "/etc/kdns")


@pytest.mark.parametrize(
    ("text", "problem", "column"),
    [
        ("tls", "", 1),
        ("tls c", "", 1),
        ("tls a b c d", "", 11),
        ("tls c k\ntls c k", "twice", 1),
        ("tls c k {\n client_auth\n}", "", 2),
        ("tls c k {\n client_auth maybe\n}", "unknown client_auth 'maybe'", 14),
        ("tls c k {\n client_auth require\n}", "require is not supported: it takes any certificate", 14),
        ("tls c k {\n keylog\n}", "'keylog' needs 1 argument", 2),
        ("tls c k {\n client_aut nocert\n}", "client_aut", 2),
        ("tls {\n acme a.test\n}", "certificates by ACME are not supported", 2),
    ],
)
def test_mistakes(text: str, problem: str, column: int) -> None:
    """Each is told where it stands."""
    with pytest.raises(ConfigError) as told:
        parse(directives(text), PLACE)
    assert problem in str(told.value)
    assert told.value.at is not None
    assert told.value.at.column == column


def test_paths() -> None:
    """Relative ones start from the folder of the Corefile's relative paths."""
    options = parse(directives("tls c.pem /k.pem ca/ca.pem"), PLACE)
    assert [file.path for file in options.files] == ["/etc/kdns/c.pem", "/k.pem", "/etc/kdns/ca/ca.pem"]


@pytest.mark.parametrize(
    ("files", "problem", "column"),
    [
        ("nothing.pem {key}", "cannot read {folder}/nothing.pem: No such file or directory", 6),
        ("{cert} nothing.pem", "cannot read {folder}/nothing.pem", 7 + len(str(SERVER.cert))),
        (". {key}", "Is a directory", 6),
        ("{cert} {other}", "this key is not that of the certificate", 7 + len(str(SERVER.cert))),
        ("{key} {key}", "cannot use this certificate with its key", 6),
        ("text {key}", "cannot use this certificate with its key", 6),
        ("big {key}", "too large for a certificate", 6),
        ("{cert} {key} text", "there is no certificate in this file", 8 + len(f"{SERVER.cert}{SERVER.key}")),
    ],
)
def test_files(files: str, problem: str, column: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is wrong with a file is told at the word that names it."""
    (tmp_path / "text").write_text("nothing of that kind\n")
    (tmp_path / "big").write_bytes(bytes(2_000_000))
    words = files.format(cert=SERVER.cert, key=SERVER.key, other=EXPIRED.key).split(" ")
    full = " ".join(word if word.startswith("/") else f"{tmp_path}/{word}" for word in words)
    with pytest.raises(ConfigError) as told:
        blocks(f"tls://. {{\n tls {full}\n whoami\n}}")
    assert problem.format(folder=tmp_path) in str(told.value)
    at = told.value.at
    assert at is not None
    before = words[: full[: at.column - 6].count(" ")]
    shift = sum(len(str(tmp_path)) + 1 for word in before if not word.startswith("/"))
    assert (at.line, at.column) == (2, column + shift)


def test_keylog(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The secrets of sessions are written, with a warning; a place where that cannot be is told."""
    written = tmp_path / "secrets"
    text = f"tls://. {{\n tls {SERVER.cert} {SERVER.key} {{\n  keylog FILE\n }}\n whoami\n}}"
    with pytest.raises(ConfigError, match=f"cannot write {tmp_path}/no/secrets: No such file"):
        blocks(text.replace("FILE", f"{tmp_path}/no/secrets"))
    (block,) = blocks(text.replace("FILE", str(written)))
    contexts = block.parts.sibling("tls")
    assert isinstance(contexts, Contexts)
    handshake(contexts.tls)
    assert "CLIENT_HANDSHAKE_TRAFFIC_SECRET " in written.read_text()
    assert f"every session can be read by all who can read {written}" in caplog.text


def handshake(server: ssl.SSLContext) -> None:
    """A whole one, in memory."""
    context = ssl.create_default_context(cafile=str(SERVER.cert))
    upward, downward = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = (
        server.wrap_bio(upward, downward, server_side=True),
        context.wrap_bio(downward, upward, server_hostname="localhost"),
    )
    for _ in range(4):
        for end in ends:
            with contextlib.suppress(ssl.SSLWantReadError):
                end.do_handshake()
    assert ends[1].version() == "TLSv1.3"


TLS = "tls /c /k"


@pytest.mark.parametrize(
    ("text", "problem", "line"),
    [
        ("tls://. {\n whoami\n}", "tls:// needs a certificate", 1),
        (". {\n whoami\n}\nhttps://a.test {\n whoami\n}", "https:// needs a certificate", 4),
        (f"tls://a.test {{\n {TLS}\n}}\ntls://b.test {{\n tls /c2 /k\n}}", "port 853 has another certificate", 4),
        (f"a.test:853 {{\n whoami\n}}\ntls://b.test {{\n {TLS}\n}}", "port 853 is served as dns:// already", 4),
        (f"tls://a.test:443 {{\n {TLS}\n}}\nhttps://b.test {{\n {TLS}\n}}", "443 is served as tls:// already", 4),
        (f"quic://. {{\n {TLS}\n}}", "quic:// is not supported yet", 1),
        (f"grpc://. {{\n {TLS}\n}}", "grpc:// is not supported yet", 1),
    ],
)
def test_places(text: str, problem: str, line: int) -> None:
    """Who serves TLS has a certificate; each port is served in one way, with one certificate."""
    with pytest.raises((ConfigError, ConfigErrors)) as told:
        plans(text)
    assert problem in str(told.value)
    first = told.value.errors[0] if isinstance(told.value, ConfigErrors) else told.value
    assert first.at is not None
    assert first.at.line == line


def test_a_block_may_be_served_in_all_ways() -> None:
    """One block, three kinds of sockets, and the same certificate in two blocks of a port."""
    text = f". tls://. https://.:8443 {{\n {TLS}\n whoami\n}}\ntls://a.test {{\n {TLS}\n whoami\n}}"
    assert [listener.port for plan in plans(text) for listener in plan.listeners] == [53, 853, 8443, 853]


def test_a_certificate_that_nobody_sees(caplog: pytest.LogCaptureFixture) -> None:
    """In a block of plain DNS it is odd, and said once."""
    blocks(f". {{\n tls {SERVER.cert} {SERVER.key}\n whoami\n}}")
    assert [record.message.split(": ", 1)[1] for record in caplog.records] == [
        "the certificate is not used: no key of its block is tls:// or https://"
    ]
