"""Who kdns is to the API server: the Pod's service account, a client certificate, or anonymous (``kubectl proxy``).

What a kubeconfig says is in `kdns.watch.api.kubeconfig`, which imports the `kubernetes` package only when it is used.
Whatever is missing when kdns starts is a ConfigError; later the last credentials that could be read stay in use, and
the server's 401 says so. Tokens are read as client-go reads them: white space around them is not part of them.
"""

import logging
import os
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Final, NamedTuple, Protocol

from kdns.base.errors import ConfigError
from kdns.ops.tls import client_context

LOG: Final = logging.getLogger("kdns.watch")

SERVICE_ACCOUNT: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount")
"""Where the kubelet puts token and CA of every Pod."""


class Access(NamedTuple):
    """What a request carries."""

    headers: Mapping[str, str] = {}
    tls: ssl.SSLContext | None = None
    """None: the system's certificates."""
    server_name: str | None = None
    """The name the server's certificate must have, if it is not the one in the URL."""
    proxy: str | None = None


class Credentials(Protocol):
    """One server, and what identifies us there."""

    @property
    def server(self) -> str:
        """``https://host:port`` and maybe a path, without a slash at its end."""
        ...

    async def access(self) -> Access:
        """What to send just now; tokens that rotate are re-read here."""
        ...

    async def renew(self) -> None:
        """The server has answered 401: read everything again."""
        ...


class Anonymous:
    """An API server without authentication."""

    def __init__(self, server: str) -> None:
        self.server = server.rstrip("/")

    async def access(self) -> Access:
        """Nothing."""
        return Access()

    async def renew(self) -> None:
        """There is nothing to renew."""


class ServerOverride:
    """Another client's credentials, sent to a different server: kube-proxy's ``--master`` beside a kubeconfig."""

    def __init__(self, server: str, known: Credentials) -> None:
        self.server, self._known = server.rstrip("/"), known

    async def access(self) -> Access:
        """What the other credentials are just now."""
        return await self._known.access()

    async def renew(self) -> None:
        """Have them read everything again."""
        await self._known.renew()


class ClientCertificate:
    """A client certificate; the three files are read again when the server refuses it."""

    def __init__(self, server: str, cert_file: str, key_file: str, ca_file: str) -> None:
        """Raises ConfigError naming the file that cannot be used."""
        self.server = server.rstrip("/")
        self._files = cert_file, key_file, ca_file
        self._tls = self._read()

    async def access(self) -> Access:
        """The certificate."""
        return Access({}, self._tls)

    async def renew(self) -> None:
        """Read the files again; those that cannot be used now leave the last ones in use."""
        try:
            self._tls = self._read()
        except ConfigError as error:
            LOG.warning("%s; going on with what was read before", error.problem)

    def _read(self) -> ssl.SSLContext:
        cert_file, key_file, ca_file = self._files
        return tls_context(ca_file=ca_file, cert_file=cert_file, key_file=key_file)


class ServiceAccount:
    """The Pod's own account: address from the environment, token and CA from the kubelet's files.

    Both files are small, in memory, and replaced by the kubelet while we run; requests are rare (a few a minute). So
    they are read for each request, which is as fresh as can be and needs no timer.
    """

    def __init__(self, environ: Mapping[str, str] = os.environ, folder: Path = SERVICE_ACCOUNT) -> None:
        """Raises ConfigError if this is no Pod, or its account is not mounted."""
        host, port = environ.get("KUBERNETES_SERVICE_HOST", ""), environ.get("KUBERNETES_SERVICE_PORT", "")
        if not host or not port:
            missing = "KUBERNETES_SERVICE_PORT" if host else "KUBERNETES_SERVICE_HOST"
            raise ConfigError(
                f"not inside a cluster: {missing} is not set",
                hint="run it in a Pod, or give --source kubeconfig or PATH, or `kubeconfig FILE` in the Corefile",
            )
        self.server = f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}"
        self._token_path, self._ca_path = folder / "token", folder / "ca.crt"
        self._token, self._ca, self._problem = "", b"", ""
        self._tls: ssl.SSLContext
        for path in (self._token_path, self._ca_path):
            if not path.is_file():
                raise ConfigError(
                    f"the service account is not mounted: {path} is missing",
                    hint="set automountServiceAccountToken: true on the Pod and its ServiceAccount",
                )
        self._read()

    async def access(self) -> Access:
        """Token and CA as the files are now."""
        try:
            self._read()
        except ConfigError as error:
            # The kubelet swaps folders, and a disk may fail: the last good ones may still do, and if they do not the
            # server's answer becomes the reason that operators read.
            if error.problem != self._problem:
                LOG.warning("%s; going on with what was read before", error.problem)
            self._problem = error.problem
        return Access({"Authorization": f"Bearer {self._token}"}, self._tls)

    async def renew(self) -> None:
        """The files are read for each request anyway."""

    def _read(self) -> None:
        try:
            token, ca = self._token_path.read_text("utf-8"), self._ca_path.read_bytes()
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(
                f"cannot read the service account: {error}", hint="the files must be readable for the user kdns runs as"
            ) from error
        self._token = checked_token(token, "the service account's token", str(self._token_path))
        if ca != self._ca:
            self._tls = tls_context(ca_file=str(self._ca_path))
            self._ca = ca
        self._problem = ""


def checked_token(text: str, called: str, place: str = "") -> str:
    """A bearer token without the white space around it; ConfigError for one that no request can carry."""
    token, at = text.strip(), f": {place}" if place else ""
    if not token:
        raise ConfigError(f"{called} is empty{at}", hint="it must be a bearer token")
    if any(not " " < char < "\x7f" for char in token):
        raise ConfigError(
            f"{called} holds a space, a control character, or one that is not ASCII{at}",
            hint="it must be the token alone, on one line",
        )
    return token


def tls_context(
    *, ca_file: str | None = None, cert_file: str | None = None, key_file: str | None = None, verify: bool = True
) -> ssl.SSLContext:
    """For PEM files; `ca_file` None trusts the system's. Raises ConfigError naming the file that cannot be used."""
    try:
        context = client_context(ca_file)
    except (OSError, ValueError) as error:
        raise ConfigError(f"no CA certificate in {ca_file}: {error}", hint="it must be a file in PEM form") from error
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if cert_file:
        try:
            context.load_cert_chain(cert_file, key_file, password=_no_password)
        except (OSError, ssl.SSLError, ValueError) as error:
            raise ConfigError(
                f"no client certificate with its key in {cert_file}: {error}", hint="both must be files in PEM form"
            ) from error
    return context


def _no_password() -> str:
    """Without this, OpenSSL would ask the terminal for it, and wait."""
    raise ValueError("the key is encrypted")
