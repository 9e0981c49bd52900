"""Confused works: the most frequent mistakes of each task, beside the training works that may have led to them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from morelli.evaluation.predictions import TaskPredictions
from morelli.evaluation.scores import metrics
from morelli.report.figures.style import display_name
from morelli.report.html import Missing, Section, Work, render
from morelli.report.run_results import Pictures, RunResults
from morelli.report.sections.neighbour_index import NeighbourIndex

NAME, TITLE = "confused", "Confused works"
CONFUSIONS, WORKS = 3, 4  # of a task, and of a confusion


@dataclass(frozen=True)
class Confusion:
    """``count`` of the ``support`` works of class ``true`` were called ``answer``; rows of the predictions of some,
    the surest first."""

    true: int
    answer: int
    count: int
    support: int
    rows: NDArray[np.int64]


@dataclass(frozen=True)
class Couple:
    """A confused work, and the training work of the answered class most like it, where there is one."""

    work: Work
    like: Work | None


def confused(
    results: RunResults, picture: Pictures | None, neighbours: NeighbourIndex | Missing
) -> Section | Missing:
    """The section; without an index the works stand alone, without their collection there is no section."""
    if picture is None:
        return Missing(
            NAME, "No confused works are shown: their collection is gone, or holds other works now"
        )
    tasks, works = [], 0
    for name, task in results.predictions.tasks.items():
        shown = [
            (_heading(name, task, each), _couples(results, name, each, picture, neighbours))
            for each in confusions(task)
        ]
        works += sum(1 + (couple.like is not None) for _, couples in shown for couple in couples)
        tasks.append((name, shown))
    html = render(
        "confused.html", tasks=tasks, neighbours=isinstance(neighbours, NeighbourIndex), split=results.split
    )
    return Section(NAME, TITLE, html, works)


def confusions(task: TaskPredictions, most: int = CONFUSIONS, works: int = WORKS) -> list[Confusion]:
    """The most frequent mistakes, of equals that of the first class; at most ``works`` rows of each."""
    counts = metrics.confusion_matrix(task.labels, task.probabilities)
    support = counts.sum(axis=1)
    np.fill_diagonal(counts, 0)
    places = np.argsort(-counts, axis=None, kind="stable")[:most]
    kept = []
    predicted, confidence = task.predicted, task.confidence
    for true, answer in zip(*np.unravel_index(places, counts.shape), strict=True):
        if counts[true, answer]:
            rows = np.flatnonzero((task.labels == true) & (predicted == answer))
            surest = rows[np.argsort(-confidence[rows], kind="stable")][:works]
            kept.append(Confusion(int(true), int(answer), len(rows), int(support[true]), surest))
    return kept


def _heading(name: str, task: TaskPredictions, confusion: Confusion) -> str:
    true, answer = (display_name(task.names[k]) for k in (confusion.true, confusion.answer))
    whose = f"works by {true}" if name == "artist" else f"{true} works"
    return f"{confusion.count:,d} of {confusion.support:,d} {whose} called {answer}"


def _couples(
    results: RunResults,
    name: str,
    confusion: Confusion,
    picture: Pictures,
    neighbours: NeighbourIndex | Missing,
) -> list[Couple]:
    task, ids, vectors = (
        results.predictions.tasks[name],
        results.predictions.ids,
        results.predictions.embedding,
    )
    answer = display_name(task.names[confusion.answer])
    couples, used = [], set()
    for row in confusion.rows:
        like = None
        if isinstance(neighbours, NeighbourIndex) and vectors is not None:
            of_class = (neighbours.works["split"] == "train") & (neighbours.works[name] == confusion.answer)
            near = neighbours.nearest(vectors[row], WORKS, of_class.to_numpy() & neighbours.apart(ids[row]))
            # one work is the nearest of several only where there is no other
            other = next((pair for pair in near if pair[0] not in used), near[0] if near else None)
            if other:
                used.add(other[0])
                label, distance = f"trained as {answer}", f"distance {other[1]:.2f}"
                like = results.work(other[0], picture(other[0]), [label], distance)
        lines = [f"called {answer}, {100 * task.confidence[row]:.0f}\u00a0%"]
        couples.append(Couple(results.work(ids[row], picture(ids[row]), lines), like))
    return couples
