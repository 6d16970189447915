"""Parts, which are namespaces kept by open files, and processes in them that end when their maker does.

Every process of a lab is in one process namespace. Its first process reads a pipe that the maker holds: when the maker
ends, however it ends, the pipe does, and with the first process the kernel ends all others. Files that keep a
namespace are closed with their maker, too.

One thread goes in and out of namespaces; threads of other work stay at home.
"""

import contextlib
import os
import signal
import socket
import subprocess
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Final, NamedTuple, ParamSpec, Self, TypeVar

from kdns.base.errors import ConfigError
from kdns.lab import namespaces as kernel

FIRST: Final = "mount -t proc proc /proc && echo && exec cat >/dev/null 2>&1"
"""What the first process runs: it shows the processes of its namespace alone and lives until its input ends."""
PATIENCE: Final = 10.0
"""Seconds that processes get to end when a lab does."""
P = ParamSpec("P")
T = TypeVar("T")


class Part(NamedTuple):
    """Open files that keep the namespaces of a node, a Pod or a client."""

    name: str
    network: int
    mounts: int
    names: int
    """The host name."""


class Process:
    """A running program of a part."""

    def __init__(self, name: str, process: "subprocess.Popen[bytes]", log: Path) -> None:
        self.name, self.log = name, log
        self._process = process

    @property
    def pid(self) -> int:
        """Its number as seen from outside."""
        return self._process.pid

    @property
    def status(self) -> int | None:
        """How it ended, negative for a signal; None while it runs."""
        return self._process.poll()

    def send(self, number: signal.Signals) -> None:
        """Send it a signal; nothing if it has ended."""
        self._process.send_signal(number)

    def stop(self, number: signal.Signals = signal.SIGTERM, patience: float = PATIENCE) -> int:
        """Send a signal, wait until it has ended (subprocess.TimeoutExpired if it does not), and say how."""
        self.send(number)
        return self._process.wait(patience)

    def wait(self, patience: float) -> int:
        """Wait until it has ended."""
        return self._process.wait(patience)

    def output(self) -> str:
        """What it has written so far, both streams."""
        return self.log.read_text(errors="replace")


