"""``kubernetes``: answers for the cluster's own names, and leaves all others to the plugins behind it."""

from kdns.config.settings import KubernetesOptions
from kdns.dns.handler import Handler, Plugin, Request, Response
from kdns.dns.plugin import Beneath, Built, Found, sees_nothing
from kdns.errors import ConfigError, KdnsError
from kdns.records.answers import Answer, Answers, rotated_run, to_rrs
from kdns.records.rrset import Result
from kdns.records.schema import Schema, build_schema
from kdns.wire.numbers import AA, AXFR, IN, IXFR, REFUSED, SERVFAIL
from kdns.wire.query import Query
from kdns.wire.rr import RR

NAME = "kubernetes"


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
            fallthrough=options.fallthrough,
        )
    except ValueError as error:
        raise ConfigError(str(error)) from error


def built(answers: Answers, chase: Handler | None = None) -> Built:
    """The plugin for one cluster, as a part of a server block; see `kubernetes` for ``chase``."""
    answers.chased_elsewhere = chase is not None

    def find(query: Query) -> Found | None:
        answer = answers.find(query.name, query.rtype)
        if answer is None:
            return None
        return Found(answer, NAME, find, beneath if answer.shared and answer.rcode else None)

    def beneath(parent: bytes) -> Beneath | None:
        after = answers.zone.services_under(parent)
        return None if after is None else Beneath(answers.zone.cluster.services, after)

    return Built(plugin=kubernetes(answers, chase), find=find, sees=sees_nothing)


def kubernetes(answers: Answers, chase: Handler | None = None) -> Plugin:
    """The plugin for one cluster; ``chase`` looks up CNAME targets outside our zones, None leaves it to clients."""

    def plugin(following: Handler) -> Handler:
        async def handle(request: Request) -> Response:
            query = request.query
            result = answers.lookup(query.name, query.rtype) if query.rclass == IN else None
            if result is None or result.fallthrough:
                return await following(request)
            if query.rtype in {AXFR, IXFR}:
                return Response(REFUSED, plugin=NAME)
            answer = _in_turn(result, answers.find(query.name, query.rtype))
            response = Response(
                result.rcode,
                AA,
                answer,
                tuple(to_rrs(result.authority)),
                tuple(to_rrs(result.additional)),
                NAME,
            )
            if result.chase is not None and chase is not None:
                return await _chased(request, response, result, chase)
            return response

        return handle

    return plugin


def _in_turn(result: Result, compiled: Answer | None) -> tuple[RR, ...]:
    """The answer section with its addresses in the rotation that the compiled answer is at."""
    answer = tuple(to_rrs(result.answer))
    first, last = rotated_run(result.answer)
    if compiled is None or first == last:
        return answer
    turn = compiled.next_turn() // compiled.unit
    run = answer[first:last]
    return (*answer[:first], *run[turn:], *run[:turn])


async def _chased(request: Request, response: Response, result: Result, chase: Handler) -> Response:
    """The response with what its CNAME leads to, and the rcode of the end of the chain (RFC 6604 section 2.1)."""
    target = result.chase or b""
    query = request.query
    question = target + query.question[-4:]
    onward = Query(query.id, query.flags, question, target, query.rtype, query.rclass, query.edns)
    try:
        found = await chase(request._replace(query=onward))
    except KdnsError:
        return Response(SERVFAIL, AA, response.answer, plugin=NAME)
    return Response(found.rcode, AA, (*response.answer, *found.answer), found.authority, found.additional, NAME)
