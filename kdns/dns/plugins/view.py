"""``view``: a server block for the requests that its expressions want; others go to the next block for the same zone.

::

    view NAME {
        expr EXPRESSION           several must all hold
    }

What an expression reads is known before the chain runs: the question, the client, and the metadata that are collected
for the view. A key that only the chain could fill is a mistake of the Corefile, since the wrong server block would
answer without a word.
"""

from collections.abc import Callable, Sequence
from difflib import get_close_matches
from typing import Final, NamedTuple

from msgspec import Struct

from kdns.base.errors import ConfigError, UpstreamError
from kdns.config.directive import Directive, Word
from kdns.config.reading import Mistakes, arguments, once, properties, word_at
from kdns.config.settings import KubernetesOptions
from kdns.dns.api.handler import Request
from kdns.dns.api.plugin import BlockContext, Built, DirectiveContext, sees_nothing
from kdns.dns.lang.expr import ExpressionError, compile_value, test_of
from kdns.dns.plugins import ORDER
from kdns.records.answers import Answers

NAME: Final = "view"
KEY: Final = "view/name"
"""Of the metadata that tells others which view a request is in."""
LABEL: Final = "kubernetes/client-label/"
CLIENT: Final = ("kubernetes/client-namespace", "kubernetes/client-pod-name")
OF_NAMES: Final = tuple(
    f"kubernetes/{key}" for key in ("kind", "namespace", "service", "endpoint", "port-name", "protocol", "parse-error")
)
LATER: Final = {
    "forward/upstream": "which upstream answers is known once it has answered",
    "log/type": "what kind of response it is, is known once there is one",
    "log/class": "what kind of response it is, is known once there is one",
}
"""Keys that only the chain can fill, and why."""


class Key(NamedTuple):
    """A key of the metadata that an expression reads."""

    text: str | None
    """None: it is made while the expression runs."""
    word: Word

    @property
    def of_client(self) -> bool:
        """It says which Pod asks."""
        return self.text is not None and (self.text in CLIENT or self.text.startswith(LABEL))


class Options(Struct, frozen=True):
    """A name for metrics, and what must hold."""

    name: str
    expressions: tuple[str, ...] = ()
    keys: tuple[Key, ...] = ()


def parse(directives: Sequence[Directive], _place: DirectiveContext) -> Options:
    """The options. Raises ConfigError at the word where an expression cannot be understood."""
    directive = once(directives)
    name = arguments(directive, 1, 1)[0].text
    expressions: list[str] = []
    keys: list[Key] = []

    def expr(line: Directive) -> None:
        words = arguments(line, 1, None)
        text = " ".join(word.text for word in words)
        try:
            compiled = compile_value(text, wanted="bool")
        except ExpressionError as error:
            raise word_at(words, error.at).error(error.problem, error.hint) from error
        expressions.append(text)
        keys.extend(Key(key.key, word_at(words, key.at)) for key in compiled.metadata)

    properties(directive, {"expr": expr})
    return Options(name, tuple(expressions), tuple(keys))


def build(options: Options, parts: BlockContext) -> Built:
    """The plugin for one server block: it offers its name, and is not in the chain.

    Raises ConfigError, or ConfigErrors, for metadata that cannot be known before the chain.
    """
    mistakes = Mistakes()
    for key in options.keys:
        with mistakes.noted():
            _check(key, parts)
    mistakes.settle()
    parts.offer(NAME, options.name)

    async def start() -> None:
        """Now all plugins are built: one that kdns does not know must offer what is read of it."""
        for key in options.keys:
            plugin = (key.text or "").partition("/")[0]
            if plugin not in ORDER and not callable(parts.sibling(f"metadata/{plugin}")):
                hint = f'parts.offer("metadata/{plugin}", function)'
                raise key.word.error(f"plugin {plugin} offers no metadata", hint)

    if not any(key.of_client for key in options.keys):
        return Built(must_see=sees_nothing, accepts=accepts(options), start=start)

    def synced() -> bool:
        answers = parts.sibling("kubernetes")
        return not isinstance(answers, Answers) or answers.synced

    return Built(must_see=sees_nothing, accepts=accepts(options, synced), start=start)


def accepts(options: Options, known: Callable[[], bool] = lambda: True) -> Callable[[Request], bool]:
    """True for a request that every expression wants; its metadata get the view's name.

    ``known``: False while nothing is known of clients. Then UpstreamError is raised: not knowing is not "no", and
    the next block may be for everybody else.
    """
    tests = [test_of(compile_value(text, wanted="bool")) for text in options.expressions]

    def wanted(request: Request) -> bool:
        if not known():
            raise UpstreamError(f"view {options.name}: the cluster's Pods are not known yet")
        request.metadata[KEY] = options.name
        if all(test(request) for test in tests):
            return True
        del request.metadata[KEY]
        return False

    return wanted


def _check(key: Key, parts: BlockContext) -> None:
    """Raises ConfigError for a key that nothing fills before the chain."""
    text, word = key.text, key.word
    if text is None:
        raise word.error("the key of metadata is not known before a question comes", "write the key as a 'string'")
    if text == KEY:
        return
    if text in LATER:
        raise word.error(f"a view cannot read {text}: {LATER[text]}", "it chooses the server block before the chain")
    plugin = text.partition("/")[0]
    if plugin == "kubernetes":
        _check_kubernetes(text, word, parts.sibling("options/kubernetes"))
    elif plugin in ORDER or plugin not in _plugins(parts):
        raise _unknown(text, word)
    if parts.sibling("options/metadata") is None:
        raise word.error(f"nothing collects {text} in this server block", "add the plugin: a line that says `metadata`")


def _check_kubernetes(text: str, word: Word, options: object) -> None:
    needed = {"kubernetes/cluster": "multicluster", "kubernetes/zone": "zonal"}.get(text, "")
    if not (needed or text in OF_NAMES or text in CLIENT or (text.startswith(LABEL) and text != LABEL)):
        raise _unknown(text, word)
    if not isinstance(options, KubernetesOptions):
        raise word.error(f"{text} needs the plugin kubernetes in this server block")
    if needed and not getattr(options, needed):
        raise word.error(f"{text} is there only with {needed}", f"add {needed} to the kubernetes block")
    if text.startswith("kubernetes/client-") and options.pods != "verified" and not options.clients:
        raise word.error(f"{text} needs the Pods: pods is {options.pods}", "pods verified in the kubernetes block")


def _plugins(parts: BlockContext) -> Sequence[object]:
    names = parts.sibling("plugins")
    return names if isinstance(names, tuple) else ()


def _unknown(text: str, word: Word) -> ConfigError:
    known = (KEY, *CLIENT, f"{LABEL}KEY", *OF_NAMES, "kubernetes/cluster", "kubernetes/zone")
    by_end = {key.partition("/")[2]: key for key in known}  # what stands before the slash makes all of them look alike
    close = get_close_matches(text.rpartition("/")[2], by_end, n=1, cutoff=0.72)
    hint = f"did you mean {by_end[close[0]]}?" if close else f"such as {CLIENT[0]}; see the page of the plugin metadata"
    return word.error(f"no plugin of this server block has metadata {text!r}", hint)
