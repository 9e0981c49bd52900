"""Figures of one task's predictions and of a collection, as matplotlib figures that touch no global state."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import StrMethodFormatter
from numpy.typing import NDArray

from morelli.evaluation.predictions import TaskPredictions
from morelli.evaluation.scores import metrics
from morelli.report.figures import style
from morelli.report.figures.style import display_name, styled

_EMPTY = "no work with a known label"


@styled
def confusion_figure(task: TaskPredictions, title: str, top: int | None = None) -> Figure:
    """Rows are true classes by falling frequency, columns predictions, colour the share of the row.

    Up to 12 classes a cell shows rate and count, up to 40 the rate in per cent, beyond that colour alone.
    ``top`` keeps the most frequent true classes and gathers every other prediction in a last column. Classes with
    neither work nor prediction are left out.
    """
    confusion = metrics.confusion_matrix(task.labels, task.probabilities)
    support = confusion.sum(axis=1)
    occurring = np.flatnonzero(support + confusion.sum(axis=0))
    if not len(occurring):
        return empty(title)
    order = occurring[np.argsort(-support[occurring], kind="stable")]
    rows, counts, columns = (
        order,
        confusion[np.ix_(order, order)],
        [display_name(task.names[k]) for k in order],
    )
    if top is not None and top < len(order):
        rows, columns = order[:top], [*columns[:top], "any other class"]
        counts = np.column_stack([counts[:top, :top], counts[:top, top:].sum(axis=1)])
    labels = [f"{display_name(task.names[k])}  ({support[k]:,d})" for k in rows]
    return _draw_confusion(counts, labels, columns, title)


def _draw_confusion(counts: NDArray[np.int64], labels: list[str], columns: list[str], title: str) -> Figure:
    height, width = counts.shape
    cell = 0.68 if width <= 13 else 0.36 if width <= 41 else 0.17
    small = 9 if width <= 13 else 8 if width <= 41 else 7
    longest = max(style.text_width(label, small) for label in labels)
    drawn = style.figure(width * cell + longest + 1.2, height * cell + longest * 0.8 + 1.0, "compressed")
    axes = drawn.subplots()
    totals = counts.sum(axis=1, keepdims=True)
    rates = np.divide(counts, totals, out=np.full(counts.shape, np.nan), where=totals > 0)
    # without numbers in the cells, a square root makes the rare confusions visible
    norm = PowerNorm(1.0 if width <= 41 else 0.5, vmin=0, vmax=1)
    picture = axes.imshow(rates, cmap=style.SEQUENTIAL, norm=norm, aspect="equal")
    axes.set_xticks(range(width), columns, rotation=45 if width <= 41 else 90, fontsize=small)
    for text in axes.get_xticklabels():
        text.set(
            ha="right" if width <= 41 else "center", rotation_mode="anchor" if width <= 41 else "default"
        )
    axes.set_yticks(range(height), labels, fontsize=small)
    axes.set_xticks(np.arange(width + 1) - 0.5, minor=True)
    axes.set_yticks(np.arange(height + 1) - 0.5, minor=True)
    axes.grid(which="minor", color="white", linewidth=1.2 if width <= 41 else 0.4)
    axes.tick_params(which="both", length=0, labeltop=width > 41, labelright=width > 41)
    axes.spines[:].set_visible(False)
    axes.set_title(title)
    axes.set_xlabel("predicted")
    axes.set_ylabel("true (works)", labelpad=8)
    bar = drawn.colorbar(
        picture, ax=axes, shrink=min(1.0, 4 / (height * cell)), aspect=min(20, 5 * height * cell), pad=0.02
    )
    bar.set_label("share of the true class")
    bar.outline.set_visible(False)
    if width <= 41:
        _write_cells(axes, counts, rates, with_counts=width <= 13)
    return drawn


def _write_cells(
    axes: Axes, counts: NDArray[np.int64], rates: NDArray[np.float64], with_counts: bool
) -> None:
    for i, j in zip(*np.nonzero(counts), strict=True):
        colour = "white" if rates[i, j] > 0.55 else "#222222"
        if with_counts:
            axes.text(j, i - 0.03, f"{rates[i, j]:.0%}", ha="center", va="bottom", fontsize=10, color=colour)
            axes.text(j, i + 0.08, f"{counts[i, j]:,d}", ha="center", va="top", fontsize=7.5, color=colour)
        elif rates[i, j] >= 0.01:
            text = f"{100 * rates[i, j]:.0f}"
            axes.text(j, i, text, ha="center", va="center", fontsize=7.5, color=colour)


@styled
def per_class_f1_figure(task: TaskPredictions, title: str) -> Figure:
    """One bar a class that occurs, best first, with its number of works; a line marks the macro F1."""
    table = metrics.per_class(metrics.confusion_matrix(task.labels, task.probabilities))
    occurring = np.flatnonzero(~np.isnan(table.f1))
    if not len(occurring) or not task.known.any():
        return empty(title)
    order = occurring[np.lexsort((-table.support[occurring], -table.f1[occurring]))]
    step = 0.27 if len(order) <= 40 else 0.19
    drawn = style.figure(7.5, len(order) * step + 1.3)
    axes = drawn.subplots()
    places = np.arange(len(order))
    axes.barh(places, table.f1[order], color=style.BLUE, height=0.72)
    for place, k in enumerate(order):
        text = f"{table.f1[k]:.2f}  ({table.support[k]:,d})"
        axes.text(1.02, place, text, va="center", fontsize=8, color="#333333")
    macro = table.macro("f1")
    axes.axvline(macro, color=style.VERMILLION, linestyle="--", linewidth=1.3, label=f"macro F1 {macro:.3f}")
    small = 9 if len(order) <= 40 else 8
    axes.set_yticks(places, [display_name(task.names[k]) for k in order], fontsize=small)
    axes.tick_params(axis="y", length=0)
    axes.set_ylim(len(order) - 0.4, -0.6)
    axes.set_xlim(0, 1.2)
    axes.spines["bottom"].set_bounds(0, 1)
    axes.set_xticks(np.linspace(0, 1, 6))
    axes.grid(axis="x")
    axes.set_xlabel("F1 (works)")
    axes.set_title(title)
    axes.legend(loc="lower right", bbox_to_anchor=(1, 1), borderaxespad=0.2)
    return drawn


@styled
def label_distribution_figure(
    table: pd.DataFrame, vocabularies: dict[str, list[str]], top: int = 30
) -> Figure:
    """Works of each class by split, one panel a task; beyond ``top`` classes the rest is summed in words."""
    rows = [min(len(names), top) for names in vocabularies.values()]
    drawn = style.figure(8, sum(rows) * 0.23 + len(rows) * 1.2)
    drawn.set_layout_engine("constrained", h_pad=0.12)
    panels = drawn.subplots(len(rows), 1, squeeze=False, height_ratios=[n + 2 for n in rows])[:, 0]
    for axes, (task, names) in zip(panels, vocabularies.items(), strict=True):
        _draw_distribution(axes, table, task, names, top)
    handles = [Patch(color=colour, label=split) for split, colour in style.SPLIT_COLOURS.items()]
    drawn.legend(handles=handles, loc="outside upper right", ncols=len(handles))
    return drawn


def _draw_distribution(axes: Axes, table: pd.DataFrame, task: str, names: list[str], top: int) -> None:
    known = table[table[task] >= 0]
    counts = {
        split: np.bincount(known.loc[known["split"] == split, task], minlength=len(names))
        for split in style.SPLIT_COLOURS
    }
    total = np.sum(list(counts.values()), axis=0)
    order = np.argsort(-total, kind="stable")
    shown, rest = order[:top], order[top:]
    left = np.zeros(len(shown))
    for split, colour in style.SPLIT_COLOURS.items():
        axes.barh(range(len(shown)), counts[split][shown], left=left, color=colour, height=0.74)
        left += counts[split][shown]
    for place, k in enumerate(shown):
        axes.text(left[place] + total.max() * 0.008, place, f"{total[k]:,d}", va="center", fontsize=8)
    axes.set_yticks(range(len(shown)), [display_name(names[k]) for k in shown])
    axes.tick_params(axis="y", length=0)
    axes.set_ylim(len(shown) - 0.4, -0.6)
    axes.set_xlim(0, max(total.max(), 1) * 1.1)
    axes.grid(axis="x")
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    unknown = len(table) - len(known)
    axes.set_title(
        f"{task}: {len(names)} classes, {len(known):,d} works" + f", {unknown:,d} unknown" * (unknown > 0)
    )
    last = (
        f" ({len(rest)} more classes of {total[rest].min():,d}–{total[rest].max():,d} works)"
        if len(rest)
        else ""
    )
    axes.set_xlabel(f"works{last}")


@styled
def reliability_figure(task: TaskPredictions, title: str) -> Figure:
    """Accuracy against confidence in 15 bins, the gap to perfect calibration, and where the works lie."""
    if not task.known.any():
        return empty(title)
    drawn = style.figure(5, 5.4)
    upper, lower = drawn.subplots(2, 1, sharex=True, height_ratios=[3.2, 1])
    error = draw_reliability(upper, lower, task)
    upper.set_title(f"{title}: ECE {error:.3f}")
    upper.legend(loc="upper left")
    return drawn


def draw_reliability(upper: Axes, lower: Axes, task: TaskPredictions) -> float:
    """Accuracy, gap and share of works in each bin of confidence, on two axes; gives the calibration error."""
    works, confidence, right = metrics.calibration_bins(task.labels, task.probabilities)
    full = works > 0
    width = 1 / len(works)
    middles = (np.arange(len(works)) + 0.5) * width
    upper.plot([0, 1], [0, 1], color=style.GREY, linestyle="--", linewidth=1.2, label="perfect")
    upper.bar(middles[full], right[full], width * 0.92, color=style.BLUE, label="accuracy")
    gap = (confidence - right)[full]
    upper.bar(
        middles[full], gap, width * 0.92, right[full], color="none", edgecolor=style.VERMILLION, hatch="////",
        linewidth=0.8, label="gap to confidence",
    )  # fmt: skip
    upper.set(xlim=(0, 1), ylim=(0, 1), ylabel="accuracy")
    upper.grid(axis="y")
    lower.bar(middles, works / works.sum(), width * 0.92, color=style.SKY)
    lower.set(xlabel="confidence", ylabel="share of works")
    lower.grid(axis="y")
    return metrics.expected_calibration_error(task.labels, task.probabilities)


def empty(title: str) -> Figure:
    """A figure that says that there is nothing to draw."""
    drawn = style.figure(5, 1.6)
    axes = drawn.subplots()
    axes.set_title(title)
    style.note(axes, _EMPTY)
    return drawn
