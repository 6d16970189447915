"""The pages over HTTP: each as HTML, and as JSON under the same path with ``.json`` behind it, or by Accept.

::

    /                              overview
    /services?q=TEXT&page=N        Services; state=fault: only those with a fault
    /services/NAMESPACE/NAME       the path of one; explain=1: with what `kdns explain` finds
    /names?name=NAME               what is answered for a name
    /explain?target=T&from=C       why it does not answer
    /top                           who asks what, and the last failures, where the directive top is on
    /chains                        the Corefile as chains
    /live.json                     the numbers that follow while the overview is open
    /static/FILE                   the style sheet, the script, the icon
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from importlib.resources import files
from typing import Any, Final, NamedTuple
from urllib.parse import unquote, urlencode

import msgspec
from aiohttp import web
from jinja2 import Environment, PackageLoader, StrictUndefined

from kdns import __version__
from kdns.base.errors import ConfigError
from kdns.ops.port import Answer
from kdns.status import guard
from kdns.status.chains import chains
from kdns.status.drawing import draw
from kdns.status.graph import graph
from kdns.status.names import name_page
from kdns.status.narrow import draw_narrow
from kdns.status.overview import Overviews
from kdns.status.parts import Parts
from kdns.status.path import service_path
from kdns.status.services import ServiceIndex
from kdns.wire.name import name_text

STATIC: Final = {"status.css": "text/css", "status.js": "text/javascript", "icon.svg": "image/svg+xml"}
LONGEST: Final = 512
"""Characters of a path or a value of its query."""
EXPLAIN_TIMEOUT: Final = 60.0
"""Seconds; a dump of a large cluster takes some."""


class Page(NamedTuple):
    """What a path shows."""

    template: str
    values: Any
    """Plain values, or a Struct: the JSON, and the template's ``page``."""
    status: int = 200
    more: Mapping[str, Any] = {}
    """For the template only."""


class Query(NamedTuple):
    """A request as pages read it."""

    path: tuple[str, ...]
    arguments: Mapping[str, str]


