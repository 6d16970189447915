"""``kdns lab up``, ``exec``, ``status`` and ``down``.

``up`` starts a keeper (see `kdns.lab.keeper`), waits until the lab is ready, and leaves.
"""

import argparse
import shlex
import shutil
import subprocess
import time
from collections.abc import Sequence
from typing import Final

from rich.console import Console
from rich.table import Table

from kdns.base.errors import ConfigError
from kdns.lab import labs
from kdns.lab.kind import Kind
from kdns.lab.plan import CLIENT
from kdns.lab.tools import KDNS, PROGRAMS, READY, require
from kdns.lab.workloads import is_ready

DEFAULT: Final = "kdns"
"""A lab's name when nobody says another."""


def run(arguments: argparse.Namespace) -> int:
    """An action of the command line, see `kdns.lab.flags`; its exit status."""
    match arguments.action:
        case "exec":
            return execute(arguments.name, arguments.part, arguments.words)
        case "status":
            return status(arguments.name)
        case "down":
            return down(arguments.name)
        case "run":
            from kdns.lab.keeper import walk  # noqa: PLC0415 - as below

            return walk(arguments.name or DEFAULT, _kind(arguments), arguments.steps)
        case "keep":
            from kdns.lab.keeper import keep  # noqa: PLC0415 - it imports half of kdns; the others are quick

            return keep(arguments.name or DEFAULT, _kind(arguments))
        case _:
            return up(arguments.name or DEFAULT, _kind(arguments))


def _kind(arguments: argparse.Namespace) -> Kind:
    return Kind(arguments.mode, arguments.layout, arguments.folder)


def up(name: str, kind: Kind) -> int:
    """Make a lab that stays. ConfigError if one of that name is up, or it does not get ready."""
    require(("ip", "openssl", *PROGRAMS[kind.mode]))
    for gone in labs.remove_leftovers():
        print(f"removed what was left of lab {gone}")
    if any(one.name == name and one.alive for one in labs.labs()):
        raise ConfigError(f"lab {name} is up already", hint="kdns lab down ends it; --name makes another one")
    began = time.monotonic()
    keeper = subprocess.Popen(
        (*KDNS, "lab", "keep", "--name", name, *kind.flags),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        start_new_session=True,
        text=True,
    )
    try:
        assert keeper.stdout is not None
        said = keeper.stdout.read()
    except BaseException:
        keeper.terminate()
        keeper.wait()
        raise
    if said.strip() != READY:
        keeper.wait()
        raise ConfigError(said.strip() or f"the keeper of the lab ended with {keeper.returncode}")
    print(f"lab {name} is ready, after {time.monotonic() - began:.1f} s; try:")
    which = "" if name == DEFAULT else f" --name {shlex.quote(name)}"
    for action, rest in (("status", ""), ("exec", " busybox -- busybox nslookup hostnames.default"), ("down", "")):
        print(f"  kdns lab {action}{which}{rest}")
    return 0


def execute(name: str, part: str, command: Sequence[str]) -> int:
    """Run a command in a part; its exit status."""
    require()
    if not command:
        raise ConfigError(f"say what to run in {part}: kdns lab exec PART -- COMMAND", hint="such as sh")
    return labs.execute(labs.find(name), part, command)


def status(name: str) -> int:
    """Print the labs, or the Pods and Services of one."""
    require()
    console = Console(highlight=False)
    found = [one for one in labs.labs() if one.kept and (not name or one.name == name)]
    if not found:
        console.print(f"no lab {name or ''} is up".replace("  ", " "))
        return 1
    for one in found:
        if not one.alive:
            console.print(f"lab {one.name}: its process is gone; kdns lab down removes its files")
            continue
        console.print(f"lab {one.name}: process {one.pid}, files in {one.folder}")
        console.print(_pods(one))
        console.print(_services(one))
    return 0


def _table(*columns: str) -> Table:
    """Names are copied from it, so they are broken over lines where it is narrow, and never cut off."""
    table = Table()
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def _pods(found: labs.Found) -> Table:
    table = _table("part", "node", "addresses", "ready")
    for node in labs.ask_api(found, "/api/v1/nodes")["items"]:
        addresses = [each["address"] for each in node["status"]["addresses"] if each["type"] == "InternalIP"]
        table.add_row(node["metadata"]["name"], "", ", ".join(addresses), "")
    table.add_row("outside", "", ", ".join(map(str, CLIENT)), "")
    for pod in sorted(labs.ask_api(found, "/api/v1/pods")["items"], key=lambda pod: str(pod["metadata"]["name"])):
        addresses = [each["ip"] for each in pod["status"].get("podIPs", ())]
        ready = "yes" if is_ready(pod) else "no"
        if "deletionTimestamp" in pod["metadata"]:
            ready = "ends"
        table.add_row(pod["metadata"]["name"], pod["spec"].get("nodeName", ""), ", ".join(addresses), ready)
    return table


def _services(found: labs.Found) -> Table:
    table = _table("service", "addresses", "ports")
    for service in labs.ask_api(found, "/api/v1/services")["items"]:
        metadata, spec = service["metadata"], service["spec"]
        ports = [f"{port['port']}/{port['protocol']}" for port in spec.get("ports") or ()]
        addresses = spec.get("clusterIPs") or [spec.get("externalName", "")]
        table.add_row(f"{metadata['namespace']}/{metadata['name']}", ", ".join(addresses), ", ".join(ports))
    return table


def down(name: str) -> int:
    """End a lab, or the only one; remove what is left of those whose process is gone."""
    require()
    gone = labs.remove_leftovers()
    for one in gone:
        print(f"removed what was left of lab {one}")
    if gone and (name in gone or not any(one.kept for one in labs.labs())):
        return 0
    found = labs.find(name)
    labs.end(found)
    shutil.rmtree(found.folder, ignore_errors=True)
    print(f"lab {found.name} is down")
    return 0
