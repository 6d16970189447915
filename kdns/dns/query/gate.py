"""Applies the ``acl`` of whichever server block a rewritten name, or the target of an alias, belongs to.

::

    rewrite, autopath ──> gate ──> acl, cache, and all that answers
                           │  the name as it is now: its own block has an acl? it is asked, too
                           └─ the response: what belongs to names that the client may not ask is left out

Each block has a gate, where its acl stands or would stand. It does nothing on a server without any acl. A question
that no plugin has changed belongs to the block that it is in, whose own acl decides, so the fast path needs no gate:
plugins with precompiled answers keep back those that lead elsewhere (`kdns.dns.api.plugin.BlockContext.restricted`).
"""

from collections.abc import Callable, Mapping

from msgspec.structs import replace

from kdns.dns.api.forward_step import ForwardStep
from kdns.dns.api.handler import Handler, Plugin, Request, Response
from kdns.dns.api.plugin import AccessPolicy
from kdns.dns.query.router import Router
from kdns.wire.numbers import AD, ANY, AXFR, CNAME, IXFR, NOERROR
from kdns.wire.query import Query
from kdns.wire.rr import RR


def gate(site_of: Callable[[str], Router | None], own: AccessPolicy | None) -> Plugin:
    """The plugin for one block; ``own`` is its acl. ``site_of`` gives what is served behind a socket's label now."""

    def plugin(following: Handler) -> Handler:
        async def handle(request: Request) -> Response:
            site = site_of(request.server)
            if site is None or not site.has_policies:
                return await following(request)
            policy = site.policy_for(request)
            if policy is not None and policy is not own:
                denied = policy.denial(request)
                if denied is not None:
                    return denied
            return permitted(request, await following(request), site, own)

        return handle

    return plugin


def gate_step(routers: Mapping[str, Router]) -> ForwardStep:
    """The same for the forward path, which no query takes where some block of the server has an acl."""

    def passes(_query: Query) -> bool:
        for router in routers.values():  # noqa: SIM110 - a generator costs three times as much
            if router.has_policies:
                return False
        return True

    return ForwardStep(passes=passes)


def permitted(request: Request, response: Response, site: Router, own: AccessPolicy | None) -> Response:
    """The response without the records of names that the client may not ask for.

    Where an alias leads to one, the answer has the records of the asked name alone, and does not say whether the
    other exists.
    For a transfer only the name of its zone counts.
    """
    query = request.query
    if query.rtype in {AXFR, IXFR} or response.dropped:
        return response
    known: dict[tuple[bytes, int], bool] = {}

    def denied(name: bytes, rtype: int) -> bool:
        found = known.get((name, rtype))
        if found is None:
            asked = request._replace(query=_about(query, name, rtype))
            policies = {id(policy): policy for policy in (own, site.policy_for(asked)) if policy is not None}
            found = known[name, rtype] = any(policy.denies(asked) for policy in policies.values())
        return found

    def hidden(rr: RR) -> bool:
        owner = rr.owner.lower()
        return owner != query.name and denied(owner, rr.rtype)

    def leads_astray(rr: RR) -> bool:
        return rr.rtype == CNAME and query.rtype not in {CNAME, ANY} and denied(rr.rdata.lower(), query.rtype)

    if any(hidden(rr) or leads_astray(rr) for rr in response.answer):
        own_records = tuple(rr for rr in response.answer if rr.owner.lower() == query.name)
        response = replace(response, rcode=NOERROR, answer=own_records, authority=(), flags=response.flags & ~AD)
    if any(map(hidden, response.additional)):
        response = replace(response, additional=tuple(rr for rr in response.additional if not hidden(rr)))
    return response


def _about(query: Query, name: bytes, rtype: int) -> Query:
    question = name + rtype.to_bytes(2, "big") + query.rclass.to_bytes(2, "big")
    return query._replace(name=name, rtype=rtype, question=question)
