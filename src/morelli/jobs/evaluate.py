"""``morelli evaluate``: a run and a split to scores, predictions, figures and class reports."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from morelli.collection.collection import Collection
from morelli.collection.splits import check_split
from morelli.console import say
from morelli.errors import DataError, MorelliError, RunError
from morelli.evaluation.predictions import Predictions, read, write
from morelli.evaluation.scores.leakage import accuracy_without, find_leakage, leakage_report
from morelli.evaluation.scores.scores import either_scores, score, trust_scores
from morelli.files import AnyPath, as_path, write_json
from morelli.jobs.results.evaluate import Scores
from morelli.jobs.runner import predict_rows
from morelli.prediction.model import Model, load_model
from morelli.recipe import TASKS
from morelli.report.pages.run import write_report
from morelli.run import Run


def evaluate(run: AnyPath, split: str = "test", data: AnyPath | None = None, page: bool = True) -> Scores:
    """Scores ``run`` on a split of its own collection, or of another one, whose classes are matched by name.

    ``split`` is ``train``, ``val``, ``test`` or ``all``; ``data`` is the folder of the other collection.

    Writes ``scores-SPLIT.json``, ``predictions-SPLIT.parquet``, ``predictions-val.parquet``, on which thresholds are
    chosen, and, with ``page``, ``report/``; returns the scores. Leakage is looked for in the run's own collection.
    Raises :class:`UsageError` for an unknown split and :class:`DataError` for an empty one.

    >>> import morelli
    >>> scores = morelli.evaluate("run")
    >>> scores["style"].accuracy >= 0, scores.split, scores.report.name
    (True, 'test', 'index.html')
    """
    check_split(split)
    run = as_path(run)
    model = load_model(run)
    own = data is None
    collection = Run(run).open_collection("--data") if data is None else Collection.open(as_path(data))
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
    refit = bool(model.facts.get("refit"))
    before_refit = own and refit and split == "val"
    if before_refit:
        say("--split val: answers of the network before its refit, which had not learned these works")
        predictions = _before_refit(run, _validation_works(run), model)
    else:
        predictions = predict_rows(model, collection, rows, f"reading {split}")
    write(predictions, Run(run).predictions_file(split))
    known = pd.concat([training, table.iloc[rows]]) if not own else table
    if refit and not before_refit:  # the network has learned the validation works too
        known = known.assign(split=known["split"].replace({"val": "train"}))
    scores = score(predictions, known)
    scores |= {"split": split, "collection": str(collection.folder)}
    _add_trust(scores, predictions, model, known, run, split, own)
    _add_second_styles(scores, predictions, collection, model, rows)
    leakage = find_leakage(collection.table, split) if own else None
    if leakage is not None:
        scores["leakage"] = leakage_report(leakage, collection.table, split)
        for task, without in accuracy_without(predictions, leakage, collection.table).items():
            scores["tasks"][task]["accuracy_without_leakage"] = without
    write_json(Run(run).scores_file(split), scores)
    report = write_report(run, split) if page else None
    if report:
        say(f"report: {report}")
    return Scores.from_dict(scores, report)


def _add_trust(
    scores: dict[str, Any],
    predictions: Predictions,
    model: Model,
    table: pd.DataFrame,
    run: Path,
    split: str,
    own: bool,
) -> None:
    """What is tuned on validation is not scored on it: those scores are left out where the split holds it."""
    holds_it = own and split in ("val", "all")
    # the file of this name holds the works just scored, also where they are another collection's
    validation = None if holds_it else validation_predictions(run, model, keep=split != "val")
    thresholds = model.facts.get("conformal", {})
    trust = trust_scores(predictions, table, model.temperature, thresholds, validation, shift=model.shift)
    for task, trust_of_task in trust.items():
        scores["tasks"][task] |= trust_of_task


def _add_second_styles(
    scores: dict[str, Any],
    predictions: Predictions,
    collection: Collection,
    model: Model,
    rows: np.ndarray,
) -> None:
    """Works filed under two styles; collections made before these were kept have no such column."""
    if "style" not in predictions.tasks or "style_also" not in collection.table:
        return
    table = collection.table.assign(style=collection.table["style_also"])
    second = Collection(collection.folder, table, collection.info).labels(
        "style", model.vocabularies["style"]
    )
    scores["tasks"]["style"] |= either_scores(predictions.tasks["style"], second[rows])


def validation_predictions(run: Path, model: Model, keep: bool = True) -> Predictions | None:
    """The run's predictions for its own validation split, on which thresholds may be chosen.

    They come from ``predictions-val.parquet`` where that is of these works and labels and not older than the model;
    else they are read now, and written there with ``keep``. Of a run that was refitted they are those of the network
    before, from ``predictions-before-refit.parquet``. ``None`` where the split is empty, or the collection gone or
    made anew.
    """
    file, refit = Run(run).predictions_file("val"), bool(model.facts.get("refit"))
    works = _validation_works(run)
    if works.empty:
        return None
    if refit:
        try:
            return _before_refit(run, works, model)
        except RunError as error:
            say(f"scores that are tuned on the run's validation works are left out: {error}")
            return None
    if file.is_file() and file.stat().st_mtime_ns >= Run(run).model_file.stat().st_mtime_ns:
        with suppress(DataError):  # a damaged one is written anew
            predictions = read(file)
            if _are_of(predictions, works, model):
                return predictions
    try:
        collection = Run(run).open_collection()
        check_same_rows(run, collection)
    except MorelliError as error:
        say(f"scores that are tuned on the run's validation works are left out: {error}")
        return None
    predictions = predict_rows(model, collection, collection.rows("val"), "reading val")
    if keep:
        write(predictions, file)
    return predictions


def _before_refit(run: Path, works: pd.DataFrame, model: Model) -> Predictions:
    """A refitted run's answers for its validation ``works`` before it had learned them."""
    file, predictions = Run(run).before_refit_file, None
    with suppress(DataError):
        predictions = read(file)
    if predictions is None or not _are_of(predictions, works, model):
        raise RunError(f"{file}: missing, damaged or of other works; train the run again, with --resume")
    return predictions


def _validation_works(run: Path) -> pd.DataFrame:
    works = _training_rows(run, ["id", "split", *TASKS])
    return works[works["split"] == "val"]


def _are_of(predictions: Predictions, works: pd.DataFrame, model: Model) -> bool:
    """Whether predictions are of these works, labels and classes."""
    if predictions.ids != list(works["id"].astype(str)) or list(predictions.tasks) != list(
        model.vocabularies
    ):
        return False
    return all(
        task.names == model.vocabularies[name] and np.array_equal(task.labels, works[name])
        for name, task in predictions.tasks.items()
    )


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
    return table.assign(split="scored"), training[
        training["split"].isin(["train", "val"] if model.facts.get("refit") else ["train"])
    ]


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
    file = Run(run).works_file
    try:
        return pd.read_parquet(file, columns=columns)
    except (OSError, ValueError) as error:
        why = str(error).splitlines()[0]
        raise RunError(f"{file}: cannot be read ({why:.80}); train the run again") from None


def _say_strangers(collection: Collection, model: Model, rows: np.ndarray) -> None:
    """Labels the model has no class for are left out of the scores; say how many."""
    for task, names in model.vocabularies.items():
        known = (collection.labels(task)[rows] >= 0).sum()
        lost = int(known - (collection.labels(task, names)[rows] >= 0).sum())
        if lost:
            say(f"{task}: {lost:,} works are of classes the model does not know; they are not scored")
