"""``morelli evaluate``: a run and a split to scores, predictions, figures and class reports."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from morelli.collection.collection import Collection
from morelli.console import say
from morelli.errors import DataError, RunError, UsageError
from morelli.files import write_json
from morelli.jobs.reading import read_rows
from morelli.judgement.predictions import Predictions, TaskPredictions, write
from morelli.judgement.scores import score
from morelli.prediction.model import Model, load_model
from morelli.recipe import TASKS
from morelli.report.page import write_report

SPLITS = ("train", "val", "test", "all")


def evaluate(run: Path, split: str = "test", data: Path | None = None) -> dict[str, Any]:
    """Scores ``run`` on a split of its own collection, or of another one, whose classes are matched by name.

    Writes ``scores-SPLIT.json``, ``predictions-SPLIT.parquet`` and ``report/``; returns the scores. Raises
    :class:`UsageError` for an unknown split and :class:`DataError` for an empty one.
    """
    if split not in SPLITS:
        raise UsageError(f"--split {split}: must be one of {', '.join(SPLITS)}")
    model = load_model(run)
    own = data is None
    collection = Collection.open(data or _own_collection(run))
    rows = collection.rows(split)
    if not len(rows):
        there = ", ".join(f"{name} {count:,}" for name, count in collection.info["splits"].items())
        raise DataError(
            f"{collection.folder}: split {split} has no works (it has {there}); choose another --split"
        )
    if own:
        check_same_rows(run, collection)
    table, training = _tables(collection, model, run, own)
    _say_strangers(collection, model, rows)
    readings = read_rows(model, collection, rows, f"reading {split}")
    tasks = {
        task: TaskPredictions(
            names, table[task].to_numpy()[rows].astype(np.int32), readings.probabilities[task]
        )
        for task, names in model.vocabularies.items()
    }
    ids, paths = (list(collection.table[c].astype(str).iloc[rows]) for c in ("id", "file"))
    predictions = Predictions(ids, paths, tasks, readings.embedding)
    write(predictions, run / f"predictions-{split}.parquet")
    scores = score(predictions, pd.concat([training, table.iloc[rows]]) if not own else table)
    scores |= {"split": split, "collection": str(collection.folder)}
    write_json(run / f"scores-{split}.json", scores)
    page = write_report(run, split)
    say(f"report: {page}")
    return scores


def _tables(
    collection: Collection, model: Model, run: Path, own: bool
) -> tuple[pd.DataFrame, pd.DataFrame | None]:
    """The works to score with labels in the model's vocabulary, and, where they are of another collection, the
    run's training rows, from which the no-pixel baselines are drawn."""
    labels = {task: collection.labels(task, names) for task, names in model.vocabularies.items()}
    columns = ["id", "split", "artist_name"]
    table = collection.table[columns].assign(**labels)
    if own:
        return table, None
    training = _training_rows(run, [*columns, *model.vocabularies])
    return table.assign(split="scored"), training[training["split"] == "train"]


def check_same_rows(run: Path, collection: Collection) -> None:
    """Raises :class:`RunError` where the collection was made anew since the run began, with other rows, labels
    or splits: what is its test now may have been training then."""
    columns = ["id", "split", *TASKS]
    if not _training_rows(run, columns).equals(collection.table[columns]):
        raise RunError(
            f"{run}: {collection.folder} has other rows, labels or splits than the run began with (it is another "
            "collection, or was collected again since); give the one it began with, or train a new run"
        )


def _training_rows(run: Path, columns: list[str]) -> pd.DataFrame:
    try:
        return pd.read_parquet(run / "collection.parquet", columns=columns)
    except (OSError, ValueError) as error:
        why = str(error).splitlines()[0]
        raise RunError(
            f"{run / 'collection.parquet'}: cannot be read ({why:.80}); train the run again"
        ) from None


def _own_collection(run: Path) -> Path:
    try:
        folder = Path((run / "collection.txt").read_text(encoding="utf-8").strip())
    except OSError:
        raise RunError(f"{run / 'collection.txt'}: missing; name the collection with --data") from None
    if not folder.is_dir():
        raise RunError(f"{run}: its collection was in {folder}, which is gone; name it with --data")
    return folder


def _say_strangers(collection: Collection, model: Model, rows: np.ndarray) -> None:
    """Labels the model has no class for are left out of the scores; say how many."""
    for task, names in model.vocabularies.items():
        known = (collection.labels(task)[rows] >= 0).sum()
        lost = int(known - (collection.labels(task, names)[rows] >= 0).sum())
        if lost:
            say(f"{task}: {lost:,} works are of classes the model does not know; they are not scored")
