"""Abstention: how right the answers are when the least confident ones are left to a person.

Coverage is the share of works that are answered, risk the share of wrong answers among them. Source: El-Yaniv
and Wiener, "On the foundations of noise-free selective classification", JMLR 2010; Geifman and El-Yaniv,
"Selective classification for deep neural networks", NeurIPS 2017.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from morelli.evaluation.predictions import TaskPredictions
from morelli.evaluation.scores import metrics

COVERAGES = (0.5, 0.8, 0.9, 1.0)
TARGET = 0.95
# a threshold that fewer validation works pass is chance
FEWEST = 20


def accuracy_by_coverage(task: TaskPredictions) -> NDArray[np.float64]:
    """Accuracy of the n most confident works for n = 1 … N, (N,), works of unknown label left out.

    Works of equal confidence come in no order, so each counts as their mean.
    """
    labels, probabilities = metrics.known(task.labels, task.probabilities)
    if not len(labels):
        return np.zeros(0)
    confidence = probabilities.max(axis=1)
    right = probabilities.argmax(axis=1) == labels
    _, which, works = np.unique(-confidence, return_inverse=True, return_counts=True)
    hits = np.bincount(which, weights=right)
    return np.cumsum(np.repeat(hits / works, works)) / np.arange(1, len(labels) + 1)


def area_under_risk(task: TaskPredictions) -> float:
    """The mean risk over all coverages 1/N … 1 (AURC), 0–1, lower is better; NaN where no label is known.

    Source: Geifman, Uziel and El-Yaniv, "Bias-reduced uncertainty estimation for deep neural classifiers", ICLR 2019.
    """
    curve = accuracy_by_coverage(task)
    return float(1 - curve.mean()) if len(curve) else float("nan")


def accuracy_at(task: TaskPredictions, coverage: float) -> float:
    """Accuracy of the most confident share ``coverage`` (0–1] of the works, rounded up to whole works."""
    curve = accuracy_by_coverage(task)
    # a product such as 0.55 · 100 is a little more than the whole number it stands for
    place = int(np.ceil(round(coverage * len(curve), 6)))
    return float(curve[max(place, 1) - 1]) if len(curve) else float("nan")


def threshold_for(task: TaskPredictions, target: float = TARGET, fewest: int = FEWEST) -> float | None:
    """The lowest confidence such that the works of ``task`` at or above it are right in ``target`` (0–1) of cases.

    At least ``fewest`` works must reach it; ``None`` where no confidence does that. It is an estimate: on other
    works the accuracy will differ, which is why evaluation measures it.
    """
    labels, probabilities = metrics.known(task.labels, task.probabilities)
    if len(labels) < fewest:
        return None
    confidence = probabilities.max(axis=1)
    curve = accuracy_by_coverage(task)
    falling = -np.sort(-confidence)
    # a threshold takes all works of equal confidence or none of them
    last = np.append(falling[1:] < falling[:-1], True)
    # a share such as 0.95 is reached by 19 of 20 works, whatever its last bit
    good = np.flatnonzero(last & (curve >= target - 1e-9) & (np.arange(1, len(curve) + 1) >= fewest))
    return float(falling[good[-1]]) if len(good) else None


def selective_scores(task: TaskPredictions, validation: TaskPredictions | None) -> dict[str, Any] | None:
    """``{"aurc", "accuracy_at": {"0.5": …}, "target"}`` of ``task``, ready for JSON; ``None`` without known labels.

    ``target`` is the threshold that reaches 95 % on ``validation``, with the coverage there, and the coverage and
    accuracy (with its 95 % interval) it has on ``task``; ``None`` without validation works, with a ``threshold``
    of ``None`` where none reaches it.
    """
    if not task.known.any():
        return None
    return {
        "aurc": area_under_risk(task),
        "accuracy_at": {str(share): accuracy_at(task, share) for share in COVERAGES},
        "target": None if validation is None else _target(task, validation),
    }


def _target(task: TaskPredictions, validation: TaskPredictions) -> dict[str, Any]:
    threshold = threshold_for(validation)
    if threshold is None:
        return {"accuracy_wanted": TARGET, "threshold": None}
    answered = task.known & (task.confidence >= threshold)
    works, hits = int(answered.sum()), int((task.predicted == task.labels)[answered].sum())
    there = validation.known & (validation.confidence >= threshold)
    return {
        "accuracy_wanted": TARGET,
        "threshold": threshold,
        "coverage_on_validation": float(there.sum() / validation.known.sum()),
        "coverage": works / int(task.known.sum()),
        "accuracy": hits / works if works else None,
        "accuracy_ci95": list(metrics.bootstrap_share(hits, works)) if works else None,
    }
