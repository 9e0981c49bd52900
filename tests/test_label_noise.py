"""Planted errors, and the figures that say how many of them a ranking finds, against scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, confusion_matrix, roc_auc_score

from morelli.evaluation.audit.label_noise import confused_with, inject_label_noise, measures
from morelli.evaluation.predictions import TaskPredictions


@pytest.mark.parametrize("ties", [False, True])
def test_the_figures_are_those_of_scikit_learn(ties: bool) -> None:
    rng = np.random.default_rng(0)
    planted = rng.random(500) < 0.1
    score = rng.normal(size=500) + 1.5 * planted
    score = np.round(score) if ties else score
    made = measures(planted, score)
    assert made["auroc"] == pytest.approx(roc_auc_score(planted, score))
    assert made["average_precision"] == pytest.approx(average_precision_score(planted, score))
    if not ties:
        order = planted[np.argsort(-score)]
        assert made["precision_at_100"] == pytest.approx(order[:100].mean())
        assert made["precision_at_errors"] == pytest.approx(order[: planted.sum()].mean())


def test_works_of_equal_score_share_their_errors_and_one_that_is_not_judged_comes_last() -> None:
    planted = np.array([True, False, True, False, True])
    made = measures(planted, np.array([3.0, 2.0, 2.0, 1.0, np.nan]))
    # three errors: the first work, then half of two equal ones each
    assert made["precision_at_errors"] == pytest.approx(2 / 3)
    assert made["precision_at_100"] == pytest.approx(3 / 5)
    assert made["auroc"] == pytest.approx((2 + 1.5 + 0) / 6)
    assert set(measures(np.zeros(4, bool), np.arange(4.0)).values()) == {None}


def test_symmetric_errors_are_as_many_as_asked_for_and_every_other_class_alike() -> None:
    labels = np.repeat(np.arange(-1, 4), 5000)
    made, planted = inject_label_noise(labels, 4, 0.1, [0])
    assert planted.sum() == 2000 and not planted[labels < 0].any()
    assert (made[planted] != labels[planted]).all() and (made[~planted] == labels[~planted]).all()
    table = confusion_matrix(labels[planted], made[planted], labels=range(4))
    assert table[~np.eye(4, dtype=bool)].min() > 120 and np.trace(table) == 0
    np.testing.assert_array_equal(inject_label_noise(labels, 4, 0.1, [0])[0], made)
    assert (inject_label_noise(labels, 4, 0.1, [1])[1] != planted).any()
    assert not inject_label_noise(np.zeros(9, int), 1, 0.5, [0])[1].any()


def test_confusing_errors_go_where_works_are_most_often_taken_to_be() -> None:
    rng = np.random.default_rng(3)
    true = rng.integers(0, 3, 600)
    seen = np.where(rng.random(600) < 0.3, (true + np.array([1, 1, 2])[true]) % 3, true)
    task = TaskPredictions(["a", "b", "c"], true.astype(np.int32), np.eye(3, dtype=np.float32)[seen])
    table = confusion_matrix(true, seen)
    np.fill_diagonal(table, -1)
    other = confused_with(task)
    assert list(other) == list(table.argmax(axis=1)) == [1, 2, 1]
    made, planted = inject_label_noise(true, 3, 0.2, [0], other)
    assert planted.sum() == 120 and (made[planted] == other[true[planted]]).all()


def test_styles_that_people_take_for_one_another_are_each_others_errors() -> None:
    names = ["Cubism", "Impressionism", "Post_Impressionism", "Rococo"]
    labels = np.arange(4, dtype=np.int32).repeat(3)
    task = TaskPredictions(names, labels, np.eye(4, dtype=np.float32)[(labels + 3) % 4])
    assert list(confused_with(task)) == [3, 2, 1, 2]


def test_a_class_that_is_never_mistaken_or_has_no_work_still_gets_another_one() -> None:
    odds = np.array([[0.6, 0.1, 0.3, 0], [0.5, 0.1, 0.4, 0]], np.float32)
    task = TaskPredictions(["a", "b", "c", "d"], np.array([0, 0], np.int32), odds)
    assert list(confused_with(task)) == [2, 2, 3, 0]
