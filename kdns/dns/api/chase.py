"""What a CNAME leads to, looked up through the whole server."""

from kdns.base.errors import KdnsError
from kdns.dns.api.handler import Handler, Request, Response
from kdns.wire.numbers import AA, REFUSED, SERVFAIL, TC
from kdns.wire.query import Query


async def chased(request: Request, response: Response, target: bytes, lookup: Handler) -> Response:
    """The response with what its CNAME leads to, and the rcode of the end of the chain (RFC 6604 section 2.1)."""
    query = request.query
    question = target + query.question[-4:]
    onward = Query(query.id, query.flags, question, target, query.rtype, query.rclass, query.edns)
    try:
        onward_response = await lookup(request._replace(query=onward))
    except KdnsError:
        return Response(SERVFAIL, AA, response.answer, plugin=response.plugin)
    if onward_response.unclaimed or onward_response.rcode == REFUSED:
        return response  # no plugin here answers for the target: another server may
    answer = (*response.answer, *onward_response.answer)
    flags = AA | onward_response.flags & TC  # an answer that is cut must not be kept as a whole one
    return Response(
        onward_response.rcode, flags, answer, onward_response.authority, onward_response.additional, response.plugin
    )
