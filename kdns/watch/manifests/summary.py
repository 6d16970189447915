"""What was made of manifests, and what of them was passed over, in words. Pure."""

from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from typing import Final, NamedTuple

from kdns.watch.manifests.addresses import SERVICES
from kdns.watch.manifests.manifest import GROUPS
from kdns.watch.manifests.workloads import WORKLOADS

KNOWN: Final = (*GROUPS, *WORKLOADS, "Endpoints")
RENDERED: Final = "helm template . | kdns records --source -"
SHOWN: Final = 8
"""Kinds, or files, that are named in one line."""


class Summary(NamedTuple):
    """Counts of one reading."""

    addresses: int = 0
    """Services that got a cluster IP."""
    pods: Mapping[str, int] = {}
    """Pods that were made, by the kind that asked for them; Pod for those that were written and got an address."""
    mirrored: int = 0
    """Endpoints of which slices were made."""
    passed_over: Mapping[str, int] = {}
    """Objects of kinds that nothing here reads, by kind; the empty kind is for documents without one."""
    templates: tuple[str, ...] = ()
    """Files that are templates of Helm."""
    unapplied: Mapping[str, tuple[str, ...]] = {}
    """Kustomizations, and their fields that would change objects."""

    def lines(self) -> Iterator[str]:
        """For people: at most a line for what was made, and one for what was passed over."""
        if made := list(self._made()):
            yield f"as a cluster would: {', '.join(made)}"
        if self.passed_over:
            total = sum(self.passed_over.values())
            yield f"passed over: {counted(total, 'object')} that no record comes from: {', '.join(self._kinds())}"

    def warnings(self) -> Iterator[str]:
        """What is to be done before the objects can be read, with the command that does it."""
        if self.templates:
            more = f" and {len(self.templates) - 1} more" if len(self.templates) > 1 else ""
            yield f"{self.templates[0]}{more}: looks like a Helm template: {RENDERED}"
        if self.unapplied:
            file, fields = next(iter(self.unapplied.items()))
            more = f" and {len(self.unapplied) - 1} more" if len(self.unapplied) > 1 else ""
            folder = file.rpartition("/")[0] or "."
            command = f"kubectl kustomize {folder} | kdns records --source -"
            yield f"{file}{more}: {', '.join(fields)} not applied: {command}"

    def _made(self) -> Iterator[str]:
        if self.addresses:
            yield f"{counted(self.addresses, 'Service')} without a clusterIP got one of {SERVICES[0]}, by name"
        made = {kind: number for kind, number in self.pods.items() if kind != "Pod"}
        if made:
            yield f"{counted(sum(made.values()), 'Pod')} of {_joined(made)}"
        if number := self.pods.get("Pod"):
            yield f"{counted(number, 'Pod')} without an address got one"
        if self.mirrored:
            yield f"slices of {self.mirrored} Endpoints"

    def _kinds(self) -> Iterator[str]:
        """The most frequent ones first, with what was meant by those that are nearly ours."""
        ordered = sorted(self.passed_over.items(), key=lambda item: (-item[1], item[0]))
        near = [item for item in ordered if _meant(item[0])]
        rest = [item for item in ordered if not _meant(item[0])]
        for kind, number in (near + rest)[: max(SHOWN, len(near))]:
            meant = _meant(kind)
            yield f"{number} {kind or 'without a kind'}" + (f" (did you mean {meant}?)" if meant else "")
        if (others := len(ordered) - max(SHOWN, len(near))) > 0:
            yield f"{others} other kind" + "s" * (others > 1)


def counted(number: int, noun: str) -> str:
    """``1 Pod``, ``2 Pods``."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def _joined(counts: Mapping[str, int]) -> str:
    """``Deployments, Jobs and StatefulSets``, the most frequent first."""
    *others, last = [f"{kind}s" for kind, _ in sorted(counts.items(), key=lambda item: (-item[1], item[0]))]
    return f"{', '.join(others)} and {last}" if others else last


def _meant(kind: str) -> str:
    """The kind of ours that a misspelt one is near to; empty for kinds that are their own."""
    matches = get_close_matches(kind, KNOWN, 1, cutoff=0.85) if kind and " " not in kind else []
    return matches[0] if matches and matches[0] != kind and kind not in REAL else ""


REAL: Final = frozenset({"EndpointSliceList", "PodTemplate", "CronJob", "ServiceExport", "NodeSet", "DeploymentConfig"})
"""Kinds that exist, and are spelt nearly as one of ours."""
