"""The scores of a run on one split: ``scores-SPLIT.json`` and the text report of each task."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from morelli.evaluation.calibration.conformal import check_sets, fit_thresholds
from morelli.evaluation.calibration.temperature import before_and_after
from morelli.evaluation.predictions import Predictions, TaskPredictions
from morelli.evaluation.scores import metrics
from morelli.evaluation.scores.baselines import baselines
from morelli.evaluation.scores.longtail import adjusted_scores, shot_groups
from morelli.evaluation.scores.selective import selective_scores


def score(predictions: Predictions, table: pd.DataFrame, seed: int = 0, draws: int = 1000) -> dict[str, Any]:
    """Every score of a predictions file, ready for JSON (a figure that is not defined is ``None``).

    ``table`` is the collection that holds the training split and the artists of the scored works (columns
    ``id``, ``split``, ``artist_name`` and one a task); it serves the baselines. Shares are 0–1, ``nll`` is
    in nats, each ``…_ci95`` is ``[low, high]`` from ``draws`` bootstrap draws with ``seed``. The joint
    exact match is the share of works with every label known (``joint_n``) whose every answer is right.
    Raises :class:`DataError` naming a column that is missing.
    """
    tasks = {name: _task_scores(predictions, name, table, seed, draws) for name in predictions.tasks}
    joint = list(predictions.tasks.values())
    complete = np.logical_and.reduce([task.known for task in joint])
    right = np.logical_and.reduce([task.predicted == task.labels for task in joint])
    works, hits = int(complete.sum()), int(right.sum())
    return {
        "tasks": tasks,
        "joint_exact_match": hits / works if works else None,
        "joint_exact_match_ci95": _pair(metrics.bootstrap_share(hits, works, draws, seed)),
        "joint_n": works,
    }


def trust_scores(
    predictions: Predictions,
    table: pd.DataFrame,
    temperature: dict[str, float],
    thresholds: dict[str, dict[str, Any]],
    validation: Predictions | None,
    draws: int = 1000,
    shift: dict[str, list[float]] | None = None,
) -> dict[str, dict[str, Any]]:
    """For each task how far its answers can be trusted, ready for JSON, to be added to its :func:`score`.

    ``calibration``: figures before and after ``temperature`` and ``shift`` (1 and 0 where a task has none); ``shots``:
    accuracy of classes with many, medium and few works among the rows of ``table`` whose ``split`` is ``train``, which
    are those that the network learned from;
    ``selective``: accuracy when unsure works are left out; ``logit_adjusted`` and ``conformal``: rare classes
    and prediction sets. What is chosen on other works (τ, the sets' thresholds where ``thresholds[task]`` has
    none from training, the confidence that reaches 95 %) comes from ``validation``, the run's predictions for
    its validation split, and is ``None`` without it.
    """
    trust = {}
    for name, task in predictions.tasks.items():
        held_out = validation.tasks.get(name) if validation is not None else None
        counts = _training_counts(table, name, len(task.names))
        adjusted = None if held_out is None else adjusted_scores(task, held_out, counts, draws)
        fitted = thresholds.get(name) if held_out is not None else None
        if held_out is not None and fitted is None:
            fitted = fit_thresholds(held_out.labels, held_out.probabilities)
        trust[name] = {
            "calibration": before_and_after(
                task.labels,
                task.probabilities,
                float(temperature.get(name, 1.0)),
                (shift or {}).get(name),
            ),
            "logit_adjusted": adjusted,
            "shots": shot_groups(task, counts, adjusted["balanced"]["tau"] if adjusted else None),
            "conformal": check_sets(task, fitted) if fitted else None,
            "selective": selective_scores(task, held_out),
        }
    return trust


def either_scores(task: TaskPredictions, second: NDArray[np.integer], draws: int = 1000) -> dict[str, Any]:
    """Accuracy when a second label (N,), −1 none, counts as right too, for works filed under two classes.

    ``accuracy_either`` over the works of known label, its 95 % interval, and ``two_labels``: how many of them have a
    second label.
    """
    right = (task.predicted == task.labels) | (task.predicted == second)
    works, hits = int(task.known.sum()), int(right[task.known].sum())
    return {
        "accuracy_either": hits / works if works else None,
        "accuracy_either_ci95": _pair(metrics.bootstrap_share(hits, works, draws)),
        "two_labels": int((second[task.known] >= 0).sum()),
    }


def _training_counts(table: pd.DataFrame, task: str, classes: int) -> NDArray[np.int64]:
    labels = table.loc[(table["split"] == "train") & (table[task] >= 0), task]
    return np.bincount(labels.to_numpy(np.int64), minlength=classes)


def class_report(task: TaskPredictions) -> str:
    """Precision, recall, F1 and support of every class that occurs, most frequent first, and the totals.

    Laid out like scikit-learn's ``classification_report``; names in full; – where a figure is undefined.
    """
    confusion = metrics.confusion_matrix(task.labels, task.probabilities)
    table = metrics.per_class(confusion)
    works = int(table.support.sum())
    width = max(len("weighted mean"), *(len(name) for name in task.names))
    lines = [f"{'':{width}}  precision     recall         F1    support"]
    order = np.argsort(-table.support, kind="stable")
    for k in order[~np.isnan(table.f1[order])]:
        figures = [table.precision[k], table.recall[k], table.f1[k]]
        lines.append(_line(task.names[k], width, figures, table.support[k]))
    right = float(confusion.trace() / works) if works else math.nan
    macro = [table.macro(figure) for figure in ("precision", "recall", "f1")]
    weighted = [table.weighted(figure) for figure in ("precision", "recall", "f1")]
    lines += [
        "",
        f"{'accuracy':{width}}  {'':9}  {'':9}  {_cell(right)}  {works:9,d}",
        _line("macro mean", width, macro, works),
        _line("weighted mean", width, weighted, works),
    ]
    absent = int(np.isnan(table.f1).sum())
    if absent:
        lines += ["", f"Classes with neither a work nor a prediction here: {absent}"]
    return "\n".join(lines) + "\n"


def _task_scores(
    predictions: Predictions, name: str, table: pd.DataFrame, seed: int, draws: int
) -> dict[str, Any]:
    task = predictions.tasks[name]
    given = (task.labels, task.probabilities)
    confusion = metrics.confusion_matrix(*given)
    classes = metrics.per_class(confusion)
    accuracy_interval, macro_f1_interval = metrics.bootstrap(confusion, draws, seed)
    return {
        "n": int(task.known.sum()),
        "accuracy": _number(metrics.accuracy(*given)),
        "accuracy_ci95": _pair(accuracy_interval),
        "top5": _number(metrics.top_k(*given, 5)),
        "macro_f1": _number(classes.macro("f1")),
        "macro_f1_ci95": _pair(macro_f1_interval),
        "weighted_f1": _number(classes.weighted("f1")),
        "weighted_precision": _number(classes.weighted("precision")),
        "weighted_recall": _number(classes.weighted("recall")),
        "ece": _number(metrics.expected_calibration_error(*given)),
        "nll": _number(metrics.nll(*given)),
        "baselines": baselines(table, name, predictions.ids, task.labels),
        "per_class": {
            class_name: {
                "precision": _number(classes.precision[k]),
                "recall": _number(classes.recall[k]),
                "f1": _number(classes.f1[k]),
                "support": int(classes.support[k]),
            }
            for k, class_name in enumerate(task.names)
        },
    }


def _number(value: float) -> float | None:
    """JSON knows no NaN."""
    return None if math.isnan(value) else float(value)


def _pair(interval: tuple[float, float]) -> list[float] | None:
    return None if math.isnan(interval[0]) else list(interval)


def _line(name: str, width: int, figures: list[float], support: int) -> str:
    return "  ".join([f"{name:{width}}", *map(_cell, figures), f"{support:9,d}"])


def _cell(value: float) -> str:
    return f"{'–' if math.isnan(value) else format(value, '.3f'):>9}"
