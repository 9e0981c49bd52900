"""Temperature scaling: one number that makes confidences honest and leaves every answer as it was; and, for networks
that give rare classes too little, a second one, which gives it back.

Sources: Guo, Pleiss, Sun and Weinberger, "On Calibration of Modern Neural Networks", ICML 2017; the second number is
the τ of logit adjustment (Menon et al., "Long-tail learning via logit adjustment", ICLR 2021), fitted together with the
temperature to the likelihood, as the biases of bias-corrected temperature scaling are (Alexandari, Kundaje and
Shrikumar, "Maximum likelihood with bias-corrected calibration is hard-to-beat at label shift adaptation", ICML 2020).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import minimize, minimize_scalar
from scipy.special import log_softmax, logsumexp

from morelli.errors import DataError
from morelli.evaluation.scores import metrics

MIN_TEMPERATURE, MAX_TEMPERATURE = 0.05, 20.0
MAX_TAU = 2.0
_MIN_LOG_PROBABILITY = float(np.log(np.finfo(np.float32).tiny))


def fit_temperature(logits: NDArray[np.floating], labels: NDArray[np.integer]) -> float:
    """The temperature (0.05–20) with the least negative log-likelihood on held-out works.

    ``logits`` (N, K) may be class scores or log-probabilities, which differ by a constant a row; ``labels``
    (N,) with −1 left out. With no known label the temperature is 1. Raises :class:`DataError` when a score
    is NaN or infinite upwards.
    """
    scores, known = known_scores(logits, labels)
    if not len(known):
        return 1.0
    own = np.take_along_axis(scores, known[:, None], axis=1)[:, 0]

    def loss(log_temperature: float) -> float:
        t = np.exp(log_temperature)
        return float(np.mean(logsumexp(scores / t, axis=1) - own / t))

    bounds = (np.log(MIN_TEMPERATURE), np.log(MAX_TEMPERATURE))
    best = minimize_scalar(loss, bounds=bounds, method="bounded", options={"xatol": 1e-5})
    return float(np.exp(best.x))


def fit_temperature_and_prior(
    logits: NDArray[np.floating], labels: NDArray[np.integer], counts: NDArray[np.integer]
) -> tuple[float, float, NDArray[np.float64]]:
    """(T, τ, shift) with the least negative log-likelihood of softmax(z / T + shift) on held-out works.

    ``shift`` (K,) is −τ · log π, of mean 0, for the classes' shares π of the training works, of which each class has
    ``counts`` (K,), and one more, lest it be none. τ is 0 to 2: where the likelihood would lean yet more towards
    frequent classes than the network does, which may have been trained not to, it is 0. Other arguments and errors
    are those of :func:`fit_temperature`.
    """
    share = log_shares(counts)
    scores, known = known_scores(logits, labels)
    if not len(known):
        return 1.0, 0.0, np.zeros_like(share)
    own = np.take_along_axis(scores, known[:, None], axis=1)[:, 0]

    def loss(numbers: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        sharpness, tau = numbers
        logs = log_softmax(sharpness * scores - tau * share, axis=1)
        probabilities = np.exp(logs)
        value = -float(np.mean(np.take_along_axis(logs, known[:, None], axis=1)))
        slopes = (np.sum(probabilities * scores, axis=1) - own, share[known] - probabilities @ share)
        return value, np.array([np.mean(slope) for slope in slopes])

    bounds = [(1 / MAX_TEMPERATURE, 1 / MIN_TEMPERATURE), (0, MAX_TAU)]  # the loss is convex in these two
    sharpness, tau = minimize(loss, [1.0, 0.0], jac=True, method="L-BFGS-B", bounds=bounds).x
    return float(1 / sharpness), float(tau), -tau * share


def log_shares(counts: NDArray[np.integer]) -> NDArray[np.float64]:
    """(K,) logarithms of the classes' shares of ``counts`` (K,) works, and one more of each; of mean 0."""
    share = np.log((np.asarray(counts, np.float64) + 1) / (np.sum(counts) + len(counts)))
    return share - share.mean()


