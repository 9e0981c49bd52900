"""Abstention: the curve against a plain loop and scikit-learn, the threshold by hand."""

from __future__ import annotations

import numpy as np
import pytest
import sklearn.metrics as sk

from morelli.evaluation.predictions import TaskPredictions
from morelli.evaluation.scores import metrics
from morelli.evaluation.scores.selective import (
    accuracy_at,
    accuracy_by_coverage,
    area_under_risk,
    selective_scores,
    threshold_for,
)


def task_of(confidence: list[float], right: list[bool]) -> TaskPredictions:
    """Two classes; the answer is always class 0, at this confidence."""
    sure = np.array(confidence, np.float32)
    labels = np.where(right, 0, 1).astype(np.int32)
    return TaskPredictions(["a", "b"], labels, np.stack([sure, 1 - sure], axis=1))


def random_task(works: int = 400, seed: int = 0) -> TaskPredictions:
    rng = np.random.default_rng(seed)
    scores = rng.normal(size=(works, 5))
    labels = rng.integers(0, 5, works)
    scores[np.arange(works), labels] += 1.5
    probabilities = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    labels[rng.random(works) < 0.2] = -1
    return TaskPredictions(list("abcde"), labels.astype(np.int32), probabilities.astype(np.float32))


def test_by_hand() -> None:
    task = task_of([0.9, 0.6, 0.8, 0.7], [True, False, True, False])
    np.testing.assert_allclose(accuracy_by_coverage(task), [1, 1, 2 / 3, 1 / 2])
    assert accuracy_at(task, 0.5) == 1 and accuracy_at(task, 0.7) == pytest.approx(2 / 3)
    assert area_under_risk(task) == pytest.approx((0 + 0 + 1 / 3 + 1 / 2) / 4)


def test_the_curve_is_that_of_a_plain_loop_and_its_area_an_average_of_its_errors() -> None:
    task = random_task()
    known = np.flatnonzero(task.known)
    order = sorted(known, key=lambda i: -task.confidence[i])
    right = [task.predicted[i] == task.labels[i] for i in order]
    expected = [np.mean(right[: n + 1]) for n in range(len(right))]
    np.testing.assert_allclose(accuracy_by_coverage(task), expected)
    assert area_under_risk(task) == pytest.approx(1 - np.mean(expected))
    assert accuracy_at(task, 1.0) == pytest.approx(metrics.accuracy(task.labels, task.probabilities))


def test_works_of_equal_confidence_count_as_their_mean_whatever_their_order() -> None:
    confidence = [0.9, 0.8, 0.8, 0.8, 0.6]
    right = [True, False, True, True, False]
    np.testing.assert_allclose(
        accuracy_by_coverage(task_of(confidence, right)), [1, 5 / 6, 7 / 9, 3 / 4, 3 / 5]
    )
    swapped = task_of(confidence, [True, True, True, False, False])
    np.testing.assert_allclose(
        accuracy_by_coverage(swapped), accuracy_by_coverage(task_of(confidence, right))
    )


def test_the_threshold_is_the_lowest_that_scikit_learns_precision_allows() -> None:
    task = random_task(works=3000, seed=1)
    right = (task.predicted == task.labels)[task.known]
    confidence = task.confidence[task.known]
    precision, _, thresholds = sk.precision_recall_curve(right, confidence)
    reached = confidence[None] >= thresholds[:, None]
    enough = (precision[:-1] >= 0.8) & (reached.sum(axis=1) >= 20)
    assert threshold_for(task, 0.8) == pytest.approx(float(thresholds[enough].min()))


def test_a_threshold_takes_all_works_of_equal_confidence_and_needs_enough_of_them() -> None:
    # nineteen right at 0.9; at 0.8 one right and two wrong, which cannot be told apart
    task = task_of([0.9] * 19 + [0.8] * 3, [True] * 20 + [False] * 2)
    assert threshold_for(task, 0.95, fewest=10) == pytest.approx(0.9)
    assert threshold_for(task, 0.95) is None and threshold_for(task, 0.9) == pytest.approx(0.8)
    assert threshold_for(task_of([0.9] * 20, [True] * 19 + [False])) == pytest.approx(0.9)


def test_the_threshold_of_validation_is_checked_on_the_scored_works() -> None:
    validation = task_of([0.9] * 30 + [0.6] * 10, [True] * 30 + [False] * 10)
    task = task_of([0.95] * 6 + [0.5] * 4, [True] * 5 + [False] * 5)
    found = selective_scores(task, validation)
    assert found is not None and found["accuracy_at"]["1.0"] == pytest.approx(0.5)
    target = found["target"]
    assert target["threshold"] == pytest.approx(0.9) and target["coverage_on_validation"] == 0.75
    assert (target["coverage"], target["accuracy"]) == (0.6, pytest.approx(5 / 6))
    hopeless = selective_scores(task, task_of([0.9] * 30, [False] * 30))
    assert hopeless is not None and hopeless["target"]["threshold"] is None
    alone = selective_scores(task, None)
    assert alone is not None and alone["target"] is None


def test_without_known_labels_there_is_nothing_to_say() -> None:
    task = TaskPredictions(["a", "b"], np.full(3, -1, np.int32), np.full((3, 2), 0.5, np.float32))
    assert selective_scores(task, None) is None and threshold_for(task) is None
    assert np.isnan(area_under_risk(task)) and np.isnan(accuracy_at(task, 0.5))
