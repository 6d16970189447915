"""What a plugin is: a module with four names.

::

    NAME                                   the directive, such as "cache"
    class Options(Struct, frozen=True)     what a Corefile can say, typed, with CoreDNS's defaults
    def parse(directives, place) -> Options            every occurrence of the directive in one server block
    def build(options, parts) -> Built                 the plugin itself, for that block

``parse`` is pure and reports every mistake with its place (`ConfigError`, several as `ConfigErrors`). ``build`` may
open nothing yet: what waits or opens begins in `Built.start`.

The precompiled answers of a block are sent without its chain only where no plugin in the chain would notice: each
plugin says with `Built.must_see` which names it must see, with `Built.ignores` which of those queries it would let
through unchanged, with `Built.watch` of which it must see some only, and with `Built.precompiled` what it has ready.
"""

import random
from collections.abc import Awaitable, Callable, Container, Coroutine, Sequence
from typing import Any, Literal, NamedTuple, Protocol, TypeVar

from msgspec import Struct
from prometheus_client import Counter, Gauge, Histogram

from kdns.base.clock import Clock
from kdns.base.errors import ConfigError
from kdns.config.directive import Directive
from kdns.config.settings import KubernetesOptions
from kdns.dns.api.forward_step import ForwardStep
from kdns.dns.api.handler import Handler, Plugin, Request, Response
from kdns.metrics.cells import Cells, DurationCells
from kdns.metrics.dns import Hit
from kdns.records.answers import Answer, Answers
from kdns.wire.query import Query

T = TypeVar("T")


class DirectiveContext(NamedTuple):
    """Where a directive stands."""

    zones: tuple[str, ...]
    """The zones of its server block, in text: lower case, with the final dot."""
    port: int
    folder: str
    """What relative paths in the Corefile are relative to."""


class KnownChildren(NamedTuple):
    """What is known of the children of a name: only those in ``names`` can exist."""

    names: Container[bytes]
    """By label with length octet, followed by `after`."""
    after: bytes
    """Empty: no child exists at all."""


class Watch(Protocol):
    """Counts the uses of precompiled answers, of which some go through the chain."""

    left: int
    """Uses that may still pass the chain by, each counted off here. At 0 the next one goes through it, where the
    plugin sees the query, and sets this again."""

    @property
    def of(self) -> Callable[[bytes], bool] | None:
        """Whose uses it counts, by their packed address; those of others pass the chain by. None: of all clients."""

    def covers(self, parent: bytes) -> bool:
        """It is for every name directly under a folded name, and it alone."""


class PrecompiledAnswer(NamedTuple):
    """An answer that is ready, and what it is counted under."""

    answer: Answer
    plugin: str
    source: object
    """The `Built.precompiled` that found it."""
    known_children: Callable[[bytes], KnownChildren | None] | None = None
    """For a "no": what is known of the neighbours under a folded parent name; None: nothing."""
    hit: Hit | None = None
    """Counts its uses, too."""
    watch: Watch | None = None
    """Of a plugin before it that wants to see some of its uses."""


FindPrecompiled = Callable[[Query], PrecompiledAnswer | None]
MustSee = Callable[[bytes, bool], bool]
"""Folded name, below -> True if the plugin must see each query for the name, or, below, for any name under it."""
Ignores = Callable[[Query, PrecompiledAnswer], bool]
"""A query for a name that the plugin must see, and the precompiled answer of a plugin behind it -> True if the plugin
would neither change nor record that. Must not depend on the first label except for its length: the result for a
missing name is used for its neighbours. EDNS options and header flags are those of the query as it came.
"""


def sees_nothing(_name: bytes, _below: bool) -> bool:
    """The plugin makes no difference to the precompiled answers of a plugin behind it."""
    return False


def sees_all(_name: bytes, _below: bool) -> bool:
    """The plugin must see each query."""
    return True


class Built(Struct, frozen=True, kw_only=True):
    """What a plugin brings to its server block."""

    plugin: Plugin | None = None
    """Its place in the chain; None for one that only configures."""
    must_see: MustSee = sees_all
    ignores: Ignores | None = None
    """Which queries for the names that it must see it would let through unchanged; None: none of them."""
    watch: Callable[[Query, PrecompiledAnswer], Watch | None] | None = None
    """For those that it does not ignore: it must see some of them only. None, or a result of None: each one."""
    precompiled: FindPrecompiled | None = None
    """What it has ready to send, asked in chain order."""
    annotate: Callable[[Query, PrecompiledAnswer], PrecompiledAnswer] | None = None
    """Adds to how the precompiled answer of a plugin behind it is counted; the answer stays the same."""
    accepts: Callable[[Request], bool] | None = None
    """A filter for the whole block (``view``): requests for which it is False are for other blocks.

    Raises UpstreamError where that is not known yet.
    """
    collect: Callable[[Request], None] | None = None
    """Fills ``request.metadata`` with what is known before the chain, for the `accepts` of its block."""
    forward_step: ForwardStep | None = None
    """Its part in the forward path of queries that upstreams answer; None: its block has no such path."""
    needs_task: bool = False
    """It reads the current task, as `asyncio.timeout` does: its chain runs in tasks. True for third-party plugins."""
    classes: bool = False
    """It answers questions of other classes than IN, too."""
    start: Callable[[], Awaitable[None]] | None = None
    """Called when the block is about to be served; raises ConfigError for what the operator must fix."""
    close: Callable[[], Awaitable[None]] | None = None
    """Called when the block is no longer served and its queries are answered."""
    ready: Callable[[], Sequence[str]] | None = None
    """Reasons why clients should not be sent here yet; empty when there are none."""


