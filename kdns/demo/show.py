"""Questions, answers, and the objects they come from: for terminals of any width, and for pipes."""

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from rich import box
from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from kdns.base.objects import RecordSource
from kdns.demo.ask import Question, Reply

GAP: Final = 3
"""Columns between two columns."""


class Row(NamedTuple):
    """One question and what became of it."""

    question: Question
    reply: Reply
    sources: tuple[RecordSource, ...]
    """Where the answer comes from; empty when the zone itself says it."""


def table(rows: Sequence[Row], width: int) -> Table | Group:
    """All rows; the objects have a column of their own when there is room for it."""
    left = max(len(line) for row in rows for line in (_question(row.question), *_answer(row.reply)))
    right = max(len(source) for row in rows for source in _sources(row))
    if left + GAP + right > width:
        return Group(_rule(width), *(line for row in rows for line in _stacked(row, width)), _rule(width))
    shown = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    shown.add_column("question and answer", min_width=left)
    shown.add_column("comes from", min_width=right)
    for row in rows:
        both = Text("\n").join((_question(row.question), *_answer(row.reply)))
        shown.add_row(both, Text("\n").join(_sources(row)))
    return shown


def _rule(width: int) -> Text:
    return Text("─" * width, "dim")


def _stacked(row: Row, width: int) -> Iterator[Text]:
    """The question, its answers below it, and the object at the right end of the last line that has room."""
    yield _question(row.question)
    *others, last = _answer(row.reply)
    yield from others
    for source in _sources(row):
        if len(last) + 2 + len(source) > width:
            yield last
            last = Text()
        yield Text.assemble(last, " " * max(0, width - len(last) - len(source)), source)
        last = Text()


def _question(question: Question) -> Text:
    text = Text.assemble((question.name, "bold"), " ", (question.rtype, "cyan"))
    return text.append(" over TCP", "dim") if question.proto == "tcp" else text


def _answer(reply: Reply) -> list[Text]:
    """A line per record, or what was answered instead of one."""
    if reply.rcode != "NOERROR" or not reply.data:
        return [Text.assemble("  ", ("no such name" if reply.rcode == "NXDOMAIN" else "no data", "yellow"),
                              f" ({reply.rcode})")]  # fmt: skip
    return [Text.assemble("  ", (record, "green")) for record in reply.data]


def _sources(row: Row) -> list[Text]:
    return [Text(str(source), "magenta") for source in row.sources] or [Text("-", "dim")]


def commands(console: Console, lines: Sequence[str]) -> None:
    """Lines to copy: never wrapped, whatever the width."""
    for line in lines:
        console.print(Text(f"  {line}", "bold"), soft_wrap=True)
