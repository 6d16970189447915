"""``kubernetes``: answers for the cluster's own names, and leaves all others to the plugins behind it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import islice
from posixpath import join
from typing import Any, Final

from msgspec.structs import replace

from kdns.base.errors import ConfigError
from kdns.config.arguments import parse_namespace
from kdns.config.directive import Directive, Word
from kdns.config.reading import arguments, choice, duration, integer, no_args, once, properties, value, zones
from kdns.config.settings import ApiOptions, KubernetesOptions
from kdns.dns.api.chase import chased
from kdns.dns.api.compiled import Loaded, from_answer
from kdns.dns.api.extended_error import extended_error
from kdns.dns.api.forward_step import ForwardStep
from kdns.dns.api.handler import Handler, Plugin, Request, Response
from kdns.dns.api.plugin import BlockContext, Built, DirectiveContext, KnownChildren, PrecompiledAnswer, sees_nothing
from kdns.dns.api.request_values import client
from kdns.records.answers import Answer, Answers, to_rrs
from kdns.records.reasons import OUTSIDE, Missing
from kdns.records.rrset import Result
from kdns.records.schema import Schema, build_schema
from kdns.wire.name import ROOT
from kdns.wire.numbers import AA, ANY, AXFR, CNAME, IN, IXFR, NOERROR, REFUSED, SERVFAIL, TC
from kdns.wire.query import Query

NAME = "kubernetes"
MAX_READ: Final = 512
"""Records of a section that are made for a client over UDP: a datagram carries a sixth of them."""
MODES: Final = ("disabled", "insecure", "verified")


@dataclass
class _Reading:
    """The properties read so far; each method reads one."""

    place: DirectiveContext
    values: dict[str, Any] = field(default_factory=dict)
    api: dict[str, Any] = field(default_factory=dict)
    imports: list[tuple[Word, str]] = field(default_factory=list)
    """Zones of ServiceImports, and where they stand."""

    def flag(self, name: str, setting: object) -> Callable[[Directive], None]:
        """A property without arguments."""

        def read(line: Directive) -> None:
            no_args(line)
            self.values[name] = setting

        return read

    def ration(self, name: str) -> Callable[[Directive], None]:
        """A whole number, 0 for no limit."""

        def read(line: Directive) -> None:
            self.api[name] = integer(arguments(line, 1, 1)[0], 0)

        return read

    def text(self, name: str) -> Callable[[Directive], None]:
        """A label selector, which may have spaces in it; the source checks it."""

        def read(line: Directive) -> None:
            self.values[name] = " ".join(word.text for word in arguments(line, 1, None))

        return read

    def qps(self, line: Directive) -> None:
        word = arguments(line, 1, 1)[0]
        try:
            number = float(word.text)
        except ValueError:
            raise word.error(f"{word.text!r} is not a number", "requests a second, 0 for no limit") from None
        if not 0 <= number < 1e9:
            raise word.error(f"{word.text} is out of range", "at least 0")
        self.api["qps"] = number

    def pods(self, line: Directive) -> None:
        self.values["pods"] = choice(arguments(line, 1, 1)[0], MODES)

    def clients(self, line: Directive) -> None:
        self.values["clients"] = arguments(line, 1, 1)[0].text

    def ttl(self, line: Directive) -> None:
        self.values["ttl"] = integer(arguments(line, 1, 1)[0], 0, 3600)

    def startup_timeout(self, line: Directive) -> None:
        self.values["startup_timeout"] = duration(arguments(line, 1, 1)[0])

    def namespaces(self, line: Directive) -> None:
        named = tuple(value(word, parse_namespace) for word in arguments(line, 1, None))
        self.values["namespaces"] = (*self.values.get("namespaces", ()), *named)

    def endpoint(self, line: Directive) -> None:
        words = arguments(line, 1, None)
        if len(words) > 1:
            raise words[1].error("only one endpoint is supported", "CoreDNS uses the first one only; remove the rest")
        if not words[0].text.startswith(("http://", "https://")):
            raise words[0].error(f"invalid URL {words[0].text!r}", "such as https://10.96.0.1:443")
        self.api["endpoint"] = words[0].text

    def tls(self, line: Directive) -> None:
        files = (join(self.place.folder, word.text) for word in arguments(line, 3, 3))
        self.api |= dict(zip(("certificate", "key", "ca"), files, strict=True))

    def kubeconfig(self, line: Directive) -> None:
        file, *context = arguments(line, 1, 2)
        self.api["kubeconfig"] = join(self.place.folder, file.text)
        self.api["context"] = context[0].text if context else ""

    def ignore(self, line: Directive) -> None:
        choice(arguments(line, 1, 1)[0], ("empty_service",))
        self.values["ignore_empty_service"] = True

    def multicluster(self, line: Directive) -> None:
        for word in arguments(line, 1, None):
            self.imports += ((word, zone) for zone in zones((word,), DirectiveContext((), 0, "")))

    def fallthrough(self, line: Directive) -> None:
        self.values["fallthrough"] = zones(line.args, DirectiveContext((".",), 0, ""))


def parse(directives: Sequence[Directive], place: DirectiveContext) -> KubernetesOptions:
    """The options of the one ``kubernetes`` of a block. Raises ConfigError, several together."""
    directive = once(directives)
    reading = _Reading(place)
    properties(
        directive,
        {
            "endpoint": reading.endpoint,
            "tls": reading.tls,
            "kubeconfig": reading.kubeconfig,
            "apiserver_qps": reading.qps,
            "apiserver_burst": reading.ration("burst"),
            "apiserver_max_inflight": reading.ration("inflight"),
            "namespaces": reading.namespaces,
            "namespace_labels": reading.text("namespace_labels"),
            "labels": reading.text("labels"),
            "pods": reading.pods,
            "clients": reading.clients,
            "endpoint_pod_names": reading.flag("endpoint_pod_names", True),
            "ttl": reading.ttl,
            "noendpoints": reading.flag("endpoints", False),
            "fallthrough": reading.fallthrough,
            "ignore": reading.ignore,
            "multicluster": reading.multicluster,
            "zonal": reading.flag("zonal", True),
            "explain": reading.flag("explain", True),
            "startup_timeout": reading.startup_timeout,
        },
    )
    values, api = reading.values, ApiOptions(**reading.api)
    if values.get("namespaces") and values.get("namespace_labels"):
        raise directive.name.error("namespaces and namespace_labels exclude each other", "keep one of them")
    if values.get("clients") and values.get("pods") == "verified":
        raise directive.name.error("clients and pods verified exclude each other", "pods verified knows every client")
    if values.get("zonal") and not values.get("endpoints", True):
        raise directive.name.error("zonal has no endpoints to choose from", "remove noendpoints")
    if values.get("explain") and values.get("pods") != "verified" and not values.get("clients"):
        raise directive.name.error("explain cannot know which Pod asks", "add `pods verified` or `clients NODE`")
    if api.certificate and not api.endpoint:
        raise directive.name.error("tls without endpoint", "say which API server the certificate is for")
    own = zones(directive.args, place)
    for word, zone in reading.imports:
        if zone not in own:
            raise word.error(f"multicluster {zone} is not one of the zones", f"there are {', '.join(own)}")
    values["multicluster"] = tuple(dict.fromkeys(zone for _, zone in reading.imports))
    options = KubernetesOptions(zones=own, api=api, **values)
    try:
        schema_of(options)
    except ConfigError as error:
        raise directive.name.error(error.problem, error.hint) from error
    return options


def build(options: KubernetesOptions, parts: BlockContext) -> Built:
    """The plugin for one server block; CNAME targets elsewhere are looked up through the whole server."""
    if parts.sibling("options/k8s_external") is not None:
        options = replace(options, external=True)
    if parts.sibling("options/status") is not None:
        options = replace(options, routed=True)
    labelled = parts.sibling("options/metadata") is not None
    beside = any(parts.sibling(f"options/{name}") is not None for name in ("autopath", "top"))
    if labelled or beside or options.clients or options.explain:
        options = replace(options, by_client=True, labelled=labelled)
    answers = parts.cluster(options)
    parts.offer(NAME, answers)
    return built(answers, parts.lookup, lambda: parts.restricted(ROOT, True), explain=options.explain)


def schema_of(options: KubernetesOptions) -> Schema:
    """The schema that the options ask for. Raises ConfigError for a bad zone or ttl."""
    try:
        return build_schema(
            options.zones,
            ttl=options.ttl,
            pods=options.pods,
            endpoint_pod_names=options.endpoint_pod_names,
            namespaces=options.namespaces,
            namespaces_selected=bool(options.namespace_labels),
            ignore_empty_service=options.ignore_empty_service,
            multicluster=options.multicluster,
            zonal=options.zonal,
            by_client=options.by_client,
            fallthrough=options.fallthrough,
        )
    except ValueError as error:
        raise ConfigError(str(error)) from error


def built(
    answers: Answers,
    chase: Handler | None = None,
    restricted: Callable[[], bool] = lambda: False,
    *,
    explain: bool = False,
) -> Built:
    """The plugin for one cluster, as a part of a server block; see `kubernetes` for ``chase`` and ``restricted``.

    With ``explain`` errors pass through the chain, since what they say depends on the client.
    """
    answers.chased_elsewhere = chase is not None

    def find(query: Query) -> PrecompiledAnswer | None:
        answer = _whole(answers, query, chase is not None and restricted())
        if answer is None or (explain and answer.rcode):
            return None
        return PrecompiledAnswer(answer, NAME, find, known_children if answer.shared and answer.rcode else None)

    def known_children(parent: bytes) -> KnownChildren | None:
        after = answers.zone.services_under(parent)
        return None if after is None else KnownChildren(answers.zone.cluster.services, after)

    plugin = kubernetes(answers, chase, restricted)
    if explain:
        plugin = explaining(answers, plugin)

    def passes(query: Query) -> bool:
        if query.rclass != IN or answers.zone.outside(query.name):
            return True
        if answers.find(query.name, query.rtype) is not None:
            return False
        result = answers.lookup(query.name, query.rtype)
        return isinstance(result, Missing) or result.fallthrough

    step = None if explain else ForwardStep(passes=passes)
    return Built(plugin=plugin, precompiled=find, must_see=sees_nothing, forward_step=step)


def kubernetes(
    answers: Answers, chase: Handler | None = None, restricted: Callable[[], bool] = lambda: False
) -> Plugin:
    """The plugin for one cluster; ``chase`` looks up CNAME targets outside our zones, None leaves it to clients.

    ``restricted``: an acl denies some names to some clients; then targets in our zones are looked up through it, too.
    """

    def plugin(following: Handler) -> Handler:
        async def handle(request: Request) -> Response:
            query = request.query
            ordinary = query.rclass == IN and query.rtype not in {AXFR, IXFR}
            whole = _whole(answers, query, chase is not None and restricted()) if ordinary else None
            if whole is not None:
                return _compiled(answers, request, whole)
            result = answers.lookup(query.name, query.rtype) if query.rclass == IN else OUTSIDE
            if isinstance(result, Missing) or result.fallthrough:
                return await following(request)
            if query.rtype in {AXFR, IXFR}:
                return Response(REFUSED, plugin=NAME)
            target = _alias(result, query.rtype)
            if target and chase is not None and restricted():
                response = Response(NOERROR, AA, tuple(to_rrs(result.answer[:1])), plugin=NAME)
                return await chased(request, response, target, chase)
            response = Response(result.rcode, AA, *_records(result), NAME)
            if result.chase is not None and chase is not None:
                return await chased(request, response, result.chase, chase)
            return response

        return handle

    return plugin


def explaining(answers: Answers, inner: Plugin) -> Plugin:
    """The plugin, its errors with the reason in an extended error for clients that may know it."""

    def plugin(following: Handler) -> Handler:
        handler = inner(following)

        async def handle(request: Request) -> Response:
            response = await handler(request)
            query = request.query
            if response.plugin != NAME or not response.rcode or response.options or query.edns is None:
                return response
            result = answers.lookup(query.name, query.rtype)
            missing = result if isinstance(result, Missing) else result.missing
            namespace = answers.zone.cluster.clients.namespace(client(request))
            option = extended_error(missing, response.rcode, namespace, synced=answers.synced)
            return replace(response, options=option) if option else response

        return handle

    return plugin


def _alias(result: Result | Missing, rtype: int) -> bytes:
    """What the CNAME that an answer begins with leads to; empty if there is none, or it leads to no end."""
    if isinstance(result, Missing) or not result.answer or result.answer[0].rtype != CNAME or rtype in {CNAME, ANY}:
        return b""
    return b"" if result.rcode == SERVFAIL else result.answer[0].rdatas[0].lower()


def _whole(answers: Answers, query: Query, restricted: bool) -> Answer | None:
    """The answer that is ready to send; None if the rest of it is to be looked up elsewhere, or none of it is ours."""
    if restricted and _alias(answers.lookup(query.name, query.rtype), query.rtype):
        return None
    return answers.find(query.name, query.rtype)


def _compiled(answers: Answers, request: Request, answer: Answer) -> Response:
    """A response with the octets of an answer; its records are looked up only if a plugin reads them.

    For a client over UDP, no more of them are made than several datagrams could carry; the answer is truncated then.
    """
    query = request.query
    large = request.client.proto == "udp" and max(answer.sections.counts) > MAX_READ
    most = MAX_READ if large else None

    def load(rotation: int) -> Loaded:
        result = answers.lookup(query.name, query.rtype)
        return ((), (), ()) if isinstance(result, Missing) else _records(result, rotation, most)

    compiled = from_answer(query.name, answer, load, most)
    sections = (compiled.answer, compiled.authority, compiled.additional)
    return Response(answer.rcode, AA | TC if large else AA, *sections, NAME, compiled=compiled)


def _records(result: Result, rotation: int = 0, most: int | None = None) -> Loaded:
    """The records of a result, its addresses rotated by so many; of each section the first ones, if there are more."""
    rrsets = result.answer
    if rotation:  # the addresses that take turns are the last RRset of the answer
        last = rrsets[-1]
        rrsets = (*rrsets[:-1], last._replace(rdatas=last.rdatas[rotation:] + last.rdatas[:rotation]))
    answer, authority, additional = (
        tuple(islice(to_rrs(section), most)) for section in (rrsets, result.authority, result.additional)
    )
    return answer, authority, additional
