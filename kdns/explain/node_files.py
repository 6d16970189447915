"""What the node has where this runs: each tool's output as a file of the evidence. The edge.

Every tool has a time limit; of one that fails, the error is the file. Nothing is changed on the node.
"""

import asyncio
import os
import re
from asyncio.subprocess import PIPE
from collections.abc import Awaitable, Callable, Collection, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple, Protocol

import aiohttp

from kdns.explain.bundle import Raw

PATIENCE: Final = 20.0
"""Seconds that a tool may take; `iptables-save` of 300,000 rules takes a few."""
OUTPUT_LIMIT: Final = 200 << 20
"""Octets of one file."""
PAGE_LIMIT: Final = 16 << 20
"""Octets of a page of the proxy."""
PAGE_PATIENCE: Final = 5.0
FLOWS_WHOLE: Final = 100_000
"""Flows that are all kept; of a larger table only those of the cluster's own addresses and of port 53."""
FLOWS_LIMIT: Final = 100_000
"""Flows kept of a larger table."""
DNS_PORT: Final = re.compile(rb"[sd]port=53(?!\d)")
ADDRESS: Final = re.compile(rb"(?:src|dst)=(\S+)")
ADMINISTRATORS: Final = ("/usr/sbin", "/sbin", "/usr/local/sbin")
"""Where such tools are, and where the PATH of many users does not look."""


class Tool(NamedTuple):
    """A file of the evidence, and the commands that make it: the first one that is installed."""

    file: str
    commands: Sequence[Sequence[str]]


TOOLS: Final = (
    Tool("iptables-save.txt", (("iptables-save", "-c"),)),
    Tool("ip6tables-save.txt", (("ip6tables-save", "-c"),)),
    Tool("iptables-legacy-save.txt", (("iptables-legacy-save", "-c"),)),
    Tool("ip6tables-legacy-save.txt", (("ip6tables-legacy-save", "-c"),)),
    Tool("nft.txt", (("nft", "list", "ruleset"),)),
    Tool("ipset.txt", (("ipset", "save"),)),
    Tool("ipvsadm.txt", (("ipvsadm", "-Ln"), ("ipvsadm-save", "-n"))),
    Tool("conntrack-stats.txt", (("conntrack", "-S"),)),
    Tool("sysctl.txt", (("sysctl", "-a"),)),
    Tool("addresses.txt", (("ip", "-o", "addr"),)),
    Tool("routes.txt", (("ip", "route", "show", "table", "all"),)),
)
SYSCTLS: Final = "sysctl.txt"
NOT_INSTALLED: Final = "not-installed.txt"
"""Names the tools that this node does not have; their files are not there."""
PAGES: Final = (
    ("proxy-mode.txt", "http://127.0.0.1:10249/proxyMode"),
    ("proxy-healthz.txt", "http://127.0.0.1:10256/healthz"),
    ("proxy-metrics.txt", "http://127.0.0.1:10249/metrics"),
)

Keep = Callable[[bytes], bool]
"""True for lines that are kept."""


class Run(Protocol):
    """Runs a tool; see `run_bounded`."""

    async def __call__(self, argv: Sequence[str], keep: Keep | None = None) -> bytes:
        """What it prints."""
        ...


class NotInstalled(Exception):
    """There is no such tool."""


async def collect_node(
    node: str,
    addresses: Collection[str] = (),
    *,
    root: str = "/",
    run: Run | None = None,
    get: Callable[[str], Awaitable[bytes]] | None = None,
) -> list[Raw]:
    """The files of this node. ``addresses``: of Services, whose flows are kept of a large table.

    ``root``: where the node's own files are, as a Pod may have mounted them. ``run`` runs a tool, as `run_bounded`
    does; ``get`` reads a page.
    """
    run = run or run_bounded
    missing: list[str] = []
    made = [_tool(tool, run, missing) for tool in TOOLS]
    made += [_page(name, url, get or _get) for name, url in PAGES]
    files = [file for file in await asyncio.gather(*made, _flows(addresses, run)) if file is not None]
    files.append(("resolv.conf", await asyncio.to_thread(_resolv_conf, root)))
    if missing:
        files.append((NOT_INSTALLED, "".join(f"{name} is not installed\n" for name in sorted(missing)).encode()))
    return [Raw(f"node/{node}/{name}", data) for name, data in files]


async def _tool(tool: Tool, run: Run, missing: list[str]) -> tuple[str, bytes] | None:
    """The file of a tool; None where none of its commands is installed."""
    problem = ""
    for argv in tool.commands:
        try:
            data = await run(argv)
        except NotInstalled:
            if tool.file == SYSCTLS:
                return tool.file, await asyncio.to_thread(proc_sysctls)
            continue
        except (OSError, TimeoutError) as error:
            problem = str(error)
        else:  # an empty file would say that something went wrong, and no rules at all are evidence
            return tool.file, data or f"# {' '.join(argv)} printed nothing\n".encode()
    if problem:
        return tool.file, f"error: {problem}\n".encode()
    missing.append(tool.commands[0][0])
    return None


