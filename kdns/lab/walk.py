"""The walk-through of a lab: it says what it does, shows commands with their real output, and checks what came.

A step is a function of a `Walk`; see `kdns.lab.steps`. Who runs a step by hand sees the same as who runs them all.
"""

import asyncio
import shlex
import time
from collections.abc import Callable, Coroutine, Iterable
from textwrap import wrap
from typing import Any, Final, TypeVar

from kdns.lab.asking import Arrived, Outcome, Refused, Silence, Unreachable
from kdns.lab.cluster import Cluster
from kdns.lab.kind import Kind

PATIENCE: Final = 15.0
"""Seconds that a change may take to show: rules are written at most once a second, on a busy machine later."""
LOOKS: Final = 4
"""How often something is looked at in any case, before it counts as missing."""
WIDTH: Final = 100
"""Columns of a terminal that are used."""
LINES: Final = 24
"""Lines of output that are shown of a command."""
T = TypeVar("T")


class Walk:
    """One walk through a cluster; ``tell`` gets each line, ``patience`` is in seconds."""

    def __init__(self, cluster: Cluster, kind: Kind, tell: Callable[[str], None], patience: float = PATIENCE) -> None:
        self.cluster, self.kind, self._patience = cluster, kind, patience
        self.passed = 0
        self.failed: list[str] = []
        """The checks that did not hold, with what came instead."""
        self._tell = tell

    def title(self, text: str) -> None:
        """Begin a step."""
        self._tell("")
        self._tell(f"== {text}")

    def say(self, *lines: str) -> None:
        """Some lines for people."""
        self._tell("")
        for line in lines:
            self._tell(line)

    def run(self, part: str, command: str, keep: Callable[[str], bool] = lambda line: True) -> str:
        """Run a command in a part and show what it prints, the lines that ``keep`` picks; all of it is returned.

        One with a pipe or several commands is a shell's.
        """
        self._wrapped(f"{part}$ {command}", "  ")
        done = self.cluster.network.run(
            part, ["sh", "-c", command] if set("|;") & set(command) else shlex.split(command)
        )
        output = done.stdout + done.stderr
        lines = [line for line in output.splitlines() if line.strip() and keep(line)]
        for line in lines[:LINES]:
            self._wrapped(line.expandtabs(4), "    ")
        if len(lines) > LINES:
            self._tell(f"    ... and {len(lines) - LINES} more lines")
        return output

    def lines(self, part: str, command: str, keep: Callable[[str], bool]) -> list[str]:
        """Run a command, and give those lines of what it prints that ``keep`` picks, for `explain`."""
        return [
            line.strip().rstrip(",}").strip()
            for line in self.run(part, command, lambda _: False).splitlines()
            if keep(line)
        ]

    def explain(self, lines: Iterable[str], meaning: Callable[[str], str]) -> None:
        """Show lines of output, and below each what it means."""
        for line in lines:
            self._wrapped(line, "    ")
            if text := meaning(line):
                self._wrapped(f"└ {text}", "      ")

    def _wrapped(self, line: str, indent: str) -> None:
        room = WIDTH - len(indent)
        for part in wrap(line, room, subsequent_indent="  ", break_on_hyphens=False, replace_whitespace=False) or [""]:
            self._tell(indent + part)

    def check(self, what: str, holds: bool, got: object = "") -> bool:
        """A check mark, or a cross with what came instead."""
        if holds:
            self.passed += 1
            self._wrapped(f"✓ {what}", "  ")
        else:
            self.failed.append(f"{what}: {got}" if got != "" else what)
            self._wrapped(f"✗ {what}" + (f"; instead: {got}" if got != "" else ""), "  ")
        return holds

    def equal(self, what: str, got: object, wanted: object) -> bool:
        """Check that something is as it should be."""
        return self.check(what, got == wanted, f"{got!r}, and not {wanted!r}")

    def eventually(self, what: str, look: Callable[[], T], holds: Callable[[T], bool]) -> T:
        """Look again and again until it holds, and say how long that took.

        One look may take longer than the patience, on a slow machine: what it shows may be over by its end.
        """
        began, looks = time.monotonic(), 1
        while not holds(seen := look()) and (time.monotonic() - began < self._patience or looks < LOOKS):
            time.sleep(0.02)
            looks += 1
        took = time.monotonic() - began
        self.check(f"{what} (after {took:.2f} s)", holds(seen), present(seen) if _is_outcome(seen) else seen)
        return seen

    def ask(self, part: str, protocol: str, address: str, port: int, **more: Any) -> Outcome:
        """A probe, without a word about it."""
        return self.wait(self.cluster.network.probe(part, protocol, address, port, **more))

    def show(self, part: str, protocol: str, address: str, port: int, **more: Any) -> Outcome:
        """A probe, and what came of it."""
        outcome = self.ask(part, protocol, address, port, **more)
        at = f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
        source = f" from {more['source']}" if more.get("source") else ""
        self._tell(f"  {part}{source} -> {protocol} {at}: {present(outcome)}")
        return outcome

    def wait(self, work: Coroutine[Any, Any, T]) -> T:
        """Wait for something that waits."""
        return asyncio.run(work)

    def names(self, outcomes: Iterable[Outcome]) -> set[str]:
        """The servers that answered."""
        return {outcome.name for outcome in outcomes if isinstance(outcome, Arrived)}

    def pods(self, namespace: str = "default", **labels: str) -> list[str]:
        """Names of Pods."""
        return [str(pod["metadata"]["name"]) for pod in self.cluster.pods(namespace, **labels)]


def present(outcome: object) -> str:
    """An outcome in words."""
    match outcome:
        case Arrived(name, client, _):
            return f"{name}, which saw {client}"
        case Refused():
            return "refused"
        case Silence():
            return "silence"
        case Unreachable(why):
            return f"unreachable ({why})"
        case _:
            return str(outcome)


def _is_outcome(value: object) -> bool:
    return isinstance(value, Arrived | Refused | Silence | Unreachable)
