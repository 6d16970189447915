"""What ``kdns top`` does: reads the page of a server and prints it as tables, every two seconds on a terminal."""

import asyncio
import json
import sys
import time
from collections.abc import Iterator, Mapping
from typing import Any, Final

import aiohttp

from kdns.base.errors import ConfigError
from kdns.base.objects import NodeChange, address_text
from kdns.cli.output import write
from kdns.watch.follower import read_once
from kdns.watch.open_source import build_source
from kdns.watch.source import Want

INTERVAL: Final = 2.0
"""Seconds between two looks."""
PATIENCE: Final = aiohttp.ClientTimeout(total=5)
PAGE_LIMIT: Final = 4 << 20
"""Octets: far above what the bounded sketches and the ring can say."""
ROWS: Final = 10
FAILURES: Final = 10
TITLES: Final = {
    "namespace": "Namespaces", "pod": "Pods", "name": "names", "rcode": "response codes", "upstream": "upstreams",
    "wasted": "Pods with questions for names that do not exist (search lists)",
}  # fmt: skip
HINT: Final = "its Corefile needs the plugin top; kubectl port-forward reaches a Pod's loopback"
CLEAR: Final = "\x1b[H\x1b[2J"


async def show(url: str, *, node: str, source: str, window: str, form: str, once: bool) -> int:
    """Print the page at ``url``, or of a node; the exit status. Raises ConfigError if it cannot be read."""
    if node:
        url = f"http://{await _address_of(node, source)}:9154/top"
    repeat = form == "text" and sys.stdout.isatty() and not once
    async with aiohttp.ClientSession(timeout=PATIENCE) as session:
        while True:
            page = await _read(session, url)
            if form != "text":
                write(page, form, sys.stdout)
                return 0
            try:
                text = "\n".join(lines(page, window, time.time())) + "\n"
            except (LookupError, TypeError, ValueError) as error:
                raise ConfigError(f"{url}: this is not the page of a server of this version", hint=HINT) from error
            sys.stdout.write(CLEAR * repeat + text)
            sys.stdout.flush()
            if not repeat:
                return 0
            await asyncio.sleep(INTERVAL)


async def _read(session: aiohttp.ClientSession, url: str) -> Mapping[str, Any]:
    try:
        async with session.get(url) as response:
            if response.status != 200:
                raise ConfigError(f"{url}: HTTP status {response.status}", hint=HINT)
            body = await response.content.read(PAGE_LIMIT + 1)
            while chunk := await response.content.read(PAGE_LIMIT):
                body += chunk
                if len(body) > PAGE_LIMIT:
                    raise ConfigError(f"{url}: more than {PAGE_LIMIT >> 20} MiB")
            page: Mapping[str, Any] = json.loads(body)
            return page
    except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
        raise ConfigError(f"cannot read {url}: {str(error) or type(error).__name__}", hint=HINT) from error


async def _address_of(node: str, source_text: str) -> str:
    addresses: list[bytes] = []

    class Consumer:
        synced = False

        def apply(self, change: object, now: int) -> None:
            if isinstance(change, NodeChange) and change.after is not None:
                addresses.extend(change.after.addresses)

    source = await build_source(source_text)
    try:
        await read_once(source, [Want("Node", field_selector=f"metadata.name={node}")], Consumer())
    finally:
        await source.close()
    if not addresses:
        raise ConfigError(f"no Node {node!r}, or it has no InternalIP")
    text = address_text(addresses[0])
    return f"[{text}]" if ":" in text else text


def lines(page: Mapping[str, Any], window: str, now: float) -> Iterator[str]:
    """The page as text, 100 columns at most."""
    kinds = page["windows"][window]
    total = kinds["name"]["total"]
    sampled = f", one of {page['sampled']} counted" if page["sampled"] > 1 else ""
    yield f"{total:,} questions in the last {window}{sampled}"
    for kind, title in TITLES.items():
        counted = kinds[kind]["top"][:ROWS]
        if counted:
            yield ""
            yield f"{title}:"
            yield from (
                _row(counter["key"], counter["questions"], counter["error"], kinds[kind]["total"])
                for counter in counted
            )
    failures = page["failures"][-FAILURES:]
    if failures:
        yield ""
        yield "last failures:"
    for failure in reversed(failures):
        who = (
            f"{failure['namespace']}/{failure['pod']}" if failure["namespace"] else failure["pod"] or failure["client"]
        )
        why = f": {failure['why']}" if failure["why"] else ""
        seconds = f" after {failure['seconds']:.1f} s" if failure["seconds"] >= 0.1 else ""
        ago = max(0, int(now - failure["at"]))
        asked = f"{failure['rcode']}  {failure['name']} {failure['rtype']}" if failure["name"] else "refused"
        yield f"  {ago:>5} s ago  {asked}  {who}{seconds}{why}"[:100]


def _row(key: str, questions: int, error: int, total: int) -> str:
    share = f"{100 * questions / total:.0f} %" if total else ""
    about = f" (at most {error:,} too many)" if error else ""
    return f"  {questions:>10,}  {share:>5}  {key[:60]}{about}"
