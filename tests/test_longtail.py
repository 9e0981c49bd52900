"""Logit adjustment: Bayes' rule by hand, a planted imbalance undone; groups of classes by their training works."""

from __future__ import annotations

import numpy as np
import pytest
import sklearn.metrics as sk

from morelli.evaluation.predictions import TaskPredictions
from morelli.evaluation.scores import metrics
from morelli.evaluation.scores.longtail import TAUS, adjust, adjusted_scores, choose_taus, shot_groups

NAMES = ["a", "b", "c", "d"]
COUNTS = np.array([900, 90, 9, 1])


def gaussian_task(works: np.ndarray, seed: int, priors: np.ndarray = COUNTS) -> TaskPredictions:
    """Points around four corners, read by the exact posterior of a world with ``priors``."""
    rng = np.random.default_rng(seed)
    corners = 1.5 * np.eye(4)
    labels = np.repeat(np.arange(4), works)
    points = corners[labels] + rng.normal(size=(len(labels), 4))
    squares = ((points[:, None] - corners) ** 2).sum(axis=2)
    scores = np.log(priors / priors.sum()) - squares / 2
    probabilities = np.exp(scores - scores.max(axis=1, keepdims=True))
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    return TaskPredictions(NAMES, labels.astype(np.int32), probabilities.astype(np.float32))


def test_at_tau_one_bayes_rule_by_hand_takes_the_prior_back() -> None:
    # (0.6, 0.4) where class a is nine times as frequent: 0.6 / 0.9 to 0.4 / 0.1, which is 1 to 6
    found = adjust(np.array([[0.6, 0.4]]), np.array([9, 1]), 1.0)
    np.testing.assert_allclose(found, [[1 / 7, 6 / 7]], rtol=1e-6)
    # half the strength: 0.6 / 3 to 0.4 / 1
    np.testing.assert_allclose(
        adjust(np.array([[0.6, 0.4]]), np.array([9, 1]), 0.5), [[1 / 3, 2 / 3]], rtol=1e-6
    )


def test_tau_zero_and_equal_classes_change_nothing_and_a_class_without_works_counts_as_one() -> None:
    task = gaussian_task(np.full(4, 50), seed=0)
    np.testing.assert_allclose(adjust(task.probabilities, COUNTS, 0), task.probabilities, atol=1e-6)
    np.testing.assert_allclose(adjust(task.probabilities, np.full(4, 7), 1.3), task.probabilities, atol=1e-6)
    with_none = adjust(task.probabilities, np.array([5, 0, 3, 2]), 1.0)
    np.testing.assert_allclose(with_none, adjust(task.probabilities, np.array([5, 1, 3, 2]), 1.0), atol=1e-7)


def test_a_planted_imbalance_is_undone_by_tau_near_one_found_on_validation() -> None:
    # where every class is equally frequent, Bayes' rule says that 1 is best for the mean accuracy of the classes
    validation = gaussian_task(np.full(4, 1500), seed=1)
    task = gaussian_task(np.full(4, 800), seed=2)
    assert choose_taus(validation, COUNTS)["balanced_accuracy"] == pytest.approx(1.0, abs=0.15)
    found = adjusted_scores(task, validation, COUNTS)
    assert found is not None
    balanced = found["balanced"]
    assert found["balanced_accuracy_before"] < 0.45 and balanced["balanced_accuracy"] > 0.6
    optimal = gaussian_task(np.full(4, 800), seed=2, priors=np.ones(4))
    expected = sk.balanced_accuracy_score(optimal.labels, optimal.predicted)
    assert balanced["balanced_accuracy"] == pytest.approx(expected, abs=0.01)


def test_the_taus_are_the_best_of_trying_all_with_scikit_learn() -> None:
    validation = gaussian_task(np.array([400, 120, 60, 30]), seed=3)
    given = validation.labels.copy()
    given[::9] = -1
    validation = TaskPredictions(NAMES, given, validation.probabilities)
    known = validation.known
    f1, balanced = [], []
    for tau in TAUS:
        answers = adjust(validation.probabilities, COUNTS, tau).argmax(axis=1)[known]
        f1.append(sk.f1_score(given[known], answers, average="macro"))
        balanced.append(sk.balanced_accuracy_score(given[known], answers))
    expected = {"macro_f1": TAUS[np.argmax(f1)], "balanced_accuracy": TAUS[np.argmax(balanced)]}
    assert choose_taus(validation, COUNTS) == expected and len(set(expected.values())) == 2


def test_scores_after_adjustment_are_scikit_learns() -> None:
    task = gaussian_task(np.array([300, 90, 60, 30]), seed=4)
    validation = gaussian_task(np.full(4, 100), seed=5)
    found = adjusted_scores(task, validation, COUNTS)
    assert found is not None
    for part in (found, found["balanced"]):
        answers = adjust(task.probabilities, COUNTS, part["tau"]).argmax(axis=1)
        assert part["accuracy"] == pytest.approx(sk.accuracy_score(task.labels, answers))
        assert part["macro_f1"] == pytest.approx(sk.f1_score(task.labels, answers, average="macro"))
        assert part["macro_f1_ci95"][0] <= part["macro_f1"] <= part["macro_f1_ci95"][1]
    assert metrics.balanced_accuracy(task.labels, task.probabilities) == pytest.approx(
        sk.balanced_accuracy_score(task.labels, task.predicted)
    )


def test_the_groups_divide_at_twenty_and_a_hundred_training_works() -> None:
    counts = np.array([101, 100, 20, 19])
    labels = np.array([0, 0, 1, 2, 2, 2, 3, -1], np.int32)
    answers = np.array([0, 1, 1, 2, 2, 0, 0, 0])
    probabilities = np.full((8, 4), 0.1, np.float32)
    probabilities[np.arange(8), answers] = 0.7
    found = shot_groups(TaskPredictions(NAMES, labels, probabilities), counts, tau=0.0)
    assert {name: (g["classes"], g["works"], g["accuracy"]) for name, g in found.items()} == {
        "many": (1, 2, 0.5),
        "medium": (2, 4, 0.75),
        "few": (1, 1, 0.0),
    }
    assert all(g["accuracy_adjusted"] == g["accuracy"] for g in found.values())
    empty = shot_groups(TaskPredictions(NAMES, labels, probabilities), np.full(4, 500))
    assert empty["few"] == {"classes": 0, "works": 0, "accuracy": None, "accuracy_ci95": None}


def test_without_known_labels_there_is_nothing_to_say() -> None:
    task = gaussian_task(np.full(4, 5), seed=6)
    unknown = TaskPredictions(NAMES, np.full(20, -1, np.int32), task.probabilities)
    assert adjusted_scores(unknown, task, COUNTS) is None
    assert choose_taus(unknown, COUNTS) == {"macro_f1": 0.0, "balanced_accuracy": 0.0}
