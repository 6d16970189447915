"""``cache [TTL] [ZONES...] {...}``: answers of the plugins behind it are kept for as long as they are good."""

from collections.abc import Sequence
from typing import Any, Final, Literal

from kdns.config.arguments import near
from kdns.config.directive import Directive, Word
from kdns.config.reading import Mistakes, arguments, choice, duration, integer, no_args, once, properties, zones
from kdns.dns.api.plugin import BlockContext, Built, DirectiveContext, PrecompiledAnswer, sees_nothing
from kdns.dns.cache.cache import EXACT, Cache
from kdns.dns.cache.counts import CacheCounts
from kdns.dns.cache.kinds import Bounds
from kdns.dns.cache.options import CacheOptions as Options
from kdns.dns.cache.options import Prefetch, Stale
from kdns.dns.cache.partitions import Partitions, half_of
from kdns.records.answers import Answers
from kdns.records.reasons import OUTSIDE, Missing
from kdns.wire.query import Query

NAME: Final = "cache"
MAX_TTL: Final = 0x7FFFFFFF
"""RFC 2181 section 8."""
MAX_SERVFAIL: Final = 300.0
"""RFC 2308 section 7.1: a server failure "MUST NOT be cached for longer than five minutes"."""
MAX_RECHECK: Final = 300.0


def parse(directives: Sequence[Directive], place: DirectiveContext) -> Options:
    """Raises ConfigError."""
    directive = once(directives)
    words = list(directive.args)
    reading = _Reading()
    mistakes = Mistakes()
    if words and _is_number(words[0]):
        with mistakes.noted():
            ttl = integer(words[0], 1, MAX_TTL)
            reading.found |= {"success": Bounds(ttl), "denial": Bounds(ttl)}
        words.pop(0)
    with mistakes.noted():
        reading.found["zones"] = zones(words, place)
    with mistakes.noted():
        properties(
            directive,
            {
                "success": lambda line: reading.half(line, "success"),
                "denial": lambda line: reading.half(line, "denial"),
                "prefetch": reading.prefetch,
                "serve_stale": reading.serve_stale,
                "serve_stale_policy": reading.policy,
                "servfail": reading.servfail,
                "disable": reading.disable,
                "keepttl": reading.keepttl,
            },
        )
    with mistakes.noted():
        reading.join_policy()
    mistakes.settle()
    return Options(**reading.found)


def build(options: Options, parts: BlockContext) -> Built:
    """The cache of one server block, for all its zones."""
    counts = CacheCounts(parts, ",".join(options.zones), _view(parts))

    async def start() -> None:
        counts.start(parts.servers)

    def cluster(query: Query) -> bool:
        answers = parts.sibling("kubernetes")
        if isinstance(answers, Answers) and answers.find(query.name, query.rtype) is not None:
            return True  # compiled answers are kept: a lookup of a large Service takes milliseconds
        result = answers.lookup(query.name, query.rtype) if isinstance(answers, Answers) else OUTSIDE
        return not isinstance(result, Missing) and not result.fallthrough

    def within(query: Query) -> bool:
        answers = parts.sibling("kubernetes")
        return isinstance(answers, Answers) and not isinstance(answers.lookup(query.name, query.rtype), Missing)

    cache = Cache(
        Partitions(options, counts),
        counts,
        parts.clock,
        parts.spawn,
        cluster=cluster,
        within=within,
        restricted=parts.restricted,
    )

    def rotated() -> bool:
        return parts.sibling("loadbalance") is not None

    def find(query: Query) -> PrecompiledAnswer | None:
        ready = cache.ready(query, rotated)
        return None if ready is None else PrecompiledAnswer(ready[0], NAME, find, hit=counts.hits[half_of(ready[1])])

    def annotate(query: Query, answer: PrecompiledAnswer) -> PrecompiledAnswer:
        if answer.hit is not None or answer.plugin not in EXACT or not cache.covers(query):
            return answer
        return answer._replace(hit=counts.hits["success" if answer.answer.sections.counts[0] else "denial"])

    return Built(
        plugin=cache.plugin,
        must_see=sees_nothing,
        precompiled=find,
        annotate=annotate,
        forward_step=cache.forward_step,
        start=start,
    )


