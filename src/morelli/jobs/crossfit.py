"""Cross-fitted predictions of a run's whole collection: made once, resumable, reused while nothing changed."""

from __future__ import annotations

import hashlib
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from morelli.collection.collection import Collection
from morelli.console import say
from morelli.errors import DataError, MorelliError, StoppedError, UsageError
from morelli.evaluation import predictions as predictions_file
from morelli.evaluation.audit.evidence import TaskEvidence, gather_evidence
from morelli.evaluation.calibration.temperature import apply_temperature, fit_temperature
from morelli.evaluation.predictions import Predictions, TaskPredictions
from morelli.files import atomic_write, explain_os_error, read_json, write_json
from morelli.run import Run

VERSION = 1
FOLDS = 5


@dataclass(frozen=True)
class CrossFit:
    """Predictions of every work of ``collection``, in its order, by networks that had not learned from it, and the
    second opinion's; ``facts`` say what made them."""

    collection: Collection
    predictions: Predictions
    second: Predictions
    facts: dict[str, Any]

    def evidence(self) -> dict[str, TaskEvidence]:
        """Each task's predictions with all the evidence of the collection."""
        second = {name: task.probabilities for name, task in self.second.tasks.items()}
        collection = self.collection
        verified = {name: collection.verified(name) for name in self.predictions.tasks}
        return gather_evidence(self.predictions, collection.table, collection.vocabularies, second, verified)


def crossfit(run: Path, folds: int | None = None, epochs: int | None = None) -> CrossFit:
    """Cross-fits neck and heads of ``run`` on its collection, or reads what an earlier call made of the same model,
    labels and settings.

    Writes ``RUN/predictions-crossfit.parquet``, whose embedding is of the backbone's features, without labels,
    ``predictions-second.parquet`` (the second opinion) and ``predictions-crossfit.json`` (what they were made of). An
    interrupted call goes on where it stopped. Where ``folds`` and ``epochs`` are not given, any that were made are
    reused; else there are five folds, and each has the recipe's epochs, at most six.

    Raises :class:`UsageError` for fewer than two folds, :class:`RunError` where the run or its collection is gone or
    was made anew, and :class:`StoppedError` on Ctrl-C.
    """
    check_options(folds, epochs)
    from morelli.prediction.model import load_model

    model = load_model(run)
    collection, files = own_collection(run), Run(run)
    facts = facts_of(model, collection, folds or FOLDS, epochs, list(model.vocabularies))
    earlier = _read(
        run, collection, facts, free=("folds",) * (folds is None) + ("epochs",) * (epochs is None)
    )
    if earlier is not None:
        return earlier
    resume_command = f"morelli audit {run}"
    works = len(collection.table)
    say(f"cross-fitting {works:,} works in {facts['folds']} folds; later audits of this run reuse it")
    predictions, second = fit_all(model, collection, files.crossfit_folder, facts, None, resume_command)
    files.crossfit_facts_file.unlink(missing_ok=True)
    predictions_file.write(predictions, files.crossfit_file)
    predictions_file.write(second, files.second_opinion_file)
    write_json(files.crossfit_facts_file, facts)
    shutil.rmtree(files.crossfit_folder, ignore_errors=True)
    return CrossFit(collection, predictions, second, facts)


def check_options(folds: int | None, epochs: int | None) -> None:
    """Raises :class:`UsageError` for values that cannot be."""
    if folds is not None and not 2 <= folds <= 50:
        raise UsageError(f"--folds {folds}: must be from 2 to 50")
    if epochs is not None and epochs < 1:
        raise UsageError(f"--epochs {epochs}: must be at least 1")


def own_collection(run: Path) -> Collection:
    """The collection that ``run`` began with, unchanged; :class:`RunError` where it is gone or was made anew."""
    from morelli.jobs.evaluate import check_same_rows

    collection = Run(run).open_collection()
    check_same_rows(run, collection)
    return collection


def facts_of(
    model: Any, collection: Collection, folds: int, epochs: int | None, tasks: list[str]
) -> dict[str, Any]:
    """What cross-fitted predictions depend on."""
    from morelli.training.crossfit import fold_recipe

    recipe = fold_recipe(model.recipe, epochs, tasks)
    digest = hashlib.sha256()
    for task in tasks:
        digest.update(collection.labels(task, model.vocabularies[task]).tobytes())
    digest.update("\n".join(collection.table["id"].astype(str)).encode("utf-8", "surrogateescape"))
    return {
        "version": VERSION,
        "weights": model.facts["weights"],
        "collection": collection.fingerprint,
        "labels": digest.hexdigest()[:16],
        "tasks": tasks,
        "folds": folds,
        "epochs": recipe.phases[0].epochs,
    }


