"""Label rules: is the given label wrong? Each function judges it by one kind of evidence, the last by all.

The confident joint is that of Northcutt, Jiang and Chuang, "Confident Learning: Estimating Uncertainty in Dataset
Labels", JAIR 2021, as cleanlab computes it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from morelli.errors import DataError
from morelli.evaluation.audit.evidence import TaskEvidence
from morelli.evaluation.audit.neighbours import neighbour_disagreement
from morelli.evaluation.audit.opinion_pool import (
    best_other_class,
    label_error_score,
    pool_evidence,
    pool_opinions,
)
from morelli.evaluation.audit.rule_output import RuleOutput, highest_scores


def self_confidence(evidence: TaskEvidence) -> RuleOutput:
    """1 − the probability of the given label."""
    return _of_probabilities(evidence, evidence.task.probabilities, margin=False)


def margin(evidence: TaskEvidence) -> RuleOutput:
    """The highest probability of another class, less that of the given one; from −1 to 1."""
    return _of_probabilities(evidence, evidence.task.probabilities, margin=True)


def second_opinion(evidence: TaskEvidence) -> RuleOutput:
    """As :func:`self_confidence`, by the second opinion: a small classifier of the features' means and deviations."""
    if evidence.second_opinion is None:
        raise DataError("there is no second opinion here; audit with --split all, which makes one")
    return _of_probabilities(evidence, evidence.second_opinion, margin=False)


def neighbours(evidence: TaskEvidence) -> RuleOutput:
    """The share of the nearest works, nearer ones counting more, that carry another label."""
    if evidence.shared.neighbours is None:
        raise DataError("the predictions hold no embedding, which the rule neighbours needs; evaluate again")
    score = neighbour_disagreement(evidence.shared.neighbours, evidence.task.labels)
    score[~evidence.judged] = np.nan
    return RuleOutput(score)


def cross_task(evidence: TaskEvidence) -> RuleOutput:
    """The probability that the label is wrong by the other labels and the year together; NaN where they have nothing on
    a work."""
    if not evidence.cross_task:
        return RuleOutput(np.full(len(evidence.task.labels), np.nan))
    pool = pool_opinions(evidence, evidence.cross_task)
    informed = np.any([np.ptp(opinion, axis=1) > 1e-6 for opinion in evidence.cross_task.values()], axis=0)
    score = np.where(informed, label_error_score(pool, evidence), np.nan)
    return RuleOutput(score, suggested=best_other_class(pool, evidence))


def confident_joint(evidence: TaskEvidence) -> RuleOutput:
    """cleanlab's normalised margin with its class thresholds subtracted; selected are as many works as its confident
    joint estimates to be mislabelled.

    Classes that no work is labelled with are left out, for they have no threshold.
    """
    score = np.full(len(evidence.task.labels), np.nan)
    rows, labels, probabilities = _comparable(evidence, evidence.task.probabilities)
    if probabilities.shape[1] > 1:
        from cleanlab.rank import get_label_quality_scores

        how: dict[str, Any] = {"method": "normalized_margin", "adjust_pred_probs": True}
        score[rows] = 1 - get_label_quality_scores(labels, probabilities, **how)
        score[evidence.verified] = np.nan
    selected = highest_scores(score, estimated_errors(evidence, evidence.task.probabilities))
    return RuleOutput(score, selected, evidence.task.predicted)


def combined(evidence: TaskEvidence) -> RuleOutput:
    """All evidence in one ranking; selected are as many works as cleanlab's confident joint of the pooled probabilities
    estimates to be mislabelled."""
    pool = pool_evidence(evidence)
    score = label_error_score(pool, evidence)
    selected = highest_scores(score, estimated_errors(evidence, np.exp(pool.log_probabilities)))
    return RuleOutput(score, selected, best_other_class(pool, evidence), pool)


def estimated_errors(evidence: TaskEvidence, probabilities: NDArray[np.floating]) -> int:
    """How many labels are wrong by the confident joint of probabilities (N, K): an estimate, not a count. Labels that a
    person verified are not among them."""
    rows, labels, probabilities = _comparable(evidence, probabilities)
    if probabilities.shape[1] < 2:
        return 0
    from cleanlab.filter import find_label_issues

    wrong = find_label_issues(labels, probabilities, filter_by="confident_learning", n_jobs=1)
    return int((wrong & ~evidence.verified[rows]).sum())


def _of_probabilities(evidence: TaskEvidence, probabilities: NDArray[np.float32], margin: bool) -> RuleOutput:
    score, rows = np.full(len(probabilities), np.nan), np.flatnonzero(evidence.judged)
    labels = evidence.task.labels[rows]
    own = probabilities[rows, labels].astype(np.float64)
    score[rows] = 1 - own
    if margin:
        others = probabilities[rows]
        others[np.arange(len(rows)), labels] = -1
        score[rows] = others.max(axis=1, initial=-1.0) - own if others.shape[1] > 1 else np.nan
    return RuleOutput(score, suggested=probabilities.argmax(axis=1))


def _comparable(
    evidence: TaskEvidence, probabilities: NDArray[np.floating]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """The rows whose label can be compared, their labels and probabilities over the classes that they carry."""
    rows = np.flatnonzero(evidence.comparable)
    classes, labels = np.unique(evidence.task.labels[rows], return_inverse=True)
    kept = np.maximum(probabilities[np.ix_(rows, classes)].astype(np.float64), 1e-12)
    return rows, labels, kept / kept.sum(axis=1, keepdims=True)
