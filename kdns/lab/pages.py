"""A lab's status pages, served on the machine itself: outside of the lab, from a server that follows its API server."""

import asyncio
import logging
from collections.abc import Callable
from typing import Final

from kdns.config.settings import KubernetesOptions, ServeSettings
from kdns.dns.server.app import App, Running
from kdns.lab.background import Background
from kdns.lab.cluster import Cluster
from kdns.lab.kind import Kind
from kdns.ops.port import Answer
from kdns.ops.shutdown import Stop

LOG: Final = logging.getLogger(__name__)
HERE: Final = "127.0.0.1"
PATIENCE: Final = 120.0
"""Seconds for the pages to be served: a moment, more on a busy machine."""

Site = Callable[[Cluster, Kind], Callable[[App], Answer]]
"""Makes what answers for the pages of a lab; commands hand it in."""


class Pages:
    """The pages, in a loop and a thread of their own, so that they answer whatever the lab's makers wait for.

    The server behind them answers the lab's names on loopback, too: at a port that its first page tells.
    """

    def __init__(self, cluster: Cluster, kind: Kind, address: str, site: Site) -> None:
        """Serve at ADDRESS:PORT. Raises ConfigError when it is taken; close it before the lab."""
        self._background = Background()
        self._stop = Stop()
        self._settings = ServeSettings(
            source=f"kubeconfig:{cluster.kubeconfig_here()}",
            listen=(HERE,),
            port=0,
            kubernetes=KubernetesOptions(ttl=30, pods="insecure"),  # as the Corefile of the lab's own DNS
            shortnames=True,
            health="",
            ready="",
            metrics="",
            status=address,
            quiet=True,
        )
        self._task: asyncio.Task[None]
        try:
            self.url = self._background.wait_for(self._start(site(cluster, kind)), PATIENCE)
            """Of the first page."""
        except BaseException:
            self._background.close()
            raise

    async def _start(self, site: Callable[[App], Answer]) -> str:
        running: asyncio.Future[Running] = asyncio.get_running_loop().create_future()

        async def started(now: Running) -> None:
            running.set_result(now)

        self._task = asyncio.create_task(App(self._settings, site).run(self._stop, started))
        await asyncio.wait((self._task, running), return_when=asyncio.FIRST_COMPLETED)
        if self._task.done():
            self._task.result()
        self._task.add_done_callback(_note)
        return running.result().urls["/"]

    def close(self) -> None:
        """Stop serving them."""
        self._background.wait_for(self._end())
        self._background.close()

    async def _end(self) -> None:
        self._stop.asked.set()
        await asyncio.wait((self._task,))


def _note(task: asyncio.Task[None]) -> None:
    """A bug ends the pages, and not the lab."""
    if not task.cancelled() and (problem := task.exception()) is not None:
        LOG.error("the pages of the lab ended", exc_info=problem)
