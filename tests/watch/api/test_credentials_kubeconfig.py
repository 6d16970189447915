"""Who kdns is: what a kubeconfig says."""

import asyncio
import base64
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

from kdns.base.errors import ApiError, ConfigError
from kdns.config.source import KubeconfigContext, parse_source
from kdns.watch.api.kubeconfig import Kubeconfig, kubeconfig_path, read_kubeconfig
from tests.fakes.api_server import FakeApiServer
from tests.fakes.certificates import EXPIRED, EXPIRED_AT, SERVER, server_context
from tests.fakes.objects import service
from tests.watch.api.dialogue import Following

WEB = service("shop", "web", "10.96.0.9")


def inline(path: Path) -> str:
    """As kubeconfigs hold files."""
    return base64.b64encode(path.read_bytes()).decode()


def kubeconfig(path: Path, user: dict[str, Any], *, server: str = "https://127.0.0.1:6443", **cluster: Any) -> Path:
    """A kubeconfig with one context, ``lab@home``."""
    trusted = {} if "insecure-skip-tls-verify" in cluster else {"certificate-authority-data": inline(SERVER.cert)}
    body = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "lab@home",
        "clusters": [{"name": "home", "cluster": {"server": server, **trusted, **cluster}}],
        "users": [{"name": "lab", "user": user}],
        "contexts": [{"name": "lab@home", "context": {"cluster": "home", "user": "lab"}}],
    }
    path.write_text(yaml.safe_dump(body))
    return path


