"""Known errors: labels made wrong on purpose, and how well a ranking puts them first."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from morelli.collection.names import class_key
from morelli.evaluation.predictions import TaskPredictions

NOISE_KINDS = ("symmetric", "confusing")
# styles and genres that people take for one another, where both are there
CONFUSABLE_CLASSES = (
    ("Impressionism", "Post_Impressionism"),
    ("Early_Renaissance", "High_Renaissance"),
    ("Cubism", "Analytical_Cubism"),
    ("Abstract_Expressionism", "Color_Field_Painting"),
    ("landscape", "cityscape"),
)


def confused_with(task: TaskPredictions) -> NDArray[np.int64]:
    """For each class (K,) the other one that its works are most often taken for, by out-of-sample predictions. Two
    :data:`CONFUSABLE_CLASSES` get each other where both are there; a class that is never mistaken gets the one with the
    highest mean probability, one without works the next class."""
    classes = len(task.names)
    known = np.flatnonzero(task.known)
    taken = np.zeros((classes, classes))
    np.add.at(taken, (task.labels[known], task.predicted[known]), 1)
    np.add.at(taken, task.labels[known], 0.5 * task.probabilities[known] / max(len(known), 1))
    taken[np.arange(classes), (np.arange(classes) + 1) % classes] += 1e-12
    np.fill_diagonal(taken, -1)
    other = taken.argmax(axis=1)
    numbers = {class_key(name): number for number, name in enumerate(task.names)}
    for one, two in CONFUSABLE_CLASSES:
        a, b = numbers.get(class_key(one)), numbers.get(class_key(two))
        if a is not None and b is not None:
            other[a], other[b] = b, a
    return other


def inject_label_noise(
    labels: NDArray[np.integer],
    classes: int,
    rate: float,
    seed: Sequence[int],
    confused: NDArray[np.integer] | None = None,
) -> tuple[NDArray[np.int32], NDArray[np.bool_]]:
    """Labels (N,) of which a share ``rate`` of the known ones is wrong, and which are, (N,).

    A wrong label is another class, each as likely, or with ``confused`` (K,) the one that it names for the true class.
    Unknown labels stay unknown; with fewer than two classes nothing is planted.
    """
    rng = np.random.default_rng(list(seed))
    noisy, planted = labels.astype(np.int32), np.zeros(len(labels), dtype=bool)
    known = np.flatnonzero(labels >= 0)
    if classes < 2 or not len(known):
        return noisy, planted
    rows = rng.choice(known, round(rate * len(known)), replace=False)
    moved = (labels[rows] + rng.integers(1, classes, len(rows))) % classes
    noisy[rows] = moved if confused is None else confused[labels[rows]]
    planted[rows] = True
    return noisy, planted


def measures(planted: NDArray[np.bool_], score: NDArray[np.floating]) -> dict[str, float | None]:
    """How well ``score`` (N,) ranks the ``planted`` works (N,) first: ``auroc``, ``average_precision``,
    ``precision_at_100`` and ``precision_at_errors`` (at as many as there are errors). A work that the rule could not
    judge (NaN) is its least suspicious one. ``None`` where all works are planted, or none.

    Works of equal score share the rank, and in precision at n the share of errors among them.
    """
    errors = int(planted.sum())
    if errors in (0, len(planted)):
        return dict.fromkeys(("auroc", "average_precision", "precision_at_100", "precision_at_errors"))
    lowest = np.where(np.isnan(score), -np.inf, score)
    ranks = rankdata(lowest)
    below = ranks[planted].sum() - errors * (errors + 1) / 2
    values, places = np.unique(-lowest, return_inverse=True)
    hits, works = (np.bincount(places, weights=w, minlength=len(values)) for w in (planted, None))
    errors_so_far, works_so_far = (np.cumsum(counts, dtype=np.float64) for counts in (hits, works))
    return {
        "auroc": float(below / (errors * (len(planted) - errors))),
        "average_precision": float((hits / errors * errors_so_far / works_so_far).sum()),
        "precision_at_100": _precision(errors_so_far, works_so_far, min(100, len(planted))),
        "precision_at_errors": _precision(errors_so_far, works_so_far, errors),
    }


def _precision(errors_so_far: NDArray[np.float64], works_so_far: NDArray[np.float64], count: int) -> float:
    """The share of errors among the first ``count`` works, those of equal score in any order."""
    return float(np.interp(count, np.r_[0, works_so_far], np.r_[0, errors_so_far]) / count)
