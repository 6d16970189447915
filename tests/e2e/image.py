"""The Dockerfile's steps, run without an engine: each stage is a root of its own over one minimal Debian 12.

What the base image brings is stood in for by Debian's Python; everything else is as the Dockerfile says: FROM, ARG,
ENV, WORKDIR, COPY (also between stages), RUN, ENTRYPOINT. An instruction that is not known here is an error.
"""

import json
import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final, NamedTuple

import pytest

HOUSE: Final = Path(__file__).parents[2]
BASE: Final = "python3,python3-venv,ca-certificates"
NETWORK: Final = ("/etc/resolv.conf", "/etc/hosts", "/etc/ssl/certs/ca-certificates.crt")
"""What an engine gives its build containers, too: names, and whom to trust."""
PASSED: Final = re.compile(r"PIP_(?!FIND)\w+|\w*_proxy|SSL_CERT_FILE", re.IGNORECASE)


class Image(NamedTuple):
    """What an image is to a container: a root, and how to begin."""

    root: Path
    environ: Mapping[str, str]
    entrypoint: tuple[str, ...]
    labels: Mapping[str, str]


class Build:
    """Runs the instructions of one Dockerfile below a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._stages: dict[str, Path] = {}
        self._root = folder
        self._cwd = "/"
        self._args: dict[str, str] = {}
        self._environ: dict[str, str] = {}
        self._entrypoint: tuple[str, ...] = ()
        self._labels: dict[str, str] = {}
        self._mounted: list[Path] = []

    def build(self) -> Image:
        """Everything the Dockerfile says."""
        base = self._folder / "base"
        run("mmdebstrap", "--quiet", "--variant=apt", f"--include={BASE}", "bookworm", str(base))
        for path in NETWORK:
            if Path(path).exists():
                shutil.copyfile(path, base / path.lstrip("/"))
        for instruction, text in instructions((HOUSE / "Dockerfile").read_text()):
            getattr(self, f"_{instruction.lower()}")(text)
        return Image(self._root, self._environ, self._entrypoint, self._labels)

    def close(self) -> None:
        """Unmount what is mounted."""
        for path in reversed(self._mounted):
            run("umount", "--lazy", str(path))

    def _arg(self, text: str) -> None:
        """With a value before the first FROM; without one inside a stage, which then knows it, too."""
        name, equals, default = text.partition("=")
        if equals:
            self._args[name] = default
        else:
            self._environ[name] = self._args[name]

    def _from(self, text: str) -> None:
        """A new root over the base, as layers have it."""
        image, _, name = text.partition(" AS ")
        assert image == "${BASE}"  # Debian 12 with Python, as `build` makes it
        place = self._folder / (name or "final")
        for part in ("upper", "work", "root"):
            (place / part).mkdir(parents=True)
        layers = f"lowerdir={self._folder}/base,upperdir={place}/upper,workdir={place}/work"
        self._mount("-t", "overlay", "overlay", "-o", layers, at=place / "root")
        self._mount("-t", "proc", "proc", at=place / "root/proc")
        self._mount("--bind", "/dev", at=place / "root/dev")
        self._stages[name] = self._root = place / "root"
        self._cwd, self._environ = "/", {}

    def _mount(self, *how: str, at: Path) -> None:
        run("mount", *how, str(at))
        self._mounted.append(at)

    def _workdir(self, text: str) -> None:
        self._cwd = text
        self._inside(text).mkdir(parents=True, exist_ok=True)

    def _env(self, text: str) -> None:
        for pair in shlex.split(text):
            name, _, value = pair.partition("=")
            self._environ[name] = value

    def _copy(self, text: str) -> None:
        words = text.split()
        origin = HOUSE
        if words[0].startswith("--from="):
            origin = self._stages[words.pop(0).partition("=")[2]]
        *sources, target = words
        place = self._inside(target)
        skipped = None if origin != HOUSE else shutil.ignore_patterns("__pycache__")  # as .dockerignore says
        for source in sources:
            path = origin / source.lstrip("/")
            if path.is_dir():
                shutil.copytree(path, place, symlinks=True, ignore=skipped)
                continue
            (place if target.endswith("/") else place.parent).mkdir(parents=True, exist_ok=True)
            shutil.copy2(path, place)

    def _run(self, text: str) -> None:
        passed = {name: value for name, value in os.environ.items() if PASSED.fullmatch(name)}
        environ = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root", **passed}
        environ |= {"DEBIAN_FRONTEND": "noninteractive", **self._environ}
        command = f"cd {self._cwd} && {text}"
        run("chroot", str(self._root), "/bin/sh", "-c", command, environ=environ)

    def _label(self, text: str) -> None:
        for pair in shlex.split(text):
            name, _, value = pair.partition("=")
            self._labels[name] = re.sub(r"\$\{(\w+)\}", lambda match: self._environ[match[1]], value)

    def _expose(self, text: str) -> None:
        assert all(re.fullmatch(r"\d+/(udp|tcp)", word) for word in text.split())

    def _entrypoint_(self, text: str) -> None:
        self._entrypoint = tuple(json.loads(text))

    def _cmd(self, text: str) -> None:
        assert json.loads(text) == ["serve"]

    def _inside(self, target: str) -> Path:
        return self._root / os.path.join(self._cwd, target).lstrip("/")

    def __getattr__(self, name: str) -> object:
        raise AssertionError(f"the Dockerfile has an instruction that this test does not know: {name}")


def instructions(text: str) -> Iterator[tuple[str, str]]:
    """Instruction and its text, with continued lines joined and comments gone."""
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    for line in "\n".join(lines).replace("\\\n", " ").splitlines():
        if line.strip():
            instruction, _, rest = line.partition(" ")
            yield ("entrypoint_" if instruction == "ENTRYPOINT" else instruction), rest.strip()


def run(*argv: str, environ: Mapping[str, str] | None = None) -> str:
    """A command that must succeed."""
    done = subprocess.run(argv, capture_output=True, check=False, text=True, env=environ)
    assert done.returncode == 0, f"{argv[:6]}: {done.stdout[-1500:]}{done.stderr[-1500:]}"
    return done.stdout


def needs_root() -> None:
    """Skip where this cannot be done."""
    if os.geteuid():
        pytest.skip("no mounts without root")
    if shutil.which("mmdebstrap") is None:
        pytest.skip("no mmdebstrap (Debian package mmdebstrap)")
