"""Settings of the kernel that the proxy asks for once, at its start: sysctls, and the OOM score of this process.

What cannot be written (a Pod without privileges has /proc/sys read-only) is a warning with what it means, never an
error: the rules work without, and ``kdns proxy --init-only`` in an init container that may do it has done it already.
"""

import errno
import logging
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

from kdns.base.errors import KernelError
from kdns.config.kubeproxy.settings import ConntrackSettings
from kdns.kernel.run import Runner, run

LOG: Final = logging.getLogger("kdns.proxy.sysctl")
ROOT: Final = Path("/")
"""Where proc and sys are."""
CONNTRACK: Final = "net/netfilter/nf_conntrack_"
HASHSIZE: Final = "sys/module/nf_conntrack/parameters/hashsize"
ONLINE: Final = "sys/devices/system/cpu/online"
MOST_FLOWS: Final = 1_048_576
"""However many CPUs there are: the table takes memory that nothing else can use."""
ROUTE_LOCALNET: Final = "net/ipv4/conf/all/route_localnet"


class Setting(NamedTuple):
    """A file below the root, and what it should say."""

    path: str
    value: int
    at_least: bool = False
    """A larger value is left alone."""


def ensure(name: str, value: int, root: Path = ROOT) -> str:
    """Have a sysctl say this; ``name`` is its path below /proc/sys. What went wrong, empty if nothing did."""
    return put(Setting(f"proc/sys/{name}", value), root)


def put(setting: Setting, root: Path = ROOT) -> str:
    """Write a setting unless it is so already; what went wrong, which is logged, too; empty if nothing did."""
    file = root / setting.path
    shown = _shown(setting.path)
    try:
        before = file.read_text().strip()
        now = _number(before)
        if now == setting.value or (setting.at_least and now is not None and now > setting.value):
            return ""
        file.write_text(str(setting.value))
    except OSError as error:
        problem = f"cannot set {shown} to {setting.value}: {_reason(error, setting.path)}"
        LOG.warning("%s", problem)
        return problem
    LOG.info("%s is %d now, it was %s", shown, setting.value, before)
    return ""


def read(name: str, root: Path = ROOT) -> int | None:
    """A sysctl's number; None if it is not there, or no number."""
    try:
        return _number((root / "proc/sys" / name).read_text().strip())
    except OSError:
        return None


async def load_conntrack(run: Runner = run, root: Path = ROOT) -> None:
    """Have the kernel track flows, so that its settings are there: it begins with the first rule that asks for it, and
    `kdns proxy --init-only` comes before all rules. What went wrong is logged."""
    if (root / f"proc/sys/{CONNTRACK}max").exists():
        return
    try:
        await run(("modprobe", "nf_conntrack"))
    except KernelError as error:
        LOG.warning("connection tracking cannot be begun: %s", error)


def apply_conntrack(settings: ConntrackSettings, root: Path = ROOT) -> tuple[str, ...]:
    """Set up connection tracking as the settings ask; what went wrong, a line each, for an Event of our Node."""
    return tuple(filter(None, (put(setting, root) for setting in conntrack(settings, online_cpus(root)))))


def conntrack(settings: ConntrackSettings, cpus: int) -> Iterator[Setting]:
    """What the settings come to on a node with so many CPUs; 0 leaves what is there."""
    if settings.max_per_core:
        most = min(max(settings.max_per_core * cpus, settings.min), max(MOST_FLOWS, settings.min))
        yield Setting(f"proc/sys/{CONNTRACK}max", most, at_least=True)
        yield Setting(HASHSIZE, most // 4, at_least=True)
    for name, seconds in (
        ("tcp_timeout_established", settings.tcp_established_timeout),
        ("tcp_timeout_close_wait", settings.tcp_close_wait_timeout),
        ("udp_timeout", settings.udp_timeout),
        ("udp_timeout_stream", settings.udp_stream_timeout),
    ):
        if seconds > 0:
            yield Setting(f"proc/sys/{CONNTRACK}{name}", max(1, int(seconds)))
    if settings.tcp_be_liberal:
        yield Setting(f"proc/sys/{CONNTRACK}tcp_be_liberal", 1)


def online_cpus(root: Path = ROOT) -> int:
    """How many CPUs the node has: flows are the node's, whichever of them this process may use."""
    try:
        text = (root / ONLINE).read_text().strip()
    except OSError as error:
        LOG.warning("the number of CPUs is not known, taken for one: %s", error)
        return 1
    ranges = re.findall(r"([0-9]+)(?:-([0-9]+))?", text)
    return max(1, sum(int(last or first) - int(first) + 1 for first, last in ranges))


def liberal(root: Path = ROOT) -> bool:
    """The kernel does not call packets out of window INVALID, so none need be dropped for it."""
    return bool(read(f"{CONNTRACK}tcp_be_liberal", root))


def route_localnet(root: Path = ROOT) -> str:
    """Let node ports on 127.0.0.1 work; only together with the rule that keeps others from reaching loopback."""
    return ensure(ROUTE_LOCALNET, 1, root)


def set_oom_score(value: int, root: Path = ROOT) -> str:
    """How likely the kernel is to end this process when memory is short, -1000 to 1000; of this process alone."""
    return put(Setting("proc/self/oom_score_adj", value), root)


def _shown(path: str) -> str:
    if path.startswith("proc/sys/"):
        return path.removeprefix("proc/sys/").replace("/", ".")
    return f"/{path}"


def _number(text: str) -> int | None:
    return int(text) if re.fullmatch(r"-?[0-9]{1,18}", text) else None


def _reason(error: OSError, path: str) -> str:
    match error.errno:
        case errno.EROFS | errno.EACCES | errno.EPERM if path.startswith("proc/self/"):  # no init container's business
            return "it takes the capability SYS_RESOURCE; the value stays as it is"
        case errno.EROFS:
            return "it is read-only here; run kdns proxy --init-only with privileges, or set it on the node"
        case errno.EACCES | errno.EPERM:
            return "not allowed; run kdns proxy --init-only with privileges, or set it on the node"
        case errno.ENOENT:
            return "the kernel does not have it; is its module loaded?"
        case _:
            return error.strerror or str(error)
