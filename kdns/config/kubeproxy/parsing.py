"""The text of a KubeProxyConfiguration becomes settings. Pure."""

from collections.abc import Mapping

from kdns.base.errors import ConfigError
from kdns.config.arguments import near
from kdns.config.kubeproxy.fields import API_VERSION, KIND
from kdns.config.kubeproxy.kinds import shown
from kdns.config.kubeproxy.reading import Reading
from kdns.config.kubeproxy.settings import ProxySettings
from kdns.config.reading import Mistakes
from kdns.config.yaml_tree import Node, read_tree


def parse_kubeproxy(text: str, source: str) -> tuple[ProxySettings, tuple[str, ...]]:
    """The settings in a text, and warnings ready to print, with their places.

    ``source`` is what messages call the file. Unknown and duplicate fields are warnings, as in kube-proxy's own lenient
    reading. Raises ConfigError, or ConfigErrors with all that is wrong.
    """
    tree = read_tree(text, source)
    _check_type(tree.top, source)
    reading = Reading(".".join, zeros_are_defaults=True)
    for path, at, line in tree.repeated:
        reading.warn(f"{shown('.'.join(path))} stands twice, first in line {line}; this one counts", at)
    if tree.more:
        reading.warn("only the first document is read", tree.more)
    settings = reading.settings(tree.top)
    return settings, tuple(reading.warnings)


def _check_type(top: Node, source: str) -> None:
    """Raise ConfigError for what is another kind of object, or none."""
    if not isinstance(top.value, Mapping):
        what = "nothing" if top.value is None else shown(top.value)
        whose = "" if top.at else f"{source}: "
        raise ConfigError(f"{whose}expected a {KIND}, got {what}", top.at, f"apiVersion: {API_VERSION}")
    mistakes = Mistakes()
    for word, wanted in (("apiVersion", API_VERSION), ("kind", KIND)):
        entry = top.value.get(word)
        value = entry.node.value if entry else None
        if value in (None, ""):
            mistakes.add(ConfigError(f"{word} is missing", entry.node.at if entry else top.at, f"{word}: {wanted}"))
        elif entry and value != wanted:
            hint = near(value, (wanted,)) if isinstance(value, str) and len(value) <= 80 else ""
            problem = f"{word}: {shown(value)} is not {wanted}"
            mistakes.add(ConfigError(problem, entry.node.at, hint))
    mistakes.settle()
