"""Credentials from kubeconfig files, read by the `kubernetes` package: tokens, client certificates, exec plugins.

The package is imported in here, in a thread, and only if there is a kubeconfig: it takes 21 MB and a second. Exec
plugins block, which is the other reason for the thread.
"""

import asyncio
import base64
import binascii
import os
import time
from collections.abc import Callable, Mapping
from datetime import datetime
from importlib import import_module
from pathlib import Path
from typing import Any, Final, NamedTuple, Self

import msgspec

from kdns.base.errors import ApiError, ConfigError
from kdns.ops.scratch import scratch_folder
from kdns.watch.api.certificate import not_after
from kdns.watch.api.credentials import Access, checked_token, tls_context
from kdns.watch.decode.nesting import UNREADABLE

REREAD: Final = 60.0
"""Seconds after which files are read again at the next request: tokens in files rotate."""
EARLY: Final = 60.0
"""Seconds before its end at which a credential counts as expired."""
AGAIN: Final = 1.0
"""Seconds within which a second 401 does not run an exec plugin again: the streams meet it together."""

MALFORMED: Final = (ValueError, KeyError, TypeError, AttributeError, OSError, RecursionError, MemoryError)
"""How the package says, besides its own exception, that a file, or what an exec plugin writes, is not of the form it
expects."""


class Loaded(NamedTuple):
    """The content of the files at one moment."""

    server: str
    access: Access
    expires: float | None
    """Unix seconds; None: unknown."""
    executed: bool
    """By an exec plugin, which is not run more often than necessary."""


def kubeconfig_path(path: str, environ: Mapping[str, str] = os.environ) -> str:
    """A path, or where there is none KUBECONFIG (maybe several, with colons between), else ~/.kube/config."""
    return path or environ.get("KUBECONFIG", "") or str(Path(environ.get("HOME", "~")) / ".kube" / "config")


class Kubeconfig:
    """One context of a kubeconfig. Make it with `load`."""

    def __init__(self, path: str, context: str | None, loaded: Loaded, clock: Callable[[], float] = time.time) -> None:
        self._path, self._context, self._loaded, self._clock = path, context, loaded, clock
        self._read_at = clock()
        self._lock = asyncio.Lock()

    @classmethod
    async def load(cls, path: str = "", context: str | None = None) -> Self:
        """`path` as for `kubeconfig_path`; without a context the current one.

        Raises ConfigError: no file, no such context, expired, no certificate.
        """
        path = kubeconfig_path(path)
        loaded = await asyncio.to_thread(read_kubeconfig, path, context)
        if loaded.expires is not None and loaded.expires <= time.time():
            ended = datetime.fromtimestamp(loaded.expires).astimezone().isoformat(timespec="seconds")
            raise ConfigError(
                f"the credentials in {path} expired at {ended}", hint="log in again, then start kdns again"
            )
        return cls(path, context, loaded)

    @property
    def server(self) -> str:
        """Where the context's cluster is."""
        return self._loaded.server

    async def access(self) -> Access:
        """What the files say, at most a minute old; exec plugins run again when their token is about to expire."""
        now, expires = self._clock(), self._loaded.expires
        if expires is not None and expires - EARLY <= now:
            await self._reload(must=True)
        elif not self._loaded.executed and now - self._read_at > REREAD:
            await self._reload(must=False)
        return self._loaded.access

    async def renew(self) -> None:
        """Read the files and run the exec plugin again."""
        await self._reload(must=True)

    async def _reload(self, *, must: bool) -> None:
        """`must`: what we have is of no use any more, so that failing is an ApiError that says why."""
        async with self._lock:
            if self._clock() - self._read_at < AGAIN:
                return
            self._read_at = self._clock()
            try:
                self._loaded = await asyncio.to_thread(read_kubeconfig, self._path, self._context)
            except ConfigError as error:
                if must:
                    raise ApiError(0, "credentials", error.problem) from error


def read_kubeconfig(path: str, context: str | None) -> Loaded:
    """Read it now; blocks. Keys that the file holds inline are in files only while this runs."""
    if not any(Path(part).expanduser().is_file() for part in path.split(":") if part):
        raise ConfigError(
            f"no kubeconfig at {path}", hint="say --source kubeconfig:PATH, or set KUBECONFIG, or log in to the cluster"
        )
    package = _package()
    with scratch_folder() as folder:
        try:
            merged = package.KubeConfigMerger(path).config
            _check_context(merged, path, context)
            loader = package.KubeConfigLoader(
                merged,
                active_context=context,
                config_base_path=None,  # as kubectl: relative paths start at the file that names them
                temp_file_path=folder,
            )
            loader.load_and_set(import_module("kubernetes.client").Configuration())
            return _loaded(loader, path, executed=_executes(loader, merged))
        except (package.ConfigException, package.yaml.YAMLError, *MALFORMED) as error:
            problem = " ".join(str(error).split()) or type(error).__name__
            if isinstance(error, TypeError | AttributeError):  # Python's words about a text where a mapping should be
                problem = "this is not a kubeconfig: a mapping with clusters, users and contexts"
            raise ConfigError(
                f"cannot use kubeconfig {path}: {problem}", hint=f"kubectl config view --kubeconfig {path}"
            ) from error


