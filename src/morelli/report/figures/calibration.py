"""Figures of how far an answer can be trusted: confidence before and after calibration, and abstention."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from morelli.evaluation.calibration.temperature import uncalibrated
from morelli.evaluation.predictions import TaskPredictions
from morelli.evaluation.scores.selective import TARGET, accuracy_by_coverage
from morelli.report.figures import style
from morelli.report.figures.scores import draw_reliability, empty
from morelli.report.figures.style import styled

# the accuracy of fewer works than this jumps about and means nothing
MIN_WORKS = 20
_POINTS = 600


@styled
def before_after_figure(
    task: TaskPredictions, title: str, temperature: float, shift: list[float] | None = None
) -> Figure:
    """Two reliability diagrams side by side: as the network gives it, and at the temperature and shift of ``task``."""
    if not task.known.any():
        return empty(title)
    before = TaskPredictions(task.names, task.labels, uncalibrated(task.probabilities, temperature, shift))
    drawn = style.figure(8.6, 5.2)
    upper, lower = drawn.subplots(2, 2, sharex=True, sharey="row", height_ratios=[3.2, 1])
    drawn.suptitle(title, x=0.01, ha="left", fontsize=11, fontweight="bold")
    names = ("Before", f"After, temperature {temperature:.2f}")
    for above, below, given, name in zip(upper, lower, (before, task), names, strict=True):
        error = draw_reliability(above, below, given)
        above.set_title(f"{name}: ECE {error:.3f}", fontweight="normal")
    drawn.legend(*upper[0].get_legend_handles_labels(), loc="outside upper right", ncols=3)
    for axes in (upper[1], lower[1]):
        axes.set_ylabel("")
    return drawn


@styled
def abstention_figure(
    tasks: dict[str, TaskPredictions], title: str, thresholds: dict[str, float | None] | None = None
) -> Figure:
    """Accuracy of the most confident works against the share of works that are answered, one line a task.

    ``thresholds`` are confidences; a dot marks the share and accuracy of the works that reach a task's own. Shares of
    fewer than 20 works are not drawn.
    """
    curves = {name: accuracy_by_coverage(task) for name, task in tasks.items()}
    curves = {name: curve for name, curve in curves.items() if len(curve)}
    if not curves:
        return empty(title)
    drawn = style.figure(6.6, 4.2)
    axes = drawn.subplots()
    axes.axhline(TARGET, color=style.GREY, linestyle="--", linewidth=1.1)
    lowest = 1.0
    for name, curve in curves.items():
        colour = style.TASK_COLOURS.get(name, style.PURPLE)
        works = np.arange(1, len(curve) + 1)
        first = min(MIN_WORKS, len(curve)) - 1
        shown = np.unique(np.linspace(first, len(curve) - 1, _POINTS).astype(int))
        axes.plot(
            works[shown] / len(curve), curve[shown], color=colour, label=f"{name}, all: {curve[-1]:.1%}"
        )
        lowest = min(lowest, float(curve[shown].min()))
        _mark(axes, tasks[name], curve, (thresholds or {}).get(name), colour)
    axes.set(xlim=(0, 1.01), ylim=(max(np.floor(lowest * 10 - 0.5) / 10, 0), 1.01))
    axes.xaxis.set_major_formatter(PercentFormatter(1))
    axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    axes.set(xlabel="answered, the most confident first", ylabel="right among those answered")
    axes.grid()
    axes.set_title(title)
    axes.legend(loc="lower left")
    return drawn


def _mark(axes: Axes, task: TaskPredictions, curve: np.ndarray, threshold: float | None, colour: str) -> None:
    if threshold is None:
        return
    works = int((task.known & (task.confidence >= threshold)).sum())
    if works:
        axes.plot([works / len(curve)], [curve[works - 1]], "o", color=colour, markersize=7, zorder=3)
