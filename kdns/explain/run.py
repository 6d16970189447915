"""``kdns explain``: evidence from files or a cluster, the chain, the report. The edge."""

import asyncio
import logging
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Final, NamedTuple, TextIO

from kdns.base.errors import ConfigError
from kdns.config.source import Manifests as ManifestSource
from kdns.config.source import parse_source
from kdns.explain.ages import rfc3339
from kdns.explain.bundle import Part, Raw, read_bundle, text_file
from kdns.explain.case import Case
from kdns.explain.chain import explain
from kdns.explain.cluster import Cluster
from kdns.explain.evidence import Evidence
from kdns.explain.here import add_this_node
from kdns.explain.links.dns_server import wanted_question
from kdns.explain.live import kinds, read_cluster
from kdns.explain.model import Question, Verdict, report_values
from kdns.explain.probe import plan, probe
from kdns.explain.reading import ReadObjects, read_index
from kdns.explain.scope import Scope, scope_of
from kdns.explain.text import report_text
from kdns.watch.manifests.folder import content, scan, stream_content

LARGE: Final = 8 << 20
LOG: Final = logging.getLogger("kdns.explain")


class Request(NamedTuple):
    """What the command line asks for."""

    question: Question
    source: str = ""
    """An API server, a file or folder of manifests, or - for standard input; empty: only what --evidence brings."""
    corefile: str = ""
    proxy_config: str = ""
    evidence: Sequence[str] = ()
    output: str = "text"
    verbose: bool = False
    probe: bool = False
    """Ask and connect for real, from this machine."""
    large: int = LARGE
    """Octets of objects from which on only those are read that the question needs."""


def run(request: Request, write: Callable[[object, str, TextIO], None], *, colour: bool, out: TextIO) -> int:
    """Explain, and print the report; 0 without a fault, 1 with one. Raises ConfigError for evidence that is not there.

    ``write`` prints plain values as JSON or YAML.
    """
    case = read_case(request)
    if request.probe:
        wanted = wanted_question(case)
        case.evidence.probes = tuple(asyncio.run(probe(plan(case, wanted.name if wanted else ""))))
    answer = explain(case)
    if request.output == "text":
        out.write(report_text(answer, colour=colour, verbose=request.verbose))
    else:
        write(report_values(answer), request.output, out)
    return 1 if answer.verdict is Verdict.FAULT else 0


def read_case(request: Request) -> Case:
    """All that there is to know of a question. Raises ConfigError for evidence that is not there."""
    evidence = Evidence()
    parts = [part for path in request.evidence for part in read_bundle(path, evidence)]
    evidence.bundled = bool(parts)
    live = bool(request.source) and not isinstance(parse_source(request.source), ManifestSource)
    if live:
        parts += map(Part.of, _live(request, evidence))
        evidence.collected = rfc3339(time.time())
    elif request.source:
        parts += map(Part.of, _source(request.source))
    evidence.corefile = text_file(_read(request.corefile, "--corefile")) if request.corefile else None
    evidence.proxy_config = text_file(_read(request.proxy_config, "--proxy-config")) if request.proxy_config else None
    scope = _scope(request.question, parts, evidence) if sum(part.size for part in parts) > request.large else None
    read = ReadObjects(parts, scope)
    read.note(evidence)
    cluster = Cluster(read.files, read.passed_over)
    evidence.objects = cluster.objects
    if live and not request.evidence:
        asyncio.run(add_this_node(evidence, cluster.objects))
    return Case(request.question, evidence, cluster)


def _scope(question: Question, parts: Iterable[Part], evidence: Evidence) -> Scope:
    services, corefile = read_index(parts)
    given = evidence.corefile.text if evidence.corefile else ""
    files = [file.text for pod in evidence.pods.values() for file in pod.values()]
    return scope_of(question, services, corefile + given, files)


def _live(request: Request, evidence: Evidence) -> list[Raw]:
    """The objects that the question needs; what could not be read is a line for the operator."""
    fetched = asyncio.run(read_cluster(request.source, request.question))
    evidence.forbidden = tuple(fetched.forbidden)
    if not fetched.problems:
        evidence.listed = frozenset(
            listed.kind for listed in kinds() if listed.resource.plural not in fetched.forbidden
        )
    evidence.problems = (*evidence.problems, *fetched.problems)
    for line in (*(f"may not list {kind}" for kind in fetched.forbidden), *fetched.problems):
        LOG.warning("not checked with: %s", line)
    return fetched.raws


def _source(source: str) -> list[Raw]:
    if source == "-":
        return [Raw("stdin", stream_content(sys.stdin.buffer, "standard input"))]
    if not Path(source).exists():
        raise ConfigError(f"--source: no file or folder {source!r}")
    scanned = scan(Path(source))
    if scanned.unreadable:
        name, why = next(iter(scanned.unreadable.items()))
        raise ConfigError(f"cannot read {name}: {why}")
    return [Raw(name, data) for name in scanned.files if (data := content(name)) is not None]


def _read(path: str, flag: str) -> Raw:
    try:
        return Raw(path, Path(path).read_bytes())
    except OSError as error:
        raise ConfigError(f"{flag}: cannot read {path}: {error.strerror}") from error
