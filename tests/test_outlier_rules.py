"""Atypicality against scipy, scikit-learn and planted strangers; it asks nothing about the label's truth."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from scipy.spatial.distance import cdist, mahalanobis
from scipy.special import logsumexp, softmax
from scipy.stats import median_abs_deviation
from sklearn.covariance import ledoit_wolf
from sklearn.metrics import roc_auc_score

from morelli.errors import DataError
from morelli.evaluation.audit import outlier_rules
from morelli.evaluation.audit.evidence import SharedEvidence, TaskEvidence
from morelli.evaluation.audit.rule_output import RuleOutput
from morelli.evaluation.predictions import TaskPredictions

BY_EMBEDDING = (outlier_rules.knn_distance, outlier_rules.centre_distance, outlier_rules.relative_mahalanobis)
Rule = Callable[[TaskEvidence], RuleOutput]


def evidence_of(labels: np.ndarray, embedding: np.ndarray, groups: np.ndarray | None = None) -> TaskEvidence:
    task = TaskPredictions(
        ["a", "b", "c"], labels.astype(np.int32), np.full((len(labels), 3), 1 / 3, np.float32)
    )
    return TaskEvidence(
        "style", task, SharedEvidence(embedding, np.arange(len(labels)) if groups is None else groups)
    )


def clusters(strangers: int = 12) -> tuple[TaskEvidence, np.ndarray]:
    """Three classes in eight dimensions; the strangers carry a class's label and lie apart from every class."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 400)
    embedding = 4 * np.eye(3, 8)[labels] + rng.normal(size=(400, 8))
    embedding[:strangers] = 4 * np.eye(8)[6] + rng.normal(size=(strangers, 8))
    return evidence_of(labels, embedding.astype(np.float32)), np.arange(400) < strangers


@pytest.mark.parametrize("rule", BY_EMBEDDING)
def test_strangers_are_the_least_typical(rule: Rule) -> None:
    evidence, strange = clusters()
    score = rule(evidence).score
    assert roc_auc_score(strange, score) > 0.97


@pytest.mark.parametrize("rule", BY_EMBEDDING)
def test_classes_of_two_and_unknown_labels_are_not_judged_and_the_order_of_works_does_not_matter(
    rule: Rule,
) -> None:
    rng = np.random.default_rng(1)
    labels = np.array([0] * 30 + [1] * 2 + [2] * 20 + [-1] * 4)
    embedding = rng.normal(size=(56, 5)).astype(np.float32)
    score = rule(evidence_of(labels, embedding)).score
    assert list(np.flatnonzero(np.isnan(score))) == [30, 31, 52, 53, 54, 55]
    mixed = rng.permutation(56)
    again = rule(evidence_of(labels[mixed], embedding[mixed])).score
    np.testing.assert_allclose(again, score[mixed], rtol=1e-3, atol=1e-3)


def test_the_distance_to_the_nearest_of_the_class_is_scipys_in_deviations_beyond_the_median() -> None:
    evidence, _ = clusters()
    score = outlier_rules.knn_distance(evidence).score
    for k in range(3):
        members = np.flatnonzero(evidence.task.labels == k)
        apart = cdist(evidence.shared.embedding[members], evidence.shared.embedding[members], "cosine")
        mean = np.sort(apart, axis=1)[:, 1:11].mean(axis=1)
        truth = (mean - np.median(mean)) / median_abs_deviation(mean, scale="normal")
        np.testing.assert_allclose(score[members], truth, rtol=2e-3, atol=2e-3)


def test_a_near_duplicate_does_not_make_a_work_typical() -> None:
    evidence = clusters(strangers=2)[0]
    embedding, labels, groups = evidence.shared.embedding.copy(), evidence.task.labels.copy(), np.arange(400)
    embedding[1], labels[1], groups[1] = embedding[0], labels[0], groups[0]
    alone = outlier_rules.knn_distance(evidence_of(labels[1:], embedding[1:])).score[0]
    both = outlier_rules.knn_distance(evidence_of(labels, embedding, groups)).score[0]
    assert both == pytest.approx(alone, rel=0.05)


def test_the_distance_to_the_centre_leaves_the_work_itself_out() -> None:
    evidence, _ = clusters()
    score = outlier_rules.centre_distance(evidence).score
    units = evidence.shared.embedding / np.linalg.norm(evidence.shared.embedding, axis=1, keepdims=True)
    for k in range(3):
        members = np.flatnonzero(evidence.task.labels == k)
        apart = [np.linalg.norm(units[i] - units[members[members != i]].mean(axis=0)) for i in members]
        truth = (apart - np.median(apart)) / median_abs_deviation(apart, scale="normal")
        np.testing.assert_allclose(score[members], truth, rtol=1e-3, atol=1e-3)


def test_the_relative_mahalanobis_distance_is_scipys() -> None:
    evidence, _ = clusters()
    labels, points = evidence.task.labels, evidence.shared.embedding.astype(np.float64)
    within = np.concatenate([points[labels == k] - points[labels == k].mean(axis=0) for k in range(3)])
    own = np.linalg.inv(ledoit_wolf(within, assume_centered=True)[0])
    every = np.linalg.inv(ledoit_wolf(points)[0])
    score = outlier_rules.relative_mahalanobis(evidence).score
    for row in range(0, 400, 17):
        others = (labels == labels[row]) & (np.arange(400) != row)
        truth = mahalanobis(points[row], points[others].mean(axis=0), own) ** 2
        truth -= mahalanobis(points[row], points.mean(axis=0), every) ** 2
        assert score[row] == pytest.approx(truth, rel=1e-3, abs=1e-3)


@pytest.mark.parametrize(("works", "width"), [(30, 50), (9000, 20), (3, 4)])
def test_the_shrunk_covariance_is_scikit_learns_also_in_several_blocks(works: int, width: int) -> None:
    rng = np.random.default_rng(4)
    points = (rng.normal(size=(works, width)) * rng.uniform(0.1, 3, width)).astype(np.float32)
    points -= points.mean(axis=0)
    truth = ledoit_wolf(points.astype(np.float64), assume_centered=True)[0]
    np.testing.assert_allclose(
        outlier_rules.shrunk_covariance(points), truth, atol=2e-6 * np.abs(truth).max()
    )


def test_vectors_that_are_all_the_same_divide_nothing() -> None:
    evidence = evidence_of(np.zeros(5, int), np.ones((5, 3), np.float32))
    for rule in BY_EMBEDDING:
        assert rule(evidence).score == pytest.approx([0] * 5, abs=1e-6)


def test_the_energy_is_that_of_class_scores_that_sum_to_zero_and_needs_no_label() -> None:
    rng = np.random.default_rng(2)
    scores = rng.normal(0, 3, size=(50, 3))
    scores -= scores.mean(axis=1, keepdims=True)
    task = TaskPredictions(
        ["a", "b", "c"], np.full(50, -1, np.int32), softmax(scores, axis=1).astype(np.float32)
    )
    np.testing.assert_allclose(
        outlier_rules.energy(TaskEvidence.of_predictions(task)).score, -logsumexp(scores, axis=1), rtol=1e-4
    )


def test_an_embedding_that_is_missing_or_broken_is_named() -> None:
    for rule in BY_EMBEDDING:
        task = clusters()[0].task
        with pytest.raises(DataError, match="no embedding, which the rule"):
            rule(TaskEvidence.of_predictions(task))
        broken = np.full((400, 3), np.nan, np.float32)
        with pytest.raises(DataError, match="not a number"):
            rule(TaskEvidence.of_predictions(task, broken))
