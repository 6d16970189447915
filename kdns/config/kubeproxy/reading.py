"""A tree of values becomes settings; all mistakes are reported together. Pure.

The tree is that of a file or that of a command line; both are read by the same tables.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar

from msgspec import Struct
from msgspec.structs import replace

from kdns.base.errors import ConfigError, Span
from kdns.config.arguments import near
from kdns.config.kubeproxy.fields import TOP, Field, Section
from kdns.config.kubeproxy.kinds import Kind, ManyKind, MapKind, go_duration, shown
from kdns.config.kubeproxy.settings import HEALTHZ_PORT, LOCALHOST, METRICS_PORT, NodePortAddresses, ProxySettings
from kdns.config.reading import MOST_MISTAKES, Mistakes
from kdns.config.yaml_tree import Entry, Node

S = TypeVar("S", bound=Struct)
Path = tuple[str, ...]
IPVS_IS_DEPRECATED: Final = "mode ipvs is deprecated in Kubernetes since 1.35 and will be removed; use nftables"
MOST_WARNINGS: Final = 100
MODES_CHECKED_WHEN_USED: Final = frozenset({"ipvs", "nftables"})
"""Sections that count for their own mode only; kube-proxy checks the section of iptables always."""


class Reading:
    """One reading of a tree."""

    def __init__(self, name: Callable[[Path], str], *, zeros_are_defaults: bool) -> None:
        """``name`` is what messages call a value; ``zeros_are_defaults`` is how files are read, but not flags."""
        self.warnings: list[str] = []
        self._name, self._zeros = name, zeros_are_defaults
        self._problems: list[tuple[Path, ConfigError]] = []
        self._spans: dict[Path, Span | None] = {}
        self._given: set[Path] = set()
        """Values that are not left to their default."""
        self._wrong: set[Path] = set()

    def settings(self, top: Node, base: ProxySettings | None = None) -> ProxySettings:
        """The settings of a whole tree. Raises ConfigError, or ConfigErrors with all that is wrong.

        ``base`` are settings that were read before, and stay as they are where this tree says nothing.
        """
        settings = self._section(TOP, base or ProxySettings(), top, ())
        if base is None:
            settings = self._completed(settings)
            if settings.mode == "ipvs":
                self.warn(IPVS_IS_DEPRECATED, self._spans.get(("mode",)))
        self._check(settings)
        self._settle(settings.mode)
        return settings

    def _settle(self, mode: str) -> None:
        """Raise what is wrong. In a section of a mode that does not run, it is a warning, as kube-proxy starts then."""
        mistakes = Mistakes()
        for path, error in self._problems:
            if path[0] in MODES_CHECKED_WHEN_USED and path[0] != mode:
                self.warn(f"{error.problem}; ignored, as the mode is {mode}", error.at)
            else:
                mistakes.add(error)
        mistakes.settle()

    def warn(self, text: str, at: Span | None = None) -> None:
        """Note what is odd but not a mistake."""
        if len(self.warnings) < MOST_WARNINGS:
            self.warnings.append(f"{at.source}:{at.line}:{at.column}: {text}" if at else text)

    def _wrongly(self, path: Path, problem: ValueError, at: Span | None) -> None:
        self._wrong.add(path)
        if len(self._problems) >= MOST_MISTAKES:
            return
        text, _, hint = str(problem).partition("\n")
        name = self._name(path)
        problem_text = f"{name if name.isprintable() else shown(name)}: {text}"
        if all((error.problem, error.at) != (problem_text, at) for _, error in self._problems):  # a flag may set two
            self._problems.append((path, ConfigError(problem_text, at, hint)))

    def _section(self, section: Section, defaults: S, node: Node, path: Path) -> S:
        self._spans[path] = node.at
        if node.value is None:
            return defaults
        if not isinstance(node.value, Mapping):
            self._wrongly(path, ValueError(f"{shown(node.value)} is not a mapping"), node.at)
            return defaults
        fields = {field.word: field for field in section.fields}
        values: dict[str, Any] = {}
        for word, entry in node.value.items():
            if word in fields:
                self._field(fields[word], getattr(defaults, fields[word].attribute), entry.node, (*path, word), values)
            elif word not in section.quiet:
                self._unknown(word, entry, path, fields)
        return replace(defaults, **values)

    def _unknown(self, word: str, entry: Entry, path: Path, known: Mapping[str, Field]) -> None:
        if len(self.warnings) >= MOST_WARNINGS:
            return
        name = ".".join((*path, word))
        hint = near(word, known) if len(word) <= 80 else ""
        self.warn(f"unknown field {shown(name)} is ignored" + (f"; {hint}" if hint else ""), entry.at)

    def _field(self, field: Field, default: Any, node: Node, path: Path, values: dict[str, Any]) -> None:
        self._spans[path] = node.at
        if isinstance(field.kind, Section):
            values[field.attribute] = self._section(field.kind, default, node, path)
            return
        empty = node.value == "" and field.zero_is_default and (self._zeros or not field.can_be_off)
        if node.value is None or empty:
            return
        try:
            value = self._value(field.kind, node, path)
            if self._zeros and field.zero_is_default and not value:
                return
            if isinstance(field.kind, Kind):
                field.kind.check(value)
        except ValueError as error:
            self._wrongly(path, error, node.at)
            return
        self._given.add(path)
        values[field.attribute] = value

    def _value(self, kind: Kind | ManyKind | MapKind, node: Node, path: Path) -> Any:
        match kind:
            case Kind():
                return kind.read(node.value)
            case ManyKind():
                if not isinstance(node.value, tuple):
                    raise ValueError(f"{shown(node.value)} is not a list")
                pairs = [(f"{path[-1]}[{n}]", item) for n, item in enumerate(node.value)]
                items = [self._item(kind.item, item, (*path[:-1], word)) for word, item in pairs]
                return kind.build(tuple(item for item in items if item is not None))
            case MapKind():
                if not isinstance(node.value, Mapping):
                    raise ValueError(f"{shown(node.value)} is not a mapping")
                pairs = [(word, entry.node) for word, entry in node.value.items() if entry.node.value is not None]
                values = {word: self._item(kind.item, item, (*path, word)) for word, item in pairs}
                return {word: item for word, item in values.items() if item is not None}

    def _item(self, read: Callable[[Any], Any], node: Node, path: Path) -> Any:
        try:
            return read(node.value)
        except ValueError as error:
            self._wrongly(path, error, node.at)
            return None

    def _completed(self, settings: ProxySettings) -> ProxySettings:
        """Defaults that depend on other settings."""
        if ":" in settings.bind_address:
            if ("healthzBindAddress",) not in self._given:
                settings = replace(settings, healthz_bind_address=f"[::]:{HEALTHZ_PORT}")
            if ("metricsBindAddress",) not in self._given:
                settings = replace(settings, metrics_bind_address=f"[::1]:{METRICS_PORT}")
        if settings.mode == "nftables" and settings.node_port_addresses == NodePortAddresses():
            settings = replace(settings, node_port_addresses=NodePortAddresses(primary=True))
        if settings.mode != "iptables" and settings.node_port_addresses.localhost:
            problem = f"mode {settings.mode} serves no node ports on loopback: {LOCALHOST!r} has no effect"
            self.warn(problem, self._spans.get(("nodePortAddresses",)))
        return settings

    def _check(self, settings: ProxySettings) -> None:
        """What does not go together."""
        for word, part in (("iptables", settings.iptables), ("nftables", settings.nftables), ("ipvs", settings.ipvs)):
            least, most = part.min_sync_period, part.sync_period
            if least > most:
                problem = f"{go_duration(least)} is longer than syncPeriod ({go_duration(most)})"
                self._clash((word, "minSyncPeriod"), (word, "syncPeriod"), f"{problem}\nat most as long")
        mode, local = settings.detect_local_mode, settings.detect_local
        needed = {"BridgeInterface": local.bridge_interface, "InterfaceNamePrefix": local.interface_name_prefix}
        if not needed.get(mode, mode):
            word = mode[0].lower() + mode[1:]
            self._clash(("detectLocal", word), ("detectLocalMode",), f"detectLocalMode {mode} needs it\nsuch as cbr0")

    def _clash(self, path: Path, other: Path, problem: str) -> None:
        if path in self._wrong or other in self._wrong:
            return  # reported already; what stands there instead is only the default
        self._wrongly(path, ValueError(problem), self._spans.get(path) or self._spans.get(other))
