"""Nearest works: some of the scored works, each with the works by other artists that look most like it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from morelli.evaluation.predictions import Predictions
from morelli.report.figures.style import display_name
from morelli.report.html import Missing, Section, render
from morelli.report.run_results import Pictures, RunResults
from morelli.report.sections.neighbour_index import NeighbourIndex

NAME, TITLE = "nearest", "Nearest works"
QUERIES, WORKS = 6, 5


def nearest(
    results: RunResults, picture: Pictures | None, neighbours: NeighbourIndex | Missing
) -> Section | Missing:
    """The section; it needs the run's index and its collection's paintings."""
    if isinstance(neighbours, Missing):
        return neighbours
    vectors = results.predictions.embedding
    assert vectors is not None  # there would be no index
    if picture is None:
        return Missing(NAME, "No nearest works are shown: their collection is gone, or holds other works now")
    rows = []
    for row in example_works(results.predictions):
        work = results.predictions.ids[row]
        tiles = [results.work(work, picture(work), _labels(results, neighbours, work, row))]
        for other, distance in by_other_artists(neighbours, work, vectors[row]):
            labels = _labels(results, neighbours, other)
            tiles.append(results.work(other, picture(other), labels, f"distance {distance:.2f}"))
        rows.append(tiles)
    html = render("nearest.html", rows=rows, split=results.split)
    return Section(NAME, TITLE, html, sum(map(len, rows)))


def example_works(predictions: Predictions, most: int = QUERIES, seed: int = 0) -> list[int]:
    """Rows of works to show, spread over the styles (or the classes of the first task): of the classes that the
    works have, as many as are wanted, evenly from the most to the least frequent, one work drawn of each."""
    task = predictions.tasks.get("style") or next(iter(predictions.tasks.values()))
    counts = np.bincount(task.labels[task.known], minlength=len(task.names))
    classes = np.argsort(-counts, kind="stable")[: np.count_nonzero(counts)]
    if not len(classes):
        return list(range(min(most, len(predictions))))
    spread = classes[np.unique(np.linspace(0, len(classes) - 1, min(most, len(classes))).round().astype(int))]
    generator = np.random.default_rng(seed)
    return [int(generator.choice(np.flatnonzero(task.labels == k))) for k in spread]


def by_other_artists(
    neighbours: NeighbourIndex, work: str, vector: NDArray[np.floating], most: int = WORKS
) -> list[tuple[str, float]]:
    """Ids and distances of the nearest works, none by the artist of ``work``, and no two by one artist."""
    artists = neighbours.works["artist_name"]
    own = artists.at[work] if work in artists.index else None
    allowed = neighbours.apart(work)
    if isinstance(own, str):
        allowed &= (artists != own).to_numpy()
    wide = 20 * most
    while True:
        chosen: dict[object, tuple[str, float]] = {}
        near = neighbours.nearest(vector, wide, allowed)
        for other, far in near:
            by = artists.at[other]
            chosen.setdefault(by if isinstance(by, str) else ("unknown", other), (other, far))
        if len(chosen) >= most or len(near) < wide:
            return list(chosen.values())[:most]
        wide *= 10


def _labels(results: RunResults, neighbours: NeighbourIndex, work: str, row: int | None = None) -> list[str]:
    """The style and genre of a work in one line, as far as they are known."""
    known = []
    for name, task in results.predictions.tasks.items():
        if name != "artist":
            number = int(task.labels[row] if row is not None else neighbours.works[name].at[work])
            known += [display_name(task.names[number])] if number >= 0 else []
    return [", ".join(known)] if known else []