class AccessPolicy(Protocol):
    """Who may ask what: the ``acl`` of a server block."""

    def denial(self, request: Request) -> Response | None:
        """The response to a denied request, counted; None for one that is allowed."""

    def denies(self, request: Request) -> bool:
        """The same, not counted: for names that were not asked, but come with an answer."""

    def must_see(self, name: bytes, below: bool) -> bool:
        """It has something to say about a folded name, or, ``below``, about any name under it."""


class BlockContext(Protocol):
    """What a server block's plugins get from the server. One for each block and each load of the Corefile."""

    @property
    def place(self) -> DirectiveContext:
        """Where the block stands."""

    @property
    def clock(self) -> Clock:
        """Monotonic seconds."""

    @property
    def random(self) -> random.Random:
        """Seeded by the operating system; tests hand in another."""

    @property
    def servers(self) -> Sequence[str]:
        """Labels of the sockets the block is served on, such as ``dns://:53``."""

    @property
    def lookup(self) -> Handler:
        """A fresh query through the whole server, as if the client had sent it."""

    def spawn(self, work: Coroutine[Any, Any, None], name: str) -> None:
        """Run something beside the queries until the block is closed; what it raises is logged and counted."""

    def forget(self) -> None:
        """Drop the remembered messages of the server: `Built.must_see` or `Built.precompiled` have changed."""

    def fatal(self, message: str) -> None:
        """End the process, for what no server may go on with; only `loop` has such a thing."""

    def cluster(self, options: KubernetesOptions) -> Answers:
        """The answers of the cluster that these options name; one store for all blocks with the same API server."""

    def sibling(self, name: str) -> object | None:
        """What another plugin of this block offers under a name (see `offer`); None if it is not there.

        Plugins are built from the last to the first; the options of all are there before, as ``options/NAME``,
        and their names, as ``plugins``.
        """

    def offered(self, prefix: str) -> Sequence[object]:
        """All that plugins of this block offer under names with a prefix; complete once the block is built."""

    def offer(self, name: str, what: object) -> None:
        """Let other plugins of this block find something, for example the Pods of `kubernetes` for `autopath`."""

    def restricted(self, name: bytes, below: bool = False) -> bool:
        """The acl of some block of this server has something to say about a folded name, or about any name under it.

        What leads there must not be ready for everybody, nor kept for others: `lookup` asks the acl.
        """

    def warn(self, warning: ConfigError) -> None:
        """Something in the Corefile that is allowed, and probably not meant: logged, and printed by ``kdns check``."""

    def lasting(self, key: str, make: Callable[[], T]) -> T:
        """What outlives reloads: made once for the process and key. A key belongs to one plugin and one type."""

    def counter(self, name: str, text: str, labels: Sequence[str] = ()) -> Counter:
        """The counter of that name, made once for the process; without ``_total``."""

    def gauge(self, name: str, text: str, labels: Sequence[str] = ()) -> Gauge:
        """The gauge of that name, made once for the process."""

    def histogram(self, name: str, text: str, labels: Sequence[str], buckets: Sequence[float]) -> Histogram:
        """The histogram of that name, made once for the process."""

    def cells(self, kind: Literal["counter", "gauge"], name: str, text: str, labels: Sequence[str] = ()) -> Cells:
        """A counter or gauge for hot paths, see `kdns.metrics.cells`; made once for the process."""

    def durations(self, name: str, text: str, labels: Sequence[str], buckets: Sequence[float]) -> DurationCells:
        """A histogram of seconds for hot paths, made once for the process."""


class PluginModule(Protocol):
    """The module of one plugin."""

    NAME: str

    def parse(self, directives: Sequence[Directive], place: DirectiveContext) -> Any:
        """Its options, from every occurrence of its directive in one server block."""

    def build(self, options: Any, parts: BlockContext) -> Built:
        """The plugin for one server block."""
