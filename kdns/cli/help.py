"""How help looks: argparse's own layout, in colour on a terminal that has it (rich-argparse), plain everywhere else.

NO_COLOR (https://no-color.org) and ``TERM=dumb`` mean plain.
"""

import argparse
import os
import shutil
import sys
from typing import Any, Final, TextIO

WIDEST: Final = 100
"""Columns: longer lines of prose are hard to read, however wide the terminal is."""


def colour_wanted(stream: TextIO | None = None) -> bool:
    """Whether a stream (standard output, if none is given) takes colours."""
    return (
        (stream or sys.stdout).isatty()
        and not os.environ.get("NO_COLOR")
        and os.environ.get("TERM", "") not in {"", "dumb"}
    )


def formatter(prog: str, **kwargs: Any) -> argparse.HelpFormatter:
    """A formatter_class for argparse; it keeps the line breaks of descriptions and examples."""
    width = min(shutil.get_terminal_size().columns, WIDEST)  # COLUMNS, the terminal, or 80
    options = {"max_help_position": 28, "width": width - 2, **kwargs}
    if colour_wanted():
        from rich_argparse import RawDescriptionRichHelpFormatter  # noqa: PLC0415 - rich takes its time

        return RawDescriptionRichHelpFormatter(prog, **options)
    return argparse.RawDescriptionHelpFormatter(prog, **options)


def error_line(text: str) -> str:
    """What is printed on standard error for a mistake: ``kdns: ...``, the name in red where that is possible."""
    name = "\x1b[1;31mkdns:\x1b[0m" if colour_wanted(sys.stderr) else "kdns:"
    return f"{name} {text}"
