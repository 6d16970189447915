"""What the status pages of each command are made of: its server or proxy, and explain, which status may not import.

All of that is imported when the pages are switched on, and not before: a server without them does without.
"""

import asyncio
from collections.abc import Callable, Iterator, Mapping
from io import StringIO
from tempfile import NamedTemporaryFile
from typing import TYPE_CHECKING, Any, TextIO

import msgspec

from kdns.config.load import STDIN
from kdns.config.settings import KubernetesOptions, ServeSettings
from kdns.ops.listen import parse_address
from kdns.ops.port import Answer, HttpPort, open_port

if TYPE_CHECKING:
    from kdns.dns.server.app import App
    from kdns.proxy.app import ProxyApp
    from kdns.status.parts import Explain


def explained(settings: ServeSettings) -> "Explain":
    """Explain from what a server reads: its source, and its Corefile, or the one that says what its flags say."""

    def ask(target: str, client: str, rtype: str) -> Mapping[str, Any]:
        from kdns.explain.question import parse_question  # noqa: PLC0415 - see above
        from kdns.explain.run import Request  # noqa: PLC0415 - likewise
        from kdns.explain.run import run as run_explain  # noqa: PLC0415 - likewise

        reports: list[Mapping[str, Any]] = []
        outside = client.partition("=")[2] if client == "outside" or client.startswith("outside=") else None
        question = parse_question(target, from_pod="" if outside is not None else client, outside=outside, rtype=rtype)

        def keep(report: Any, _form: str, _out: TextIO) -> None:
            reports.append(report)

        with NamedTemporaryFile("w", prefix="kdns-Corefile-") as written:
            path = settings.corefile
            if not path or path == STDIN:  # what came by a pipe is gone; the ConfigMap of the objects has to do
                path = "" if path else written.name
                written.write(corefile_text(settings))
                written.flush()
            request = Request(question, settings.source, path, output="json")
            run_explain(request, keep, colour=False, out=StringIO())
        return _renamed(reports[0], written.name)

    async def explain(target: str, client: str, rtype: str) -> Mapping[str, Any]:
        return await asyncio.to_thread(ask, target, client, rtype)

    return explain


def _renamed(report: Mapping[str, Any], file: str) -> Mapping[str, Any]:
    """The report with what that temporary file stands for instead of its name."""
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
