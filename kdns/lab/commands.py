"""``kdns lab up``, ``exec``, ``status`` and ``down``.

``up`` starts a keeper (see `kdns.lab.keeper`), waits until the lab is ready, and leaves.
"""

import argparse
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from kdns.base.errors import ConfigError
from kdns.lab import labs, naming
from kdns.lab.folder import tell_folder
from kdns.lab.kind import Kind
from kdns.lab.status import status
from kdns.lab.tools import KDNS, PROGRAMS, READY, require
from kdns.ops.progress import Waiting

if TYPE_CHECKING:
    from kdns.lab.pages import Site

DEFAULT: Final = "kdns"
"""A lab's default name."""


def run(arguments: argparse.Namespace, site: "Site") -> int:
    """An action of the command line, see `kdns.lab.flags`; its exit status. ``site`` makes the status pages."""
    match arguments.action:
        case "exec":
            return execute(arguments.name, arguments.part, arguments.words)
        case "status":
            return status(arguments.name, arguments.output)
        case "down":
            return down(arguments.name)
        case "run":
            from kdns.lab.keeper import walk  # noqa: PLC0415 - as below

            return walk(arguments.name or DEFAULT, _kind(arguments), arguments.steps, arguments.status, site)
        case "keep":
            from kdns.lab.keeper import keep  # noqa: PLC0415 - it imports half of kdns; the others are quick

            return keep(arguments.name or DEFAULT, _kind(arguments), arguments.status, site)
        case _:
            return up(arguments.name or DEFAULT, _kind(arguments), arguments.status)


def _kind(arguments: argparse.Namespace) -> Kind:
    return Kind(arguments.mode, arguments.layout, arguments.folder)


def up(name: str, kind: Kind, status_at: str) -> int:
    """Make a lab that stays, with status pages at an address if there is one. ConfigError if one of that name is up,
    or it does not get ready."""
    require(("ip", "openssl", *PROGRAMS[kind.mode]))
    for gone in labs.remove_leftovers():
        print(f"removed what was left of lab {gone}")
    if any(lab.name == name and lab.alive for lab in labs.labs()):
        raise ConfigError(f"lab {name} is up already", hint="kdns lab down ends it; --name makes another one")
    tell_folder(kind.folder)
    began = time.monotonic()
    with Waiting(f"making lab {name}"):
        said, status = _start_keeper(name, kind, status_at)
    word, _, pages = said.strip().partition(" ")
    if word != READY:
        raise ConfigError(said.strip() or f"the keeper of the lab ended with {status}")
    print(f"lab {name} is ready, after {time.monotonic() - began:.1f} s; try:")
    which = "" if name == DEFAULT else f" --name {shlex.quote(name)}"
    print(f"  kdns lab status{which}")
    if asked := _to_ask(name, kind):
        print(f"  kdns lab exec{which} {asked}")
    print(f"  kdns lab down{which}")
    if pages:
        print(f"see it in a browser: {pages}")
    return 0


def _start_keeper(name: str, kind: Kind, status_at: str) -> tuple[str, int | None]:
    """Start what keeps the lab; what it printed, and its exit status if it has ended. Ctrl-C ends it, too."""
    keeper = subprocess.Popen(
        (*KDNS, "lab", "keep", "--name", name, *kind.flags, f"--status={status_at}"),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        start_new_session=True,
        text=True,
    )
    try:
        assert keeper.stdout is not None
        said = keeper.stdout.read()
        return said, keeper.wait() if not said.startswith(READY) else None
    except BaseException:
        print("\nending the lab", file=sys.stderr)
        keeper.terminate()
        keeper.wait()
        raise


def _to_ask(name: str, kind: Kind) -> str:
    """A part and a command that work in this lab: a Pod that asks for a Service; empty if it has no such Pod."""
    if not kind.folder:
        return "busybox -- busybox nslookup hostnames.default"
    if kind.mode == "none":
        return ""
    lab = labs.find(name)
    pods = [pod for pod in labs.ask_api(lab, "/api/v1/pods")["items"] if not pod["spec"].get("hostNetwork")]
    pods.sort(key=lambda pod: (pod["metadata"]["namespace"] == "kube-system", pod["metadata"]["name"]))
    services = labs.ask_api(lab, "/api/v1/services")["items"]
    services.sort(key=lambda service: service["metadata"]["namespace"] in ("kube-system", "default"))
    plain = [body["metadata"] for body in services if body["spec"].get("clusterIP") not in (None, "", "None")]
    known = [metadata for metadata in plain if (metadata["namespace"], metadata["name"]) != ("default", "kubernetes")]
    if not pods or not known:
        return ""
    asked = next((metadata for metadata in known if metadata["namespace"] != "kube-system"), known[0])
    where = naming.part_of(pods[0], lab.parts)
    return f"{where} -- getent hosts {asked['name']}.{asked['namespace']}.svc.cluster.local"


def execute(name: str, part: str, command: Sequence[str]) -> int:
    """Run a command in a part; its exit status."""
    require()
    if not command:
        raise ConfigError(f"say what to run in {part}: kdns lab exec PART -- COMMAND", hint="such as sh")
    lab = labs.find(name)
    pods = labs.ask_api(lab, "/api/v1/pods")["items"] if "/" in part else ()
    try:
        return labs.execute(lab, naming.find_part(lab.name, part, lab.parts, pods), command)
    except labs.NoProgram as error:
        print(f"kdns: {error}", file=sys.stderr)
        return 127


def down(name: str) -> int:
    """End a lab, or the only one; remove what is left of those whose process is gone."""
    require()
    gone = labs.remove_leftovers()
    for removed in gone:
        print(f"removed what was left of lab {removed}")
    if gone and (name in gone or not any(other.kept for other in labs.labs())):
        return 0
    lab = labs.find(name)
    labs.end(lab)
    shutil.rmtree(lab.folder, ignore_errors=True)
    print(f"lab {lab.name} is down")
    return 0
