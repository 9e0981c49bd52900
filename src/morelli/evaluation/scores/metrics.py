"""Scores of one task from labels (N,) and probabilities (N, K); works labelled −1 are left out of every one.

Every function gives NaN when no label is known. Intervals are 95 % percentile bootstraps over works
(Efron and Tibshirani, "An Introduction to the Bootstrap", 1993, ch. 13).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Labels = NDArray[np.integer]
Floats = NDArray[np.floating]
Interval = tuple[float, float]


@dataclass(frozen=True)
class PerClass:
    """Per-class figures, each (K,): NaN where undefined (precision of a class never predicted, recall of a
    class without works, F1 of a class with neither); ``support`` counts the works of each class."""

    precision: NDArray[np.float64]
    recall: NDArray[np.float64]
    f1: NDArray[np.float64]
    support: NDArray[np.int64]

    def macro(self, figure: Literal["precision", "recall", "f1"]) -> float:
        """Plain mean over the classes that occur among labels or predictions; undefined counts as 0."""
        occurs = ~np.isnan(self.f1)
        return float(np.nan_to_num(getattr(self, figure)[occurs]).mean()) if occurs.any() else float("nan")

    def weighted(self, figure: Literal["precision", "recall", "f1"]) -> float:
        """Mean weighted by support; undefined counts as 0."""
        works = self.support.sum()
        return float(np.nan_to_num(getattr(self, figure)) @ self.support / works) if works else float("nan")


def known(labels: Labels, probabilities: Floats) -> tuple[Labels, Floats]:
    """Labels and probabilities of the works whose label is known."""
    keep = labels >= 0
    return labels[keep], probabilities[keep]


def accuracy(labels: Labels, probabilities: Floats) -> float:
    """Share of works whose most probable class is the true one, 0–1."""
    return top_k(labels, probabilities, 1)


def top_k(labels: Labels, probabilities: Floats, k: int) -> float:
    """Share of works whose true class is among the ``k`` most probable, 0–1; of equals the first wins.

    >>> top_k(np.array([2, -1]), np.array([[0.5, 0.3, 0.2], [1, 0, 0]]), 2)
    0.0
    """
    labels, probabilities = known(labels, probabilities)
    if not len(labels):
        return float("nan")
    own = np.take_along_axis(probabilities, labels[:, None], axis=1)
    earlier = np.arange(probabilities.shape[1]) < labels[:, None]
    ahead = (probabilities > own) | ((probabilities == own) & earlier)
    return float(np.mean(ahead.sum(axis=1) < k))


def nll(labels: Labels, probabilities: Floats) -> float:
    """Mean negative log-likelihood of the true class in nats; a probability of 0 counts as 1.2e-38."""
    labels, probabilities = known(labels, probabilities)
    if not len(labels):
        return float("nan")
    own = np.take_along_axis(probabilities, labels[:, None], axis=1).astype(np.float64)
    return float(-np.log(np.maximum(own, np.finfo(np.float32).tiny)).mean())


def calibration_bins(
    labels: Labels, probabilities: Floats, bins: int = 15
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]:
    """Works, mean confidence and accuracy in each of ``bins`` equal bins (a, b] of the highest probability.

    Three arrays (bins,); the last two are NaN in an empty bin. Source: Guo et al., "On Calibration of
    Modern Neural Networks", ICML 2017.
    """
    labels, probabilities = known(labels, probabilities)
    confidence = probabilities.max(axis=1).astype(np.float64) if len(labels) else np.zeros(0)
    right = probabilities.argmax(axis=1) == labels if len(labels) else np.zeros(0)
    which = np.clip(np.ceil(confidence * bins).astype(np.int64) - 1, 0, bins - 1)
    works = np.bincount(which, minlength=bins)
    with np.errstate(invalid="ignore"):
        mean_confidence = np.bincount(which, weights=confidence, minlength=bins) / works
        mean_accuracy = np.bincount(which, weights=right, minlength=bins) / works
    return works, mean_confidence, mean_accuracy


def expected_calibration_error(labels: Labels, probabilities: Floats, bins: int = 15) -> float:
    """Mean gap between confidence and accuracy over the bins, weighted by works, 0–1 (Guo et al. 2017)."""
    works, confidence, right = calibration_bins(labels, probabilities, bins)
    if not works.sum():
        return float("nan")
    return float(np.nansum(works * np.abs(confidence - right)) / works.sum())


def equal_mass_calibration_error(labels: Labels, probabilities: Floats, bins: int = 15) -> float:
    """As :func:`expected_calibration_error`, but over bins that hold equally many works, 0–1.

    Confidences crowd near 1, where bins of equal width lump good and bad together. Works of one and the same
    confidence share a bin, so their order does not matter. Source: Nguyen and O'Connor, "Posterior calibration
    and exploratory analysis for natural language processing models", EMNLP 2015.
    """
    labels, probabilities = known(labels, probabilities)
    if not len(labels):
        return float("nan")
    confidence = probabilities.max(axis=1).astype(np.float64)
    right = probabilities.argmax(axis=1) == labels
    which = np.searchsorted(np.sort(confidence), confidence, "left") * bins // len(labels)
    return _gap(which, confidence, right, bins)


def classwise_calibration_error(labels: Labels, probabilities: Floats, bins: int = 15) -> float:
    """Mean over all K classes of the gap between a class's probability and its share of works, 0–1.

    Each class is binned by its own probability, in ``bins`` bins of equal width, so the classes that were not
    answered count too. Source: Kull et al., "Beyond temperature scaling", NeurIPS 2019 (classwise-ECE); Nixon
    et al., "Measuring calibration in deep learning", CVPR workshops 2019 (static calibration error).
    """
    labels, probabilities = known(labels, probabilities)
    if not len(labels):
        return float("nan")
    gaps = []
    for k in range(probabilities.shape[1]):
        probability = probabilities[:, k].astype(np.float64)
        which = np.clip(np.ceil(probability * bins).astype(np.int64) - 1, 0, bins - 1)
        gaps.append(_gap(which, probability, labels == k, bins))
    return float(np.mean(gaps))


def _gap(
    which: NDArray[np.integer], probability: NDArray[np.float64], right: NDArray[np.bool_], bins: int
) -> float:
    """The absolute difference of the sums of both in each bin, added up and divided by the works."""
    difference = np.bincount(which, weights=probability - right, minlength=bins)
    return float(np.abs(difference).sum() / len(which))


def confusion_matrix(labels: Labels, probabilities: Floats) -> NDArray[np.int64]:
    """Counts (K, K): row the true class, column the predicted one."""
    classes = probabilities.shape[1]
    labels, probabilities = known(labels, probabilities)
    if not len(labels):
        return np.zeros((classes, classes), np.int64)
    return count_answers(labels, probabilities.argmax(axis=1), classes)


def count_answers(labels: Labels, answers: Labels, classes: int) -> NDArray[np.int64]:
    """The confusion matrix (``classes``, ``classes``) of known labels (N,) and answers (N,)."""
    cells = labels.astype(np.int64) * classes + answers
    return np.bincount(cells, minlength=classes * classes).reshape(classes, classes)


def per_class(confusion: NDArray[np.int64]) -> PerClass:
    """Precision, recall, F1 and support of each class of a confusion matrix (K, K)."""
    hits, support, predicted = confusion.diagonal(), confusion.sum(axis=1), confusion.sum(axis=0)
    with np.errstate(invalid="ignore"):
        return PerClass(hits / predicted, hits / support, 2 * hits / (support + predicted), support)


def macro_f1(labels: Labels, probabilities: Floats) -> float:
    """Mean F1 over the classes that occur among labels or predictions, 0–1 (scikit-learn's default)."""
    return per_class(confusion_matrix(labels, probabilities)).macro("f1")


def balanced_accuracy(labels: Labels, probabilities: Floats) -> float:
    """Mean recall over the classes that have works, 0–1; NaN where there is none."""
    recall = per_class(confusion_matrix(labels, probabilities)).recall
    return float(np.nanmean(recall)) if not np.isnan(recall).all() else float("nan")


def bootstrap(confusion: NDArray[np.int64], draws: int = 1000, seed: int = 0) -> tuple[Interval, Interval]:
    """95 % intervals of accuracy and of macro F1, from a confusion matrix (K, K).

    Resampling works with replacement makes the confusion matrix multinomial over the cells of the observed
    one, so its non-zero cells are drawn at once: exact, and fast for many works and classes.
    """
    works = int(confusion.sum())
    if not works:
        return (float("nan"),) * 2, (float("nan"),) * 2
    true, predicted = confusion.nonzero()
    shares = confusion[true, predicted] / works
    cells = np.random.default_rng(seed).multinomial(works, shares, size=draws).astype(np.float64)
    classes = np.arange(len(confusion))
    hits = cells @ ((true[:, None] == classes) & (predicted[:, None] == classes)).astype(np.float64)
    either = cells @ ((true[:, None] == classes).astype(np.float64) + (predicted[:, None] == classes))
    return interval95(hits.sum(axis=1) / works), interval95(macro_f1_of_counts(hits, either))


def macro_f1_of_counts(hits: NDArray[np.float64], either: NDArray[np.float64]) -> NDArray[np.float64]:
    """Macro F1 of several samples, (draws,), from the right answers of each class and the sum of its labels and
    answers, both (draws, K). A class absent from a sample's labels and answers does not enter that sample's mean."""
    f1 = np.divide(2 * hits, either, out=np.zeros_like(hits), where=either > 0)
    return f1.sum(axis=1) / (either > 0).sum(axis=1)


def bootstrap_share(successes: int, works: int, draws: int = 1000, seed: int = 0) -> Interval:
    """95 % interval of a share of works, such as the joint exact match."""
    if not works:
        return float("nan"), float("nan")
    return interval95(np.random.default_rng(seed).binomial(works, successes / works, size=draws) / works)


def interval95(values: NDArray[np.float64]) -> Interval:
    """The 2.5th and the 97.5th percentile of bootstrap draws (draws,)."""
    low, high = np.percentile(values, [2.5, 97.5])
    return float(low), float(high)
