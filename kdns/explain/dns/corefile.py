"""A Corefile as plans of server blocks. What kdns cannot read is left out, and named. Pure but for imported plugins.

A server refuses a Corefile with a mistake; for an explanation the rest of it goes on, since the server that runs may
be CoreDNS with plugins that kdns does not have.
"""

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from kdns.base.errors import ConfigError, ConfigErrors, Span
from kdns.config.corefile import Text, parse_corefile
from kdns.config.directive import Corefile, Directive, ServerBlock
from kdns.dns.server.plan import ServerBlockPlan, plan_corefile
from kdns.dns.server.registry import Registry
from kdns.explain.dns.config import CorefileSource

SILENT: Final = frozenset({
    "bind", "cancel", "debug", "errors", "health", "log", "loop", "prometheus", "ready", "reload", "timeouts", "tls",
    "trace", "pprof", "root", "on", "dnstap",
})  # fmt: skip
"""Plugins on which no answer to an ordinary question depends."""


HARMLESS: Final = SILENT | {"dnssec", "geoip", "multisocket", "quic", "tsig"}
"""Those, and plugins of CoreDNS that change how an answer is sent and not whether there is one."""
BEHIND: Final = frozenset({"auto", "secondary", "etcd", "grpc", "erratic", "sign", "nomad"})
"""Plugins of CoreDNS behind ``kubernetes`` (plugin.cfg): they are not asked for what that answers."""


class LeftOut(NamedTuple):
    """A directive that kdns cannot read."""

    block: int
    """Number of its server block."""
    name: str
    at: Span
    problem: str


class PlannedBlock(NamedTuple):
    """A server block with its plan; ``source`` is the block as it was written."""

    number: int
    """Of all server blocks of the file, from 0; see `LeftOut.block`."""
    source: ServerBlock
    plan: ServerBlockPlan

    @property
    def title(self) -> str:
        """``.:53``, as people wrote it."""
        return " ".join(f"{key.zone}:{key.port}" for key in self.source.keys)

    def line(self, plugin: str) -> int:
        """Where the first directive of a plugin is; the block's own line if it has none."""
        for directive in self.source.directives:
            if directive.name.text == plugin:
                return directive.name.at.line
        return self.source.keys[0].at.line


class ReadCorefile(NamedTuple):
    """What could be read of a Corefile."""

    blocks: tuple[PlannedBlock, ...] = ()
    left_out: tuple[LeftOut, ...] = ()
    problem: ConfigError | None = None
    """It could not be read at all."""
    missing: tuple[str, ...] = ()
    """Files that it imports, and that the evidence does not have."""


def read_corefile(source: CorefileSource) -> ReadCorefile:
    """Every server block for plain DNS that can be planned."""
    registry = Registry("")
    missing: list[str] = []

    def read(pattern: str) -> Sequence[Text]:
        texts = source.read(pattern)
        if not texts:
            missing.append(pattern)
        return texts

    try:
        corefile = parse_corefile(source.text, read=read, environ=source.environ)
    except ConfigError as error:
        return ReadCorefile(problem=error, missing=tuple(missing))
    left_out: list[LeftOut] = []
    blocks: list[PlannedBlock] = []
    for number, block in enumerate(corefile.blocks):
        keys = tuple(key for key in block.keys if key.scheme == "dns")
        if not keys:
            continue
        directives = [each for each in block.directives if each.name.text not in SILENT]
        kept = list(_readable(number, block._replace(keys=keys), directives, registry, left_out))
        planned = _planned(number, ServerBlock(keys, tuple(kept)), registry, left_out)
        if planned is not None:
            blocks.append(PlannedBlock(number, block, planned))
    return ReadCorefile(tuple(blocks), tuple(left_out), missing=tuple(missing))


def _readable(
    number: int, block: ServerBlock, directives: Sequence[Directive], registry: Registry, left_out: list[LeftOut]
) -> Iterator[Directive]:
    """The directives that can be read, each alone."""
    for directive in directives:
        try:
            plan_corefile(_alone(ServerBlock(block.keys[:1], (directive,))), registry, _FOLDER)
        except ConfigError as error:
            problem = error.errors[0].problem if isinstance(error, ConfigErrors) else error.problem
            left_out.append(LeftOut(number, directive.name.text, directive.name.at, problem))
        else:
            yield directive


def _planned(number: int, block: ServerBlock, registry: Registry, left_out: list[LeftOut]) -> ServerBlockPlan | None:
    """The plan of the block; without the directives that exclude each other."""
    try:
        return plan_corefile(_alone(block), registry, _FOLDER)[0]
    except ConfigError as error:
        at = error.at if isinstance(error.at, Span) else block.keys[0].at
        name = next((one.name.text for one in block.directives if one.name.at.line == at.line), "")
        left_out.append(LeftOut(number, name, at, error.problem))
    rest = tuple(directive for directive in block.directives if directive.name.text != name)
    return _planned(number, block._replace(directives=rest), registry, left_out) if name else None


_FOLDER: Final = "/"


def _alone(block: ServerBlock) -> Corefile:
    return Corefile((block,), (), "")
