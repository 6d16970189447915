"""What the status pages of each command are made of: its server or proxy, and explain, which status may not import.

All of that is imported when the pages are switched on, and not before: a server without them does without.
"""

import asyncio
import os
import re
import sys
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from io import StringIO
from typing import TYPE_CHECKING, Any, Final, TextIO

import msgspec

from kdns.base.errors import ConfigError
from kdns.config.load import STDIN
from kdns.config.settings import KubernetesOptions, ServeSettings
from kdns.ops.listen import parse_address
from kdns.ops.port import Answer, HttpPort, open_port

if TYPE_CHECKING:
    from kdns.dns.server.app import App
    from kdns.explain.model import Question
    from kdns.lab.cluster import Cluster
    from kdns.lab.kind import Kind
    from kdns.metrics.scraped import Scraped
    from kdns.proxy.app import ProxyApp
    from kdns.status.parts import Explain


BEHIND: Final = 10
"""The nice value of explain: queries come first."""


def explained(settings: ServeSettings, *, apart: bool = True, nice: int = BEHIND) -> "Explain":
    """Explain from what a server reads: its source, and its Corefile, or the one that says what its flags say.

    ``apart``: in a process of its own, of that nice value, since a large cluster takes seconds of work, for which no
    query may wait. A small folder takes less than starting one: a thread does.
    """

    async def explain(target: str, client: str, rtype: str) -> Mapping[str, Any]:
        question = _question(target, client, rtype)
        with _corefile(settings) as path:
            if not apart:
                return _renamed(await asyncio.to_thread(_ask, question, settings.source, corefile=path), path)
            words = [target, "--source", settings.source or "cluster", "-o", "json"]
            words += [f"--corefile={path}"] if path else []
            words += [f"--from={client}"] if client else []  # with =, so that nothing typed becomes a flag
            words += [f"--type={rtype}"] if rtype else []
            return _renamed(await _run(words, path, nice), path)

    return explain


def _question(target: str, client: str, rtype: str) -> "Question":
    """What was typed on a page. Raises ConfigError."""
    from kdns.explain.question import parse_question  # noqa: PLC0415 - see above

    if client == "outside" or client.startswith("outside="):
        return parse_question(target, from_pod="", outside=client.partition("=")[2], rtype=rtype)
    return parse_question(target, from_pod=client, outside=None, rtype=rtype)


@contextmanager
def _corefile(settings: ServeSettings) -> Iterator[str]:
    """The path of the server's Corefile; empty for what came by a pipe and is gone."""
    if settings.corefile:
        yield settings.corefile if settings.corefile != STDIN else ""
        return
    file = os.memfd_create("Corefile")  # containers have no folder that may be written to
    try:
        os.write(file, corefile_text(settings).encode())
        yield f"/proc/self/fd/{file}"
    finally:
        os.close(file)


def _ask(
    question: "Question", source: str = "", *, corefile: str = "", evidence: Sequence[str] = ()
) -> Mapping[str, Any]:
    """Explain in this thread."""
    from kdns.explain.run import Request  # noqa: PLC0415 - see above
    from kdns.explain.run import run as run_explain  # noqa: PLC0415 - likewise

    reports: list[Mapping[str, Any]] = []

    def keep(report: Any, _form: str, _out: TextIO) -> None:
        reports.append(report)

    run_explain(
        Request(question, source, corefile, evidence=evidence, output="json"), keep, colour=False, out=StringIO()
    )
    return reports[0]


async def _run(words: Sequence[str], corefile: str, nice: int) -> Mapping[str, Any]:
    """``kdns explain`` as a process. Raises ConfigError with what it says if it cannot answer."""
    kept = tuple(int(number) for number in re.findall(r"^/proc/self/fd/([0-9]+)$", corefile))
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "kdns", "explain", *words, stdin=DEVNULL, stdout=PIPE, stderr=PIPE, pass_fds=kept
    )
    try:
        os.setpriority(os.PRIO_PROCESS, process.pid, nice)
        out, problem = await process.communicate()
    except asyncio.CancelledError:
        process.kill()
        await process.wait()
        raise
    if process.returncode not in {0, 1} or not out:
        text = problem.decode(errors="replace").strip()
        raise ConfigError(
            text.removeprefix("kdns: ").removeprefix("error: ") or f"explain ended with {process.returncode}"
        )
    report: Mapping[str, Any] = msgspec.json.decode(out)
    return report