def pooled(model: Any, collection: Collection) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Statistics of the backbone's features (N, F) of every work, and the embedding (N, ≤ 256) made of them."""
    from morelli.training.crossfit import DIMENSIONS, pooled_statistics, principal
    from morelli.training.sources import backbone_features

    rows = collection.rows("all")
    features = backbone_features(collection, model, rows, model.recipe)
    statistics = pooled_statistics(features, rows, model.network.backbone.layout)
    return statistics, principal(statistics, DIMENSIONS)


def fit_all(
    model: Any,
    collection: Collection,
    folder: Path,
    facts: dict[str, Any],
    features: tuple[NDArray[np.float32], NDArray[np.float32]] | None,
    resume_command: str,
) -> tuple[Predictions, Predictions]:
    """Fits every fold and the second opinion by the settings in ``facts``; ``folder`` keeps what is done.

    ``features`` are those of :func:`pooled`, where they are at hand.
    """
    from morelli.training import crossfit as fitting

    tasks: list[str] = facts["tasks"]
    labels = {task: collection.labels(task, model.vocabularies[task]) for task in tasks}
    _begin(folder, facts)
    statistics, embedding = features or pooled(model, collection)
    parts = fitting.fold_parts(collection, facts["folds"], model.recipe.seed)
    recipe = fitting.fold_recipe(model.recipe, facts["epochs"], tasks)
    probabilities = {
        task: np.zeros((len(parts), len(model.vocabularies[task])), np.float32) for task in tasks
    }
    try:
        for fold in range(facts["folds"]):
            say(f"fold {fold + 1} of {facts['folds']}")
            for task, held in _fold(model, collection, recipe, parts, fold, folder, resume_command).items():
                probabilities[task][parts // 2 == fold] = held
        classes = {task: len(model.vocabularies[task]) for task in tasks}
        second = fitting.second_opinion(statistics, labels, classes, parts // 2, model.recipe.seed)
    except KeyboardInterrupt:
        raise StoppedError(f"stopped; nothing is lost, go on with: {resume_command}") from None
    except OSError as error:
        raise explain_os_error(error) from None
    ids, paths = (list(collection.table[c].astype(str)) for c in ("id", "file"))
    first, other = (
        {task: TaskPredictions(model.vocabularies[task], labels[task], each[task]) for task in tasks}
        for each in (probabilities, second)
    )
    return Predictions(ids, paths, first, embedding), Predictions(ids, paths, other)


def _begin(folder: Path, facts: dict[str, Any]) -> None:
    """Keeps what an interrupted call left, unless it was of something else."""
    note = folder / "made-of.json"
    try:
        same = read_json(note) == facts
    except DataError:
        same = False
    if not same:
        shutil.rmtree(folder, ignore_errors=True)
        write_json(note, facts)


def _fold(
    model: Any,
    collection: Collection,
    recipe: Any,
    parts: NDArray[np.int64],
    fold: int,
    folder: Path,
    resume_command: str,
) -> dict[str, NDArray[np.float32]]:
    """Calibrated probabilities of the works of one fold by a network trained on the others."""
    from morelli.jobs.runner import read_rows
    from morelli.training.crossfit import fit_fold, fold_collection

    done, work = folder / f"fold-{fold}.npz", folder / f"fold-{fold}"
    if done.exists():
        with np.load(done) as saved:
            return {task: saved[task] for task in recipe.tasks}
    cut = fold_collection(collection, parts, fold)
    fitted = fit_fold(model, cut, recipe, fold, work, resume_command)
    held = read_rows(fitted, cut, cut.rows("test"), "reading the fold")
    calibrated = {}
    rows = cut.rows("val")
    tuning = read_rows(fitted, cut, rows, "calibrating")
    for task, names in fitted.vocabularies.items():
        logits = np.log(np.clip(tuning.probabilities[task], 1e-12, None))
        temperature = fit_temperature(logits, cut.labels(task, names)[rows])
        calibrated[task] = apply_temperature(held.probabilities[task], temperature)
    with atomic_write(done) as temporary, temporary.open("wb") as file:
        np.savez(file, **calibrated)  # type: ignore[arg-type]
    shutil.rmtree(work, ignore_errors=True)
    return calibrated


def _read(run: Path, collection: Collection, facts: dict[str, Any], free: tuple[str, ...]) -> CrossFit | None:
    """What an earlier call left, if it is of the same, those settings aside that are ``free``; a damaged file is made
    anew."""
    files = Run(run)
    try:
        kept = read_json(files.crossfit_facts_file)
        if not isinstance(kept, dict) or kept | {k: facts[k] for k in free} != facts:
            return None
        predictions = predictions_file.read(files.crossfit_file)
        second = predictions_file.read(files.second_opinion_file)
    except MorelliError:
        return None
    if predictions.ids != list(collection.table["id"].astype(str)) or len(second) != len(predictions):
        return None
    return CrossFit(collection, predictions, second, kept)
