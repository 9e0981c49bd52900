"""What happened epoch by epoch, from a run's ``metrics.csv``: learning curves, and the number of outliers."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogFormatter, MaxNLocator, PercentFormatter

from morelli.errors import DataError
from morelli.report.figures import style
from morelli.report.figures.style import styled

# legends under their panels, where no line can cross them
_BELOW: dict[str, Any] = {
    "loc": "upper center",
    "bbox_to_anchor": (0.5, -0.18),
    "columnspacing": 1.2,
    "handlelength": 1.6,
}
_NEEDED = ("epoch", "phase", "lr", "train_loss", "val_loss")
# column, label, colour of the two kinds of outlier
OUTLIERS = (
    ("unsure", "unsure: highest probability below 0.6", style.SKY),
    ("wrong_and_unsure", "wrong, with confidence below 0.5", style.VERMILLION),
)


@styled
def learning_curves_figure(metrics_csv: str | Path) -> Figure:
    """Loss, accuracy of each task, and learning rate over the epochs of all phases; phases divided by lines.

    ``metrics.csv`` has one row an epoch: ``epoch, phase, lr, train_loss, val_loss`` and, a task,
    ``val_TASK_accuracy`` and possibly ``train_TASK_accuracy``, which is dashed. Epochs that begin anew with each
    phase are counted on. Raises :class:`DataError` for a file that is not of this kind.
    """
    table = _read(Path(metrics_csv))
    drawn = style.figure(11, 3.6)
    loss, accuracy, rate = drawn.subplots(1, 3)
    _line(loss, table, "train_loss", style.BLUE, label="training")
    _line(loss, table, "val_loss", style.VERMILLION, label="validation")
    for task, colour in style.TASK_COLOURS.items():
        _line(accuracy, table, f"val_{task}_accuracy", colour, label=task)
        _line(accuracy, table, f"train_{task}_accuracy", colour, linestyle="--")
    trained = any(f"train_{task}_accuracy" in table for task in style.TASK_COLOURS)
    _line(rate, table, "lr", style.PURPLE)
    if (table["lr"].dropna() > 0).all() and table["lr"].notna().any():
        rate.set_yscale("log")
        rate.yaxis.set_major_formatter(LogFormatter())  # matplotlib's own writes formulas
        rate.yaxis.set_minor_formatter(LogFormatter())
    accuracy.yaxis.set_major_formatter(FuncFormatter(lambda share, _: f"{100 * share:.4g}%"))
    titles = ["Loss", "Accuracy" if trained else "Validation accuracy", "Learning rate (neck and heads)"]
    for axes, title in zip((loss, accuracy, rate), titles, strict=True):
        axes.set_title(title, pad=18)
        _finish(axes, table)
    loss.legend(ncols=2, **_BELOW)
    if handles := accuracy.get_legend_handles_labels()[0]:
        dashed = [Line2D([], [], color=style.GREY, linestyle="--", label="on training works")]
        accuracy.legend(handles=[*handles, *dashed] if trained else handles, ncols=4, **_BELOW)
    return drawn


@styled
def outliers_figure(metrics_csv: str | Path) -> Figure | None:
    """What further epochs do to the accuracy and to the number of outliers: one column of two panels a task.

    Above is the validation accuracy, below the shares of the validation works that two rules call outliers:
    ``val_TASK_unsure`` (highest probability below 0.6) and ``val_TASK_wrong_and_unsure`` (wrong with a confidence
    below 0.5), each 0–1 in ``metrics.csv`` and shown in per cent. None where the table has neither for any task.
    Raises :class:`DataError` as :func:`learning_curves_figure` does.
    """
    table = _read(Path(metrics_csv))
    tasks = [
        task for task in style.TASK_COLOURS if any(f"val_{task}_{kind}" in table for kind, _, _ in OUTLIERS)
    ]
    if not tasks:
        return None
    drawn = style.figure(max(3.67 * len(tasks), 5.2), 4.8)
    panels = drawn.subplots(2, len(tasks), sharex=True, sharey="row", squeeze=False, height_ratios=[1, 1.2])
    for (upper, lower), task in zip(panels.T, tasks, strict=True):
        upper.set_title(task.capitalize(), pad=18)
        _line(upper, table, f"val_{task}_accuracy", style.TASK_COLOURS[task])
        for kind, label, colour in OUTLIERS:
            _line(lower, table, f"val_{task}_{kind}", colour, label=label)
        _finish(upper, table)
        upper.set_xlabel("")
        _finish(lower, table, named=False)
    for row, label in zip(panels, ("validation accuracy", "share of validation works"), strict=True):
        row[0].set_ylabel(label)
        row[0].yaxis.set_major_formatter(PercentFormatter(1, decimals=None))
        row[0].set_ylim(bottom=0)
    handles = [Line2D([], [], color=colour, label=label) for _, label, colour in OUTLIERS]
    drawn.legend(handles=handles, loc="outside lower center", ncols=len(handles) if len(tasks) > 1 else 1)
    return drawn


def _line(axes: Axes, table: pd.DataFrame, column: str, colour: str, **look: Any) -> None:
    """One column over the epochs, where the table has it."""
    if column in table:
        marker = "o" if len(table) <= 30 else ""
        axes.plot(table["total"], table[column], color=colour, marker=marker, markersize=4, **look)


def _read(path: Path) -> pd.DataFrame:
    """The table, with the epochs counted over all phases as ``total``."""
    try:
        table = pd.read_csv(path)
    except FileNotFoundError:
        raise DataError(f"{path}: no such file; it is written by morelli train") from None
    except (OSError, ValueError):
        raise DataError(f"{path}: not a readable table; train again to get one") from None
    missing = [name for name in _NEEDED if name not in table]
    if missing:
        raise DataError(f"{path}: has no column {missing[0]}; it is written by morelli train, do not edit it")
    numbers = [name for name in table if name != "phase"]
    table[numbers] = table[numbers].apply(pd.to_numeric, errors="coerce")
    table["total"] = _total_epochs(table)
    return table


def _total_epochs(table: pd.DataFrame) -> pd.Series:
    """A phase whose epochs begin anew goes on from the last of the phase before."""
    total = table["epoch"].copy()
    starts = _starts(table)
    for start, end in pairwise([*starts[1:], len(table)]):
        behind = total.iloc[start - 1] + 1 - total.iloc[start]
        total.iloc[start:end] += max(behind, 0)
    return total


def _starts(table: pd.DataFrame) -> list[int]:
    """The rows with which the phases begin."""
    return [int(row) for row in np.flatnonzero(table["phase"].ne(table["phase"].shift()))]


def _finish(axes: Axes, table: pd.DataFrame, named: bool = True) -> None:
    """Grid, whole epochs, and a line, with a name where it is ``named``, where a phase begins."""
    axes.grid(axis="y")
    axes.set_xlabel("epoch")
    if len(table) == 1:
        axes.set_xlim(table["total"].iloc[0] - 1, table["total"].iloc[0] + 1)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    starts = _starts(table)
    if len(starts) < 2:
        return
    for start, end in pairwise([*starts, len(table)]):
        begin = table["total"].iloc[start] - 0.5
        if start:
            axes.axvline(begin, color=style.GREY, linestyle=":", linewidth=1.2)
        if named:
            # a phase too short for the word shows its number alone
            word = " phase" if (end - start) / len(table) >= 0.2 else ""
            place = (begin if start else axes.get_xlim()[0], 1.0)
            axes.annotate(
                f"{word} {table['phase'].iloc[start]}", place, xycoords=axes.get_xaxis_transform(),
                va="bottom", fontsize=8, color=style.GREY,
            )  # fmt: skip
