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


class Gathered(NamedTuple):
    """What files say, each object once, before anything is added."""

    objects: dict[ObjectKey, Manifest]
    played: dict[tuple[str, str, str], Played]
    """By kind, namespace and name."""
    warnings: tuple[str, ...]
    problems: tuple[Problem, ...]
    passed_over: Mapping[str, int]
    templates: tuple[str, ...]
    unapplied: Mapping[str, tuple[str, ...]]


def gather(files: Mapping[str, Manifests]) -> Gathered:
    """Put files together: the first in the order of their names wins; files of patches and templates are left out."""
    patches = set(_patches(files))
    read = {name: files[name] for name in sorted(files) if name not in patches}
    objects, played, warnings = _each_once(read)
    passed_over: Counter[str] = Counter()
    for manifests in read.values():
        passed_over.update(manifests.passed_over)
    return Gathered(
        objects,
        played,
        tuple(warnings),
        tuple(problem for content in read.values() if not content.template for problem in content.problems),
        dict(passed_over),
        tuple(name for name, manifests in read.items() if manifests.template),
        {name: manifests.unapplied for name, manifests in read.items() if manifests.unapplied},
    )


def collect(files: Mapping[str, Manifests], *, keep_bodies: bool = False) -> Collection:
    """What a cluster that holds just these files would list; ``keep_bodies``: what is made has its body, too."""
    gathered = gather(files)
    objects = gathered.objects
    making = Making(objects, tuple(gathered.played.values()), keep_bodies=keep_bodies)
    making.complete_services()
    making.make_pods()
    making.derive_slices()
    making.add_namespaces()
    for key, manifest in objects.items():
        if key.kind == "Namespace" and NAMESPACE_NAME not in manifest.labels:
            objects[key] = replace(manifest, labels={**manifest.labels, NAMESPACE_NAME: key.name})
    summary = Summary(
        making.addresses,
        dict(making.pods),
        making.mirrored,
        gathered.passed_over,
        gathered.templates,
        gathered.unapplied,
    )
    return Collection(objects, (*gathered.warnings, *making.warnings), gathered.problems, summary)


def _patches(files: Mapping[str, Manifests]) -> Iterator[str]:
    """The files that a kustomization beside or above them names as parts of objects."""
    for name, manifests in files.items():
        for patch in manifests.patches:
            yield normpath(join(dirname(name), patch))


def _each_once(
    files: Mapping[str, Manifests],
) -> tuple[dict[ObjectKey, Manifest], dict[tuple[str, str, str], Played], list[str]]:
    """The first object of each name, and warnings: about the others only that they are others."""
    objects: dict[ObjectKey, Manifest] = {}
    played: dict[tuple[str, str, str], Played] = {}
    warnings: list[str] = []
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
            if isinstance(entry, Manifest) and entry.key.kind == "Namespace":
                continue  # each application brings its own, and there is nothing in it
            if first is not entry:
                warnings.append(f"{called} in {entry.at}: skipped: it is in {first.at} already")
            elif isinstance(entry, Manifest) and entry.warning:
                warnings.append(entry.warning)
    return objects, played, warnings
