"""Who kdns is: the service account in its Pod."""

from pathlib import Path
from typing import NamedTuple

import pytest

from kdns.base.errors import ConfigError
from kdns.watch.api.certificate import not_after
from kdns.watch.api.credentials import Anonymous, ServiceAccount, tls_context
from tests.fakes.api_server import FakeApiServer, refuse
from tests.fakes.certificates import EXPIRED, EXPIRED_AT, SERVER, server_context
from tests.fakes.objects import service
from tests.watch.api.dialogue import Following

WEB = service("shop", "web", "10.96.0.9")


def mounted(folder: Path, token: str = "first") -> Path:
    """A folder as the kubelet mounts it."""
    folder.joinpath("token").write_text(token + "\n")
    folder.joinpath("ca.crt").write_bytes(SERVER.cert.read_bytes())
    return folder


@pytest.mark.parametrize(
    ("host", "port", "url"),
    [
        ("10.96.0.1", "443", "https://10.96.0.1:443"),
        ("fd00:10:96::1", "443", "https://[fd00:10:96::1]:443"),
        ("kubernetes.default.svc", "6443", "https://kubernetes.default.svc:6443"),
    ],
)
def test_the_address_is_in_the_environment(tmp_path: Path, host: str, port: str, url: str) -> None:
    """IPv4, IPv6 in brackets, and names."""
    environ = {"KUBERNETES_SERVICE_HOST": host, "KUBERNETES_SERVICE_PORT": port}
    assert ServiceAccount(environ, mounted(tmp_path)).server == url


class Missing(NamedTuple):
    """What is wrong with the Pod, and what is said."""

    title: str
    environ: dict[str, str]
    without: str
    content: bytes | None
    problem: str


INSIDE = {"KUBERNETES_SERVICE_HOST": "10.96.0.1", "KUBERNETES_SERVICE_PORT": "443"}
MISSING = (
    Missing("no cluster", {}, "", None, "not inside a cluster: KUBERNETES_SERVICE_HOST is not set"),
    Missing(
        "half an address",
        {"KUBERNETES_SERVICE_HOST": "10.96.0.1"},
        "",
        None,
        "not inside a cluster: KUBERNETES_SERVICE_PORT is not set",
    ),
    Missing("no token", INSIDE, "token", None, "the service account is not mounted: {}/token is missing"),
    Missing("no CA", INSIDE, "ca.crt", None, "the service account is not mounted: {}/ca.crt is missing"),
    Missing("an empty token", INSIDE, "token", b"\n", "the service account's token is empty: {}/token"),
    Missing("a token that is none", INSIDE, "token", b"\xff", "cannot read the service account: "),
    Missing("a CA that is none", INSIDE, "ca.crt", b"no", "no CA certificate in {}/ca.crt: "),
)


@pytest.mark.parametrize("case", MISSING, ids=lambda case: case.title)
def test_what_is_missing_is_named(tmp_path: Path, case: Missing) -> None:
    """At start, the operator reads what is missing and what to do, and nothing of a token."""
    folder = mounted(tmp_path)
    if case.without:
        folder.joinpath(case.without).unlink()
        if case.content is not None:
            folder.joinpath(case.without).write_bytes(case.content)
    with pytest.raises(ConfigError) as caught:
        ServiceAccount(case.environ, folder)
    assert caught.value.problem.startswith(case.problem.format(folder))
    assert "\n" not in caught.value.problem


