"""The figure of a comparison of runs: each run's accuracy with its interval, and its difference to the first."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator, StrMethodFormatter

from morelli.report.figures import style
from morelli.report.figures.style import styled

REFERENCE, BETTER, WORSE, UNCLEAR = "#222222", style.BLUE, style.VERMILLION, style.GREY
_LINE_LENGTH, _NAME_LENGTH = 34, 60  # letters of a run's name in one line, and in two
_COLUMNS = ((1.02, "accuracy (95 %)"), (1.36, "difference to the reference, in points (95 %)"))
_GAP = 0.95  # between panels, in inches
_WIDTH = 4.6  # of a panel, in inches; the texts beside it take as much again


@styled
def comparison_figure(result: dict[str, Any]) -> Figure:
    """One panel a task, one row a run, the reference first; ``result`` is what ``morelli compare`` returns.

    A dot is the accuracy on the shared works, its line the 95 % interval. The text beside it says the paired
    difference to the reference and how many works only one of the two names rightly.
    """
    runs = result["runs"]
    tasks = [task for task, score in runs[0]["tasks"].items() if score["n"]]
    if not tasks:
        drawn = style.figure(5, 1.6)
        style.note(drawn.subplots(), "no label is known in every run")
        return drawn
    names = [_short(run["name"]) for run in runs]
    step = 0.5 if any("\n" in name for name in names) else 0.42
    panel = len(runs) * step + _GAP
    drawn = Figure(figsize=(_WIDTH, panel * len(tasks) + 0.5))
    panels = drawn.subplots(len(tasks), 1, squeeze=False)[:, 0]
    height = panel * len(tasks) + 0.5
    drawn.subplots_adjust(0, 0.8 / height, 1, 1 - 0.45 / height, hspace=_GAP / (len(runs) * step))
    for axes, task in zip(panels, tasks, strict=True):
        _draw_task(axes, task, [run["tasks"][task] for run in runs], names, result["split"])
    handles = [
        Line2D([], [], color=colour, marker="o", label=label)
        for colour, label in (
            (REFERENCE, "reference"),
            (BETTER, "better"),
            (WORSE, "worse"),
            (UNCLEAR, "no clear difference"),
        )
    ]
    panels[-1].legend(
        handles=handles, loc="upper left", bbox_to_anchor=(1.0, -0.12 / (len(runs) * step)), ncols=4,
        columnspacing=1.2, handlelength=1.6,
    )  # fmt: skip
    return drawn


def _draw_task(axes: Axes, task: str, scores: list[dict[str, Any]], names: list[str], split: str) -> None:
    """Rows from above; the band is the reference's own interval."""
    values = 100 * np.array([score["accuracy"] for score in scores])
    low, high = 100 * np.array([score["accuracy_ci95"] for score in scores]).T
    axes.axvspan(low[0], high[0], color="#F0F0F0", linewidth=0)
    axes.axvline(values[0], color=style.GREY, linestyle="--", linewidth=1.1)
    for place, score in enumerate(scores):
        colour = _colour(score["difference"])
        axes.plot([low[place], high[place]], [place, place], color=colour, solid_capstyle="butt")
        axes.plot(values[place], place, "o", color=colour, markersize=6.5)
        _write(
            axes, _COLUMNS[0][0], place, f"{values[place]:.1f} %", f"{low[place]:.1f} to {high[place]:.1f}"
        )
        _write(axes, _COLUMNS[1][0], place, *_words(score["difference"]), colour)
    for x, header in _COLUMNS:
        axes.text(x, 1.0, header, transform=axes.transAxes, va="bottom", fontsize=8, color=style.GREY)
    axes.set_yticks(range(len(names)), names)
    axes.tick_params(axis="y", length=0)
    axes.set_ylim(len(names) - 0.5, -0.5)
    margin = max(0.1 * (high.max() - low.min()), 0.5)
    axes.set_xlim(max(low.min() - margin, -1), min(high.max() + margin, 101))
    axes.xaxis.set_major_locator(MaxNLocator(8, integer=True, prune="both"))
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g} %"))
    axes.grid(axis="x")
    axes.set_xlabel("accuracy")
    axes.set_title(f"{task.capitalize()}: {scores[0]['n']:,d} works ({split})")


def _write(axes: Axes, x: float, place: int, first: str, second: str, colour: str = "#333333") -> None:
    where = axes.get_yaxis_transform()
    axes.text(x, place - 0.04, first, transform=where, va="bottom", fontsize=9, color=colour)
    axes.text(x, place + 0.04, second, transform=where, va="top", fontsize=7.5, color=style.GREY)


def _words(change: dict[str, Any] | None) -> tuple[str, str]:
    """The difference and its interval, and the works behind it, in words."""
    if change is None:
        return "reference", "the others are compared with it"
    low, high = (100 * value for value in change["accuracy_ci95"])
    points = 100 * change["accuracy"]
    verdict = "better" if low > 0 else "worse" if high < 0 else "no clear difference"
    alone, reference, p = (change[name] for name in ("only_this_right", "only_reference_right", "mcnemar_p"))
    counts = f"right alone: {alone:,d}, the reference {reference:,d}; p {'<' if p < 0.001 else '='} {max(p, 0.001):.3f}"
    return f"{_signed(points)} ({_signed(low)} to {_signed(high)}): {verdict}", counts


def _signed(points: float) -> str:
    """With a sign, and a true minus; what rounds to nothing has neither."""
    return f"{points:+.1f}".replace("-", "−") if abs(points) >= 0.05 else "0.0"


def _colour(change: dict[str, Any] | None) -> str:
    if change is None:
        return REFERENCE
    low, high = change["accuracy_ci95"]
    return BETTER if low > 0 else WORSE if high < 0 else UNCLEAR


def _short(name: str) -> str:
    """A run's name in one or two lines, broken after a separator where that fits; a longer one loses its middle,
    for runs differ at the end as often as at the beginning."""
    if len(name) > _NAME_LENGTH:
        name = f"{name[: _NAME_LENGTH // 2 - 1]}…{name[-_NAME_LENGTH // 2 :]}"
    if len(name) <= _LINE_LENGTH:
        return name
    places = [match.end() for match in re.finditer("[-_/ ]+", name)]
    fitting = [place for place in places if len(name) - _LINE_LENGTH <= place <= _LINE_LENGTH]
    place = fitting[-1] if fitting else _LINE_LENGTH
    return f"{name[:place]}\n{name[place:]}"