def _renamed(report: Mapping[str, Any], file: str) -> Mapping[str, Any]:
    """The report with what the Corefile of flags stands for instead of its path."""
    if not file.startswith("/proc/"):
        return report
    renamed: Mapping[str, Any] = msgspec.json.decode(msgspec.json.encode(report).replace(file.encode(), b"flags"))
    return renamed


def corefile_text(settings: ServeSettings) -> str:
    """The Corefile that serves what the flags say, as far as answers depend on it."""
    lines = "".join(f"        {line}\n" for line in _options(settings.kubernetes))
    zones = " ".join(settings.kubernetes.zones)
    short = "    shortnames\n" if settings.shortnames else ""
    keys = f"{zones} ." if settings.shortnames else zones
    keys = " ".join(f"{zone}:{settings.port}" for zone in keys.split())
    return f"{keys} {{\n{short}    kubernetes {zones} {{\n{lines}    }}\n}}\n"


def _options(options: KubernetesOptions) -> Iterator[str]:
    yield f"ttl {options.ttl}"
    yield f"pods {options.pods}"
    if options.endpoint_pod_names:
        yield "endpoint_pod_names"
    if options.namespaces:
        yield f"namespaces {' '.join(options.namespaces)}"
    if options.namespace_labels:
        yield f"namespace_labels {options.namespace_labels}"
    if options.labels:
        yield f"labels {options.labels}"
    if not options.endpoints:
        yield "noendpoints"
    if options.ignore_empty_service:
        yield "ignore empty_service"
    if options.fallthrough is not None:
        yield f"fallthrough {' '.join(options.fallthrough)}"


def dns_site(
    title: str, explain: "Explain", *, proxy: "ProxyApp | None" = None, small: bool = False
) -> "Callable[[App], Answer]":
    """For the server of `kdns serve`, `kdns node` and `kdns demo`; ``small``: explain takes no time there."""

    def make(app: "App") -> Answer:
        from kdns.status.parts import Parts  # noqa: PLC0415 - see above
        from kdns.status.site import site  # noqa: PLC0415 - likewise

        return site(Parts(title, app, proxy, explain, explains_at_once=small))

    return make


async def status_port(address: str, answer: Answer) -> HttpPort:
    """Listen for the pages of a process that has no other use for HTTP ports of a server. Raises ConfigError."""
    return await open_port(
        parse_address(address, "--status"), answer, move="choose another port: --status ADDRESS:PORT"
    )


def proxy_site(title: str, app: "ProxyApp") -> Answer:
    """For `kdns proxy`."""
    from kdns.status.parts import Parts  # noqa: PLC0415 - see above
    from kdns.status.site import site  # noqa: PLC0415 - likewise

    return site(Parts(title, proxy=app))


def lab_site(cluster: "Cluster", kind: "Kind") -> "Callable[[App], Answer]":
    """For `kdns lab`: explain reads what the lab's nodes have in their kernels, each time it is asked."""

    async def explain(target: str, client: str, rtype: str) -> Mapping[str, Any]:
        question = _question(target, client, rtype)
        return await asyncio.to_thread(_ask_lab, cluster, question)

    async def scraped() -> "Sequence[Scraped]":
        from kdns.lab.scraping import scrape  # noqa: PLC0415 - see above

        return await asyncio.to_thread(scrape, cluster, kind.proxy_mode)

    def make(app: "App") -> Answer:
        from kdns.status.parts import Parts  # noqa: PLC0415 - see above
        from kdns.status.site import site  # noqa: PLC0415 - likewise

        parts = Parts(f"kdns lab {cluster.network.name}", app, None, explain, explains_at_once=True, scrape=scraped)
        return site(parts)

    return make


def _ask_lab(cluster: "Cluster", question: "Question") -> Mapping[str, Any]:
    from kdns.lab.evidence import evidence  # noqa: PLC0415 - see above

    with evidence(cluster) as folder:
        report = _ask(question, evidence=[str(folder)])
        text = msgspec.json.encode(report).replace(f"{folder}/".encode(), b"")
        renamed: Mapping[str, Any] = msgspec.json.decode(text)
        return renamed