class Processes:
    """The process namespace of a lab, and the thread that enters its parts. Close it."""

    def __init__(self, folder: Path) -> None:
        """Files of the parts and logs of processes go to a folder that exists."""
        self.folder = folder
        self.running: list[Process] = []
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="lab")
        try:
            self._in_thread(self._found)
        except OSError as problem:
            self._thread.shutdown()
            why = f"namespaces are not to be had here: {problem.strerror}"
            raise ConfigError(why, hint="a lab needs root with all capabilities (CAP_SYS_ADMIN)") from problem

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def first(self) -> int:
        """The first process: everything in the lab ends with it."""
        return self._first.pid

    def close(self) -> None:
        """End every process and forget the namespaces."""
        assert self._first.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._first.stdin.close()
        for process in self.running:
            process.wait(PATIENCE)
        self._first.wait(PATIENCE)
        if self._first.stdout is not None:
            self._first.stdout.close()
        self._thread.shutdown()
        for namespace in (self._mounts, self._processes, *self._home.values(), self._own):
            os.close(namespace)

    def part(self, name: str, sysctls: Mapping[str, str], within: Part | None = None) -> Part:
        """New namespaces with these sysctls; the network is that of ``within`` if there is one."""
        folder = self.folder / name
        folder.mkdir()
        return self._in_thread(self._part, name, folder, sysctls, within)

    def write(self, part: Part, files: Mapping[str, bytes]) -> None:
        """Write files into a part's own /run, all paths below which are its own. ValueError for other paths."""
        for path in files:
            if not Path(path).resolve().is_relative_to("/run"):
                raise ValueError(f"{path} is not below /run, so it would be the machine's")
        self._in_thread(self._write, part, files)

    def forget(self, part: Part) -> None:
        """Close the files that keep a part. Its network goes with its last process and socket."""
        for namespace in (part.network, part.mounts, part.names):
            os.close(namespace)

    def batch(self, part: Part, lines: Iterable[str]) -> None:
        """Run lines of `ip` in a part's network; ConfigError with the words of `ip` if it refuses one."""
        text = "\n".join(lines) + "\n"
        done = self._in_thread(self._batch, part, text)
        if done.returncode:
            raise ConfigError(f"the network of {part.name} could not be made: {done.stderr.strip()}", hint=text)

    def start(
        self, part: Part, argv: Sequence[str], environ: Mapping[str, str] | None = None, name: str = ""
    ) -> Process:
        """Start a program; what it writes is appended to NAME.log in the part's folder. It gets no input.

        ``environ`` is added to ours. OSError if there is no such program.
        """
        called = name or Path(argv[0]).name
        log = self.folder / part.name / f"{called}.log"
        with log.open("ab") as output:
            process = self._spawn(part, argv, environ, subprocess.DEVNULL, output.fileno(), subprocess.STDOUT)
        started = Process(called, process, log)
        self.running = [child for child in self.running if child.status is None]
        self.running.append(started)
        return started

    def run(
        self,
        part: Part,
        argv: Sequence[str],
        environ: Mapping[str, str] | None = None,
        text: str = "",
        patience: float = 30.0,
    ) -> "subprocess.CompletedProcess[str]":
        """Run a program to its end, with ``text`` as its input; it is killed when it takes longer (TimeoutExpired)."""
        process = self._spawn(part, argv, environ, subprocess.PIPE, subprocess.PIPE, subprocess.PIPE)
        try:
            output, errors = process.communicate(text.encode(), patience)
        finally:
            process.kill()
            process.wait()
            for stream in (process.stdin, process.stdout, process.stderr):
                if stream is not None:
                    stream.close()
        return subprocess.CompletedProcess(
            list(argv), process.returncode, output.decode(errors="replace"), errors.decode(errors="replace")
        )

    def _spawn(
        self, part: Part, argv: Sequence[str], environ: Mapping[str, str] | None, stdin: int, stdout: int, stderr: int
    ) -> "subprocess.Popen[bytes]":
        def popen() -> "subprocess.Popen[bytes]":
            kernel.enter(part.network, kernel.NEW_NETWORK)
            kernel.enter(part.names, kernel.NEW_NAMES)
            kernel.enter(self._processes, kernel.NEW_PROCESSES)
            kernel.enter(part.mounts, kernel.NEW_MOUNTS)
            return subprocess.Popen(
                argv, stdin=stdin, stdout=stdout, stderr=stderr, env={**os.environ, **(environ or {})}, cwd="/"
            )

        return self._in_thread(popen)

    def _in_thread(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        def there_and_back() -> T:
            try:
                return work(*args, **kwargs)
            finally:
                self._go_home()

        return self._thread.submit(there_and_back).result()

    def _found(self) -> None:
        """Once: what is home, and the first process."""
        self._own = os.open("/proc/thread-self/ns", os.O_RDONLY | os.O_CLOEXEC)
        self._home: dict[int, int] = {}
        for kind, name in (
            (kernel.NEW_MOUNTS, "mnt"),
            (kernel.NEW_NETWORK, "net"),
            (kernel.NEW_NAMES, "uts"),
            (kernel.NEW_PROCESSES, "pid"),
        ):
            self._home[kind] = self._open(name)
        kernel.unshare(kernel.OWN_FOLDERS)
        kernel.unshare(kernel.NEW_MOUNTS | kernel.NEW_PROCESSES)
        kernel.keep_mounts_to_ourselves()
        self._first = subprocess.Popen(("sh", "-c", FIRST), stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self._first.stdout is not None
        if not self._first.stdout.readline():
            raise PermissionError(self._first.wait(), "no file system for /proc")
        self._mounts, self._processes = self._open("mnt"), self._open("pid_for_children")

    def _part(self, name: str, folder: Path, sysctls: Mapping[str, str], within: Part | None) -> Part:
        if within is not None:
            kernel.enter(within.network, kernel.NEW_NETWORK)
        kernel.enter(self._mounts, kernel.NEW_MOUNTS)
        kernel.unshare(kernel.NEW_MOUNTS | kernel.NEW_NAMES | (kernel.NEW_NETWORK if within is None else 0))
        socket.sethostname(name)
        kernel.mount("tmpfs", "/run", "tmpfs", options="mode=0755")  # locks of iptables, one for each node
        for file in ("resolv.conf", "hosts"):
            (folder / file).touch()
            _show(folder / file, Path("/etc", file))
        (folder / "hosts").write_text(f"127.0.0.1 localhost\n::1 localhost\n127.0.1.1 {name}\n")
        kernel.write_sysctls(sysctls)
        return Part(name, self._open("net"), self._open("mnt"), self._open("uts"))

    def _write(self, part: Part, files: Mapping[str, bytes]) -> None:
        kernel.enter(part.mounts, kernel.NEW_MOUNTS)
        for path, content in files.items():
            place = Path(path)
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(content)

    def _batch(self, part: Part, text: str) -> "subprocess.CompletedProcess[str]":
        kernel.enter(part.network, kernel.NEW_NETWORK)
        return subprocess.run(("ip", "-batch", "-"), input=text, capture_output=True, check=False, text=True)

    def _open(self, name: str) -> int:
        return os.open(name, os.O_RDONLY | os.O_CLOEXEC, dir_fd=self._own)

    def _go_home(self) -> None:
        for kind, namespace in self._home.items():
            kernel.enter(namespace, kind)


def _show(file: Path, at: Path) -> None:
    """Show a file at another place, which may be a link into the empty /run."""
    place = at.resolve()
    if not place.exists() and place.is_relative_to("/run"):
        place.parent.mkdir(parents=True)
        place.touch()
    kernel.bind(str(file), str(place))
