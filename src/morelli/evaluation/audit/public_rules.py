"""The rules of five public systems: four judge one task's predictions, one the embedding."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from morelli.errors import DataError
from morelli.evaluation.audit.combination import Finding
from morelli.evaluation.audit.evidence import TaskEvidence
from morelli.evaluation.audit.uncertainty import given_probability, normalised_entropy


def entropy(case: TaskEvidence, threshold: float) -> Finding:
    """The entropy of the probabilities over its greatest possible value, 0–1."""
    return Finding(normalised_entropy(case.task.probabilities))


def given_label(case: TaskEvidence, threshold: float) -> Finding:
    """1 − the probability of the given label; flagged where that is below the threshold."""
    given = given_probability(case.task)
    return Finding(1 - given.astype(np.float64), given < threshold)  # NaN is below nothing


def max_softmax(case: TaskEvidence, threshold: float) -> Finding:
    """1 − the highest probability; flagged where that is below the threshold."""
    return Finding(1 - case.task.confidence.astype(np.float64), case.task.confidence < threshold)


def wrong_and_unsure(case: TaskEvidence, threshold: float) -> Finding:
    """1 − the highest probability where the answer is not the given label, else 0."""
    task = case.task
    wrong = task.known & (task.predicted != task.labels)
    score = np.where(wrong, 1 - task.confidence.astype(np.float64), 0.0)
    score[~task.known] = np.nan
    return Finding(score, wrong & (task.confidence < threshold))


def centroid(case: TaskEvidence, threshold: float) -> Finding:
    """The cosine distance of the embedding to the mean of the other works of the class, 0–2."""
    task, embedding = case.task, case.shared.embedding
    if embedding is None:
        raise DataError("the predictions hold no embedding, which the rule centroid needs; evaluate again")
    score = np.full(len(task.labels), np.nan)
    for k in np.unique(task.labels[task.known]):
        members = np.flatnonzero(task.labels == k)
        if len(members) < 2:
            continue
        vectors = np.asarray(embedding[members], np.float64)
        if not np.isfinite(vectors).all():
            raise DataError("an embedding holds a value that is not a number; the network has diverged")
        others = (vectors.sum(axis=0) - vectors) / (len(members) - 1)
        score[members] = 1 - _cosine(vectors, others)
    return Finding(score)


def _cosine(one: NDArray[np.float64], other: NDArray[np.float64]) -> NDArray[np.float64]:
    """Row by row, (N,) in [−1, 1]; 0 where one of the two vectors is zero."""
    lengths = np.linalg.norm(one, axis=1) * np.linalg.norm(other, axis=1)
    products = np.einsum("nd,nd->n", one, other)
    return np.clip(np.divide(products, lengths, out=np.zeros_like(products), where=lengths > 0), -1, 1)
