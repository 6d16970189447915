"""One line of ``rewrite``: what it asks of a request, and what it makes of that. Pure."""

from typing import NamedTuple, TypeAlias

from kdns.base.errors import UpstreamError
from kdns.dns.api.handler import Request
from kdns.dns.rewriting.edns import Edit, Variable
from kdns.dns.rewriting.names import Matcher
from kdns.dns.rewriting.replies import Back, BackSuffix, Owners, Reply, Values
from kdns.wire.name import name_text, parse_name
from kdns.wire.query import Query


class Done(NamedTuple):
    """What a rule made of a request."""

    request: Request
    replies: tuple[Reply, ...] = ()
    """What is to be done to the reply, the last of them first, and after those of later rules."""


class NameRule(NamedTuple):
    """``name``: another name is asked for."""

    matcher: Matcher
    to: str
    auto: bool
    """The answer shows the name that was asked for."""
    answers: tuple[Reply, ...] = ()
    stop: bool = True

    def apply(self, request: Request) -> Done | None:
        """Raises UpstreamError if what comes out is not a name."""
        old = name_text(request.query.name)
        new = self.matcher.replaced(old, self.to)
        if new is None:
            return None
        replies = self.answers
        if self.auto and self.matcher.kind == "suffix":
            spelling: Back | BackSuffix = BackSuffix(self.to, self.matcher.text)
            replies = (Owners(spelling), Values(spelling), *replies)
        elif self.auto:
            spelling = Back(new if new.endswith(".") else f"{new}.", old)
            replies = (Owners(spelling), Values(spelling), *replies)
        return Done(request._replace(query=named(request.query, new)), replies)

    def touches(self, name: str, below: bool) -> bool:
        """True if it could do something to a question for a name, or, below, one under it."""
        return self.matcher.touches(name, below)


class ReplyRule(NamedTuple):
    """``ttl`` and ``rcode``: only the reply is another one."""

    matcher: Matcher
    reply: Reply
    stop: bool = True

    def apply(self, request: Request) -> Done | None:
        """Notes what is to be done later."""
        return Done(request, (self.reply,)) if self.matcher.matches(name_text(request.query.name)) else None

    def touches(self, name: str, below: bool) -> bool:
        """True if it could do something to a question for a name, or, below, one under it."""
        return self.matcher.touches(name, below)


class AliasRule(NamedTuple):
    """``cname``: whatever is asked for, certain aliases lead elsewhere."""

    reply: Reply
    stop: bool = True

    def apply(self, request: Request) -> Done | None:
        """Notes what is to be done later."""
        return Done(request, (self.reply,))

    def touches(self, _name: str, _below: bool) -> bool:
        """Always: the question does not say whether there is an alias."""
        return True


class NumberRule(NamedTuple):
    """``type`` and ``class``: another type or class is asked for."""

    what: str
    old: int
    new: int
    stop: bool = True

    def apply(self, request: Request) -> Done | None:
        """The request with another number."""
        query = request.query
        if (query.rtype if self.what == "type" else query.rclass) != self.old:
            return None
        rtype, rclass = (self.new, query.rclass) if self.what == "type" else (query.rtype, self.new)
        question = query.question[:-4] + rtype.to_bytes(2, "big") + rclass.to_bytes(2, "big")
        return Done(request._replace(query=query._replace(question=question, rtype=rtype, rclass=rclass)))

    def touches(self, _name: str, _below: bool) -> bool:
        """Whatever the name is."""
        return True


def stops_everything(rule: "Rule") -> bool:
    """True if no question gets past the rule, so that those behind it are never tried."""
    match rule:
        case AliasRule(_, stop):
            return stop
        case EdnsRule(edit, stop):
            sure = edit.action == "unset" or (edit.action == "set" and not isinstance(edit.data, Variable))
            return stop and sure
    return False


class EdnsRule(NamedTuple):
    """``edns0``: other options go on to the plugins behind."""

    edit: Edit
    stop: bool = True

    def apply(self, request: Request) -> Done | None:
        """The request with other options."""
        changed = self.edit.apply(request)
        return None if changed is None else Done(changed)

    def touches(self, _name: str, _below: bool) -> bool:
        """Whatever the name is."""
        return True


Rule: TypeAlias = NameRule | ReplyRule | AliasRule | NumberRule | EdnsRule


def named(query: Query, text: str) -> Query:
    """A query for another name. Raises UpstreamError if the text is none."""
    try:
        name = parse_name(text)
    except ValueError:
        raise UpstreamError(f"invalid name after rewrite: {text}") from None
    return query._replace(name=name, question=name + query.question[-4:])
