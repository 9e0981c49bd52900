"""Learning curves of a run from its ``metrics.csv``."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from morelli.errors import DataError
from morelli.report import style
from morelli.report.style import styled

_NEEDED = ("epoch", "phase", "lr", "train_loss", "val_loss")


@styled
def learning_curves_figure(metrics_csv: str | Path) -> Figure:
    """Loss, validation accuracy of each task, and learning rate over the epochs; phases divided by lines.

    ``metrics.csv`` has one row an epoch: ``epoch, phase, lr, train_loss, val_loss`` and, a task,
    ``val_TASK_accuracy``. Raises :class:`DataError` for a file that is not of this kind.
    """
    table = _read(Path(metrics_csv))
    drawn = style.figure(11, 3.6)
    loss, accuracy, rate = drawn.subplots(1, 3)
    for axes, title in [(loss, "Loss"), (accuracy, "Validation accuracy"), (rate, "Learning rate")]:
        axes.set_title(title, pad=18)
    marker = "o" if len(table) <= 30 else ""
    for column, label, colour in [
        ("train_loss", "training", style.BLUE),
        ("val_loss", "validation", style.VERMILLION),
    ]:
        loss.plot(table["epoch"], table[column], color=colour, label=label, marker=marker, markersize=4)
    for task, colour in style.TASK_COLOURS.items():
        if f"val_{task}_accuracy" in table:
            values = table[f"val_{task}_accuracy"]
            accuracy.plot(table["epoch"], values, color=colour, label=task, marker=marker, markersize=4)
    rate.plot(table["epoch"], table["lr"], color=style.PURPLE, marker=marker, markersize=4)
    if (table["lr"].dropna() > 0).all() and table["lr"].notna().any():
        rate.set_yscale("log")
    for axes in (loss, accuracy, rate):
        _finish(axes, table)
    for axes in (loss, accuracy):
        if axes.get_legend_handles_labels()[0]:
            axes.legend()
    return drawn


def _read(path: Path) -> pd.DataFrame:
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
    return table


def _finish(axes: Axes, table: pd.DataFrame) -> None:
    """Grid, whole epochs, and a line with a name where a phase begins."""
    axes.grid(axis="y")
    axes.set_xlabel("epoch")
    if len(table) == 1:
        axes.set_xlim(table["epoch"].iloc[0] - 1, table["epoch"].iloc[0] + 1)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    starts = np.flatnonzero(table["phase"].ne(table["phase"].shift()))
    if len(starts) < 2:
        return
    for number, start in enumerate(starts):
        epoch = table["epoch"].iloc[start]
        if number:
            axes.axvline(epoch - 0.5, color=style.GREY, linestyle=":", linewidth=1.2)
        place = epoch - 0.5 if number else axes.get_xlim()[0]
        text = f" phase {table['phase'].iloc[start]}"
        axes.text(
            place, 1.0, text, transform=axes.get_xaxis_transform(), va="bottom", fontsize=8, color=style.GREY
        )
