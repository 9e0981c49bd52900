"""The scores of a run on one split: ``scores-SPLIT.json`` and the text report of each task."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd

from morelli.judgement import metrics
from morelli.judgement.baselines import baselines
from morelli.judgement.predictions import Predictions, TaskPredictions


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
