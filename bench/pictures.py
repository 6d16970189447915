"""The pictures of terminals in docs/, from what the commands print: `python -m bench.pictures` makes them again.

A test compares each picture's text with what its command prints today.
"""

import contextlib
import io
import os
import pty
import subprocess
import sys
from pathlib import Path
from typing import Final, NamedTuple

from rich.console import Console
from rich.text import Text

HOUSE: Final = Path(__file__).parents[1]
WIDTH: Final = 100
CASE: Final = "tests/explain/cases/E33-foreign-table-nftables"


class Picture(NamedTuple):
    """A command as a person types it, and what is run for it."""

    file: str
    shown: str
    argv: tuple[str, ...]


PICTURES: Final = (
    Picture(
        "docs/explain.svg",
        "kdns explain cart.shop:80 --from shop/client --evidence bundle.tar.gz",
        ("explain", "cart.shop:80", "--from", "shop/client", "--evidence", CASE),
    ),
)


def printed(picture: Picture) -> str:
    """What the command prints on a terminal, with its colours."""
    environ = {**os.environ, "TERM": "xterm-256color", "COLUMNS": str(WIDTH), "PYTHONPATH": str(HOUSE)}
    environ.pop("NO_COLOR", None)
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        (sys.executable, "-m", "kdns", *picture.argv), stdin=subprocess.DEVNULL, stdout=theirs, stderr=theirs,
        cwd=HOUSE, env=environ,
    ):  # fmt: skip
        os.close(theirs)
        octets = b""
        with contextlib.suppress(OSError):  # EIO: the other side is closed
            while block := os.read(ours, 65536):
                octets += block
    os.close(ours)
    return octets.decode().replace("\r\n", "\n")


def svg(picture: Picture) -> str:
    """The picture: an SVG that brings its own letters' metrics and asks no other address for anything."""
    console = Console(record=True, width=WIDTH, file=io.StringIO(), force_terminal=True)
    console.print(Text.assemble(("$ ", "dim"), picture.shown))
    console.print(Text.from_ansi(printed(picture)))
    text = console.export_svg(title="kdns explain", unique_id=Path(picture.file).stem)
    # rich names a font on another host; a picture in a README must not ask for it
    begin, end = text.index("    @font-face"), text.rindex("    .")
    faces = text[begin:end]
    while "@font-face" in faces:
        at = faces.index("@font-face")
        faces = faces[:at].rstrip() + faces[faces.index("}", at) + 1 :]
    return text[:begin] + faces + text[end:]


def main() -> None:
    """Write every picture."""
    for picture in PICTURES:
        (HOUSE / picture.file).write_text(svg(picture))


if __name__ == "__main__":
    main()
