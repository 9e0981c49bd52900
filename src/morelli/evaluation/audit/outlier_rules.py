"""Outlier rules: is this work unlike the others of its class? Whether its label is wrong is another question: a late
work, a sketch or a damaged scan may be rightly labelled and still stand apart.

Every function gives a score (N,), higher = less typical. It is NaN where the label is unknown, or the class has fewer
than ``MIN_CLASS_WORKS`` works.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from morelli.errors import DataError
from morelli.evaluation.audit.evidence import TaskEvidence
from morelli.evaluation.audit.neighbours import nearest_works
from morelli.evaluation.audit.rule_output import RuleOutput
from morelli.evaluation.vectors import check_finite, unit_rows

MIN_CLASS_WORKS = 3
K = 10  # nearest works of the class
_BLOCK = 8192


def knn_distance(evidence: TaskEvidence) -> RuleOutput:
    """The mean cosine distance to the ten nearest works of its class, near-duplicates left out, in deviations beyond
    the median of its class, so that wide and narrow classes compare.

    After Sun, Ming, Zhu and Li, "Out-of-Distribution Detection with Deep Nearest Neighbors", ICML 2022, who take the
    distance to the k-th."""
    vectors, groups = _embedding(evidence, "knn-distance"), evidence.shared.groups
    score = np.full(len(vectors), np.nan)
    for members in _classes(evidence):
        near = nearest_works(vectors[members], groups[members], K).similarity
        count = np.isfinite(near).sum(axis=1)
        distance = np.where(count > 0, 1 - np.nansum(near, axis=1) / np.maximum(count, 1), np.nan)
        score[members] = _beyond_median(distance)
    return RuleOutput(score)


def centre_distance(evidence: TaskEvidence) -> RuleOutput:
    """The Euclidean distance, all vectors of length 1, to the mean of the other works of its class, in deviations
    beyond the median of its class, so that wide and narrow classes compare."""
    vectors = unit_rows(_embedding(evidence, "centre-distance"), np.float32)
    score = np.full(len(vectors), np.nan)
    for members in _classes(evidence):
        own = vectors[members].astype(np.float64)
        score[members] = _beyond_median(np.linalg.norm(_from_others(own), axis=1))
    return RuleOutput(score)


def relative_mahalanobis(evidence: TaskEvidence) -> RuleOutput:
    """The squared Mahalanobis distance to the mean of the other works of its class, under the covariance within
    classes, less that to the mean of all works under their covariance.

    What is far from everything is no less typical of its own class for it. Source: Ren, Fort, Liu, Roy, Padhy and
    Lakshminarayanan, "A Simple Fix to Mahalanobis Distance for Improving Near-OOD Detection", 2021; covariances are
    shrunk as Ledoit and Wolf, 2004.
    """
    vectors = _embedding(evidence, "relative-mahalanobis").astype(np.float32, copy=False)
    score = np.full(len(vectors), np.nan)
    classes = list(_classes(evidence))
    if classes:
        rows = np.concatenate(classes)
        own = vectors[rows]  # becomes the differences within classes
        everything = own - own.mean(axis=0, dtype=np.float64).astype(np.float32)
        ends = np.cumsum([len(members) for members in classes])
        for members in np.split(own, ends[:-1]):
            members -= members.mean(axis=0, dtype=np.float64).astype(np.float32)
        # to the mean of the others it is farther than to that of all by this much, in every direction
        farther = np.concatenate([np.full(len(m), len(m) / (len(m) - 1)) for m in classes])
        score[rows] = farther**2 * _squared(own) - _squared(everything)
    return RuleOutput(score)


def energy(evidence: TaskEvidence) -> RuleOutput:
    """The mean log-probability of the classes: minus the log of the sum of the exponentials of class scores that are
    shifted to sum to zero. Needs no label.

    Source: Liu, Wang, Owens and Li, "Energy-based Out-of-distribution Detection", NeurIPS 2020. They use the scores as
    they are; only probabilities are kept here, and the gradient of the cross-entropy leaves the sum of the scores where
    it was, so that this differs from theirs by little more than a constant.
    """
    probabilities = np.maximum(evidence.task.probabilities, np.finfo(np.float32).tiny)
    return RuleOutput(np.log(probabilities).mean(axis=1, dtype=np.float64))


def _embedding(evidence: TaskEvidence, rule: str) -> NDArray[np.floating]:
    if evidence.shared.embedding is None:
        raise DataError(f"the predictions hold no embedding, which the rule {rule} needs; evaluate again")
    check_finite(evidence.shared.embedding)
    return evidence.shared.embedding


def _classes(evidence: TaskEvidence) -> Iterator[NDArray[np.int64]]:
    """The rows of each class with enough works."""
    labels = evidence.task.labels
    order = np.argsort(labels, kind="stable")
    for members in np.split(order, np.flatnonzero(np.diff(labels[order])) + 1):
        if len(members) >= MIN_CLASS_WORKS and labels[members[0]] >= 0:
            yield members


def _from_others(own: NDArray[np.float64]) -> NDArray[np.float64]:
    """Each vector less the mean of the others."""
    count = len(own)
    return (own - own.mean(axis=0)) * (count / (count - 1))


def _beyond_median(distance: NDArray[np.float64]) -> NDArray[np.float64]:
    """How far each is above the median, in robust standard deviations (1.4826 times the median absolute deviation,
    which is the standard deviation of a normal distribution); 0 where nothing varies."""
    if not np.isfinite(distance).any():
        return distance
    above = distance - np.nanmedian(distance)
    deviation = 1.4826 * np.nanmedian(np.abs(above))
    # below, it is the rounding of vectors that are all the same
    return above / deviation if deviation > 1e-6 else 0 * above


def _squared(points: NDArray[np.float32]) -> NDArray[np.float64]:
    """Squared Mahalanobis lengths of centred ``points`` (N, D) under their own shrunk covariance."""
    values, axes = np.linalg.eigh(shrunk_covariance(points))
    if not values.sum() > 0:
        return np.zeros(len(points))
    scale = np.divide(1, np.sqrt(np.maximum(values, 0)), out=np.zeros_like(values), where=values > 1e-12)
    whiten = (axes * scale).astype(np.float32)
    lengths = np.empty(len(points))
    for start in range(0, len(points), _BLOCK):
        white = points[start : start + _BLOCK] @ whiten
        lengths[start : start + _BLOCK] = np.einsum("nd,nd->n", white, white, dtype=np.float64)
    return lengths


def shrunk_covariance(sample: NDArray[np.float32]) -> NDArray[np.float64]:
    """The covariance (D, D) of a centred ``sample`` (N, D), shrunk towards a multiple of the identity by the
    share that Ledoit and Wolf, "A well-conditioned estimator for large-dimensional covariance matrices", 2004, derive.

    One product of the sample with itself is enough, for the fourth powers are those of the lengths."""
    count, width = sample.shape
    total, fourth = np.zeros((width, width)), 0.0
    for start in range(0, count, _BLOCK):
        block = sample[start : start + _BLOCK]
        total += block.T @ block
        fourth += float(np.square(np.einsum("nd,nd->n", block, block, dtype=np.float64)).sum())
    covariance = total / count
    mean, spread = np.trace(covariance) / width, float(np.square(covariance).sum())
    error = (fourth / count - spread) / count
    distance = spread - width * mean**2
    shrinkage = min(error / distance, 1.0) if distance > 0 else 0.0
    covariance *= 1 - shrinkage
    covariance[np.diag_indices(width)] += shrinkage * mean
    return covariance
