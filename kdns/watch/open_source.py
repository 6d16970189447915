"""Opens the object source named on the command line or in a ``kubernetes`` block of a Corefile."""

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from io import FileIO
from typing import BinaryIO, TypeVar, cast

from kdns.base.errors import ConfigError
from kdns.config.settings import ApiOptions
from kdns.config.source import KubeconfigContext, Manifests, parse_source
from kdns.metrics.cluster import ClusterCounts
from kdns.watch.api.client import WATCH_TIMEOUT
from kdns.watch.api.cluster import ApiSource, load_credentials
from kdns.watch.api.credentials import Anonymous, ClientCertificate, Credentials, ServerOverride
from kdns.watch.api.pace import Pace
from kdns.watch.manifests.files import FileSource
from kdns.watch.snapshot_file import SnapshotFile
from kdns.watch.source import Source

T = TypeVar("T")


async def build_source(
    text: str,
    *,
    watch_timeout: float = WATCH_TIMEOUT,
    api: ApiOptions | None = None,
    master: str = "",
    counts: ClusterCounts | None = None,
) -> Source:
    """A source from its words on the command line, or the API server that a Corefile names, which wins.

    ``master``: the URL of a server to ask instead, with the same credentials. ``counts`` counts what is asked of an
    API server. Raises ConfigError for a source that cannot be opened.
    """
    api = api or ApiOptions()
    pace = Pace(api.qps, api.burst, api.inflight)
    credentials: Credentials
    if api.kubeconfig:
        credentials = await load_credentials(KubeconfigContext(api.kubeconfig, api.context or None))
    elif api.certificate:
        credentials = ClientCertificate(api.endpoint, api.certificate, api.key, api.ca)
    elif api.endpoint:
        credentials = Anonymous(api.endpoint)
    else:
        spec = parse_source(text)
        if isinstance(spec, Manifests):
            path = spec.path
            return await _aside(lambda: _file_source(path))
        credentials = await load_credentials(spec)
    if master:
        credentials = ServerOverride(master, credentials)
    return ApiSource(credentials, watch_timeout=watch_timeout, pace=pace, counts=counts)


def snapshot_file(source: Source, folder: str, name: str) -> SnapshotFile | None:
    """Where what is known through a source is kept for the next start; None without a folder, and for manifests."""
    return SnapshotFile(folder, name, source.identity) if folder and isinstance(source, ApiSource) else None


def _file_source(text: str) -> FileSource:
    if text != "-":
        return FileSource(text)
    try:
        # as it is: a buffer's lock, held by a thread that reads, would abort the process at its end
        return FileSource(text, stdin=cast("BinaryIO", FileIO(0, closefd=False)))
    except OSError as error:
        raise ConfigError(f"standard input cannot be read: {error.strerror}") from error


async def _aside(build: Callable[[], T]) -> T:
    """Run it in a daemon thread: a pipe may never be written, and signals must not wait."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[T] = loop.create_future()

    def tell(result: T | None, error: Exception | None) -> None:
        if done.cancelled():
            return
        if error is not None:
            done.set_exception(error)
        else:
            done.set_result(cast("T", result))

    def run() -> None:
        result, failed = None, None
        try:
            result = build()
        except Exception as error:  # noqa: BLE001 - raised again where it is waited for
            failed = error
        with suppress(RuntimeError):  # the loop has ended meanwhile
            loop.call_soon_threadsafe(tell, result, failed)

    threading.Thread(target=run, name="source", daemon=True).start()
    return await done