async def test_tokens_and_authorities_rotate(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Each request carries the token that the kubelet last wrote; while a file cannot be read, the last one does."""
    account = ServiceAccount(INSIDE, mounted(tmp_path))
    first = await account.access()
    assert first.headers == {"Authorization": "Bearer first"}
    assert (await account.access()).tls is first.tls  # kept as long as the CA is the same: connections are reused
    tmp_path.joinpath("token").write_text("second")
    tmp_path.joinpath("ca.crt").write_bytes(SERVER.cert.read_bytes() * 2)
    second = await account.access()
    assert second.headers == {"Authorization": "Bearer second"}
    assert second.tls is not first.tls
    tmp_path.joinpath("token").unlink()
    assert (await account.access()).headers == second.headers
    assert "going on with what was read before" in caplog.text


class Pod(ServiceAccount):
    """A service account whose server is the fake."""

    def __init__(self, url: str, folder: Path) -> None:
        super().__init__(INSIDE, folder)
        self.server = url


async def test_a_token_is_re_read_upon_401(tmp_path: Path) -> None:
    """A token that has rotated between reading and asking: asked again at once, and nobody notices."""
    async with FakeApiServer([WEB], token="first", tls=server_context()) as api:
        credentials = Pod(api.url, mounted(tmp_path))
        api.next_reply(refuse(401), times=1)
        async with Following(api, credentials=credentials) as seen:
            await seen.synced()
            assert seen.pauses == []
            assert seen.said[0] == "listing Service"
            assert len(api.asked) == 2


async def test_a_token_nobody_knows_is_lost_until_it_is_known(tmp_path: Path) -> None:
    """Two 401s in a row are a reason to read; once the kubelet has written a good token, all is well."""
    async with FakeApiServer([WEB], token="second", tls=server_context()) as api:
        credentials = Pod(api.url, mounted(tmp_path))
        async with Following(api, credentials=credentials) as seen:
            await seen.until_said("lost")
            assert seen.said == ["lost Service: 401: may not watch services (Unauthorized)"]
            assert len(seen.pauses) == len(api.asked) // 2
            tmp_path.joinpath("token").write_text("second")
            await seen.synced()
            api.token = "third"  # a watch that runs is not asked again, as with a real server
            api.put(service("shop", "db", "10.96.0.10"))
            await seen.until_said("put Service shop/db")


async def test_nobody() -> None:
    """A plain endpoint gets no header; a slash at its end does not matter."""
    nobody = Anonymous("http://127.0.0.1:8001/")
    assert nobody.server == "http://127.0.0.1:8001"
    await nobody.renew()
    assert (await nobody.access()).headers == {}


def test_certificates_end() -> None:
    """The end of a certificate is read as it was made, in both forms of time; what is none has no end."""
    assert not_after(EXPIRED.cert.read_bytes()) == EXPIRED_AT
    assert not_after(SERVER.cert.read_bytes()) == 4733510400.0  # GeneralizedTime: beyond 2049
    for junk in (b"", b"-----BEGIN CERTIFICATE-----\nMAAA\n-----END CERTIFICATE-----", SERVER.key.read_bytes()):
        assert not_after(junk) is None


@pytest.mark.parametrize("length", range(0, 300, 7))
def test_a_certificate_cut_short_has_no_end(length: int) -> None:
    """No octet of a broken file is an IndexError."""
    lines = SERVER.cert.read_bytes().splitlines()
    cut = b"".join(lines[1:-1])[: length // 4 * 4]
    assert not_after(b"-----BEGIN CERTIFICATE-----" + cut + b"-----END CERTIFICATE-----") in (None, 4733510400.0)


def test_a_client_certificate_that_is_none(tmp_path: Path) -> None:
    """It is named, whichever of the two files is wrong."""
    junk = tmp_path / "junk.pem"
    junk.write_text("junk")
    for cert, key in ((junk, EXPIRED.key), (EXPIRED.cert, junk), (EXPIRED.cert, SERVER.key)):
        with pytest.raises(ConfigError, match="no client certificate with its key in"):
            tls_context(cert_file=str(cert), key_file=str(key))


def test_a_server_may_be_taken_on_trust() -> None:
    """insecure-skip-tls-verify checks nothing; everything else checks name and chain."""
    loose, strict = tls_context(verify=False), tls_context()
    assert (loose.check_hostname, loose.verify_mode.name) == (False, "CERT_NONE")
    assert (strict.check_hostname, strict.verify_mode.name) == (True, "CERT_REQUIRED")
