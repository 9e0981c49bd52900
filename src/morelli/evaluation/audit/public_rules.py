"""The rules of five public systems: four judge one task's predictions, one the embedding."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from morelli.errors import DataError
from morelli.evaluation.audit.evidence import TaskEvidence
from morelli.evaluation.audit.rule_output import RuleOutput
from morelli.evaluation.audit.uncertainty import given_probability, normalised_entropy
from morelli.evaluation.vectors import check_finite


def entropy(evidence: TaskEvidence) -> RuleOutput:
    """The entropy of the probabilities over its greatest possible value, 0–1."""
    return RuleOutput(normalised_entropy(evidence.task.probabilities))


def given_label(evidence: TaskEvidence, threshold: float) -> RuleOutput:
    """1 − the probability of the given label; selected where that is below the threshold."""
    given = given_probability(evidence.task)
    return RuleOutput(1 - given.astype(np.float64), given < threshold)  # NaN is below nothing


def max_softmax(evidence: TaskEvidence, threshold: float) -> RuleOutput:
    """1 − the highest probability; selected where that is below the threshold."""
    return RuleOutput(1 - evidence.task.confidence.astype(np.float64), evidence.task.confidence < threshold)


def wrong_and_unsure(evidence: TaskEvidence, threshold: float) -> RuleOutput:
    """1 − the highest probability where the answer is not the given label, else 0."""
    task = evidence.task
    wrong = task.known & (task.predicted != task.labels)
    score = np.where(wrong, 1 - task.confidence.astype(np.float64), 0.0)
    score[~task.known] = np.nan
    return RuleOutput(score, wrong & (task.confidence < threshold))


def centroid(evidence: TaskEvidence) -> RuleOutput:
    """The cosine distance of the embedding to the mean of the other works of the class, 0–2."""
    task, embedding = evidence.task, evidence.shared.embedding
    if embedding is None:
        raise DataError("the predictions hold no embedding, which the rule centroid needs; evaluate again")
    score = np.full(len(task.labels), np.nan)
    for k in np.unique(task.labels[task.known]):
        members = np.flatnonzero(task.labels == k)
        if len(members) < 2:
            continue
        vectors = np.asarray(embedding[members], np.float64)
        check_finite(vectors)
        others = (vectors.sum(axis=0) - vectors) / (len(members) - 1)
        score[members] = 1 - _cosine(vectors, others)
    return RuleOutput(score)


def _cosine(one: NDArray[np.float64], other: NDArray[np.float64]) -> NDArray[np.float64]:
    """Row by row, (N,) in [−1, 1]; 0 where one of the two vectors is zero."""
    lengths = np.linalg.norm(one, axis=1) * np.linalg.norm(other, axis=1)
    products = np.einsum("nd,nd->n", one, other)
    return np.clip(np.divide(products, lengths, out=np.zeros_like(products), where=lengths > 0), -1, 1)