def plugin(folder: Path, status: dict[str, Any], *, fails: bool = False) -> dict[str, Any]:
    """A user whose exec plugin gives `status`, or fails; each run leaves a line in ``runs``."""
    script = folder / "plugin.py"
    answer = json.dumps({"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "status": status})
    script.write_text(
        f"open({str(folder / 'runs')!r}, 'a').write('run\\n')\nprint({answer!r})\nraise SystemExit({int(fails)})\n"
    )
    return {
        "exec": {
            "apiVersion": "client.authentication.k8s.io/v1",
            "command": sys.executable,
            "args": [str(script)],
            "interactiveMode": "Never",
        }
    }


def runs(folder: Path) -> int:
    """How often the plugin ran."""
    path = folder / "runs"
    return len(path.read_text().splitlines()) if path.exists() else 0


def web_token(expires: float) -> str:
    """A JSON web token that ends then."""
    parts = (b'{"alg":"none"}', json.dumps({"exp": expires}).encode(), b"signature")
    return ".".join(base64.urlsafe_b64encode(part).decode().rstrip("=") for part in parts)


@pytest.mark.parametrize(
    ("text", "environ", "path", "context"),
    [
        ("", {"HOME": "/home/a"}, "/home/a/.kube/config", None),
        ("", {"HOME": "/home/a", "KUBECONFIG": "/x:/y"}, "/x:/y", None),
        ("/etc/kube", {"KUBECONFIG": "/x"}, "/etc/kube", None),
        ("/etc/kube@admin@home", {}, "/etc/kube", "admin@home"),
        ("@admin@home", {"KUBECONFIG": "/x"}, "/x", "admin@home"),
        ("/etc/kube@", {}, "/etc/kube", None),
    ],
)
def test_path_and_context(text: str, environ: dict[str, str], path: str, context: str | None) -> None:
    """Both may be left out; contexts may contain an @."""
    source = parse_source(f"kubeconfig:{text}")
    assert isinstance(source, KubeconfigContext)
    assert (kubeconfig_path(source.path, environ), source.context) == (path, context)


async def test_a_bearer_token(tmp_path: Path) -> None:
    """Server, authority and token are used as they stand in the file."""
    async with FakeApiServer([WEB], token="secret", tls=server_context()) as api:
        path = kubeconfig(tmp_path / "config", {"token": "secret"}, server=api.url)
        async with Following(api, credentials=await Kubeconfig.load(str(path))) as seen:
            await seen.synced()
            assert seen.names() == {"shop/web"}


async def test_a_client_certificate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Certificate and key, inline, are shown to the server; neither stays on disk."""
    user = {"client-certificate-data": inline(SERVER.cert), "client-key-data": inline(SERVER.key)}
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    async with FakeApiServer([WEB], tls=server_context(clients=True)) as api:
        path = kubeconfig(tmp_path / "config", user, server=api.url)
        credentials = await Kubeconfig.load(str(path))
        assert os.listdir(tmp_path) == ["config"]
        async with Following(api, credentials=credentials) as seen:
            await seen.synced()
        again = read_kubeconfig(str(path), None)  # the package remembers files that are gone now
        assert again.access.tls is not None


async def test_the_servers_name_may_be_another(tmp_path: Path) -> None:
    """tls-server-name is what the certificate is checked for; a wrong one is a TLS fault."""
    async with FakeApiServer([WEB], tls=server_context()) as api:
        for name, good in (("kube.example", True), ("other.example", False)):
            path = kubeconfig(tmp_path / "config", {}, server=api.url, **{"tls-server-name": name})
            async with Following(api, credentials=await Kubeconfig.load(str(path))) as seen:
                await seen.until(lambda: bool(seen.said))
                assert seen.said[0].startswith("listing" if good else "lost Service: TLS: ")


async def test_an_exec_plugin_is_run_again_upon_401_and_at_its_end(tmp_path: Path) -> None:
    """Once for all streams: not for every request, but when its token is refused or about to expire."""
    path = kubeconfig(tmp_path / "config", plugin(tmp_path, {"token": "first"}))
    credentials = await Kubeconfig.load(str(path))
    for _ in range(3):
        assert (await credentials.access()).headers == {"Authorization": "Bearer first"}
    assert runs(tmp_path) == 1
    credentials._read_at -= 3600
    await credentials.access()
    assert runs(tmp_path) == 1  # no expiry known: it counts until the server says 401
    ends = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 30))
    plugin(tmp_path, {"token": "second", "expirationTimestamp": ends})
    await asyncio.gather(credentials.renew(), credentials.renew(), credentials.renew())
    assert runs(tmp_path) == 2
    assert credentials._loaded.access.headers == {"Authorization": "Bearer second"}
    plugin(tmp_path, {"token": "third"})
    credentials._read_at -= 5
    assert (await credentials.access()).headers == {"Authorization": "Bearer third"}


async def test_a_plugin_that_fails_later_is_a_reason_to_read(tmp_path: Path) -> None:
    """At start it is a ConfigError; later it is said, and tried again, and what is known stays in force."""
    path = kubeconfig(tmp_path / "config", plugin(tmp_path, {"token": "first"}))
    credentials = await Kubeconfig.load(str(path))
    plugin(tmp_path, {}, fails=True)
    credentials._read_at -= 5
    with pytest.raises(ApiError) as caught:
        await credentials.renew()
    assert (caught.value.code, caught.value.reason) == (0, "credentials")
    assert caught.value.message == f"the exec plugin in kubeconfig {path} gave no credentials"


async def test_a_token_in_a_file_is_read_again(tmp_path: Path) -> None:
    """At most a minute old; a file that is broken meanwhile changes nothing."""
    token = tmp_path / "token"
    token.write_text("first")
    path = kubeconfig(tmp_path / "config", {"tokenFile": str(token)})
    credentials = await Kubeconfig.load(str(path))
    token.write_text("second")
    assert (await credentials.access()).headers == {"Authorization": "Bearer first"}
    credentials._read_at -= 61
    assert (await credentials.access()).headers == {"Authorization": "Bearer second"}
    path.write_text(":")
    credentials._read_at -= 61
    assert (await credentials.access()).headers == {"Authorization": "Bearer second"}


async def test_tokens_are_read_as_client_go_reads_them(tmp_path: Path) -> None:
    """White space around a token is not part of it; a token file goes before a token; its path is the kubeconfig's."""
    (tmp_path / "token").write_text("  from-file \r\n\n")
    for user, token in (
        ({"tokenFile": "token"}, "from-file"),
        ({"tokenFile": str(tmp_path / "token"), "token": "inline"}, "from-file"),
        ({"token": "inline\n"}, "inline"),
        (plugin(tmp_path, {"token": "executed\n"}), "executed"),
    ):
        credentials = await Kubeconfig.load(str(kubeconfig(tmp_path / "config", user)))
        assert (await credentials.access()).headers == {"Authorization": f"Bearer {token}"}


async def test_a_token_that_turns_bad_is_one_line(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Where no good one is left, the kind is lost with the reason, pauses grow, and a good file heals it."""
    token = tmp_path / "token"
    token.write_text("first\n")
    async with FakeApiServer([WEB], token="second") as api:
        path = kubeconfig(tmp_path / "config", {"tokenFile": str(token)}, server=api.url)
        credentials = await Kubeconfig.load(str(path))
        token.write_text("a\x01b")
        credentials._read_at -= 5
        async with Following(api, credentials=credentials) as seen:
            reason = f"credentials: kubeconfig {path}: the token file holds a space, a control character"
            await seen.until_said(f"lost Service: {reason}")
            token.write_text("second\n")
            credentials._read_at -= 5
            await seen.synced()
            assert sum(said.startswith("lost Service: credentials") for said in seen.said) == 1
    assert not [record for record in caplog.records if record.exc_info]


class Bad(NamedTuple):
    """A kubeconfig that does not do, and what is said of it."""

    title: str
    user: dict[str, Any] | str
    context: str
    problem: str


EXPIRED_USER = {"client-certificate-data": inline(EXPIRED.cert), "client-key-data": inline(EXPIRED.key)}
SCHEMELESS = """
clusters: [{name: home, cluster: {server: "kube.example:6443"}}]
users: [{name: lab, user: {token: abc}}]
contexts: [{name: lab, context: {cluster: home, user: lab}}]
current-context: lab
"""
USERLESS = SCHEMELESS.replace("user: lab}", "user: nobody}")
BAD = (
    Bad("an empty token file", {"tokenFile": os.devnull}, "", "kubeconfig {}: the token file is empty: /dev/null"),
    Bad("a token of two lines", {"token": "a\nb"}, "", "kubeconfig {}: the token holds a space, a control character"),
    Bad("nothing but brackets", "[" * 20_000, "", "cannot use kubeconfig {}: "),
    Bad("a user that is not there", USERLESS, "", "kubeconfig {}: context 'lab' wants the user 'nobody'"),
    Bad("another context", {}, "@other", "kubeconfig {} has no context 'other'"),
    Bad("no YAML", "a: [", "", "cannot use kubeconfig {}: "),
    Bad("an empty file", "", "", "cannot use kubeconfig {}: "),
    Bad("a list", "[]", "", "cannot use kubeconfig {}: "),
    Bad("no context at all", "{}", "", "kubeconfig {} has no current context"),
    Bad("a certificate that expired", EXPIRED_USER, "", "the credentials in {} expired at "),
    Bad("a token that expired", {"token": web_token(EXPIRED_AT)}, "", "the credentials in {} expired at "),
    Bad(
        "a key that is none",
        EXPIRED_USER | {"client-key-data": "AAAA"},
        "",
        "kubeconfig {}: client certificate and key cannot be used: ",
    ),
    Bad("a server without scheme", SCHEMELESS, "", "kubeconfig {}: the server 'kube.example:6443' is no URL"),
    Bad("a certificate file that is missing", {"client-certificate": "no.pem"}, "", "cannot use kubeconfig {}: "),
    Bad(
        "a certificate that is none",
        {"client-certificate-data": "%"},
        "",
        "kubeconfig {}: client certificate and key cannot be used: ",
    ),
)


@pytest.mark.parametrize("case", BAD, ids=lambda case: case.title)
async def test_what_is_wrong_is_said_in_one_line(tmp_path: Path, case: Bad) -> None:
    """Whatever the file, kdns says what is wrong with which file, and how to go on; no traceback, no secret."""
    path = tmp_path / "config"
    if isinstance(case.user, str):
        path.write_text(case.user)
    else:
        kubeconfig(path, case.user)
    with pytest.raises(ConfigError) as caught:
        await Kubeconfig.load(str(path), case.context.removeprefix("@") or None)
    assert caught.value.problem.startswith(case.problem.format(path))
    assert "\n" not in caught.value.problem
    assert caught.value.hint


async def test_no_file(tmp_path: Path) -> None:
    """A kubeconfig that is not there is named; of several, one is enough."""
    with pytest.raises(ConfigError, match="no kubeconfig at"):
        await Kubeconfig.load(str(tmp_path / "none"))
    path = kubeconfig(tmp_path / "config", {"token": web_token(time.time() + 3600)})
    loaded = read_kubeconfig(f"{tmp_path / 'none'}{os.pathsep}{path}", None)
    assert loaded.server == "https://127.0.0.1:6443"


def test_the_package_is_imported_for_kubeconfigs_only() -> None:
    """It takes 21 MB, which a Pod with a service account should not pay."""
    code = "import sys, kdns.watch.api.cluster; sys.exit('kubernetes' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, cwd=Path(__file__).parents[3]).returncode == 0


def test_the_package_is_an_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where it was not installed, the error says what to install; DNS and manifests do without it."""
    path = kubeconfig(tmp_path / "config", {"token": "t"})
    monkeypatch.setitem(sys.modules, "kubernetes.config.kube_config", None)  # an import of it fails then
    with pytest.raises(ConfigError, match="package kubernetes, which is not installed") as caught:
        read_kubeconfig(str(path), None)
    assert "pip install 'kdns[kubeconfig]'" in (caught.value.hint or "")
