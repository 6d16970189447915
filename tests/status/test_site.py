"""The pages over HTTP, of a whole server."""

import asyncio
import html
from html.parser import HTMLParser
from pathlib import Path

import pytest

from tests.running import PATIENCE
from tests.status.serving import cluster, served

MANY = "---\n".join(
    f"""apiVersion: v1
kind: Service
metadata: {{name: s{number:03}, namespace: many}}
spec: {{clusterIP: 10.97.{number // 250}.{number % 250 + 1}, ports: [{{port: 80, protocol: TCP}}]}}
"""
    for number in range(120)
)


class Links(HTMLParser):
    """Every address that a page names."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.inline = False
        """There is a script or style in the page itself, which the policy forbids."""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self.found += [value for key, value in attrs if key in {"href", "src", "action"} and value]
        self.inline = self.inline or tag == "style" or "style" in values or (tag == "script" and "src" not in values)
        self.inline = self.inline or any(key.startswith("on") for key in values)


async def test_every_link_leads_to_a_page_of_ours(tmp_path: Path) -> None:
    """From the first page all pages are reached; none links to another host, and none has a script within."""
    async with served(cluster(tmp_path)) as kdns:
        seen: set[str] = set()
        todo = ["/", "/explain?target=broken.shop", "/names?name=web.shop", "/services/shop/web?explain=1"]
        while todo:
            path = todo.pop()
            seen.add(path)
            status, text, headers = await kdns.get(path)
            assert status == 200, (path, text)
            assert "default-src 'none'" in headers["Content-Security-Policy"]
            if headers["Content-Type"].startswith("text/html"):
                links = Links(text)
                assert not links.inline, path
                for found in links.found:
                    link = path.partition("?")[0] + found if found.startswith("?") else found.partition("#")[0]
                    assert link.startswith("/") or not link
                    if link and link not in seen and link not in todo:
                        todo.append(link)
        assert {"/services/shop/broken", "/chains.json", "/static/status.css"} <= seen


async def test_every_page_is_json_too(tmp_path: Path) -> None:
    """By .json behind the path, or by an Accept header that does not name HTML."""
    async with served(cluster(tmp_path)) as kdns:
        for path in ("/services", "/services/shop/web", "/names?name=web.shop", "/explain?target=web.shop", "/chains"):
            name, mark, query = path.partition("?")
            status, text, headers = await kdns.get(path, headers={"Accept": "application/json"})
            assert (status, headers["Content-Type"]) == (200, "application/json; charset=utf-8")
            assert text == (await kdns.get(f"{name}.json{mark}{query}"))[1]
        assert (await kdns.json("/overview.json"))["services"] == 5
        browser = {"Accept": "text/html,application/xhtml+xml,application/json;q=0.9,*/*;q=0.8"}
        assert (await kdns.get("/", headers=browser))[2]["Content-Type"].startswith("text/html")


async def test_the_overview(tmp_path: Path) -> None:
    """It says that the server is ready, what is known, and how many Services have a fault."""
    async with served(cluster(tmp_path)) as kdns:
        page = await kdns.json("/overview.json")
        assert (page["unready"], page["services"], page["faulty"]) == ([], 5, 3)
        assert {known["kind"]: known["objects"] for known in page["known"]} == {
            "services": 5,
            "endpointslices": 2,
            "namespaces": 1,
        }
        assert page["changes"] == []
        assert "3 of 5 Services" in (await kdns.get("/"))[1]


async def test_a_change_is_shown(tmp_path: Path) -> None:
    """An edited Service is the first of the last changes, and its page has the new address."""
    async with served(cluster(tmp_path)) as kdns:
        file = tmp_path / "cluster.yaml"
        file.write_text(file.read_text().replace("10.96.0.11", "10.96.0.99"))
        for _ in range(int(PATIENCE / 0.02)):
            page = await kdns.json("/overview.json")
            if page["changes"]:
                break
            await asyncio.sleep(0.02)
        assert [(change["namespace"], change["name"], change["gone"]) for change in page["changes"]] == [
            ("shop", "empty", False)
        ]
        assert (await kdns.json("/services/shop/empty.json"))["records"][0]["data"] == "10.96.0.99"


async def test_services_are_searched_and_paged(tmp_path: Path) -> None:
    """By name, Namespace, address and port; fifty on a page; a page beyond the last is the last."""
    async with served(cluster(tmp_path, MANY)) as kdns:

        async def found(query: str) -> tuple[int, int, int, str]:
            page = await kdns.json(f"/services.json?{query}")
            return page["total"], page["page"], len(page["services"]), page["services"][0]["name"]

        assert await found("") == (120, 1, 50, "s000")
        assert await found("page=3") == (120, 3, 20, "s100")
        assert await found("page=99") == (120, 3, 20, "s100")
        assert await found("page=-1") == (120, 1, 50, "s000")
        assert await found("q=S01") == (10, 1, 10, "s010")
        assert await found("q=s017.many") == (1, 1, 1, "s017")
        assert await found("q=10.97.0.42") == (1, 1, 1, "s041")
        assert await found("state=fault&q=many/") == (120, 1, 50, "s000")
        text = (await kdns.get("/services?page=2&q=many"))[1]
        assert 'rel="prev" href="/services?q=many&amp;page=1"' in text
        assert 'rel="next" href="/services?q=many&amp;page=3"' in text


@pytest.mark.parametrize(
    ("name", "rcode", "expected"),
    [
        ("web.shop", "NOERROR", "10.96.0.9"),
        ("web.shop.svc.cluster.local.", "NOERROR", "10.96.0.9"),
        ("10.96.0.9", "NOERROR", "web.shop.svc.cluster.local."),
        ("nobody.shop", "NXDOMAIN", "no Service nobody in Namespace shop"),
        ("web.nowhere", "NXDOMAIN", "no Namespace nowhere"),
        ("www.example.com", None, "no plugin of this server: REFUSED"),
        ("a..b", None, "invalid name"),
    ],
)
async def test_a_name(tmp_path: Path, name: str, rcode: str | None, expected: str) -> None:
    """What is answered, or why nothing is, with the object and the chain of its server block."""
    async with served(cluster(tmp_path)) as kdns:
        page = await kdns.json(f"/names.json?name={name}")
        assert {answer["rcode"] for answer in page["answers"]} == ({rcode} if rcode else set())
        assert expected in str(page)
        if page["answers"] and rcode == "NOERROR":
            assert page["answers"][0]["records"][0]["object"] == "web"
            assert page["chain"][-1] == "kubernetes"


async def test_why_it_does_not_answer(tmp_path: Path) -> None:
    """The box gives explain's own report; a target that cannot be read says so, with the status 400."""
    async with served(cluster(tmp_path), apart=True) as kdns:
        page = await kdns.json("/explain.json?target=web.shop:81")
        faults = [link for link in page["report"]["links"] if link["state"] == "fault"]
        assert ("service", "E21") in [(fault["link"], fault["code"]) for fault in faults]
        text = (await kdns.get("/explain?target=web.shop:81"))[1]
        for fault in faults:
            assert html.escape(fault["says"], quote=False).replace("'", "&#39;") in text
        status, text, _ = await kdns.get("/explain?target=http://")
        assert status == 400
        assert "neither a name nor an address" in text