def _view(parts: BlockContext) -> str:
    view = parts.sibling("view")
    return view if isinstance(view, str) else ""


def _is_number(word: Word) -> bool:
    return word.text.lstrip("+-").isdigit()


class _Reading:
    """The values of the properties read so far."""

    def __init__(self) -> None:
        self.found: dict[str, Any] = {}
        self._stale: dict[str, Any] | None = None
        self._policy: Directive | None = None

    def half(self, line: Directive, which: Literal["success", "denial"]) -> None:
        """``CAPACITY [TTL [MINTTL]]``."""
        args = arguments(line, 1, 3)
        self.found[f"{which}_capacity"] = integer(args[0], 0)
        if len(args) > 1:
            least = integer(args[2], 0, MAX_TTL) if len(args) > 2 else 5
            self.found[which] = Bounds(integer(args[1], 1, MAX_TTL), least)

    def prefetch(self, line: Directive) -> None:
        """``AMOUNT [DURATION [PERCENTAGE%]]``."""
        args = arguments(line, 1, 3)
        gap = duration(args[1]) if len(args) > 1 else 60.0
        percent = 10
        if len(args) > 2:
            word = args[2]
            if not word.text.endswith("%"):
                raise word.error(f"invalid percentage {word.text!r}", hint=f"{word.text}% ?")
            percent = integer(Word(word.text[:-1], word.at), 10, 90)
        self.found["prefetch"] = Prefetch(integer(args[0], 0), gap, percent)

    def serve_stale(self, line: Directive) -> None:
        """``[DURATION] [immediate [TTL [RECHECK]] | verify [TIMEOUT [TTL [RECHECK]]]]``."""
        args = arguments(line, 0, 5)
        stale: dict[str, Any] = {}
        if args:
            stale["most"] = duration(args[0])
        rest = list(args[2:])
        if len(args) > 1:
            mode = choice(Word(args[1].text.lower(), args[1].at), ("immediate", "verify"))
            stale["mode"] = mode
            if mode == "verify" and rest:
                stale["timeout"] = duration(rest.pop(0))
        if len(rest) > 2:
            raise rest[2].error("serve_stale immediate takes a TTL and a recheck time, no more")
        if rest:
            ttl = duration(rest[0], 0.0, MAX_TTL)
            if ttl != int(ttl):
                raise rest[0].error(f"{rest[0].text} is not a whole number of seconds")
            stale["ttl"] = int(ttl)
        if len(rest) > 1:
            stale["recheck"] = duration(rest[1], 0.0, MAX_RECHECK)
        self._stale = stale

    def policy(self, line: Directive) -> None:
        """``prefer_positive``."""
        if self._policy is not None:
            raise line.name.error("serve_stale_policy stands twice")
        (word,) = arguments(line, 1, 1)
        if word.text.lower() != "prefer_positive":
            raise word.error(f"no such policy: {word.text!r}", hint=near(word.text, ("prefer_positive",)))
        self._policy = line

    def join_policy(self) -> None:
        """Both lines about stale answers become one value."""
        if self._policy is not None and self._stale is None:
            raise self._policy.name.error("serve_stale_policy without serve_stale", hint="add serve_stale")
        if self._stale is not None:
            self.found["stale"] = Stale(**self._stale, prefer_positive=self._policy is not None)

    def servfail(self, line: Directive) -> None:
        """``DURATION``."""
        (word,) = arguments(line, 1, 1)
        self.found["servfail"] = duration(word, 0.0, MAX_SERVFAIL)

    def disable(self, line: Directive) -> None:
        """``success|denial [ZONES...]``."""
        which, *names = arguments(line, 1, None)
        half = choice(which, ("success", "denial"))
        self.found[f"disable_{half}"] = zones(names, DirectiveContext((".",), 0, ""))

    def keepttl(self, line: Directive) -> None:
        """No argument."""
        no_args(line)
        self.found["keepttl"] = True