def known_scores(
    logits: NDArray[np.floating], labels: NDArray[np.integer]
) -> tuple[NDArray[np.float64], NDArray[np.integer]]:
    """The class scores of the works whose label is known, their greatest 0, and these labels."""
    keep = np.asarray(labels) >= 0
    scores = np.asarray(logits, np.float64)[keep]
    if np.isnan(scores).any() or np.isposinf(scores).any():
        raise DataError(
            "a class score is not a finite number; the model that is to be calibrated has diverged"
        )
    # log-probabilities of classes that underflowed to 0 are −∞: take the least float32 instead
    return np.maximum(scores - scores.max(axis=1, keepdims=True), _MIN_LOG_PROBABILITY), np.asarray(labels)[
        keep
    ]


def apply_temperature(
    probabilities: NDArray[np.floating], temperature: float, shift: ArrayLike | None = None
) -> NDArray[np.float32]:
    """Probabilities (N, K) float32 at this temperature: softmax(log p / T). Never changes a row's argmax; with a
    ``shift`` (K,) of the classes, softmax(log p / T + shift), which may.

    Raises :class:`DataError` unless the temperature is a positive number.
    """
    if not (np.isfinite(temperature) and temperature > 0):
        raise DataError(f"the temperature is {temperature}, but must be positive; calibrate the model again")
    if not len(probabilities):
        return np.asarray(probabilities, np.float32)
    tiny = np.finfo(np.float32).tiny
    scores = np.log(np.maximum(np.asarray(probabilities, np.float64), tiny)) / temperature
    if shift is not None:
        return np.exp(log_softmax(scores + np.asarray(shift, np.float64), axis=1)).astype(np.float32)
    scaled = np.exp(scores - logsumexp(scores, axis=1, keepdims=True)).astype(np.float32)
    # a high temperature can round two close probabilities to the same float: keep the winner ahead
    top = np.asarray(probabilities).argmax(axis=1)
    moved = np.flatnonzero(scaled.argmax(axis=1) != top)
    scaled[moved, top[moved]] = np.nextafter(scaled[moved].max(axis=1), np.float32(2))
    return scaled


def calibration_figures(
    labels: NDArray[np.integer], probabilities: NDArray[np.floating]
) -> dict[str, float | None]:
    """``ece`` (15 bins of equal width), ``ece_equal_mass``, ``classwise_ece`` (all 0–1) and ``nll`` (nats) of
    ``probabilities`` (N, K); ``None`` where no label (N,) is known."""
    values = {
        "ece": metrics.expected_calibration_error(labels, probabilities),
        "ece_equal_mass": metrics.equal_mass_calibration_error(labels, probabilities),
        "classwise_ece": metrics.classwise_calibration_error(labels, probabilities),
        "nll": metrics.nll(labels, probabilities),
    }
    return {name: None if np.isnan(value) else value for name, value in values.items()}


def before_and_after(
    labels: NDArray[np.integer],
    probabilities: NDArray[np.floating],
    temperature: float,
    shift: list[float] | None = None,
) -> dict[str, Any]:
    """``{"temperature", "shift", "before", "after"}``: the figures of :func:`calibration_figures` for ``probabilities``
    (N, K) as they are, at this temperature and shift (after), and with both taken back (before).

    Raises :class:`DataError` unless the temperature is a positive number.
    """
    return {
        "temperature": float(temperature),
        "shift": shift,
        "before": calibration_figures(labels, uncalibrated(probabilities, temperature, shift)),
        "after": calibration_figures(labels, probabilities),
    }


def uncalibrated(
    probabilities: NDArray[np.floating], temperature: float, shift: ArrayLike | None = None
) -> NDArray[np.float32]:
    """The probabilities before ``temperature`` and ``shift`` were applied, (N, K) float32."""
    if temperature == 1 and shift is None:
        return np.asarray(probabilities, np.float32)
    back = None if shift is None else -temperature * np.asarray(shift, np.float64)
    return apply_temperature(probabilities, 1 / temperature if temperature > 0 else temperature, back)
