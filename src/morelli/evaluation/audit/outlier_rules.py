"""Atypicality: is this work unlike the others of its class? That is another question than whether its label is wrong:
a late work, a sketch or a damaged scan may be rightly labelled and still stand apart.

Every function gives a score (N,), higher = less typical, NaN where it cannot judge: the label is unknown, or fewer than
``LEAST`` works of the class are there.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from morelli.errors import DataError
from morelli.evaluation.audit.combination import Finding
from morelli.evaluation.audit.evidence import TaskEvidence
from morelli.evaluation.audit.neighbours import nearest_works, unit

LEAST = 3
K = 10
_BLOCK = 8192


def knn_distance(case: TaskEvidence, threshold: float) -> Finding:
    """The mean cosine distance to the ten nearest works of its class, near-duplicates left out, in deviations beyond
    the median of its class, so that wide and narrow classes compare. After Sun, Ming, Zhu and Li, "Out-of-Distribution
    Detection with Deep Nearest Neighbors", ICML
    2022, who take the distance to the k-th."""
    vectors, groups = _embedding(case, "knn-distance"), case.shared.groups
    score = np.full(len(vectors), np.nan)
    for members in _classes(case):
        near = nearest_works(vectors[members], groups[members], K).similarity
        found = np.isfinite(near).sum(axis=1)
        distance = np.where(found > 0, 1 - np.nansum(near, axis=1) / np.maximum(found, 1), np.nan)
        score[members] = _beyond_median(distance)
    return Finding(score)


def centre_distance(case: TaskEvidence, threshold: float) -> Finding:
    """The Euclidean distance, all vectors of length 1, to the mean of the other works of its class, in deviations
    beyond the median of its class, so that wide and narrow classes compare."""
    vectors = unit(_embedding(case, "centre-distance"))
    score = np.full(len(vectors), np.nan)
    for members in _classes(case):
        own = vectors[members].astype(np.float64)
        score[members] = _beyond_median(np.linalg.norm(_from_others(own), axis=1))
    return Finding(score)


def relative_mahalanobis(case: TaskEvidence, threshold: float) -> Finding:
    """The squared Mahalanobis distance to the mean of the other works of its class, under the covariance within
    classes, less that to the mean of all works under their covariance.

    What is far from everything is no less typical of its own class for it. Source: Ren, Fort, Liu, Roy, Padhy and
    Lakshminarayanan, "A Simple Fix to Mahalanobis Distance for Improving Near-OOD Detection", 2021; covariances are
    shrunk as Ledoit and Wolf, 2004.
    """
    vectors = _embedding(case, "relative-mahalanobis").astype(np.float32, copy=False)
    score = np.full(len(vectors), np.nan)
    classes = list(_classes(case))
    if classes:
        rows = np.concatenate(classes)
        own = vectors[rows]
        everything = own - own.mean(axis=0, dtype=np.float64).astype(np.float32)
        ends = np.cumsum([len(members) for members in classes])
        for members in np.split(
            own, ends[:-1]
        ):  # parts of ``own``, which becomes the differences within classes
            members -= members.mean(axis=0, dtype=np.float64).astype(np.float32)
        # to the mean of the others it is farther than to that of all by this much, in every direction
        farther = np.concatenate([np.full(len(m), len(m) / (len(m) - 1)) for m in classes])
        score[rows] = farther**2 * _squared(own) - _squared(everything)
    return Finding(score)


def energy(case: TaskEvidence, threshold: float) -> Finding:
    """The mean log-probability of the classes: minus the log of the sum of the exponentials of class scores that are
    shifted to sum to zero. Needs no label.

    Source: Liu, Wang, Owens and Li, "Energy-based Out-of-distribution Detection", NeurIPS 2020. They use the scores as
    they are; only probabilities are kept here, and the gradient of the cross-entropy leaves the sum of the scores where
    it was, so that this differs from theirs by little more than a constant.
    """
    probabilities = np.maximum(case.task.probabilities, np.finfo(np.float32).tiny)
    return Finding(np.log(probabilities).mean(axis=1, dtype=np.float64))


def _embedding(case: TaskEvidence, rule: str) -> NDArray[np.floating]:
    if case.shared.embedding is None:
        raise DataError(f"the predictions hold no embedding, which the rule {rule} needs; evaluate again")
    if not np.isfinite(case.shared.embedding).all():
        raise DataError("an embedding holds a value that is not a number; the network has diverged")
    return case.shared.embedding


def _classes(case: TaskEvidence) -> Iterator[NDArray[np.int64]]:
    """The rows of each class with enough works."""
    labels = case.task.labels
    order = np.argsort(labels, kind="stable")
    for members in np.split(order, np.flatnonzero(np.diff(labels[order])) + 1):
        if len(members) >= LEAST and labels[members[0]] >= 0:
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
    """The covariance (D, D) of a centred ``sample`` (N, D), shrunk towards a multiple of the identity by as much as
    Ledoit and Wolf, "A well-conditioned estimator for large-dimensional covariance matrices", 2004, find best.

    One product of the sample with itself is all it takes, for the fourth powers it needs are those of the lengths."""
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