class Site:
    """Answers every request of a port with the pages of one process."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._index = ServiceIndex(parts)
        self._overviews = Overviews(parts, self._index)
        self._explaining = asyncio.Lock()
        """One at a time: it may read a whole dump."""
        self._static = {name: files("kdns.status").joinpath("static", name).read_bytes() for name in STATIC}
        self._templates = Environment(
            loader=PackageLoader("kdns.status"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._templates.filters |= {"age": age, "number": number, "seconds": seconds, "evidence": evidence}
        self._templates.globals |= {"link": link, "version": __version__, "title": parts.title, "tabs": self._tabs()}
        self._compiled = asyncio.get_running_loop().run_in_executor(None, self._compile)
        """Templates take some 60 ms: a thread compiles them, while nothing waits but the first page."""
        self._pages: dict[str, Callable[[Query], Awaitable[Page]]] = {
            "": self._overview, "services": self._services, "names": self._names, "explain": self._explain,
            "chains": self._chains, "top": self._top,
        }  # fmt: skip

    def _tabs(self) -> list[tuple[str, str]]:
        """Path and label of what this process has."""
        parts = self._parts
        tabs = [("/", "Overview"), ("/services", "Services")]
        if parts.dns is not None:
            tabs.append(("/names", "Names"))
        if parts.explain is not None:
            tabs.append(("/explain", "Why?"))
        if parts.dns is not None:
            tabs += [("/top", "Who asks"), ("/chains", "Corefile")]
        return tabs

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        """One request."""
        reason = guard.refusal(request.headers)
        # a target in absolute form counts instead of the header (RFC 9112 section 3.2.2): both must be right
        if reason is not None or (reason := guard.host_refusal(request.host)) is not None:
            return _plain(421, f"not answered: {reason}\n")  # RFC 9110 section 15.5.20
        if request.method not in {"GET", "HEAD"}:
            raise web.HTTPMethodNotAllowed(request.method, ("GET", "HEAD"))
        path = request.rel_url.raw_path
        if len(request.path_qs) > 4 * LONGEST or any(len(value) > LONGEST for value in request.query.values()):
            return _plain(414, "the address is too long\n")
        if path.startswith("/static/"):
            return self._file(path.removeprefix("/static/"))
        if path == "/favicon.ico":  # browsers ask for it where a page names none, such as JSON
            return self._file("icon.svg")
        if path == "/live.json":
            return _json(await self._overviews.live(), 200)
        json = path.endswith(".json") or _accepts_json(request.headers.get("Accept", ""))
        words = tuple(unquote(word) for word in path.removesuffix(".json").strip("/").split("/"))
        if words == ("overview",):
            words = ("",)  # /overview.json: / has no name to put .json behind
        page = await self._page(Query(words, dict(request.query.items())))
        if json:
            return _json(page.values, page.status)
        headers = {**guard.HEADERS, "Vary": "Accept"}
        html = await self._html(page, request.path_qs)
        return web.Response(body=html, status=page.status, content_type="text/html", charset="utf-8", headers=headers)

    async def _page(self, query: Query) -> Page:
        show = self._pages.get(query.path[0])
        if show is None or (len(query.path) > 1 and query.path[0] != "services"):
            return _missing("there is no such page")
        return await show(query)

    def _compile(self) -> None:
        for name in self._templates.list_templates():
            self._templates.get_template(name)

    async def _html(self, page: Page, here: str) -> bytes:
        await self._compiled
        values = msgspec.to_builtins(page.values)
        template = self._templates.get_template(page.template)
        return template.render(page=values, here=here, **page.more).encode()

    def _file(self, name: str) -> web.Response:
        if name not in STATIC:
            return _plain(404, "there is no such file\n")
        return web.Response(
            body=self._static[name], content_type=STATIC[name], charset="utf-8",
            headers={**guard.HEADERS, "Cache-Control": "max-age=300"},
        )  # fmt: skip

    async def _overview(self, _query: Query) -> Page:
        return Page("overview.html", await self._overviews.overview())

    async def _services(self, query: Query) -> Page:
        if len(query.path) == 3:
            return await self._service(query)
        if len(query.path) > 1:
            return _missing("a Service is /services/NAMESPACE/NAME")
        number_text = query.arguments.get("page", "")
        page = int(number_text) if number_text.isascii() and number_text.isdigit() and len(number_text) < 9 else 1
        state = "fault" if query.arguments.get("state") == "fault" else ""
        return Page("services.html", await self._index.listed(query.arguments.get("q", ""), page, state))

    async def _service(self, query: Query) -> Page:
        _, namespace, name = query.path
        report, problem = None, ""
        asked = bool(query.arguments.get("explain")) or self._parts.explains_at_once
        wanted = asked and self._parts.explain is not None
        if wanted and self._parts.view(namespace, name) is not None:
            answers = self._parts.answers()
            zone = name_text(answers.schema.zones[0]) if answers is not None else ""
            report, problem = await self._asked(f"{name}.{namespace}.svc.{zone}", "", "")
        path = service_path(self._parts, namespace, name, report)
        if path is None:
            known = "" if self._parts.synced() else "; the cluster is not known completely yet"
            return _missing(f"there is no Service {namespace}/{name}{known}")
        can = self._parts.explain is not None
        drawn = graph(path)
        more = {"graph": drawn, "wide": draw(drawn), "narrow": draw_narrow(drawn)}
        return Page("service.html", path, more={**more, "can_explain": can, "problem": problem})

    async def _names(self, query: Query) -> Page:
        if self._parts.dns is None:
            return _missing("this process answers no names")
        return Page("names.html", name_page(self._parts, query.arguments.get("name", "")))

    async def _explain(self, query: Query) -> Page:
        if self._parts.explain is None:
            return _missing("this process cannot explain")
        target, client = query.arguments.get("target", "").strip(), query.arguments.get("from", "").strip()
        rtype = query.arguments.get("type", "").strip()
        report, problem = await self._asked(target, client, rtype) if target else (None, "")
        values = {"target": target, "from": client, "type": rtype, "problem": problem, "report": report}
        return Page("explain.html", values, status=400 if problem else 200)

    async def _asked(self, target: str, client: str, rtype: str) -> tuple[Mapping[str, Any] | None, str]:
        """The report, or why there is none."""
        assert self._parts.explain is not None  # the callers have seen to it
        try:
            async with asyncio.timeout(EXPLAIN_TIMEOUT), self._explaining:
                return await self._parts.explain(target, client, rtype), ""
        except ConfigError as error:
            return None, str(error)
        except TimeoutError:
            return (
                None,
                f"it took longer than {EXPLAIN_TIMEOUT:.0f} s; kdns explain on the command line has no such limit",
            )

    async def _top(self, _query: Query) -> Page:
        if self._parts.dns is None:
            return _missing("this process answers no questions")
        top = self._parts.dns.context.top
        return Page("top.html", {"on": top.on, "now": time.time(), **top.values()})

    async def _chains(self, _query: Query) -> Page:
        if self._parts.dns is None:
            return _missing("this process has no Corefile")
        return Page("chains.html", chains(self._parts.dns))


def site(parts: Parts) -> Answer:
    """What answers for the pages of one process."""
    return Site(parts).answer


def _missing(says: str) -> Page:
    return Page("missing.html", {"problem": says}, status=404)


def _json(values: Any, status: int) -> web.Response:
    headers = {**guard.HEADERS, "Vary": "Accept"}
    body = msgspec.json.encode(values)
    return web.Response(body=body, status=status, content_type="application/json", charset="utf-8", headers=headers)


def _plain(status: int, text: str) -> web.Response:
    return web.Response(status=status, text=text, headers=guard.HEADERS)


def _accepts_json(accept: str) -> bool:
    """JSON is named, and HTML is not: browsers name HTML."""
    return "application/json" in accept and "text/html" not in accept


def link(path: str, **arguments: object) -> str:
    """A path with a query, without what is empty."""
    query = urlencode({key.rstrip("_"): value for key, value in arguments.items() if value not in {"", None}})
    return f"{path}?{query}" if query else path


def evidence(item: Mapping[str, Any]) -> str:
    """A piece of explain's evidence in a line: ``Service/shop/cart spec.ports[0].port = 80 (resourceVersion 5)``."""
    file = f"{item.get('file', '')}:{item['line']}" if "line" in item else item.get("file", "")
    value = item.get("value", "")
    shown = value if isinstance(value, str) else msgspec.json.encode(value).decode()
    words = (item.get("object", ""), file, item.get("field", ""), f"= {shown}" if shown else "")
    text = item.get("text", "")
    about = f"({text})" if text and any(words) else text
    return " ".join(filter(None, (*words, about)))


def age(value: float | None) -> str:
    """``0.4 s``, ``12 s``, ``3 min``, ``5 h``, ``2 d``."""
    if value is None:
        return "–"
    for limit, size, unit in ((10.0, 1.0, "s"), (120.0, 1.0, "s"), (7200.0, 60.0, "min"), (172800.0, 3600.0, "h")):
        if value < limit:
            return f"{value / size:.1f} {unit}" if limit == 10.0 else f"{value / size:.0f} {unit}"
    return f"{value / 86400:.0f} d"


def seconds(value: float | None) -> str:
    """A duration: ``250 µs``, ``1.5 ms``, ``2.0 s``."""
    if value is None:
        return "–"
    if value < 0.001:
        return f"{value * 1e6:.0f} µs"
    return f"{value * 1e3:.3g} ms" if value < 1 else f"{value:.1f} s"


def number(value: float) -> str:
    """With commas; one digit behind the point if it is small and not whole."""
    return f"{value:,.1f}" if value < 100 and value != int(value) else f"{value:,.0f}"
