"""Sample works of a run: those it names rightly in every task, in some, in none."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from morelli.collection.collection import Collection
from morelli.errors import MorelliError, RunError
from morelli.evaluation.predictions import Predictions
from morelli.report.figures.gallery import Tile
from morelli.report.figures.style import display_name
from morelli.run import Run

_WORDS = ("none", "one", "two", "three")


@dataclass(frozen=True)
class Sample:
    """Some of the ``works`` whose answers are right in exactly ``right`` tasks; ``name`` says that in a word."""

    name: str
    right: int
    works: int
    tiles: list[Tile]


def samples(
    predictions: Predictions, picture: Callable[[str], bytes | None], size: int = 10, seed: int = 0
) -> list[Sample]:
    """One sample for each number of right answers, all tasks first, none last; empty for fewer than two tasks.

    Only works whose label is known in every task count. Up to ``size`` of them are drawn with ``seed``, in the order
    of the predictions. ``picture`` gives the image of a work's id, or None.
    """
    tasks = list(predictions.tasks.values())
    if len(tasks) < 2:
        return []
    known = np.logical_and.reduce([task.known for task in tasks])
    right = np.sum([task.predicted == task.labels for task in tasks], axis=0)
    kept = []
    for number in range(len(tasks), -1, -1):
        rows = np.flatnonzero(known & (right == number))
        generator = np.random.default_rng([seed, number])
        drawn = np.sort(generator.choice(rows, min(size, len(rows)), replace=False))
        tiles = [Tile(picture(predictions.ids[row]), _lines(predictions, row)) for row in drawn]
        name = "all" if number == len(tasks) else (*_WORDS, *map(str, range(4, number + 1)))[number]
        kept.append(Sample(name, number, len(rows), tiles))
    return kept


def _lines(predictions: Predictions, row: int) -> tuple[str, ...]:
    """The work's name, then for each task the answer, its confidence, and the given label where it differs."""
    lines = [PurePosixPath(predictions.ids[row]).stem]
    for name, task in predictions.tasks.items():
        answer, given = int(task.predicted[row]), int(task.labels[row])
        lines.append(f"{name}: {display_name(task.names[answer])}, {_per_cent(task.confidence[row])}")
        if answer != given:
            lines.append(f"(given: {display_name(task.names[given])})")
    return tuple(lines)


def _per_cent(share: np.float32) -> str:
    # a no-break space keeps the sign with its number; only certainty is shown as 100
    return f"{min(round(100 * float(share)), 99 if share < 1 else 100)}\u00a0%"


def pictures_of(
    run: Path, scores: dict[str, Any], ids: Sequence[str]
) -> Callable[[str], bytes | None] | None:
    """Gives the prepared image of a work's id, or None where that one cannot be read.

    None where no collection of the run holds all of ``ids``.
    """
    collection = collection_of(run, scores, ids)
    if collection is None:
        return None
    rows = {work: row for row, work in enumerate(collection.table["id"].astype(str))}
    return lambda work: _read(collection, rows[work])


def collection_of(run: Path, scores: dict[str, Any], ids: Sequence[str]) -> Collection | None:
    """The collection that holds all of ``ids``: the one where ``scores-SPLIT.json`` says they were scored, else the
    one where ``RUN/collection.txt`` says the run's collection is, else None."""
    for folder in _folders(run, scores):
        try:
            collection = Collection.open(folder)
        except (MorelliError, OSError):
            continue
        if set(collection.table["id"].astype(str)) >= set(ids):
            return collection
    return None


def _folders(run: Path, scores: dict[str, Any]) -> Iterator[Path]:
    if scores.get("collection"):
        yield Path(scores["collection"])
    with suppress(RunError):
        yield Run(run).collection_folder()


def _read(collection: Collection, row: int) -> bytes | None:
    try:
        return collection.read(row)
    except (MorelliError, OSError, IndexError):
        return None