async def test_nothing_typed_becomes_a_flag(tmp_path: Path) -> None:
    """What looks like a flag of `kdns explain` is a bad target, or a client of that name."""
    async with served(cluster(tmp_path), apart=True) as kdns:
        status, text, _ = await kdns.get("/explain?target=--evidence%3D/etc")
        assert status == 400
        assert "neither a name nor an address" in text
        page = await kdns.json("/explain.json?target=web.shop&from=--evidence%3D/etc")
        assert page["report"]["client"] == "Pod --evidence=/etc"


@pytest.mark.parametrize(
    ("path", "method", "headers", "expected"),
    [
        ("/", "POST", {}, 405),
        ("/", "HEAD", {}, 200),
        ("/", "GET", {"Host": "evil.example"}, 421),
        ("/overview.json", "GET", {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "cors"}, 421),
        ("/nothing", "GET", {}, 404),
        ("/services/shop", "GET", {}, 404),
        ("/services/shop/nobody", "GET", {}, 404),
        ("/services/shop/web/more", "GET", {}, 404),
        ("/names/more", "GET", {}, 404),
        ("/static/../site.py", "GET", {}, 404),
        ("/static/%2e%2e/site.py", "GET", {}, 404),
        ("/names?name=" + "a" * 600, "GET", {}, 414),
    ],
)
async def test_what_is_refused(tmp_path: Path, path: str, method: str, headers: dict[str, str], expected: int) -> None:
    """Only reading, only by an address or localhost, and only pages that there are."""
    async with served(cluster(tmp_path)) as kdns:
        status, _, _ = await kdns.get(path, method=method, headers=headers)
        assert status == expected


async def test_what_was_typed_is_text(tmp_path: Path) -> None:
    """Nothing that is typed becomes markup."""
    async with served(cluster(tmp_path)) as kdns:
        for path in ("/services?q=", "/names?name=", "/explain?target=", "/services/shop/"):
            text = (await kdns.get(path + "%22%3E%3Cscript%3Ealert(1)%3C/script%3E"))[1]
            assert "<script>alert" not in text


async def test_the_directive(tmp_path: Path) -> None:
    """A Corefile with `status` serves the pages on loopback, and its chains are shown as they are."""
    corefile = tmp_path / "Corefile"
    corefile.write_text("cluster.local:0 {\n bind 127.0.0.1\n cache 5\n status :0\n kubernetes\n errors\n}\n")
    async with served(cluster(tmp_path), corefile=str(corefile)) as kdns:
        assert kdns.url.startswith("http://127.0.0.1:")
        (block,) = (await kdns.json("/chains.json"))["blocks"]
        assert block["plugins"] == ["bind", "status", "errors", "cache", "kubernetes"]
        assert (await kdns.json("/services/shop/web.json"))["states_known"]
