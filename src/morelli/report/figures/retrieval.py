"""The figure of a retrieval: which classes search finds again, and which it does not."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from morelli.report.figures import style
from morelli.report.figures.style import display_name, styled

COLUMN = 40  # classes in one column; more stand in two or three
_ROW, _ROW_MANY = 0.27, 0.19  # inches


@styled
def retrieval_figure(score: dict[str, Any], names: list[str], task: str, title: str = "") -> Figure:
    """One row a class, best first: the bar is its mean average precision, the dot the share of its queries whose
    nearest work is of the class; beside it the two in numbers and the queries. A line marks the mean over queries.

    ``score`` is one task of :func:`morelli.evaluation.search.retrieval.retrieve`, ``names`` the vocabulary by which its
    classes are numbered. More than ``COLUMN`` classes are set in columns.
    """
    heading = f"{task.capitalize()}: which classes are found again"
    heading = f"{heading}, {title}" if title else heading
    classes = sorted(score["per_class"].items(), key=lambda each: (-each[1]["map"], -each[1]["n"]))
    if not classes:
        drawn = style.figure(5, 1.6)
        axes = drawn.subplots()
        axes.set_title(heading)
        style.note(axes, "no query has a work to find")
        return drawn
    columns = min(-(-len(classes) // COLUMN), 3)
    rows = -(-len(classes) // columns)
    step, size = (_ROW, 9) if columns == 1 else (_ROW_MANY, 8)
    drawn = style.figure(7.5 if columns == 1 else 5.6 * columns, rows * step + 1.7)
    drawn.set_layout_engine("constrained", w_pad=0.12)
    panels = drawn.subplots(1, columns, squeeze=False)[0]
    for column, axes in enumerate(panels):
        _draw(axes, classes[column * rows : (column + 1) * rows], rows, names, score["map"], size)
    low, high = score["map_ci95"]
    line = f"mean over {score['n']:,d} queries {score['map']:.3f} ({low:.3f}–{high:.3f})"
    handles = [
        Line2D([], [], color=style.BLUE, linewidth=6, label="mean average precision"),
        Line2D([], [], color=style.ORANGE, marker="o", linestyle="none", label="nearest is of the class"),
        Line2D([], [], color=style.VERMILLION, linestyle="--", linewidth=1.3, label=line),
    ]
    drawn.legend(handles=handles, loc="outside lower left", ncols=3 if columns > 1 else 2)
    drawn.suptitle(heading, x=0.01, ha="left", fontsize=11, fontweight="bold")
    return drawn


def _draw(
    axes: Axes,
    classes: list[tuple[int, dict[str, Any]]],
    rows: int,
    names: list[str],
    mean: float,
    size: int,
) -> None:
    places = np.arange(len(classes))
    values = np.array([each["map"] for _, each in classes])
    first = np.array([each["recall@1"] for _, each in classes])
    axes.barh(places, values, color=style.BLUE, height=0.72)
    axes.plot(
        first, places, "o", color=style.ORANGE, markersize=4.5, markeredgecolor="white", markeredgewidth=0.6
    )
    for place, (_, each) in enumerate(classes):
        text = f"{each['map']:.2f} · {each['recall@1']:.2f}  ({each['n']:,d})"
        axes.text(1.03, place, text, va="center", fontsize=8, color="#333333")
    axes.axvline(mean, color=style.VERMILLION, linestyle="--", linewidth=1.3)
    labels = [display_name(names[label]) for label, _ in classes]
    axes.set_yticks(places, labels, fontsize=size)
    axes.tick_params(axis="y", length=0)
    axes.set_ylim(rows - 0.4, -0.6)
    axes.set_xlim(0, 1.42)
    axes.spines["bottom"].set_bounds(0, 1)
    axes.set_xticks(np.linspace(0, 1, 6))
    axes.grid(axis="x")
    axes.set_xlabel("mean average precision · recall@1 (queries)", loc="left")
