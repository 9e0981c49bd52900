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
from morelli.judgement.combination import Finding
from morelli.judgement.evidence import Case
from morelli.judgement.neighbours import nearest_works, unit

LEAST = 3
K = 10


def knn_distance(case: Case, threshold: float) -> Finding:
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


def centre_distance(case: Case, threshold: float) -> Finding:
    """The Euclidean distance, all vectors of length 1, to the mean of the other works of its class, in deviations
    beyond the median of its class, so that wide and narrow classes compare."""
    vectors = unit(_embedding(case, "centre-distance"))
    score = np.full(len(vectors), np.nan)
    for members in _classes(case):
        own = vectors[members].astype(np.float64)
        score[members] = _beyond_median(np.linalg.norm(_from_others(own), axis=1))
    return Finding(score)


def relative_mahalanobis(case: Case, threshold: float) -> Finding:
    """The squared Mahalanobis distance to the mean of the other works of its class, under the covariance within
    classes, less that to the mean of all works under their covariance.

    What is far from everything is no less typical of its own class for it. Source: Ren, Fort, Liu, Roy, Padhy and
    Lakshminarayanan, "A Simple Fix to Mahalanobis Distance for Improving Near-OOD Detection", 2021; covariances are
    shrunk as Ledoit and Wolf, 2004.
    """
    vectors = _embedding(case, "relative-mahalanobis").astype(np.float32)
    score = np.full(len(vectors), np.nan)
    within = np.full_like(vectors, np.nan)
    apart = np.full_like(vectors, np.nan)
    for members in _classes(case):
        own = vectors[members].astype(np.float64)
        within[members], apart[members] = own - own.mean(axis=0), _from_others(own)
    rows = np.flatnonzero(np.isfinite(within[:, 0])) if len(vectors) else np.empty(0, np.int64)
    if len(rows):
        everything = vectors[rows] - vectors[rows].mean(axis=0, dtype=np.float64).astype(np.float32)
        score[rows] = _squared(apart[rows], within[rows]) - _squared(everything, everything)
    return Finding(score)


def energy(case: Case, threshold: float) -> Finding:
    """The mean log-probability of the classes: minus the log of the sum of the exponentials of class scores that are
    shifted to sum to zero. Needs no label.

    Source: Liu, Wang, Owens and Li, "Energy-based Out-of-distribution Detection", NeurIPS 2020. They use the scores as
    they are; only probabilities are kept here, and the gradient of the cross-entropy leaves the sum of the scores where
    it was, so that this differs from theirs by little more than a constant.
    """
    chances = np.maximum(case.task.probabilities, np.finfo(np.float32).tiny)
    return Finding(np.log(chances).mean(axis=1, dtype=np.float64))


def _embedding(case: Case, rule: str) -> NDArray[np.floating]:
    if case.shared.embedding is None:
        raise DataError(f"the predictions hold no embedding, which the rule {rule} needs; evaluate again")
    if not np.isfinite(case.shared.embedding).all():
        raise DataError("an embedding holds a value that is not a number; the network has diverged")
    return case.shared.embedding


def _classes(case: Case) -> Iterator[NDArray[np.int64]]:
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


def _squared(points: NDArray[np.float32], sample: NDArray[np.float32]) -> NDArray[np.float64]:
    """Squared Mahalanobis lengths of ``points`` (N, D) under the covariance of the centred ``sample``."""
    from sklearn.covariance import ledoit_wolf

    covariance = ledoit_wolf(sample, assume_centered=True)[0].astype(np.float64)
    if not np.trace(covariance) > 0:
        return np.zeros(len(points))
    values, axes = np.linalg.eigh(covariance)
    scale = np.divide(1, np.sqrt(np.maximum(values, 0)), out=np.zeros_like(values), where=values > 1e-12)
    return np.square(points @ (axes * scale).astype(np.float32)).sum(axis=1, dtype=np.float64)
