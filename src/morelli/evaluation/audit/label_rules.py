"""Label suspicion: is the given label wrong? Each function judges a case by one kind of evidence.

The confident joint is that of Northcutt, Jiang and Chuang, "Confident Learning: Estimating Uncertainty in Dataset
Labels", JAIR 2021, as cleanlab computes it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from morelli.errors import DataError
from morelli.evaluation.audit.combination import Combined, Finding, combine, label_error_score, pool
from morelli.evaluation.audit.evidence import TaskEvidence
from morelli.evaluation.audit.neighbours import neighbour_disagreement
from morelli.evaluation.predictions import TaskPredictions


def self_confidence(case: TaskEvidence, threshold: float) -> Finding:
    """1 − the probability of the given label."""
    return _of_probabilities(case, case.task.probabilities, margin=False)


def margin(case: TaskEvidence, threshold: float) -> Finding:
    """The highest probability of another class, less that of the given one; from −1 to 1."""
    return _of_probabilities(case, case.task.probabilities, margin=True)


def second_opinion(case: TaskEvidence, threshold: float) -> Finding:
    """As :func:`self_confidence`, by the second opinion."""
    if case.second is None:
        raise DataError("there is no second opinion here; audit with --split all, which makes one")
    return _of_probabilities(case, case.second, margin=False)


def neighbours(case: TaskEvidence, threshold: float) -> Finding:
    """The share of the nearest works, nearer ones counting more, that carry another label."""
    if case.shared.neighbours is None:
        raise DataError("the predictions hold no embedding, which the rule neighbours needs; evaluate again")
    score = neighbour_disagreement(case.shared.neighbours, case.task.labels)
    score[~case.judged] = np.nan
    return Finding(score)


def cross_task(case: TaskEvidence, threshold: float) -> Finding:
    """What the other labels and the year say together against the given label."""
    if not case.cross:
        score = np.full(len(case.task.labels), np.nan)
        return Finding(score)
    combined = pool(case, case.cross)
    says = np.any([np.ptp(said, axis=1) > 1e-6 for said in case.cross.values()], axis=0)
    score = np.where(says, label_error_score(combined.log_probabilities, case), np.nan)
    return Finding(score, None, best_other(case.task, combined))


def confident_joint(case: TaskEvidence, threshold: float) -> Finding:
    """cleanlab's normalised margin with its class thresholds subtracted; flagged are as many works as its confident
    joint estimates to be mislabelled.

    Classes that no work is labelled with are left out, for they have no threshold.
    """
    score = np.full(len(case.task.labels), np.nan)
    rows, labels, probabilities = _present(case, case.task.probabilities)
    if probabilities.shape[1] > 1:
        from cleanlab.rank import get_label_quality_scores

        how: dict[str, Any] = {"method": "normalized_margin", "adjust_pred_probs": True}
        score[rows] = 1 - get_label_quality_scores(labels, probabilities, **how)
    flagged = _highest(score, estimated_errors(case, case.task.probabilities))
    return Finding(score, flagged, case.task.predicted)


def combined(case: TaskEvidence, threshold: float) -> Finding:
    """All evidence in one ranking; flagged are as many as cleanlab's confident joint of the combined probabilities
    estimates to be wrong."""
    made = combine(case)
    score = label_error_score(made.log_probabilities, case)
    flagged = _highest(score, estimated_errors(case, np.exp(made.log_probabilities)))
    return Finding(score, flagged, best_other(case.task, made), made)


def estimated_errors(case: TaskEvidence, probabilities: NDArray[np.floating]) -> int:
    """How many labels are wrong by the confident joint of probabilities (N, K); an estimate, not a count."""
    _, labels, probabilities = _present(case, probabilities)
    if probabilities.shape[1] < 2:
        return 0
    from cleanlab.count import num_label_issues

    return int(num_label_issues(labels, probabilities))


def _highest(score: NDArray[np.float64], count: int) -> NDArray[np.bool_]:
    flagged = np.zeros(len(score), bool)
    flagged[np.argsort(-score, kind="stable")[:count]] = True
    return flagged & ~np.isnan(score)


def _of_probabilities(case: TaskEvidence, probabilities: NDArray[np.float32], margin: bool) -> Finding:
    score, rows = np.full(len(probabilities), np.nan), np.flatnonzero(case.judged)
    labels = case.task.labels[rows]
    own = probabilities[rows, labels].astype(np.float64)
    score[rows] = 1 - own
    if margin:
        others = probabilities[rows]
        others[np.arange(len(rows)), labels] = -1
        score[rows] = others.max(axis=1, initial=-1.0) - own if others.shape[1] > 1 else np.nan
    return Finding(score, None, probabilities.argmax(axis=1))


def _present(
    case: TaskEvidence, probabilities: NDArray[np.floating]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """The rows that can be judged, their labels and probabilities over the classes that they are labelled with."""
    rows = np.flatnonzero(case.judged)
    classes, labels = np.unique(case.task.labels[rows], return_inverse=True)
    kept = np.maximum(probabilities[np.ix_(rows, classes)].astype(np.float64), 1e-12)
    return rows, labels, kept / kept.sum(axis=1, keepdims=True)


def best_other(task: TaskPredictions, made: Combined) -> NDArray[np.int64]:
    """The class that speaks most against the given one, (N,); where none is given, the most probable."""
    probabilities = made.log_probabilities.copy()
    rows = np.flatnonzero(task.known)
    probabilities[rows, task.labels[rows]] = -np.inf
    return probabilities.argmax(axis=1)
