"""The labs of this machine, as other processes find them: a folder with a state file for each.

The folder is in the temporary folder of the machine, for root alone. It names the process that keeps the lab, and
which of that process's open files are whose namespaces. A folder whose process is gone is a leftover: nothing else can
be left of a lab.
"""

import http.client
import json
import os
import shutil
import signal
import ssl
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from kdns.base.errors import ConfigError
from kdns.lab import namespaces as kernel
from kdns.lab.plan import Plan
from kdns.lab.processes import Part, Processes

STATE: Final = "state.json"
PATTERN: Final = f"kdns-*-lab-*/{STATE}"
PATIENCE: Final = 20.0
"""Seconds that a lab gets to end."""


class Found(NamedTuple):
    """A lab by its state file."""

    name: str
    folder: Path
    pid: int
    """The process that keeps it."""
    started: int
    """When that process started, in clock ticks since boot, so that another one with its number is not taken for it."""
    first: int
    parts: Mapping[str, tuple[int, int, int]]
    """Open files of the keeper: network, mounts and host name of each part."""
    kept: bool
    """It was made by ``kdns lab up``, and not by a test or another program for itself."""
    pages: str
    """The URL of its status pages; empty: there are none."""

    @property
    def alive(self) -> bool:
        """Whether its keeper lives."""
        return _started(self.pid) == self.started

    def open(self, part: str) -> Part:
        """Open a part's namespaces. ConfigError if there is none of that name."""
        if part not in self.parts:
            raise ConfigError(f"lab {self.name} has no {part!r}", hint=f"it has: {', '.join(sorted(self.parts))}")
        files = (os.open(f"/proc/{self.pid}/fd/{number}", os.O_RDONLY | os.O_CLOEXEC) for number in self.parts[part])
        return Part(part, *files)


def write_state(
    folder: Path, name: str, processes: Processes, parts: Mapping[str, Part], kept: bool, pages: str
) -> None:
    """Write the state file of a lab of this process; it is whole at every moment."""
    state = {
        "name": name,
        "pid": os.getpid(),
        "started": _started(os.getpid()),
        "first": processes.first,
        "parts": {part.name: (part.network, part.mounts, part.names) for part in parts.values()},
        "kept": kept,
        "pages": pages,
    }
    new = folder / f"{STATE}.new"
    new.write_text(json.dumps(state))
    new.replace(folder / STATE)


def labs() -> list[Found]:
    """Every lab that has a state file, alive or not, in the order of names."""
    kept = []
    for path in Path(tempfile.gettempdir()).glob(PATTERN):
        try:
            if path.stat().st_uid != os.geteuid():
                continue  # a name from a file must not lead us anywhere
            state = json.loads(path.read_text())
        except FileNotFoundError:
            continue  # it has just ended
        parts = {name: (files[0], files[1], files[2]) for name, files in state["parts"].items()}
        kept.append(
            Found(
                state["name"],
                path.parent,
                state["pid"],
                state["started"],
                state["first"],
                parts,
                bool(state["kept"]),
                state.get("pages", ""),
            )
        )
    return sorted(kept)


def find(name: str = "") -> Found:
    """The living lab of a name, or the only one that `up` made. ConfigError if there is none, or more than one."""
    living = [lab for lab in labs() if lab.alive and (lab.name == name if name else lab.kept)]
    if len(living) == 1:
        return living[0]
    if living:
        raise ConfigError("there are several labs", hint=f"say --name: {', '.join(other.name for other in living)}")
    what = f"no lab called {name!r} is up" if name else "no lab is up"
    raise ConfigError(what, hint="kdns lab up makes one")


def remove_leftovers() -> list[str]:
    """Remove the folders of labs whose keeper is gone; their names."""
    gone = [lab for lab in labs() if not lab.alive]
    for lab in gone:
        shutil.rmtree(lab.folder, ignore_errors=True)
    return [lab.name for lab in gone]


def end(lab: Found) -> None:
    """Ask a lab's keeper to end it, and wait. ConfigError if it does not."""
    os.kill(lab.pid, signal.SIGTERM)
    until = time.monotonic() + PATIENCE
    while lab.alive:
        if time.monotonic() > until:
            raise ConfigError(f"lab {lab.name} does not end", hint=f"its process is {lab.pid}: kill -9 ends it all")
        time.sleep(0.02)


class NoProgram(ConfigError):
    """There is no such program: exit status 127, as a shell has it."""


def execute(lab: Found, part: str, argv: Sequence[str]) -> int:
    """Run a command in a part, with this process's input and output; its exit status. For a process of one thread.

    It is a process of the lab, and ends with it.
    """
    opened = lab.open(part)
    processes = os.open(f"/proc/{lab.first}/ns/pid", os.O_RDONLY | os.O_CLOEXEC)
    kernel.enter(opened.network, kernel.NEW_NETWORK)
    kernel.enter(opened.names, kernel.NEW_NAMES)
    kernel.enter(processes, kernel.NEW_PROCESSES)
    kernel.enter(opened.mounts, kernel.NEW_MOUNTS)
    try:
        with subprocess.Popen(argv, cwd="/") as child:
            while True:
                try:
                    status = child.wait()
                    break
                except KeyboardInterrupt:
                    continue  # the child has got it, too, and decides
    except FileNotFoundError as problem:
        raise NoProgram(f"no program {argv[0]!r} on this machine") from problem
    return status if status >= 0 else 128 - status


def ask_api(lab: Found, path: str) -> Any:
    """What a lab's API server says about a path, parsed. ConfigError if it says anything but 200."""
    config = json.loads((lab.folder / "kubeconfig").read_text())
    cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
    tls = ssl.create_default_context(cafile=cluster["certificate-authority"])
    host, _, port = cluster["server"].removeprefix("https://").rpartition(":")
    opened = lab.open(Plan().nodes[0].name)
    asking = http.client.HTTPSConnection(host, int(port), context=tls, timeout=5)
    with kernel.inside(opened.network):
        asking.connect()
    try:
        asking.request("GET", path, headers={"Authorization": f"Bearer {user['token']}"})
        answer = asking.getresponse()
        text = answer.read()
    finally:
        asking.close()
    if answer.status != 200:
        raise ConfigError(f"the API server of lab {lab.name} answered {answer.status}: {text.decode()[:200]}")
    return json.loads(text)


def _started(pid: int) -> int:
    """When a process started, see proc(5) `stat`; 0 if there is none, or nothing of it is left but its status."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return 0 if fields[0] == "Z" else int(fields[19])
