"""The objects of several files together, as a cluster that holds just them would list them. Pure.

::

    files ──> each object once ──> what the API server fills in          defaults
                                   Pods of workloads, all of them ready  workloads
                                   slices of Endpoints and of Pods       mirror, slices
                                   the Namespaces that objects are in    making
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from posixpath import dirname, join, normpath
from typing import Final, NamedTuple

from msgspec.structs import replace

from kdns.base.objects import ObjectKey
from kdns.watch.manifests.making import Making
from kdns.watch.manifests.manifest import Manifest, Manifests, Played, Problem
from kdns.watch.manifests.summary import Summary

NAMESPACE_NAME: Final = "kubernetes.io/metadata.name"
"""The label that the API server puts on every Namespace: its name."""


class Collection(NamedTuple):
    """Everything the files say, each object once."""

    objects: Mapping[ObjectKey, Manifest]
    warnings: tuple[str, ...]
    problems: tuple[Problem, ...] = ()
    """Documents that could not be read, of files that are no patches and no templates."""
    summary: Summary = Summary()
    """What was made and what was passed over."""


def collect(files: Mapping[str, Manifests]) -> Collection:
    """Put files together: the first in the order of their names wins, derived objects fill what no file has."""
    patches = set(_patches(files))
    read = {name: files[name] for name in sorted(files) if name not in patches}
    warnings: list[str] = []
    objects, played = _each_once(read, warnings)
    making = Making(objects, tuple(played.values()))
    making.complete_services()
    making.make_pods()
    making.derive_slices()
    making.add_namespaces()
    for key, manifest in objects.items():
        if key.kind == "Namespace" and NAMESPACE_NAME not in manifest.labels:
            objects[key] = replace(manifest, labels={**manifest.labels, NAMESPACE_NAME: key.name})
    passed_over: Counter[str] = Counter()
    for manifests in read.values():
        passed_over.update(manifests.passed_over)
    summary = Summary(
        making.addresses,
        dict(making.pods),
        making.mirrored,
        dict(passed_over),
        tuple(name for name, manifests in read.items() if manifests.template),
        {name: manifests.unapplied for name, manifests in read.items() if manifests.unapplied},
    )
    problems = (problem for manifests in read.values() if not manifests.template for problem in manifests.problems)
    return Collection(objects, (*warnings, *making.warnings), tuple(problems), summary)


def _patches(files: Mapping[str, Manifests]) -> Iterator[str]:
    """The files that a kustomization beside or above them names as parts of objects."""
    for name, manifests in files.items():
        for patch in manifests.patches:
            yield normpath(join(dirname(name), patch))


Written = tuple[dict[ObjectKey, Manifest], dict[tuple[str, str, str], Played]]


def _each_once(files: Mapping[str, Manifests], warnings: list[str]) -> Written:
    """The first object of each name; of the others it is warned, and of nothing else about them."""
    objects: dict[ObjectKey, Manifest] = {}
    played: dict[tuple[str, str, str], Played] = {}
    for manifests in files.values():
        for entry in manifests.entries:
            first: Manifest | Played
            if isinstance(entry, Manifest):
                first, called = objects.setdefault(entry.key, entry), str(entry.key)
            elif isinstance(entry, Played):
                first, called = played.setdefault((entry.kind, entry.namespace, entry.name), entry), str(entry)
            else:
                warnings.append(entry.warning)
                continue
            if first is not entry:
                warnings.append(f"{called} in {entry.at}: skipped: it is in {first.at} already")
            elif isinstance(entry, Manifest) and entry.warning:
                warnings.append(entry.warning)
    return objects, played
