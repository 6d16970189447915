"""What the pages are about: a DNS server, a Service proxy, or both in one process."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, NamedTuple

from kdns.base.objects import ObjectKey, ServiceView
from kdns.dns.server.app import App
from kdns.metrics.scraped import Scraped
from kdns.proxy.app import ProxyApp
from kdns.records.answers import Answers
from kdns.watch.follower import Follower

Explain = Callable[[str, str, str], Awaitable[Mapping[str, Any]]]
"""Target, client (``NS/POD``, ``outside``, or empty), type of the DNS question -> the report as plain values, see
`kdns.explain.model.report_values`. Raises ConfigError for what cannot be asked."""


Scrape = Callable[[], Awaitable[Sequence[Scraped]]]
"""The programs of a whole lab, with what each counts."""


class Parts(NamedTuple):
    """Of one process, or of a lab."""

    title: str
    """The command, such as ``kdns serve``."""
    dns: App | None = None
    proxy: ProxyApp | None = None
    explain: Explain | None = None
    explains_at_once: bool = False
    """A Service's page has explain's report without being asked for it: the evidence is a small folder."""

    scrape: Scrape | None = None
    """``dns`` only shows the names of a lab; what is counted is that of the lab's own programs."""

    def follower(self) -> Follower | None:
        """What knows the Services and their slices (the proxy's: but headless ones); None: nothing is followed yet."""
        followers = self.dns.clusters.followers if self.dns is not None else []
        if followers:
            return followers[0]
        return self.proxy.follower if self.proxy is not None else None

    def view(self, namespace: str, name: str) -> ServiceView | None:
        """One Service with its slices; None if it does not exist. The proxy keeps every endpoint, with its node."""
        key = ObjectKey("Service", namespace, name)
        ours = self.proxy.follower if self.proxy is not None else None
        for follower in filter(None, (ours, self.follower())):
            view = follower.store.view(key)
            if view is not None and view.service is not None:
                return view
        return None

    def answers(self) -> Answers | None:
        """The names of the first cluster; None if there is no server, or it serves no cluster."""
        every = self.dns.clusters.all_answers() if self.dns is not None else []
        return every[0] if every else None

    def synced(self) -> bool:
        """Everything is known, so that what is not there does not exist."""
        dns = self.dns is None or all(follower.synced.is_set() for follower in self.dns.clusters.followers)
        return dns and (self.proxy is None or self.proxy.synced)
