"""Temperature scaling: one number that makes confidences honest and leaves every answer as it was.

Source: Guo, Pleiss, Sun and Weinberger, "On Calibration of Modern Neural Networks", ICML 2017.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import logsumexp

from morelli.errors import DataError
from morelli.judgement import metrics

LOWEST, HIGHEST = 0.05, 20.0
_FLOOR = float(np.log(np.finfo(np.float32).tiny))


def fit_temperature(logits: NDArray[np.floating], labels: NDArray[np.integer]) -> float:
    """The temperature (0.05–20) with the least negative log-likelihood on held-out works.

    ``logits`` (N, K) may be class scores or log-probabilities, which differ by a constant a row; ``labels``
    (N,) with −1 left out. With no known label the temperature is 1. Raises :class:`DataError` when a score
    is NaN or infinite upwards.
    """
    keep = np.asarray(labels) >= 0
    if not keep.any():
        return 1.0
    scores = np.asarray(logits, np.float64)[keep]
    if np.isnan(scores).any() or np.isposinf(scores).any():
        raise DataError(
            "a class score is not a finite number; the model that is to be calibrated has diverged"
        )
    # log-probabilities of classes that underflowed to 0 are −∞: take the least float32 instead
    scores = np.maximum(scores - scores.max(axis=1, keepdims=True), _FLOOR)
    own = np.take_along_axis(scores, np.asarray(labels)[keep][:, None], axis=1)[:, 0]

    def loss(log_temperature: float) -> float:
        t = np.exp(log_temperature)
        return float(np.mean(logsumexp(scores / t, axis=1) - own / t))

    bounds = (np.log(LOWEST), np.log(HIGHEST))
    best = minimize_scalar(loss, bounds=bounds, method="bounded", options={"xatol": 1e-5})
    return float(np.exp(best.x))


def apply_temperature(probabilities: NDArray[np.floating], temperature: float) -> NDArray[np.float32]:
    """Probabilities (N, K) float32 at this temperature: softmax(log p / T). Never changes a row's argmax.

    Raises :class:`DataError` unless the temperature is a positive number.
    """
    if not (np.isfinite(temperature) and temperature > 0):
        raise DataError(f"the temperature is {temperature}, but must be positive; calibrate the model again")
    if not len(probabilities):
        return np.asarray(probabilities, np.float32)
    tiny = np.finfo(np.float32).tiny
    scores = np.log(np.maximum(np.asarray(probabilities, np.float64), tiny)) / temperature
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
    labels: NDArray[np.integer], probabilities: NDArray[np.floating], temperature: float
) -> dict[str, Any]:
    """``{"temperature", "before", "after"}``: the figures of :func:`calibration_figures` for ``probabilities``
    (N, K) as they are, at this temperature (after), and with it taken back (before).

    Raises :class:`DataError` unless the temperature is a positive number.
    """
    return {
        "temperature": float(temperature),
        "before": calibration_figures(labels, uncalibrated(probabilities, temperature)),
        "after": calibration_figures(labels, probabilities),
    }


def uncalibrated(probabilities: NDArray[np.floating], temperature: float) -> NDArray[np.float32]:
    """What the network said before ``temperature`` was applied, (N, K) float32."""
    if temperature == 1:
        return np.asarray(probabilities, np.float32)
    return apply_temperature(probabilities, 1 / temperature if temperature > 0 else temperature)
