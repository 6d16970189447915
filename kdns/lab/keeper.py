"""The process behind ``kdns lab up``: it makes a lab, says that it is ready, and holds it until it is asked to end."""

import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from kdns.base.errors import ConfigError
from kdns.lab.cluster import LOOK, Cluster
from kdns.lab.folder import tell_folder
from kdns.lab.kind import Kind
from kdns.lab.pages import Pages, Site
from kdns.lab.standard import make_cluster, wait_until_ready
from kdns.lab.steps import steps_of
from kdns.lab.tools import PROGRAMS, READY, WALKERS, require
from kdns.lab.walk import Walk
from kdns.ops.progress import Waiting

COLOURS: Final = {"=": "1", "✓": "32", "✗": "31", "└": "2"}
"""What lines of the walk begin with: bold, green, red, faint (ECMA-48, select graphic rendition)."""
PATIENCE: Final = 90.0
"""Seconds until a lab must be ready: it takes a few, more on a busy machine."""


def keep(name: str, kind: Kind, status_at: str, site: Site) -> int:
    """Make a lab and hold it until SIGTERM or SIGINT. What `up` reads is on standard output, which is then closed."""
    asked = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: asked.set())
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with make_cluster(kind, name, kept=True) as cluster:
            log = cluster.network.folder / "keeper.log"
            logging.basicConfig(filename=log, level=logging.INFO, format="%(asctime)s %(message)s")
            wait_until_ready(cluster, kind, PATIENCE)
            with pages(cluster, kind, status_at, site) as url:
                print(READY, url, flush=True)
                _leave_terminal(log)
                while not asked.wait(1.0):
                    if cluster.problem is not None:
                        raise cluster.problem
    except ConfigError as problem:
        print(problem, flush=True)
        return 1
    return 0


def walk(name: str, kind: Kind, steps: Sequence[str], status_at: str, site: Site) -> int:
    """Make a lab, walk through it, and end it; 1 if a check did not hold. ConfigError for an unknown step.

    With an address for status pages they are served meanwhile, and the lab ends when a signal comes.
    """
    known = steps_of(kind.layout)
    if unknown := [step for step in steps if step not in known]:
        raise ConfigError(f"unknown step {unknown[0]!r}", hint=f"there are {', '.join(known)}")
    require(("ip", "openssl", *WALKERS, *PROGRAMS[kind.mode]))
    tell_folder(kind.folder)
    began = time.monotonic()
    leaving, tell = _Leaving(), _Screen()
    waiting = Waiting(f"making lab {name}")
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, leaving)
    with waiting, make_cluster(kind, name) as cluster:
        leaving.allow()
        wait_until_ready(cluster, kind, PATIENCE)
        waiting.end()
        tell(f"The lab is ready, after {time.monotonic() - began:.1f} s; {kind}.")
        with pages(cluster, kind, status_at, site) as url:
            if url:
                tell(f"See it in a browser: {url}")
            walking = Walk(cluster, kind, tell)
            for step in steps or known:
                known[step](walking)
            _sum_up(walking, tell)
            if url:
                tell(f"\nThe lab stays until Ctrl-C. See it in a browser: {url}")
                leaving.wait(cluster)
    return 1 if walking.failed else 0


def _sum_up(walking: Walk, tell: Callable[[str], None]) -> None:
    tell(f"\n{walking.passed} checks held, {len(walking.failed)} did not")
    for failed in walking.failed:
        tell(f"  ✗ {failed}")


@contextmanager
def pages(cluster: Cluster, kind: Kind, address: str, site: Site) -> Iterator[str]:
    """The lab's status pages at an address: the URL of the first one, empty without an address."""
    if not address:
        yield ""
        return
    served = Pages(cluster, kind, address, site)
    try:
        cluster.network.tell_pages(served.url)
        yield served.url
    finally:
        served.close()


class _Screen:
    """Prints lines, at once; on a terminal with colours, unless NO_COLOR is set (no-color.org)."""

    def __init__(self) -> None:
        self._colours = sys.stdout.isatty() and not os.environ.get("NO_COLOR")

    def __call__(self, line: str) -> None:
        begins = line.lstrip()[:1]
        if self._colours and begins in COLOURS:
            line = f"\x1b[{COLOURS[begins]}m{line}\x1b[0m"
        print(line, flush=True)


class _Leaving:
    """A signal handler. A lab that is being made, or ended, is not interrupted: half of one is hard to end."""

    def __init__(self) -> None:
        self._number = 0
        """The signal that came first."""
        self._allowed = False

    def __call__(self, number: int, _: object) -> None:
        self._number = self._number or number
        self._obey()

    def allow(self) -> None:
        """From now on signals are obeyed, also one that has come already; once."""
        self._allowed = True
        self._obey()

    def wait(self, cluster: Cluster) -> None:
        """Until a signal comes, which then ends nothing by itself. Raises what has ended the lab's own thread."""
        self._allowed = False
        while not self._number:
            time.sleep(LOOK)
            if cluster.problem is not None:
                raise cluster.problem

    def _obey(self) -> None:
        if self._allowed and self._number:
            self._allowed = False
            raise SystemExit(128 + self._number)


def _leave_terminal(log: Path) -> None:
    """What a keeper prints goes to its log."""
    with log.open("ab") as file, Path(os.devnull).open("rb") as nothing:
        sys.stdout.flush()
        os.dup2(nothing.fileno(), 0)
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
