"""Reading traces: how the network came to its answer on three works."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from morelli.evaluation.predictions import Predictions
from morelli.files import data_url
from morelli.report.figures import style
from morelli.report.figures.reading_trace import Reading, path_figure, probability_figure
from morelli.report.figures.saliency_map import Pixels
from morelli.report.figures.style import display_name
from morelli.report.html import Missing, Section, Thumbnail, Work, embedded, render
from morelli.report.pages.explain import story
from morelli.report.run_results import RunResults

NAME, TITLE = "traces", "Reading traces"

# a work's id and a task to the painting, its trace, and what the probabilities after a step are
Read = Callable[[str, str], tuple[Pixels, Reading, str]]


@dataclass(frozen=True)
class TracedWork:
    """A work, why it was chosen, the path over it, the probabilities after each step, and the same in words."""

    why: str
    work: Work
    path: Thumbnail
    chart: Thumbnail
    story: str


def traces(results: RunResults, read: Read) -> Section | Missing:
    """The section, of works that ``read`` traces."""
    name = task_of(results.predictions)
    traced, unit, meaning = [], "token", ""
    for why, row in choose(results.predictions):
        painting, reading, meaning = read(results.predictions.ids[row], name)
        traced.append(_traced_work(results, why, row, painting, reading))
        unit = reading.unit
    if not traced:
        return Missing(NAME, f"No reading traces are shown: of no work the {name} is known")
    html = render("traces.html", task=name, works=traced, unit=unit, meaning=meaning)
    return Section(NAME, TITLE, html, len(traced))


def task_of(predictions: Predictions) -> str:
    """The task that is traced: style, or else the first."""
    return "style" if "style" in predictions.tasks else next(iter(predictions.tasks))


def choose(predictions: Predictions) -> list[tuple[str, int]]:
    """Rows of the surest right answer, the least sure right one and the surest wrong one, as far as there are any,
    and why they were chosen."""
    task = predictions.tasks[task_of(predictions)]
    right = np.flatnonzero(task.known & (task.predicted == task.labels))
    wrong = np.flatnonzero(task.known & (task.predicted != task.labels))
    order = right[np.argsort(-task.confidence[right], kind="stable")]
    chosen = [("Rightly named, and surest", row) for row in order[:1]]
    chosen += [("Rightly named, and least sure", row) for row in order[1:][-1:]]
    surest = wrong[np.argsort(-task.confidence[wrong], kind="stable")][:1]
    return [
        (why, int(row)) for why, row in [*chosen, *(("Wrongly named, and surest", row) for row in surest)]
    ]


def _traced_work(results: RunResults, why: str, row: int, painting: Pixels, reading: Reading) -> TracedWork:
    task = results.predictions.tasks[task_of(results.predictions)]
    answer, given = (display_name(task.names[k]) for k in (task.predicted[row], task.labels[row]))
    right = task.predicted[row] == task.labels[row]
    line = f"called {answer}, as labelled" if right else f"called {answer}; the label is {given}"
    work = results.work(results.predictions.ids[row], None, [line])
    return TracedWork(why, work, _photograph(path_figure(painting, reading)), _chart(reading), story(reading))


def _photograph(drawn: Figure) -> Thumbnail:
    with Image.open(io.BytesIO(style.jpeg(drawn, quality=90, margin=0))) as image:
        return embedded(image.convert("RGB"))


def _chart(reading: Reading) -> Thumbnail:
    """Lines and letters, which JPEG would blur."""
    data = style.png(probability_figure(reading))
    with Image.open(io.BytesIO(data)) as image:
        width, height = (side * 96 // style.DPI for side in image.size)
    return Thumbnail(data_url(data, "png"), width, height)