def _package() -> Any:
    """The package that reads kubeconfigs, imported here and nowhere else: see above. Raises ConfigError."""
    try:
        return import_module("kubernetes.config.kube_config")
    except ModuleNotFoundError as error:
        if not (error.name or "").startswith("kubernetes"):
            raise
        raise ConfigError(
            "a kubeconfig is read by the Python package kubernetes, which is not installed",
            hint="pip install 'kdns[kubeconfig]'; in a Pod, and with manifests, kdns does without",
        ) from error


def _check_context(merged: Any, path: str, context: str | None) -> None:
    contexts = [entry["name"] for entry in merged.value.get("contexts") or ()]
    current = context or merged.value.get("current-context")
    if not current:
        raise ConfigError(f"kubeconfig {path} has no current context", hint=f"say --source kubeconfig:{path}@CONTEXT")
    if current not in contexts:
        known = ", ".join(sorted(contexts)) or "none"
        raise ConfigError(f"kubeconfig {path} has no context {current!r}", hint=f"it has: {known}")
    _check_user(merged, path, current)


def _check_user(merged: Any, path: str, context: str) -> None:
    """The kubernetes package goes on without credentials where the user of a context is missing; we do not."""
    entries = merged.value["contexts"]
    context_values = next((entry.value["context"] for entry in entries if entry["name"] == context), None) or {}
    user = context_values.get("user")
    users = [listed["name"] for listed in merged.value.get("users") or ()]
    if user and user not in users:
        problem = f"kubeconfig {path}: context {context!r} wants the user {user!r}, who is not in it"
        raise ConfigError(problem, hint=f"it has: {', '.join(sorted(users)) or 'none'}")


def _executes(loader: Any, merged: Any) -> bool:
    name = (loader.current_context.get("context") or {}).get("user")
    users = merged.value.get("users") or ()
    return any(user["name"] == name and "exec" in (user["user"] or {}) for user in users)


def _loaded(loader: Any, path: str, *, executed: bool) -> Loaded:
    values: dict[str, Any] = vars(loader)
    server = values.get("host")
    if not server:
        raise ConfigError(f"kubeconfig {path} names no server", hint="kubectl config set-cluster NAME --server URL")
    if not server.startswith(("https://", "http://")):
        raise ConfigError(
            f"kubeconfig {path}: the server {server!r} is no URL",
            hint=f"kubectl config set-cluster NAME --server https://{server.rpartition('/')[2]}",
        )
    token, cert_file = _authorization(loader, path), values.get("cert_file")
    if executed and not token and not cert_file:
        raise ConfigError(f"the exec plugin in kubeconfig {path} gave no credentials", hint="run it by hand to see why")
    tls = None
    if server.startswith("https"):
        try:
            tls = tls_context(
                ca_file=values.get("ssl_ca_cert"),
                cert_file=cert_file,
                key_file=values.get("key_file"),
                verify=values.get("verify_ssl", True),
            )
        except ConfigError as error:
            # What it names may be a file that lived for a moment only.
            part = "client certificate and key" if cert_file else "certificate authority"
            raise ConfigError(
                f"kubeconfig {path}: {part} cannot be used: {error.__cause__}",
                hint=f"kubectl config view --raw --kubeconfig {path}",
            ) from error
    ends = [_token_end(token), not_after(Path(cert_file).read_bytes()) if cert_file else None]
    if (expiry := values.get("expiry")) is not None:
        ends.append(expiry.timestamp())
    known = [end for end in ends if end is not None]
    return Loaded(
        server.rstrip("/"),
        Access(
            {"Authorization": token} if token else {},
            tls,
            values.get("tls_server_name"),
            values.get("proxy"),
        ),
        min(known, default=None),
        executed,
    )


def _authorization(loader: Any, path: str) -> str | None:
    """The header, as client-go would send it: a token file is read in preference to a token, and an empty one is an
    error (client-go: "read empty token from file")."""
    user, header = vars(loader).get("_user"), vars(loader).get("token")
    token_file = (user.value or {}).get("tokenFile") if user is not None else None
    executed = user is not None and "exec" in (user.value or {})
    if token_file and not executed:
        file = Path(user.path or path).parent / token_file
        return f"Bearer {checked_token(file.read_text('utf-8'), f'kubeconfig {path}: the token file', str(file))}"
    if header and header.startswith("Bearer "):
        return f"Bearer {checked_token(header[7:], f'kubeconfig {path}: the token')}"
    return header.strip() if header else None


class JwtClaims(msgspec.Struct):
    """Of a JSON web token: when it ends (RFC 7519 section 4.1.4)."""

    exp: float | None = None


def _token_end(header: str | None) -> float | None:
    """Unix seconds, if the token is a JSON web token that says so; the server checks it, we only read it."""
    parts = (header or "").removeprefix("Bearer ").split(".")
    if len(parts) != 3:
        return None
    try:
        return msgspec.json.decode(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)), type=JwtClaims).exp
    except (*UNREADABLE, binascii.Error, ValueError):
        return None  # some other kind of token with two dots in it
