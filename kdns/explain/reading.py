"""Files of objects, as objects: all of a small dump, and of a large one what the question needs. The edge."""

import re
from collections.abc import Iterable, Mapping
from typing import Final

from kdns.base.errors import ConfigError
from kdns.explain.bundle import Part
from kdns.explain.cluster import KINDS
from kdns.explain.evidence import Evidence
from kdns.explain.objects import Key, Objects, field
from kdns.explain.scope import Scope
from kdns.watch.manifests.documents import read_documents
from kdns.watch.manifests.headers import Header
from kdns.watch.manifests.manifest import Manifests, Skipped
from kdns.watch.manifests.reading import parse_manifests

INDEXED: Final = frozenset({"", "ConfigMap", "Service"})
MAY_HAVE: Final = re.compile(rb"""kind["']?\s*:\s*["']?(?:ConfigMap|Service)(?:List)?\b""")


def read_index(parts: Iterable[Part]) -> tuple[Objects, str]:
    """Every Service, and the text of every ConfigMap: what decides which of the other objects are needed.

    What cannot be read is named when the objects are read.
    """
    services, texts = Objects(), list[str]()
    for part in parts:
        data = part.read()
        if not MAY_HAVE.search(data):
            continue
        for document in read_documents(data, part.path, _ignore, lambda header, _: header.kind in INDEXED):
            body = document.value
            if not isinstance(body.get("metadata"), dict):
                continue
            if body.get("kind") == "Service":
                services.add(body)
            elif body.get("kind") == "ConfigMap":
                texts += (text for text in field(body, "data", {}).values() if isinstance(text, str))
    return services, "\n".join(texts)


def _ignore(_: ConfigError) -> None:
    """See `read_index`."""


class ReadObjects:
    """The objects of all files."""

    def __init__(self, parts: Iterable[Part], scope: Scope | None = None) -> None:
        self.files: dict[str, Manifests] = {}
        self.passed_over: set[tuple[str, str]] = set()
        """Kind and Namespace of what the question does not need."""
        self._scope = scope
        for part in parts:
            choose = None if scope is None else self._is_wanted
            self.files[part.path] = parse_manifests(part.read(), part.path, also=KINDS, choose=choose)

    def _is_wanted(self, header: Header, item: bytes) -> bool:
        assert self._scope is not None
        wanted = self._scope.wants(header, item)
        if not wanted:
            self.passed_over.add((header.kind, header.namespace or "default"))
        return wanted

    def note(self, evidence: Evidence) -> None:
        """Put into the evidence what is wrong with the files."""
        for manifests in self.files.values():
            if not manifests.template:
                torn = tuple(f"{problem.about} {problem.error}".strip() for problem in manifests.problems)
                evidence.torn = (*evidence.torn, *torn)
            skipped = (entry.warning for entry in manifests.entries if isinstance(entry, Skipped))
            evidence.unused = (*evidence.unused, *skipped)
        evidence.versions = _versions(self.files)


def _versions(files: Mapping[str, Manifests]) -> dict[str, tuple[str, str]]:
    """Objects that two files have in different versions."""
    first: dict[object, tuple[str, str]] = {}
    different: dict[str, tuple[str, str]] = {}
    for name in sorted(files) if len(files) > 1 else ():
        for manifest in files[name].objects:
            version = field(manifest.body or {}, "metadata.resourceVersion", "")
            called = str(Key(*manifest.key))
            known, at = first.setdefault(manifest.key, (version, manifest.at))
            if version and known != version:
                different.setdefault(called, (f"{at} ({known})", f"{manifest.at} ({version})"))
    return different
