"""Prediction sets that hold the true class with a stated probability: split conformal prediction.

A score says how badly a class fits a work; its quantile over held-out works (the validation split) is the
threshold, and a work's set is every class that fits no worse. On works like the held-out ones such a set
holds the true class with at least the stated coverage, whatever the network (Vovk et al., "Algorithmic
Learning in a Random World", 2005). That the same works also fitted one temperature, and chose the epoch,
weakens the guarantee a little; therefore evaluation measures the coverage on the test split.

``lac``   1 − p of the class: the smallest sets on average (Sadinle, Lei and Wasserman, "Least ambiguous
          set-valued classifiers with bounded error levels", JASA 2019).
``aps``   the probability of all more probable classes and of half the class itself: sets that grow where a work
          is hard (Romano, Sesia and Candès, "Classification with valid and adaptive coverage", NeurIPS 2020;
          their random share of the class is its mean, one half, so that a work's set is always the same).
``raps``  ``aps`` with a penalty on every class beyond the first few, which cuts off the long tail
          (Angelopoulos et al., "Uncertainty sets for image classifiers", ICLR 2021).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from morelli.errors import DataError
from morelli.evaluation.scores import metrics

if TYPE_CHECKING:  # predict needs the sets, and no Arrow, which the predictions file would import
    from morelli.evaluation.predictions import TaskPredictions

Method = Literal["lac", "aps", "raps"]
METHODS: tuple[Method, ...] = ("lac", "aps", "raps")
COVERAGE = 0.9
# so many classes are free, each further one costs so much (of Angelopoulos et al.'s grid, chosen on validation)
FREE, PENALTY = 2, 0.01
# the class that is covered least is sought among those with so many works: of fewer, chance decides
FEWEST = 10


def conformity_scores(probabilities: NDArray[np.floating], method: Method) -> NDArray[np.float64]:
    """How badly each class fits each work, (N, K) float64 from 0 up; higher is worse.

    Equally probable classes come in the order of the vocabulary. Raises :class:`DataError` for an unknown method.
    """
    if method not in METHODS:
        raise DataError(f"{method}: no such kind of prediction set; known are {', '.join(METHODS)}")
    wide = np.asarray(probabilities, np.float64)
    if method == "lac":
        return 1 - wide
    order = np.argsort(-wide, axis=1, kind="stable")
    falling = np.take_along_axis(wide, order, axis=1)
    sums = falling.cumsum(axis=1) - falling / 2
    if method == "raps":
        sums += PENALTY * np.maximum(np.arange(1, wide.shape[1] + 1) - FREE, 0)
    scores = np.empty_like(sums)
    np.put_along_axis(scores, order, sums, axis=1)
    return scores


def fit_threshold(
    labels: NDArray[np.integer],
    probabilities: NDArray[np.floating],
    method: Method,
    coverage: float = COVERAGE,
) -> float | None:
    """The threshold that covers new works with at least ``coverage`` (0–1, both ends left out).

    It is the ⌈(n + 1) · coverage⌉-th smallest score of the true class among the n works of known label; with
    fewer works than that no threshold is safe, and there is ``None``. Raises :class:`DataError` for a coverage
    outside 0–1 or an unknown method.
    """
    if not 0 < coverage < 1:
        raise DataError(f"coverage {coverage}: must lie between 0 and 1, such as 0.9")
    labels, probabilities = metrics.known(labels, probabilities)
    # a product such as 0.55 · 100 is a little more than the whole number it stands for
    rank = math.ceil(round((len(labels) + 1) * coverage, 6))
    if rank > len(labels):
        return None
    scores = conformity_scores(probabilities, method)
    own = np.take_along_axis(scores, labels[:, None], axis=1)[:, 0]
    return float(np.partition(own, rank - 1)[rank - 1])


def fit_thresholds(
    labels: NDArray[np.integer], probabilities: NDArray[np.floating], coverage: float = COVERAGE
) -> dict[str, Any]:
    """``{"coverage", "works", "thresholds": {method: threshold or None}}`` of held-out works, ready for JSON."""
    return {
        "coverage": coverage,
        "works": int((np.asarray(labels) >= 0).sum()),
        "thresholds": {m: fit_threshold(labels, probabilities, m, coverage) for m in METHODS},
    }


def in_sets(probabilities: NDArray[np.floating], threshold: float, method: Method) -> NDArray[np.bool_]:
    """Which classes are in each work's set, (N, K). No set is empty: the most probable class is always in it,
    which can only add coverage."""
    inside = conformity_scores(probabilities, method) <= threshold
    inside[np.arange(len(inside)), np.asarray(probabilities).argmax(axis=1)] = True
    return inside


def prediction_sets(
    probabilities: NDArray[np.floating], threshold: float, method: Method = "lac"
) -> list[list[int]]:
    """The class numbers of each of N works' sets, the most probable first; ``probabilities`` (N, K)."""
    inside = in_sets(probabilities, threshold, method)
    order = np.argsort(-np.asarray(probabilities, np.float64), axis=1, kind="stable")
    return [[int(k) for k in row if own[k]] for row, own in zip(order, inside, strict=True)]


def check_sets(task: TaskPredictions, fitted: dict[str, Any]) -> dict[str, Any] | None:
    """What thresholds fitted on other works (:func:`fit_thresholds`) are worth on the works of ``task``.

    ``{"coverage", "works" (fitted on), "methods": {method: …}}`` with, for each method, ``threshold``, the
    ``coverage`` measured and its 95 % interval, ``mean_size`` and ``singletons`` (share of sets of one class),
    and ``least_covered``: the class of 10 works or more whose works are covered least. ``None`` where no
    label is known or no threshold was safe.
    """
    labels, probabilities = metrics.known(task.labels, task.probabilities)
    thresholds = {m: t for m, t in fitted["thresholds"].items() if t is not None}
    if not len(labels) or not thresholds:
        return None
    methods = {}
    for method, threshold in thresholds.items():
        inside = in_sets(probabilities, threshold, method)
        covered = inside[np.arange(len(labels)), labels]
        sizes = inside.sum(axis=1)
        methods[method] = {
            "threshold": threshold,
            "coverage": float(covered.mean()),
            "coverage_ci95": list(metrics.bootstrap_share(int(covered.sum()), len(covered))),
            "mean_size": float(sizes.mean()),
            "singletons": float((sizes == 1).mean()),
            "least_covered": _least_covered(task.names, labels, covered),
        }
    return {"coverage": fitted["coverage"], "works": fitted["works"], "methods": methods}


def _least_covered(
    names: list[str], labels: NDArray[np.integer], covered: NDArray[np.bool_]
) -> dict[str, Any] | None:
    works = np.bincount(labels, minlength=len(names))
    enough = np.flatnonzero(works >= FEWEST)
    if not len(enough):
        return None
    shares = np.bincount(labels, weights=covered, minlength=len(names))[enough] / works[enough]
    worst = int(shares.argmin())
    k = int(enough[worst])
    return {"class": names[k], "coverage": float(shares[worst]), "n": int(works[k])}
