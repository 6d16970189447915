"""``metadata``: what plugins know of a question before it is answered, for formats of log and the like.

A plugin that knows something offers a function under ``metadata/NAME``, which puts it into ``request.metadata``; it is
called only for names in the zones given here. What the names of the cluster say is read here.
"""

from collections.abc import Callable, Sequence
from typing import Final

from msgspec import Struct

from kdns.config.directive import Directive
from kdns.config.reading import no_block, once, zones
from kdns.config.settings import KubernetesOptions
from kdns.dns.api.handler import Handler, Metadata, Request, Response
from kdns.dns.api.plugin import BlockContext, Built, DirectiveContext, sees_nothing
from kdns.dns.api.request_values import client
from kdns.dns.api.zones import Zones
from kdns.records.answers import Answers
from kdns.records.clients import ClientIndex
from kdns.wire.name import leading_labels, name_text

NAME: Final = "metadata"
KINDS: Final = frozenset({b"svc", b"pod"})
KEYS: Final = tuple(
    f"kubernetes/{key}" for key in ("port-name", "protocol", "endpoint", "service", "namespace", "kind")
)
"""What every name of the cluster says, empty where it says nothing."""

_PRINTABLE: Final = bytes(range(0x21, 0x7F))

Provide = Callable[[Request], None]


class Options(Struct, frozen=True):
    """Where it is wanted."""

    zones: tuple[str, ...] = (".",)


def parse(directives: Sequence[Directive], place: DirectiveContext) -> Options:
    """``metadata [ZONE...]``."""
    directive = once(directives)
    no_block(directive)
    return Options(zones(directive.args, place))


def build(options: Options, parts: BlockContext) -> Built:
    """The plugin for one server block.

    The plugins that use metadata see to it that they get them: they make no difference to answers.
    """
    within = Zones(options.zones)
    providers: list[Provide] = []
    complete = False
    if isinstance(answers := parts.sibling("kubernetes"), Answers):
        schema, known = answers.schema, parts.sibling("options/kubernetes")
        providers.append(of_cluster_names(schema.zones, schema.multicluster, zonal=schema.zonal))
        if schema.pods == "verified" or (isinstance(known, KubernetesOptions) and known.clients):
            providers.append(of_clients(answers.zone.cluster.clients))

    def collect(request: Request) -> None:
        nonlocal complete
        if not complete:  # with the first request the block is built, and every plugin has offered what it knows
            providers.extend(provider for provider in parts.offered(f"{NAME}/") if callable(provider))
            complete = True
        if within.of(request.query.name) is not None:
            for provide in providers:
                provide(request)

    def plugin(following: Handler) -> Handler:
        async def handle(request: Request) -> Response:
            collect(request)
            return await following(request)

        return handle

    return Built(plugin=plugin, must_see=sees_nothing, collect=collect)


def of_clients(clients: ClientIndex) -> Provide:
    """Which Pod asks, if that is known; its labels, too."""

    def provide(request: Request) -> None:
        pod = clients.pod(client(request))
        if pod is not None:
            request.metadata["kubernetes/client-namespace"] = pod.key.namespace
            request.metadata["kubernetes/client-pod-name"] = pod.key.name
            for key, value in pod.labels:
                request.metadata[f"kubernetes/client-label/{key}"] = value

    return provide


def of_cluster_names(
    apexes: Sequence[bytes], multicluster: frozenset[bytes] = frozenset(), *, zonal: bool = False
) -> Provide:
    """What a name in these zones says, some of which are of ServiceImports: see `name_parts`."""
    cluster = Zones(map(name_text, apexes))

    def provide(request: Request) -> None:
        name = request.query.name
        apex = cluster.of(name)
        if apex is not None:
            labels = leading_labels(name, len(name) - len(apex))
            request.metadata.update(name_parts(labels, imported=apex in multicluster, zonal=zonal))

    return provide


def name_parts(labels: Sequence[bytes], *, imported: bool = False, zonal: bool = False) -> Metadata:
    """The metadata of a name from its labels, without the zone; all keys, empty where the name says nothing.

    ``imported``: names are of ServiceImports, whose endpoints have a cluster; ``zonal``: there are some of zones.
    """
    parts = dict.fromkeys(KEYS, "")
    if imported:
        parts["kubernetes/cluster"] = ""
    if zonal:
        parts["kubernetes/zone"] = ""
    kept = list(labels)
    if kept and kept[-1] not in KINDS:
        return {"kubernetes/parse-error": "invalid request"}
    for key in ("kubernetes/kind", "kubernetes/namespace", "kubernetes/service"):
        if kept:
            parts[key] = _text(kept.pop())
    match kept:
        case []:
            pass
        case [endpoint]:
            parts["kubernetes/endpoint"] = _text(endpoint)
        case [endpoint, cluster] if imported and not (endpoint.startswith(b"_") or cluster.startswith(b"_")):
            parts["kubernetes/endpoint"], parts["kubernetes/cluster"] = _text(endpoint), _text(cluster)
        case [*zone, (b"pin" | b"prefer"), b"_zone"] if zonal and zone:
            parts["kubernetes/zone"] = ".".join(map(_text, zone))
        case [port, protocol]:
            parts["kubernetes/port-name"] = _text(port).removeprefix("_")
            parts["kubernetes/protocol"] = _text(protocol).removeprefix("_")
        case _:
            return {"kubernetes/parse-error": "invalid request"}
    return parts


def _text(label: bytes) -> str:
    if not label.translate(None, _PRINTABLE):
        return label.decode()
    return "".join(chr(octet) if 0x21 <= octet <= 0x7E else f"\\{octet:03d}" for octet in label)
