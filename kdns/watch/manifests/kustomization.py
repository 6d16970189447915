"""Which files beside a kustomization.yaml hold parts of objects, and what it would change. Pure.

Patches look like objects, and are none: a Service without ports, a Deployment without a template. Only the files that
a kustomization names so are left out; resources that it does not name are read, since a folder is what was asked for.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

NAMES: Final = ("kustomization.yaml", "kustomization.yml")
GROUP: Final = "kustomize.config.k8s.io/"
CHANGES: Final = (
    "namespace", "namePrefix", "nameSuffix", "patches", "patchesStrategicMerge", "patchesJson6902", "components",
    "replicas", "labels", "commonLabels", "replacements", "transformers", "helmCharts",
)  # fmt: skip
"""Fields that change objects in a way that names, addresses or selectors may depend on."""


def is_kustomization(value: Any, source: str) -> bool:
    """Whether a document is a kustomization: by its kind, or, as kind and apiVersion may be left out, by its file."""
    if not isinstance(value, dict):
        return False
    if value.get("kind") is None:
        return source.rpartition("/")[2] in NAMES
    return value["kind"] in ("Kustomization", "Component") and str(value.get("apiVersion", GROUP)).startswith(GROUP)


def patch_files(kustomization: Mapping[str, Any]) -> tuple[str, ...]:
    """The files that it names as patches, replacements, transformers or contents, relative to its folder."""
    return tuple(dict.fromkeys(_named(kustomization)))


def unapplied_fields(kustomization: Mapping[str, Any]) -> tuple[str, ...]:
    """Its fields that would change objects."""
    return tuple(field for field in CHANGES if kustomization.get(field))


def _named(kustomization: Mapping[str, Any]) -> Iterator[str]:
    for field in ("patches", "patchesJson6902", "replacements"):
        for entry in _list(kustomization.get(field)):
            if isinstance(entry, dict) and isinstance(entry.get("path"), str):
                yield entry["path"]
    for field in ("patchesStrategicMerge", "transformers", "generators", "validators", "configurations"):
        for entry in _list(kustomization.get(field)):
            if isinstance(entry, str) and "\n" not in entry:  # others are patches themselves, written in place
                yield entry
    for field in ("configMapGenerator", "secretGenerator"):
        for entry in _list(kustomization.get(field)):
            for file in _list(entry.get("files") if isinstance(entry, dict) else None):
                if isinstance(file, str):
                    yield file.rpartition("=")[2]


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
