"""What a person sees while the work goes on: progress bars and tables, on standard error.

``MORELLI_QUIET=1`` in the environment, set before the first use of morelli, keeps all of it back.
"""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table as RichTable

_quiet = bool(os.environ.get("MORELLI_QUIET"))
# a notebook without ipywidgets is written to like a log; rich would warn
_widgets = None if not _quiet and find_spec("ipywidgets") else False
screen = Console(stderr=True, highlight=False, force_jupyter=_widgets, quiet=_quiet)
_TEXT_WIDTH = 100  # columns of a table in a repr


@dataclass(frozen=True)
class Table:
    """A table whose first column is text, whose second is a number, and whose columns wrap."""

    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[object]]


def first_process() -> bool:
    """Whether this process speaks and writes: always, but for the others of a training on several devices."""
    return not any(int(os.environ.get(name) or 0) for name in ("RANK", "LOCAL_RANK", "SLURM_PROCID"))


def say(text: str) -> None:
    """One line to standard error (standard output belongs to results), from the first process only."""
    if not first_process():
        return
    screen.print(text, markup=False, soft_wrap=True)


@contextmanager
def progress(
    title: str, total: int | None, unit: str = "works", keep: bool = True
) -> Iterator[Callable[[int], None]]:
    """A bar with a rate; the yielded function advances it by a number of units. Gone when done unless ``keep``."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
    )
    hidden = not keep and not screen.is_terminal  # a log file needs no trace of a bar that goes
    with Progress(*columns, console=screen, transient=not keep, disable=hidden) as bar:
        row = bar.add_task(title, total=total, rate="")

        def advance(steps: int) -> None:
            bar.advance(row, steps)
            speed = bar.tasks[0].finished_speed or bar.tasks[0].speed
            if speed:
                bar.update(row, rate=f"{speed:,.0f} {unit}/s")

        yield advance


def show_table(title: str, header: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """A :class:`Table` on the screen; nothing where it has no rows."""
    show([Table(title, header, rows)])


def show(parts: Sequence[str | Table]) -> None:
    """Lines and tables on the screen, from the first process only."""
    for part in parts:
        if isinstance(part, str):
            say(part)
        elif part.rows:
            screen.print(_drawn(part), markup=False)


def as_text(parts: Sequence[str | Table]) -> str:
    """Lines and tables as plain text of 100 columns."""
    sheet = Console(
        file=io.StringIO(), width=_TEXT_WIDTH, color_system=None, highlight=False, force_jupyter=False
    )
    for part in parts:
        if isinstance(part, str):
            sheet.print(part, markup=False, soft_wrap=True)
        elif part.rows:
            sheet.print(_drawn(part), markup=False)
    lines = sheet.file.getvalue().splitlines()  # type: ignore[attr-defined]
    return "\n".join(line.rstrip() for line in lines)


def _drawn(table: Table) -> RichTable:
    drawn = RichTable(title=table.title, title_justify="left", title_style="bold", box=None, pad_edge=False)
    for index, name in enumerate(table.header):
        drawn.add_column(name, justify="right" if index == 1 else "left", overflow="fold")
    for cells in table.rows:
        drawn.add_row(*(f"{cell:,}" if isinstance(cell, int) else str(cell) for cell in cells))
    return drawn
