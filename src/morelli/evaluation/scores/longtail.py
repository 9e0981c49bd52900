"""Rare classes: what taking back the training split's imbalance does, and how right rare classes are.

A network trained on many works of one class and few of another leans to the first. Subtracting τ times the
log of each class's share in training takes that back without training again (Menon et al., "Long-tail learning
via logit adjustment", ICLR 2021). τ is chosen on the validation split, never on the works that are scored.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax

from morelli.evaluation.predictions import TaskPredictions
from morelli.evaluation.scores import metrics

TAUS = np.round(np.arange(0, 2.01, 0.05), 2)
CRITERIA = ("macro_f1", "balanced_accuracy")
MANY, FEW = 100, 20


def adjust(
    probabilities: NDArray[np.floating], counts: NDArray[np.integer], tau: float
) -> NDArray[np.float32]:
    """Probabilities (N, K) float32 with the training split's share of each class taken back to the power ``tau``.

    ``counts`` (K,) are works of each class in training; a class without any counts as one work. ``tau`` 0 leaves
    all as it is, 1 answers as if all classes were equally frequent.
    """
    return softmax(_logs(probabilities) - tau * _log_shares(counts), axis=1).astype(np.float32)


def choose_taus(validation: TaskPredictions, counts: NDArray[np.integer]) -> dict[str, float]:
    """For each of ``CRITERIA`` the τ of 0, 0.05 … 2 at which it is highest on the validation works; the smallest of
    equals, and 0 where no label is known."""
    labels, probabilities = metrics.known(validation.labels, validation.probabilities)
    if not len(labels):
        return dict.fromkeys(CRITERIA, 0.0)
    logs, shares = _logs(probabilities), _log_shares(counts)
    figures: list[tuple[float, float]] = []
    for tau in TAUS:
        answers = (logs - tau * shares).argmax(axis=1)
        classes = metrics.per_class(metrics.count_answers(labels, answers, len(shares)))
        figures.append((classes.macro("f1"), float(np.nanmean(classes.recall))))
    return {
        name: float(TAUS[np.argmax(row)])
        for name, row in zip(CRITERIA, zip(*figures, strict=True), strict=True)
    }


def _logs(probabilities: NDArray[np.floating]) -> NDArray[np.float64]:
    return np.log(np.maximum(np.asarray(probabilities, np.float64), np.finfo(np.float32).tiny))


def _log_shares(counts: NDArray[np.integer]) -> NDArray[np.float64]:
    works = np.maximum(counts, 1)
    return np.log(works / works.sum())


def adjusted_scores(
    task: TaskPredictions, validation: TaskPredictions, counts: NDArray[np.integer], draws: int = 1000
) -> dict[str, Any] | None:
    """Scores of ``task`` after adjustment, ready for JSON; ``None`` where no label is known.

    ``tau``, ``chosen_by``, ``accuracy``, ``macro_f1`` (both with a 95 % interval) and ``balanced_accuracy``, with the τ
    that is best for the macro F1 of ``validation``; the same with the τ that is best for its balanced accuracy
    under ``balanced``; and ``balanced_accuracy_before``, of the answers as they are.
    """
    if not task.known.any():
        return None
    by_criterion = {}
    for name, tau in choose_taus(validation, counts).items():
        by_criterion[name] = {"chosen_by": f"{name} on validation", **_with_tau(task, tau, counts, draws)}
    before = metrics.balanced_accuracy(task.labels, task.probabilities)
    return by_criterion["macro_f1"] | {
        "balanced": by_criterion["balanced_accuracy"],
        "balanced_accuracy_before": before,
    }


def _with_tau(task: TaskPredictions, tau: float, counts: NDArray[np.integer], draws: int) -> dict[str, Any]:
    adjusted = adjust(task.probabilities, counts, tau)
    accuracy, macro_f1 = metrics.bootstrap(metrics.confusion_matrix(task.labels, adjusted), draws)
    return {
        "tau": tau,
        "accuracy": metrics.accuracy(task.labels, adjusted),
        "accuracy_ci95": list(accuracy),
        "macro_f1": metrics.macro_f1(task.labels, adjusted),
        "macro_f1_ci95": list(macro_f1),
        "balanced_accuracy": metrics.balanced_accuracy(task.labels, adjusted),
    }


def shot_groups(
    task: TaskPredictions, counts: NDArray[np.integer], tau: float | None = None
) -> dict[str, dict[str, Any]]:
    """Classes in three groups by their works in training: ``many`` (over 100), ``medium`` (20–100), ``few`` (under 20).

    For each: ``classes``, ``works`` scored, ``accuracy`` over those works with its 95 % interval, and with ``tau``
    the ``accuracy_adjusted``. ``None`` where a group has no work. Groups as in Liu et al., "Large-scale long-tailed
    recognition in an open world", CVPR 2019.
    """
    groups = np.where(counts > MANY, 0, np.where(counts >= FEW, 1, 2))
    right = task.predicted == task.labels
    adjusted = None
    if tau is not None:
        adjusted = adjust(task.probabilities, counts, tau).argmax(axis=1) == task.labels
    scores = {}
    for number, name in enumerate(("many", "medium", "few")):
        inside = task.known & (groups[np.maximum(task.labels, 0)] == number)
        works, hits = int(inside.sum()), int(right[inside].sum())
        scores[name] = {
            "classes": int((groups == number).sum()),
            "works": works,
            "accuracy": hits / works if works else None,
            "accuracy_ci95": list(metrics.bootstrap_share(hits, works)) if works else None,
        }
        if adjusted is not None:
            scores[name]["accuracy_adjusted"] = float(adjusted[inside].mean()) if works else None
    return scores
