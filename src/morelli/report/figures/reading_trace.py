"""A figure of how a painting was read: the path over it, beside the probabilities of the classes after each step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib import patheffects
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from numpy.typing import NDArray

from morelli.evaluation.turning_points import TurningPoint
from morelli.report.figures import style
from morelli.report.figures.saliency_map import LABEL, TITLE, Pixels, axes_at, size_of, write_heading
from morelli.report.figures.style import styled

_COLOURS = (style.VERMILLION, style.BLUE, style.GREEN, style.PURPLE)
_REST = "#8C8C8C"
_PAINTING, _CHART, _NAMES = 4.6, 4.6, 2.0  # inches: a painting's longer side, the chart, the names beside it
# the same apart, for a page of many: painting, the chart's height and width, names
_SMALL = (3.6, 3.1, 2.9, 1.75)
_SHOWN = 4
_NUMBERED = 6


@dataclass(frozen=True)
class Reading:
    """One task's trace as it is drawn: class names for people (K), ``probabilities`` (T, K), the ``cells`` (T, P)
    that each step adds on a ``grid`` (h, w), the ``box`` (left, top, right, bottom) that the grid covers in shares of
    the painting, and the turning points to number, in order. ``unit`` is ``token`` or ``row``; ``ordered`` is False
    where the neck does not read in this order and the rows were only revealed."""

    names: Sequence[str]
    probabilities: NDArray[np.floating]
    cells: NDArray[np.integer]
    grid: tuple[int, int]
    box: tuple[float, float, float, float]
    points: Sequence[TurningPoint]
    unit: str
    ordered: bool


@styled
def trace_figure(painting: Pixels, reading: Reading, title: str) -> Figure:
    """The path over the painting, in the colour of the class that led, beside the probabilities after each step.

    Four classes have a line of their own, the others share one; turning points carry the same numbers on both sides.
    """
    shown = leading_classes(reading.probabilities)
    wide, high = size_of(painting, _PAINTING)
    tall = max(high, 3.4)
    total = wide + 0.7 + _CHART + _NAMES
    heading = style.wrap(title, total, TITLE, bold=True)
    levels = _staggered([point.step for point in reading.points], 0.055 * len(reading.cells))
    above, below = 0.2 * len(heading) + 0.35 + 0.3 * max(levels, default=0), 0.5
    drawn = Figure(figsize=(total, tall + above + below))
    write_heading(drawn, heading, 0, tall + above + below)
    canvas = axes_at(drawn, 0, below + tall - high, wide, high)
    _draw_path(canvas, painting, reading, shown)
    _draw_chart(drawn, (wide + 0.7, below), (_CHART, tall), _NAMES, reading, shown, levels)
    return drawn


@styled
def path_figure(painting: Pixels, reading: Reading) -> Figure:
    """The left half of :func:`trace_figure` alone, smaller and without a title."""
    drawn = Figure(figsize=size_of(painting, _SMALL[0]))
    axes = axes_at(drawn, 0, 0, *size_of(painting, _SMALL[0]))
    _draw_path(axes, painting, reading, leading_classes(reading.probabilities))
    return drawn


@styled
def probability_figure(reading: Reading) -> Figure:
    """The right half of :func:`trace_figure` alone, small enough to be read on a phone."""
    _, tall, wide, names = _SMALL
    shown = leading_classes(reading.probabilities)
    levels = _staggered([point.step for point in reading.points], 0.087 * len(reading.cells))
    below, left = 0.5, 0.55
    drawn = Figure(figsize=(left + wide + names, below + tall + 0.3 + 0.3 * max(levels, default=0)))
    _draw_chart(drawn, (left, below), (wide, tall), names, reading, shown, levels)
    return drawn


def _draw_chart(
    drawn: Figure,
    corner: tuple[float, float],
    size: tuple[float, float],
    names: float,
    reading: Reading,
    shown: Sequence[int],
    levels: Sequence[int],
) -> None:
    """The probabilities after each step, with badges above and names beside; all in inches."""
    axes = axes_at(drawn, *corner, *size)
    ends = _draw_probabilities(axes, reading, shown)
    for number, (point, level) in enumerate(zip(reading.points, levels, strict=True), start=1):
        axes.axvline(point.step + 1, color="#BBBBBB", linewidth=0.8, zorder=1)
        _badge(axes, point.step + 1, 1.06 + level * 0.25 / size[1], number, _colour(point.after, shown))
    _name_lines(axes, ends, size, names - 0.2)


def leading_classes(probabilities: NDArray[np.floating], most: int = _SHOWN) -> list[int]:
    """The final answer, the classes that led longest, then the most probable at any step; at most ``most``."""
    led = np.bincount(probabilities.argmax(axis=1), minlength=probabilities.shape[1])
    answer = int(probabilities[-1].argmax())
    led[answer] = len(probabilities) + 1
    return [int(i) for i in np.lexsort((-probabilities.max(axis=0), -led))[:most]]


def numbered(points: Sequence[TurningPoint], most: int = _NUMBERED) -> list[TurningPoint]:
    """The turning points worth a number: the last turn, the largest rise, and the turns that held longest; in order,
    and one a step."""
    turns = [point for point in points if point.kind == "turn"]
    rises = [point for point in points if point.kind == "rise"]
    at_rise = [turn for turn in turns if any(turn.step == rise.step for rise in rises)]
    kept = {point.step: point for point in [*turns[-1:], *(at_rise or rises)]}
    others = [turn for turn in sorted(turns, key=lambda point: -point.held) if turn.step not in kept]
    chosen = [*kept.values(), *others[: most - len(kept)]]
    return sorted(chosen, key=lambda point: point.step)


def _draw_path(axes: Axes, painting: Pixels, reading: Reading, shown: Sequence[int]) -> None:
    """Cells are joined where they touch; a jump to the next line is drawn thin and dotted."""
    height, width = painting.shape[:2]
    axes.set_axis_off()
    axes.imshow(_faded(painting), aspect="auto", interpolation="antialiased")
    axes.set_xlim(0, width)
    axes.set_ylim(height, 0)
    places = [_places(cells, reading, width, height) for cells in reading.cells]
    colours = [_colour(int(leader), shown) for leader in reading.probabilities.argmax(axis=1)]
    line = float(
        np.clip(11 * min(size_of(painting, _PAINTING)) / max(reading.grid), 1.2, 2.4)
    )  # finer on small cells
    edge = [patheffects.withStroke(linewidth=1.8 * line, foreground="white", alpha=0.85)]
    for step, (place, colour) in enumerate(zip(places, colours, strict=True)):
        if step and reading.unit == "token":
            before, now = places[step - 1][0], place[0]
            rows, columns = np.divmod(reading.cells[[step - 1, step], 0], reading.grid[1])
            jump = abs(rows[1] - rows[0]) + abs(columns[1] - columns[0]) > 1
            look: dict[str, Any] = (
                {"linewidth": 0.7, "linestyle": (0, (1, 2)), "color": "#444444", "zorder": 2}
                if jump
                else {"linewidth": line, "color": colour, "path_effects": edge, "zorder": 3}
            )
            axes.plot(*np.array([before, now]).T, **look)
        elif reading.unit == "row":
            axes.plot(*place[[0, -1]].T, linewidth=line, color=colour, path_effects=edge, zorder=3)
    ends = np.array([place[-1] for place in places])
    axes.scatter(
        ends[:, 0], ends[:, 1], s=6 * line, c=colours, edgecolors="white", linewidths=0.3 * line, zorder=4
    )
    for number, point in enumerate(reading.points, start=1):
        x, y = places[point.step].mean(axis=0)
        _badge(axes, x, y, number, colours[point.step])


def _draw_probabilities(axes: Axes, reading: Reading, shown: Sequence[int]) -> list[tuple[float, str, str]]:
    """The lines; returns where each ends, its name and its colour."""
    probabilities = reading.probabilities
    steps = np.arange(1, len(probabilities) + 1)
    axes.set_xlim(1 - 0.02 * len(steps), len(steps) + 0.02 * len(steps))
    axes.set_ylim(-0.02, 1.06)
    axes.set_yticks([0, 0.25, 0.5, 0.75, 1])
    axes.grid(axis="y")
    axes.set_xlabel(f"{reading.unit}s {'read' if reading.ordered else 'revealed'}")
    axes.set_ylabel("probability", labelpad=2)
    axes.set_xticks(_ticks(len(steps)))
    marker = "o" if len(steps) <= 20 else None
    ends = []
    rest = 1 - probabilities[:, shown].sum(axis=1)
    others = probabilities.shape[1] - len(shown)
    if others > 0:
        axes.plot(steps, rest, color=_REST, linewidth=1.2, linestyle=(0, (4, 2)), zorder=2)
        name = f"{max(rest[-1], 0):.2f} {others} other{'s' if others > 1 else ''}"
        ends.append((float(rest[-1]), name, _REST))
    for place, number in reversed(list(enumerate(shown))):
        look: dict[str, Any] = {"linewidth": 2.4 if place == 0 else 1.6, "marker": marker, "markersize": 3.5}
        axes.plot(steps, probabilities[:, number], color=_COLOURS[place], zorder=4 - 0.1 * place, **look)
        name = f"{probabilities[-1, number]:.2f} {reading.names[number]}"
        ends.append((float(probabilities[-1, number]), name, _COLOURS[place]))
    return ends


def _staggered(steps: Sequence[int], room: float) -> list[int]:
    """For each step the lowest of as many levels as it takes that none is within ``room`` of another on its level."""
    last: list[float] = []
    levels = []
    for step in steps:
        level = next((n for n, before in enumerate(last) if step - before >= room), len(last))
        last[level : level + 1] = [step]
        levels.append(level)
    return levels


def _name_lines(
    axes: Axes, ends: list[tuple[float, str, str]], size: tuple[float, float], room: float
) -> None:
    """Names beside the ends of their lines, pushed apart where they would overlap, each with a thin leader."""
    low, high = axes.get_ylim()
    wrapped = [(y, style.wrap(name, room, LABEL), colour) for y, name, colour in sorted(ends)]
    needs = [(high - low) * (0.15 * len(lines) + 0.05) / size[1] for _, lines, _ in wrapped]
    middles, floor = [], low
    for (y, _, _), need in zip(wrapped, needs, strict=True):
        middles.append(max(y, floor + need / 2))
        floor = middles[-1] + need / 2
    ceiling = high
    for place in reversed(range(len(middles))):
        middles[place] = min(middles[place], ceiling - needs[place] / 2)
        ceiling = middles[place] - needs[place] / 2
    left, right = axes.get_xlim()
    gap = 0.13 / size[0] * (right - left)
    for (y, lines, colour), middle in zip(wrapped, middles, strict=True):
        axes.plot([right, right + gap], [y, middle], color=colour, linewidth=0.8, clip_on=False)
        look: dict[str, Any] = {
            "va": "center",
            "color": _dark(colour),
            "fontsize": LABEL,
        }
        axes.text(right + 1.3 * gap, middle, "\n".join(lines), **look)


def _places(cells: NDArray[np.integer], reading: Reading, width: int, height: int) -> NDArray[np.float64]:
    """The middles of cells (P,) in pixels of the painting (P, 2), x then y."""
    rows, columns = np.divmod(cells, reading.grid[1])
    left, top, right, bottom = reading.box
    x = left + (columns + 0.5) / reading.grid[1] * (right - left)
    y = top + (rows + 0.5) / reading.grid[0] * (bottom - top)
    return np.column_stack([x * width, y * height])


def _badge(axes: Axes, x: float, y: float, number: int, colour: str) -> None:
    look = {"boxstyle": "circle,pad=0.22", "facecolor": colour, "edgecolor": "white", "linewidth": 1.2}
    axes.text(
        x, y, str(number), ha="center", va="center", color="white", fontsize=8, fontweight="bold", bbox=look, zorder=6
    )  # fmt: skip


def _colour(number: int, shown: Sequence[int]) -> str:
    return _COLOURS[shown.index(number)] if number in shown else _REST


def _dark(colour: str) -> tuple[float, float, float]:
    """Dark enough to be read as text on white."""
    red, green, blue = to_rgb(colour)
    return 0.8 * red, 0.8 * green, 0.8 * blue


def _faded(painting: Pixels) -> Pixels:
    """Lighter and paler, so that the path stands out and the painting can still be recognised."""
    grey = painting.mean(axis=2, keepdims=True)
    return np.round(255 - (255 - (0.65 * painting + 0.35 * grey)) * 0.85).astype(np.uint8)


def _ticks(steps: int) -> list[int]:
    """About six round numbers, the first and the last among them."""
    if steps <= 8:
        return list(range(1, steps + 1))
    gap = next(g for g in (2, 5, 10, 20, 50, 100, 200, 500, 1000) if steps / g <= 7 or g == 1000)
    return [1, *(n for n in range(gap, steps, gap) if steps - n > gap / 2 and n > 1), steps]
