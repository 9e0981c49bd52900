"""Metrics against scikit-learn, torchmetrics, brute force and hand-worked values."""

from __future__ import annotations

import math
import time
from itertools import pairwise

import numpy as np
import pytest
import sklearn.metrics as sk
import torch
from torchmetrics.functional.classification import multiclass_calibration_error, multiclass_f1_score

from morelli.evaluation.scores import metrics


def sample(works: int = 700, classes: int = 9, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Skewed labels, the last class without works, a sixth unknown, answers right more often than not."""
    rng = np.random.default_rng(seed)
    share = np.append(1 / np.arange(1, classes), 0)
    labels = rng.choice(classes, size=works, p=share / share.sum()).astype(np.int32)
    scores = rng.normal(size=(works, classes))
    scores[np.arange(works), labels] += 1.5
    scores[:, 4] = -9  # a class that is never predicted
    probabilities = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    labels[rng.random(works) < 1 / 6] = -1
    return labels, probabilities.astype(np.float32)


@pytest.fixture(params=[0, 1, 2])
def given(request: pytest.FixtureRequest) -> tuple[np.ndarray, np.ndarray]:
    return sample(seed=request.param)


def known(given: tuple[np.ndarray, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    labels, probabilities = given
    return labels[labels >= 0], probabilities[labels >= 0]


def test_accuracy_top_k_and_log_loss_agree_with_scikit_learn(given: tuple[np.ndarray, np.ndarray]) -> None:
    labels, probabilities = known(given)
    every = np.arange(probabilities.shape[1])
    assert metrics.accuracy(*given) == pytest.approx(
        sk.accuracy_score(labels, probabilities.argmax(axis=1)), abs=1e-12
    )
    for k in (2, 5):
        expected = sk.top_k_accuracy_score(labels, probabilities, k=k, labels=every)
        assert metrics.top_k(*given, k) == pytest.approx(expected, abs=1e-12)
    exact = probabilities.astype(np.float64)
    exact /= exact.sum(axis=1, keepdims=True)
    assert metrics.nll(*given) == pytest.approx(sk.log_loss(labels, exact, labels=every), rel=1e-6)


@pytest.mark.parametrize("figure", ["precision", "recall", "f1"])
def test_macro_and_weighted_means_agree_with_scikit_learn(
    given: tuple[np.ndarray, np.ndarray], figure: str
) -> None:
    labels, probabilities = known(given)
    answers = probabilities.argmax(axis=1)
    assert 8 in answers and 8 not in labels and 4 in labels and 4 not in answers
    table = metrics.per_class(metrics.confusion_matrix(*given))
    theirs = getattr(sk, f"{figure}_score")
    assert table.macro(figure) == pytest.approx(theirs(labels, answers, average="macro", zero_division=0))
    assert table.weighted(figure) == pytest.approx(
        theirs(labels, answers, average="weighted", zero_division=0)
    )


def test_macro_f1_agrees_with_torchmetrics_which_also_leaves_out_absent_classes() -> None:
    labels, probabilities = sample(classes=9)
    probabilities = np.hstack([probabilities, np.zeros((len(labels), 3), np.float32)])
    expected = multiclass_f1_score(
        torch.tensor(probabilities.argmax(axis=1)), torch.tensor(labels).long(), 12, ignore_index=-1
    )
    assert metrics.macro_f1(labels, probabilities) == pytest.approx(float(expected), abs=1e-6)


def test_calibration_error_agrees_with_torchmetrics(given: tuple[np.ndarray, np.ndarray]) -> None:
    labels, probabilities = known(given)
    expected = multiclass_calibration_error(
        torch.tensor(probabilities), torch.tensor(labels).long(), probabilities.shape[1], n_bins=15
    )
    assert metrics.expected_calibration_error(*given) == pytest.approx(float(expected), abs=1e-6)


def test_calibration_error_by_hand() -> None:
    # one bin near 0.95 with confidence .95 and accuracy 1/2, one near 0.6 with .6 and 1
    probabilities = np.array([[0.95, 0.05], [0.95, 0.05], [0.4, 0.6], [1.0, 0.0]])
    labels = np.array([0, 1, 1, -1])
    assert metrics.expected_calibration_error(labels, probabilities) == pytest.approx(
        (2 * 0.45 + 1 * 0.4) / 3
    )
    works, confidence, right = metrics.calibration_bins(labels, probabilities)
    # 0.95 lies in (14/15, 1], and 0.6 = 9/15 in the ninth bin, which is closed above
    assert list(works) == [0] * 8 + [1] + [0] * 5 + [2]
    assert (confidence[8], right[8], right[14]) == (0.6, 1, 0.5)


def test_the_confusion_matrix_has_true_rows_and_predicted_columns(
    given: tuple[np.ndarray, np.ndarray],
) -> None:
    labels, probabilities = known(given)
    expected = sk.confusion_matrix(labels, probabilities.argmax(axis=1), labels=range(9))
    np.testing.assert_array_equal(metrics.confusion_matrix(*given), expected)


def test_an_undefined_figure_is_nan_and_not_zero() -> None:
    # class 0: one right, one taken for 1; class 2 never predicted; class 3 does not occur
    table = metrics.per_class(np.array([[1, 1, 0, 0], [0, 0, 0, 0], [1, 0, 0, 0], [0, 0, 0, 0]]))
    np.testing.assert_array_equal(table.precision, [0.5, 0, np.nan, np.nan])
    np.testing.assert_array_equal(table.recall, [0.5, np.nan, 0, np.nan])
    np.testing.assert_array_equal(table.f1, [0.5, 0, 0, np.nan])
    np.testing.assert_array_equal(table.support, [2, 0, 1, 0])


def test_unknown_labels_change_no_figure(given: tuple[np.ndarray, np.ndarray]) -> None:
    clean = known(given)
    for name in ("accuracy", "nll", "expected_calibration_error", "macro_f1"):
        assert getattr(metrics, name)(*given) == getattr(metrics, name)(*clean)


def test_without_a_known_label_every_figure_is_nan() -> None:
    given = np.array([-1, -1]), np.array([[0.5, 0.5], [0.1, 0.9]])
    for name in ("accuracy", "nll", "expected_calibration_error", "macro_f1"):
        assert math.isnan(getattr(metrics, name)(*given))
    confusion = metrics.confusion_matrix(*given)
    assert confusion.shape == (2, 2) and not confusion.any()
    assert np.isnan(metrics.bootstrap(confusion)).all()
    assert np.isnan(metrics.bootstrap_share(0, 0)).all()


def test_top_one_is_accuracy_even_with_ties() -> None:
    labels, probabilities = np.array([0, 1, 2]), np.full((3, 3), 1 / 3)
    assert metrics.top_k(labels, probabilities, 1) == pytest.approx(1 / 3)
    assert metrics.top_k(labels, probabilities, 2) == pytest.approx(2 / 3)


def test_a_certain_and_wrong_answer_has_a_finite_log_loss() -> None:
    loss = metrics.nll(np.array([1]), np.array([[1.0, 0.0]], np.float32))
    assert 80 < loss < 90


@pytest.mark.slow
def test_the_multinomial_bootstrap_agrees_with_resampling_works() -> None:
    given = sample(works=80)  # few enough that classes vanish from some resamples
    labels, probabilities = known(given)
    answers, rng = probabilities.argmax(axis=1), np.random.default_rng(5)
    drawn = []
    for _ in range(2000):
        i = rng.integers(0, len(labels), len(labels))
        f1 = sk.f1_score(labels[i], answers[i], average="macro", zero_division=0)
        drawn.append((np.mean(labels[i] == answers[i]), f1))
    expected = np.percentile(drawn, [2.5, 97.5], axis=0).T
    ours = metrics.bootstrap(metrics.confusion_matrix(*given), draws=20000, seed=1)
    # the Monte Carlo error of a naive percentile is about 0.004 here, one work more or less 0.015
    np.testing.assert_allclose(ours, expected, atol=0.017)


def test_classes_of_the_vocabulary_that_never_occur_do_not_move_the_intervals() -> None:
    confusion = metrics.confusion_matrix(*sample())
    assert metrics.bootstrap(np.pad(confusion, (0, 3))) == metrics.bootstrap(confusion)


def test_the_interval_of_a_share_agrees_with_the_normal_approximation() -> None:
    low, high = metrics.bootstrap_share(3000, 10000, draws=20000)
    half = 1.96 * math.sqrt(0.3 * 0.7 / 10000)
    assert (low, high) == pytest.approx((0.3 - half, 0.3 + half), abs=4e-4)


def test_the_same_seed_gives_the_same_interval_and_another_seed_another() -> None:
    confusion = metrics.confusion_matrix(*sample())
    assert metrics.bootstrap(confusion, seed=7) == metrics.bootstrap(confusion, seed=7)
    assert metrics.bootstrap(confusion, seed=7) != metrics.bootstrap(confusion, seed=8)


@pytest.mark.slow
def test_the_bootstrap_of_a_large_split_takes_under_two_seconds() -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 129, 24421)
    answers = np.where(rng.random(24421) < 0.6, labels, rng.integers(0, 129, 24421))
    confusion = np.bincount(labels * 129 + answers, minlength=129 * 129).reshape(129, 129)
    start = time.process_time()
    (low, high), _ = metrics.bootstrap(confusion)
    assert time.process_time() - start < 2
    assert low < confusion.trace() / 24421 < high


def test_equal_mass_bins_by_hand() -> None:
    # six works in three bins of two: (.5 .6) one right, (.7 .8) both right, (.9 1) one right
    confidence = np.array([0.9, 0.5, 0.8, 0.6, 1.0, 0.7])
    right = np.array([True, True, True, False, False, True])
    probabilities = np.stack([confidence, 1 - confidence], axis=1)
    labels = np.where(right, 0, 1)
    expected = (abs(1.1 - 1) + abs(1.5 - 2) + abs(1.9 - 1)) / 6
    assert metrics.equal_mass_calibration_error(labels, probabilities, bins=3) == pytest.approx(expected)


def test_equal_mass_error_agrees_with_a_plain_loop(given: tuple[np.ndarray, np.ndarray]) -> None:
    labels, probabilities = known(given)
    confidence = probabilities.max(axis=1).astype(float)
    assert len(np.unique(confidence)) == len(confidence)
    order = np.argsort(confidence)
    right = probabilities.argmax(axis=1) == labels
    total, bins = 0.0, 15
    edges = [-(-len(order) * b // bins) for b in range(bins + 1)]  # rank r lies in bin ⌊15 r / n⌋
    for low, high in pairwise(edges):
        own = order[low:high]
        total += abs(right[own].sum() - confidence[own].sum())
    assert metrics.equal_mass_calibration_error(*given) == pytest.approx(total / len(order))


def test_works_of_equal_confidence_share_a_bin_whatever_their_order() -> None:
    rng = np.random.default_rng(0)
    confidence = rng.choice([0.6, 0.7, 0.9], 200)
    probabilities = np.stack([confidence, 1 - confidence], axis=1)
    labels = (rng.random(200) < 0.4).astype(int)
    expected = sum(abs(((labels == 0) - confidence)[confidence == c].sum()) for c in (0.6, 0.7, 0.9)) / 200
    for order in (np.arange(200), rng.permutation(200)):
        found = metrics.equal_mass_calibration_error(labels[order], probabilities[order])
        assert found == pytest.approx(expected)


def test_the_classwise_error_by_hand() -> None:
    # two bins a class: of class 0 the works at .8 and .9 (one is it) and the one at .2 (it is); of class 1 alike
    probabilities = np.array([[0.8, 0.2], [0.9, 0.1], [0.2, 0.8]])
    labels = np.array([0, 1, 0])
    first = abs(1.7 - 1) + abs(0.2 - 1)
    second = abs(0.3 - 1) + abs(0.8 - 0)
    assert metrics.classwise_calibration_error(labels, probabilities, bins=2) == pytest.approx(
        (first + second) / 2 / 3
    )


def test_the_classwise_error_agrees_with_torchmetrics_class_by_class(
    given: tuple[np.ndarray, np.ndarray],
) -> None:
    from torchmetrics.functional.classification import binary_calibration_error

    labels, probabilities = known(given)
    errors = [
        float(
            binary_calibration_error(
                torch.tensor(probabilities[:, k]), torch.tensor((labels == k).astype(int)), n_bins=15
            )
        )
        for k in range(probabilities.shape[1])
    ]
    assert metrics.classwise_calibration_error(*given) == pytest.approx(np.mean(errors), abs=1e-6)


def test_balanced_accuracy_is_scikit_learns(given: tuple[np.ndarray, np.ndarray]) -> None:
    labels, probabilities = known(given)
    with pytest.warns(UserWarning, match="y_pred contains classes not in y_true"):
        expected = sk.balanced_accuracy_score(labels, probabilities.argmax(axis=1))
    assert metrics.balanced_accuracy(*given) == pytest.approx(expected)


def test_the_further_figures_are_nan_without_known_labels() -> None:
    labels, probabilities = np.array([-1, -1]), np.full((2, 3), 1 / 3)
    for figure in (
        metrics.equal_mass_calibration_error,
        metrics.classwise_calibration_error,
        metrics.balanced_accuracy,
    ):
        assert math.isnan(figure(labels, probabilities))
