"""What a person sees while the work goes on: progress bars and tables, on standard error."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

screen = Console(stderr=True, highlight=False)


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
    """A table whose first column is text and whose other columns wrap."""
    if not rows:
        return
    table = Table(title=title, title_justify="left", title_style="bold", box=None, pad_edge=False)
    for index, name in enumerate(header):
        table.add_column(name, justify="right" if index == 1 else "left", overflow="fold")
    for cells in rows:
        table.add_row(*(f"{c:,}" if isinstance(c, int) else str(c) for c in cells))
    screen.print(table, markup=False)