def proc_sysctls(root: Path = Path("/proc/sys")) -> bytes:
    """Where the tool is not installed: the network's settings, read one by one."""
    lines = []
    for path in sorted((root / "net").rglob("*")):
        with suppress(OSError):  # some can only be written, and some are gone by now
            text = path.read_text(errors="replace") if path.is_file() else ""
            name = path.relative_to(root).as_posix().replace("/", ".")
            lines += [f"{name} = {line.strip()}\n" for line in text.splitlines()[:1]]
    return "".join(lines).encode()


async def _flows(addresses: Collection[str], run: Run) -> tuple[str, bytes]:
    """``conntrack -L``; of a large table the flows that may concern the cluster."""
    argv = ("conntrack", "-L", "-o", "extended")
    wanted = {address.encode() for address in addresses}
    count = await asyncio.to_thread(flow_count)
    keep = None if count is not None and count <= FLOWS_WHOLE else concerns(wanted)
    try:
        data = await run(argv, keep)
    except NotInstalled:
        data = await asyncio.to_thread(_proc_flows, keep)
    except (OSError, TimeoutError) as error:
        data = f"error: {error}\n".encode()
    return "conntrack.txt", data


def concerns(addresses: Collection[bytes]) -> Keep:
    """True for flows of port 53 and for those of the addresses."""

    def keep(line: bytes) -> bool:
        return DNS_PORT.search(line) is not None or any(one in addresses for one in ADDRESS.findall(line))

    return keep


def flow_count() -> int | None:
    """Flows in the table now; None where the kernel does not say."""
    with suppress(OSError, ValueError):
        return int(Path("/proc/sys/net/netfilter/nf_conntrack_count").read_text())
    return None


def _proc_flows(keep: Keep | None) -> bytes:
    """Where the tool is not installed: /proc/net/nf_conntrack, which has the same form."""
    kept: list[bytes] = []
    try:
        with Path("/proc/net/nf_conntrack").open("rb") as lines:
            for line in lines:
                if (keep is None or keep(line)) and len(kept) < FLOWS_LIMIT:
                    kept.append(line)
    except OSError as error:
        return f"error: conntrack is not installed, and /proc/net/nf_conntrack: {error.strerror}\n".encode()
    return b"".join(kept)


async def run_bounded(argv: Sequence[str], keep: Keep | None = None, patience: float = PATIENCE) -> bytes:
    """What a tool prints, or the lines of it that are to be kept. Raises NotInstalled, OSError or TimeoutError."""
    path = os.pathsep.join((os.environ.get("PATH", ""), *ADMINISTRATORS))
    environ = {**os.environ, "PATH": path, "LC_ALL": "C"}
    try:
        process = await asyncio.create_subprocess_exec(
            *argv, stdin=asyncio.subprocess.DEVNULL, stdout=PIPE, stderr=PIPE, env=environ, limit=1 << 20
        )
    except FileNotFoundError as error:
        raise NotInstalled(argv[0]) from error
    assert process.stdout is not None
    assert process.stderr is not None
    try:
        async with asyncio.timeout(patience):
            read = _lines(process.stdout, keep) if keep else _whole(process.stdout)
            data, errors = await asyncio.gather(read, process.stderr.read(1 << 16))
            status = await process.wait()
    except TimeoutError:
        raise TimeoutError(f"{' '.join(argv)} took more than {patience:g} s") from None
    finally:
        if process.returncode is None:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()
    if status and not data:
        text = errors.decode(errors="replace").strip() or f"exit status {status}"
        raise OSError(f"{' '.join(argv)}: {text}")
    return data


async def _whole(stream: asyncio.StreamReader) -> bytes:
    pieces, size = [], 0
    while piece := await stream.read(1 << 18):
        size += len(piece)
        if size > OUTPUT_LIMIT:
            raise OSError(f"more than {OUTPUT_LIMIT >> 20} MiB of output")
        pieces.append(piece)
    return b"".join(pieces)


async def _lines(stream: asyncio.StreamReader, keep: Keep) -> bytes:
    kept: list[bytes] = []
    async for line in stream:
        if len(kept) < FLOWS_LIMIT and keep(line):
            kept.append(line)
    return b"".join(kept)


async def _page(name: str, url: str, get: Callable[[str], Awaitable[bytes]]) -> tuple[str, bytes]:
    try:
        return name, await get(url)
    except (OSError, aiohttp.ClientError, TimeoutError) as error:
        return name, f"error: {url}: {error or type(error).__name__}\n".encode()


async def _get(url: str) -> bytes:
    timeout = aiohttp.ClientTimeout(total=PAGE_PATIENCE)
    async with aiohttp.ClientSession(timeout=timeout) as session, session.get(url) as response:
        return await response.content.read(PAGE_LIMIT)


def _resolv_conf(root: str) -> bytes:
    """The node's own; of a node with systemd-resolved the one with its upstreams, which the kubelet is given."""
    try:
        return (Path(root) / "etc/resolv.conf").read_bytes()[:PAGE_LIMIT]
    except OSError as error:
        return f"error: {error}\n".encode()
