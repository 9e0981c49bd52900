"""``morelli audit``: the works that an outlier rule puts forward for review."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from morelli.collection.splits import check_split
from morelli.errors import DataError, RunError, UsageError
from morelli.evaluation import predictions as predictions_file
from morelli.evaluation.audit.evidence import TaskEvidence
from morelli.evaluation.audit.rules import RULES, Rule, parse_rule
from morelli.evaluation.predictions import Predictions
from morelli.files import AnyPath, as_path, explain_os_error, read_json
from morelli.jobs.audit_files import scores_of, write_audit
from morelli.jobs.crossfit import check_options, crossfit
from morelli.jobs.results.audit import Audit
from morelli.report.sections.samples import collection_of
from morelli.run import Run

TOP = 25  # works that a rule without a threshold flags
MAX_TILES = 100  # works shown of a task
OUTLIER_RULE = "knn-distance"  # answers the other question beside a rule about labels


def audit(
    run: AnyPath,
    rule: str = "combined",
    split: str | None = None,
    top: int = TOP,
    tasks: Sequence[str] | None = None,
    folds: int | None = None,
    epochs: int | None = None,
) -> Audit:
    """Judges the works of a run by a rule of :mod:`morelli.evaluation.audit.rules`.

    The five systems' rules read ``RUN/predictions-SPLIT.parquet`` (split test unless given). The others read
    cross-fitted predictions (:func:`morelli.jobs.crossfit.crossfit`, with ``folds`` and ``epochs``; made when they are
    missing) of the whole collection, and show the works of ``split``, all unless given; so do the five where train or
    all was not evaluated.

    Writes into ``RUN/audit/RULE-SPLIT``: ``candidates.csv`` and ``.parquet`` (a row for each flagged work and task,
    most suspicious first; the CSV has a column ``correct_label`` for a person to fill in), ``scores.parquet`` (every
    work and task), and of each task ``per_class_TASK.csv`` and ``gallery_TASK.jpg``; beside a cross-fitted label rule
    ``unlike.csv``, ``unlike_scores.parquet`` and ``unlike_TASK.jpg`` say which works are unlike the others;
    ``index.html`` shows all. ``top`` is the number of works in a gallery (at most 100 are shown), and how many a rule
    without a threshold flags. ``tasks`` are all unless given. Where the collection cannot be opened there are no
    pictures.

    A rule about labels does not judge works whose label a person verified; the result counts them.

    Raises :class:`UsageError` for an unknown rule, split or task, a ``top`` below 1, and ``folds`` or ``epochs`` where
    nothing is cross-fitted, :class:`RunError` where the split was not evaluated and :class:`DataError` where a file is
    damaged.

    >>> import morelli
    >>> audit = morelli.audit("run", "given-label<0.3")
    >>> audit.candidates("style")["score"].is_monotonic_decreasing
    True
    """
    run = as_path(run)
    chosen = parse_rule(rule)
    split = split or ("all" if chosen.cross_fit else "test")
    check_split(split)
    if top < 1:
        raise UsageError(f"--top {top}: must be at least 1")
    check_options(folds, epochs)
    _check_tasks(run, tasks)
    works, evidence = _gather(run, chosen, split, folds, epochs)
    evidence = {name: evidence[name] for name in _tasks(evidence, tasks)}
    rules = [chosen]
    if chosen.cross_fit and chosen.question == "label":
        rules.append(RULES[OUTLIER_RULE])
    among = works["among"].to_numpy()
    try:
        outputs = [
            (each, {name: each.judge(of_task, top, among) for name, of_task in evidence.items()})
            for each in rules
        ]
    except DataError as error:
        name = "crossfit" if chosen.cross_fit else split
        raise DataError(f"{Run(run).predictions_file(name)}: {error}") from None
    folder = Run(run).audit_folder(re.sub(r"[^a-z0-9.]+", "-", chosen.name), split)
    try:
        write_audit(run, folder, split, works, evidence, outputs, min(top, MAX_TILES))
    except OSError as error:
        raise explain_os_error(error) from None
    counts = {name: output.counts() for name, output in outputs[0][1].items()}
    return Audit.from_dict({"rule": chosen.name, "split": split, "folder": folder, "tasks": counts})


def _gather(
    run: Path, rule: Rule, split: str, folds: int | None, epochs: int | None
) -> tuple[pd.DataFrame, dict[str, TaskEvidence]]:
    """The works that are read (``id, path``; ``among``, whether they are of the split; ``fitted``, whether by
    cross-fitting), and the evidence on each task."""
    if not run.is_dir():
        raise RunError(f"{run}: no such run; give a folder that morelli train made")
    file = Run(run).predictions_file(split)
    if rule.cross_fit or (split in ("train", "all") and not file.is_file() and Run(run).model_file.is_file()):
        fit = crossfit(run, folds, epochs)
        among = np.zeros(len(fit.predictions), bool)
        among[fit.collection.rows(split)] = True
        columns = {"id": fit.predictions.ids, "path": fit.predictions.paths, "among": among}
        return pd.DataFrame(columns).assign(fitted=True), fit.evidence()
    if folds is not None or epochs is not None:
        option = "--folds" if folds is not None else "--epochs"
        raise UsageError(
            f"{option}: the rule {rule.name} reads {file.name}, which is not cross-fitted; leave it out, or give a "
            "rule such as combined"
        )
    if not file.is_file():
        raise RunError(f"{file}: not there; run morelli evaluate {run} --split {split} first")
    predictions = predictions_file.read(file)
    works = pd.DataFrame({"id": predictions.ids, "path": predictions.paths})
    verified = _verified(run, split, predictions)
    evidence = {
        name: replace(TaskEvidence.of_predictions(task, predictions.embedding, name), verified=verified[name])
        for name, task in predictions.tasks.items()
    }
    return works.assign(among=True, fitted=False), evidence


def _verified(run: Path, split: str, predictions: Predictions) -> dict[str, NDArray[np.bool_]]:
    """Which labels of each task a person verified, (N,), by the collection that was scored; none where it is gone. A
    label that is another one there now was not verified."""
    collection = collection_of(run, scores_of(run, split), predictions.ids)
    if collection is None:
        return {name: np.zeros(len(predictions), bool) for name in predictions.tasks}
    rows = pd.Index(collection.table["id"].astype(str)).get_indexer(pd.Index(predictions.ids))
    return {
        name: collection.verified(name)[rows] & (collection.labels(name, task.names)[rows] == task.labels)
        for name, task in predictions.tasks.items()
    }


def _check_tasks(run: Path, wanted: Sequence[str] | None) -> None:
    """Before a cross-fit, which takes minutes."""
    file = Run(run).model_file
    there = read_json(file).get("vocabularies", {}) if file.is_file() else {}
    for task in wanted or ():
        if there and task not in there:
            raise UsageError(f"--task {task}: not a task of this run; it has {', '.join(there)}")


def _tasks(evidence: dict[str, TaskEvidence], wanted: Sequence[str] | None) -> list[str]:
    for task in wanted or ():
        if task not in evidence:
            raise UsageError(f"--task {task}: not a task of this run; it has {', '.join(evidence)}")
    return list(dict.fromkeys(wanted or evidence))
