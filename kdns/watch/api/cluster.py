"""An API server as a source: one stream per wanted kind, over one session."""

import logging
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import aclosing
from hashlib import sha256
from typing import Final

import aiohttp

from kdns.base.clock import Backoff
from kdns.config.source import InCluster, KubeconfigContext, ServerUrl
from kdns.metrics.cluster import ClusterCounts
from kdns.watch.api.audit import INTERVALS, Intervals
from kdns.watch.api.client import LINE_LIMIT, WATCH_TIMEOUT, Api, open_session
from kdns.watch.api.credentials import Anonymous, Credentials, ServiceAccount
from kdns.watch.api.events import EventRecorder
from kdns.watch.api.kubeconfig import Kubeconfig
from kdns.watch.api.pace import Pace
from kdns.watch.api.reflector import Reflector
from kdns.watch.source import Event, Want

LOG: Final = logging.getLogger("kdns.watch")


class ApiSource:
    """Follows a cluster through its API server: list and watch of the wanted kinds; `recorder` writes Events.

    Streams must be read inside a running event loop; the session is opened by the first of them.
    """

    def __init__(
        self,
        credentials: Credentials,
        *,
        watch_timeout: float = WATCH_TIMEOUT,
        line_limit: int = LINE_LIMIT,
        backoff: Callable[[], Backoff] = Backoff,
        pace: Pace | None = None,
        counts: ClusterCounts | None = None,
        audits: Intervals = INTERVALS,
    ) -> None:
        """`watch_timeout`: seconds of silence after which a watch is given up (bookmarks come about once a minute);
        `line_limit`: octets of the largest event; `backoff` makes the pauses of one stream; `pace` rations requests;
        `counts` counts them; `audits`: how often the server is asked whether a watch shows all there is."""
        self._credentials, self._backoff, self._pace = credentials, backoff, pace
        self._counts = counts or ClusterCounts()
        self._audits = audits
        self._watch_timeout, self._line_limit = watch_timeout, line_limit
        self._session: aiohttp.ClientSession | None = None
        self._api: Api | None = None

    @property
    def server(self) -> str:
        """The URL of the API server, for logs."""
        return self._credentials.server

    async def identity(self) -> str:
        """Names the cluster, by the address of its API server and the certificate authorities that we trust there.

        Raises ApiError if the credentials cannot be read.
        """
        tls = (await self._credentials.access()).tls
        authorities = sorted(tls.get_ca_certs(binary_form=True)) if tls is not None else []
        digests = b"".join(sha256(authority).digest() for authority in authorities)
        return sha256(self.server.encode() + b"\n" + digests).hexdigest()

    def streams(self, wants: Sequence[Want]) -> Sequence[AsyncIterator[Event]]:
        """One endless stream per kind, in the order of `wants`."""
        return [self._follow(want) for want in wants]

    def recorder(self, instance: str) -> EventRecorder:
        """What writes Events into this cluster, reported by an instance; its `run` must end before `close`."""
        return EventRecorder(self._connect, instance)

    async def close(self) -> None:
        """Close every connection; nothing may read the streams any more."""
        session, self._session, self._api = self._session, None, None
        if session is not None:
            await session.close()

    async def _follow(self, want: Want) -> AsyncIterator[Event]:
        reflector = Reflector(
            self._connect(),
            want,
            warn=LOG.warning,
            backoff=self._backoff(),
            counts=self._counts,
            audits=self._audits,
        )
        async with aclosing(reflector.events()) as events:
            async for event in events:
                yield event

    def _connect(self) -> Api:
        """The one client of all streams, so that what it learns of the server (no streaming lists) is learned once."""
        if self._api is None:
            self._session = open_session()
            self._api = Api(
                self._session,
                self._credentials,
                watch_timeout=self._watch_timeout,
                line_limit=self._line_limit,
                pace=self._pace,
                counts=self._counts,
            )
        return self._api


async def load_credentials(source: InCluster | KubeconfigContext | ServerUrl) -> Credentials:
    """Those of a source that is an API server. Raises ConfigError."""
    match source:
        case InCluster():
            return ServiceAccount()
        case ServerUrl(url):
            return Anonymous(url)
        case KubeconfigContext(path, context):
            return await Kubeconfig.load(path, context)
