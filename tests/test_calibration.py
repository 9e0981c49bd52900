"""Temperature scaling finds a known temperature and never changes an answer; with a prior it finds that as well."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import log_softmax, softmax

from morelli.errors import DataError
from morelli.evaluation.calibration.temperature import (
    MAX_TEMPERATURE,
    MIN_TEMPERATURE,
    apply_temperature,
    before_and_after,
    fit_temperature,
    fit_temperature_and_prior,
    uncalibrated,
)
from morelli.evaluation.predictions import TaskPredictions
from morelli.evaluation.scores import metrics
from morelli.report.figures.calibration import abstention_figure, before_after_figure


def honest_works(works: int, classes: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Logits, and labels drawn from their softmax: calibrated at temperature 1 by construction."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(scale=2, size=(works, classes))
    return logits, (logits + rng.gumbel(size=logits.shape)).argmax(axis=1)


@pytest.mark.parametrize("truth", [0.4, 1.0, 2.5])
def test_a_known_temperature_is_found(truth: float) -> None:
    logits, labels = honest_works(20000, 12, seed=0)
    assert fit_temperature(logits * truth, labels) == pytest.approx(truth, rel=0.03)


def test_log_probabilities_serve_as_well_as_logits() -> None:
    logits, labels = honest_works(2000, 7, seed=1)
    assert fit_temperature(3 * logits, labels) == pytest.approx(
        fit_temperature(log_softmax(3 * logits, axis=1), labels), rel=1e-6
    )


def test_the_fit_is_the_minimum_found_by_trying_every_temperature() -> None:
    logits, labels = honest_works(1500, 5, seed=2)
    probabilities = softmax(2 * logits, axis=1)
    fitted = fit_temperature(np.log(probabilities), labels)
    grid = np.geomspace(MIN_TEMPERATURE, MAX_TEMPERATURE, 400)
    losses = [metrics.nll(labels, apply_temperature(probabilities, t)) for t in grid]
    assert fitted == pytest.approx(grid[int(np.argmin(losses))], rel=0.02)
    assert metrics.nll(labels, apply_temperature(probabilities, fitted)) <= min(losses) + 1e-6


def test_calibration_lowers_the_calibration_error_on_works_it_has_not_seen() -> None:
    logits, labels = honest_works(8000, 10, seed=3)
    probabilities = softmax(3 * logits, axis=1)
    t = fit_temperature(np.log(probabilities[:4000]), labels[:4000])
    before = metrics.expected_calibration_error(labels[4000:], probabilities[4000:])
    after = metrics.expected_calibration_error(labels[4000:], apply_temperature(probabilities[4000:], t))
    assert before > 0.1 and after < 0.03


def test_unknown_labels_contribute_nothing() -> None:
    logits, labels = honest_works(1000, 4, seed=4)
    noise = np.random.default_rng(0).normal(scale=50, size=(500, 4))
    mixed = fit_temperature(np.vstack([logits, noise]), np.append(labels, np.full(500, -1)))
    assert mixed == fit_temperature(logits, labels)
    assert fit_temperature(noise, np.full(500, -1)) == 1.0
    assert fit_temperature(np.zeros((0, 4)), np.zeros(0, int)) == 1.0


@pytest.mark.parametrize("t", [0.05, 0.7, 1.0, 3.0, 20.0])
def test_no_answer_changes_even_between_neighbouring_floats(t: float) -> None:
    rng = np.random.default_rng(5)
    wide = softmax(rng.normal(scale=6, size=(3000, 129)), axis=1).astype(np.float32)
    near = np.float32([[0.5, np.nextafter(np.float32(0.5), np.float32(1)), 0], [1, 0, 0], [0.5, 0.5, 0]])
    for probabilities in (wide, near):
        scaled = apply_temperature(probabilities, t)
        assert scaled.dtype == np.float32
        np.testing.assert_array_equal(scaled.argmax(axis=1), probabilities.argmax(axis=1))
        np.testing.assert_allclose(scaled.sum(axis=1), 1, atol=1e-5)


def test_scaling_by_hand() -> None:
    # p = (0.8, 0.2) at temperature 2: square roots in the proportion 2 : 1
    np.testing.assert_allclose(apply_temperature(np.array([[0.8, 0.2]]), 2.0), [[2 / 3, 1 / 3]], rtol=1e-6)


def test_a_class_that_underflowed_to_zero_does_not_break_the_fit() -> None:
    scores = np.array([[0.0, -np.inf], [0.0, -np.inf], [-0.1, -2.0]])
    t = fit_temperature(scores, np.array([0, 1, 0]))
    assert MIN_TEMPERATURE <= t <= MAX_TEMPERATURE and t > 5


def test_nonsense_is_refused() -> None:
    with pytest.raises(DataError, match="diverged"):
        fit_temperature(np.array([[np.nan, 0.0]]), np.array([0]))
    for t in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(DataError, match="positive"):
            apply_temperature(np.array([[0.5, 0.5]]), t)


COUNTS = np.array([3000, 900, 300, 80, 20, 0])


@pytest.mark.parametrize(("truth", "tau"), [(0.6, 0.8), (1.0, 0.0), (2.5, 0.4)])
def test_a_known_temperature_and_prior_are_found(truth: float, tau: float) -> None:
    """Of logits that lean towards frequent classes by τ times the logarithm of their share."""
    logits, labels = honest_works(40000, 6, seed=9)
    share = np.log((COUNTS + 1) / (COUNTS.sum() + 6))
    t, found, shift = fit_temperature_and_prior(truth * (logits + tau * share), labels, COUNTS)
    assert (t, found) == pytest.approx((truth, tau), rel=0.03, abs=0.02)
    np.testing.assert_allclose(shift, -found * (share - share.mean()), atol=1e-9)
    back = apply_temperature(softmax(truth * (logits + tau * share), axis=1), t, shift)
    assert metrics.nll(labels, back) == pytest.approx(metrics.nll(labels, softmax(logits, axis=1)), rel=1e-3)


def test_a_network_is_not_made_to_lean_towards_frequent_classes() -> None:
    logits, labels = honest_works(20000, 6, seed=10)
    share = np.log((COUNTS + 1) / (COUNTS.sum() + 6))
    t, tau, shift = fit_temperature_and_prior(logits - 0.5 * share, labels, COUNTS)
    assert tau == 0 and not shift.any()
    assert t == pytest.approx(fit_temperature(logits - 0.5 * share, labels), rel=1e-3)
    nothing = fit_temperature_and_prior(logits[:0], labels[:0], COUNTS)
    assert nothing[:2] == (1.0, 0.0) and not nothing[2].any()


def test_temperature_and_shift_by_hand_and_taken_back() -> None:
    # p = (0.8, 0.2) at temperature 2 is 2 : 1; the second class is then worth four times as much
    made = apply_temperature(np.array([[0.8, 0.2]]), 2.0, [0.0, np.log(4)])
    np.testing.assert_allclose(made, [[1 / 3, 2 / 3]], rtol=1e-6)
    np.testing.assert_allclose(uncalibrated(made, 2.0, [0.0, np.log(4)]), [[0.8, 0.2]], rtol=1e-5)


@pytest.mark.parametrize("t", [0.5, 1.0, 2.3])
def test_the_temperature_is_taken_back(t: float) -> None:
    logits, _ = honest_works(400, 6, seed=6)
    raw = softmax(logits, axis=1)
    np.testing.assert_allclose(uncalibrated(apply_temperature(raw, t), t), raw, rtol=1e-4, atol=1e-7)


def test_before_and_after_are_the_errors_without_and_with_the_temperature() -> None:
    logits, labels = honest_works(4000, 8, seed=7)
    labels[:50] = -1
    raw = softmax(2.5 * logits, axis=1)
    found = before_and_after(labels, apply_temperature(raw, 2.5), 2.5)
    assert found["temperature"] == 2.5
    for when, logit in (("before", 2.5 * logits), ("after", logits)):
        given = labels, softmax(logit, axis=1)
        assert found[when] == {
            "ece": pytest.approx(metrics.expected_calibration_error(*given), abs=1e-5),
            "ece_equal_mass": pytest.approx(metrics.equal_mass_calibration_error(*given), abs=1e-5),
            "classwise_ece": pytest.approx(metrics.classwise_calibration_error(*given), abs=1e-4),
            "nll": pytest.approx(metrics.nll(*given), rel=1e-4),
        }
    assert all(found["after"][name] < 0.5 * found["before"][name] for name in ("ece", "ece_equal_mass"))
    assert found["after"]["nll"] < found["before"]["nll"]
    nothing = before_and_after(np.full(3, -1), raw[:3], 2.0)
    assert set(nothing["before"].values()) == set(nothing["after"].values()) == {None}


def overconfident_task(works: int = 3000) -> tuple[TaskPredictions, float]:
    logits, labels = honest_works(works, 6, seed=8)
    labels[:9] = -1
    probabilities = apply_temperature(softmax(2 * logits, axis=1), 2.0)
    return TaskPredictions([f"c{k}" for k in range(6)], labels.astype(np.int32), probabilities), 2.0


def test_the_figure_shows_both_reliability_diagrams() -> None:
    task, t = overconfident_task()
    drawn = before_after_figure(task, "Style (test)", t)
    before = TaskPredictions(task.names, task.labels, uncalibrated(task.probabilities, t))
    for axes, given in zip(drawn.axes[:2], (before, task), strict=True):
        _, _, right = metrics.calibration_bins(given.labels, given.probabilities)
        heights = [bar.get_height() for bar in axes.containers[0]]
        assert heights == pytest.approx(list(right[~np.isnan(right)]))
        error = metrics.expected_calibration_error(given.labels, given.probabilities)
        assert f"ECE {error:.3f}" in axes.get_title("left")


def test_the_abstention_figure_draws_the_curve_and_marks_the_threshold() -> None:
    task, _ = overconfident_task()
    axes = abstention_figure({"style": task}, "t", {"style": 0.9}).axes[0]
    _, line, dot = axes.lines
    right = (task.predicted == task.labels)[task.known]
    sure = task.confidence[task.known]
    assert line.get_xdata()[-1] == 1 and line.get_ydata()[-1] == pytest.approx(right.mean())
    assert dot.get_xdata()[0] == pytest.approx((sure >= 0.9).mean())
    assert dot.get_ydata()[0] == pytest.approx(right[sure >= 0.9].mean())
    unknown = TaskPredictions(task.names, np.full_like(task.labels, -1), task.probabilities)
    for drawn in (abstention_figure({"style": unknown}, "t"), before_after_figure(unknown, "t", 2.0)):
        assert [text.get_text() for text in drawn.axes[0].texts] == ["no work with a known label"]
