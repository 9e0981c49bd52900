"""How much an artist prior counts: fitted to held-out works.

Style is nearly a matter of the artist on splits that artists straddle, and much of it can be read from the picture
through the question who may have painted it. Where no artist is on both sides the fitted weight is smaller, but not
zero: the artists that a work resembles are evidence of its style.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import log_softmax, softmax

from morelli.evaluation.calibration.temperature import (
    MAX_TAU,
    MAX_TEMPERATURE,
    MIN_TEMPERATURE,
    known_scores,
    log_shares,
)

_MIN_PROBABILITY = 1e-6  # as in morelli.network.artist_prior
_PSEUDO_WORKS = 3.0  # works every artist begins with, shared out over the classes as all training works are
_MAX_SHARPNESS = 4.0


@dataclass(frozen=True)
class ArtistPriorWeights:
    """The fitted ``weight`` (≥ 0) and ``sharpness`` (> 0) of one task's artist prior, see
    :class:`morelli.network.artist_prior.ArtistPrior`."""

    weight: float
    sharpness: float


def class_given_artist(
    artists: NDArray[np.integer], labels: NDArray[np.integer], count: int, classes: int
) -> NDArray[np.float64]:
    """P(class | artist), (``count``, ``classes``): each artist's share of each class among the training works, whose
    ``artists`` and ``labels`` are (N,), −1 unknown; an artist of few works is drawn towards the shares of all."""
    known = (artists >= 0) & (labels >= 0)
    every = np.bincount(labels[labels >= 0], minlength=classes) + 1.0
    table = np.tile(_PSEUDO_WORKS * every / every.sum(), (count, 1))
    np.add.at(table, (artists[known], labels[known]), 1)
    return table / table.sum(axis=1, keepdims=True)


def fit_artist_prior(
    logits: NDArray[np.floating],
    artist_logits: NDArray[np.floating],
    table: NDArray[np.floating],
    labels: NDArray[np.integer],
    counts: NDArray[np.integer] | None,
) -> ArtistPriorWeights:
    """The weights with the least negative log-likelihood on held-out works, together with the temperature and, where
    the training works' ``counts`` (K,) are given, the prior that are fitted after it.

    ``logits`` (N, K) of the task and ``artist_logits`` (N, A) may be log-probabilities; ``table`` (A, K) is
    :func:`class_given_artist`; ``labels`` (N,), −1 left out. Without a known label the weight is 0.
    """
    own, right = known_scores(logits, labels)
    if not len(right):
        return ArtistPriorWeights(0.0, 1.0)
    artists = np.asarray(artist_logits, np.float64)[np.asarray(labels) >= 0]
    share = np.zeros(own.shape[1]) if counts is None else log_shares(counts)

    def loss(numbers: NDArray[np.float64]) -> float:
        scale, weight, sharpness, tau = numbers
        prior = np.log(softmax(sharpness * artists, axis=1) @ table + _MIN_PROBABILITY)
        scores = scale * own + weight * prior - tau * share
        return -float(np.mean(log_softmax(scores, axis=1)[np.arange(len(right)), right]))

    max_tau = MAX_TAU if counts is not None else 0.0
    bounds = [
        (1 / MAX_TEMPERATURE, 1 / MIN_TEMPERATURE),
        (0, 2.0),
        (1 / _MAX_SHARPNESS, _MAX_SHARPNESS),
        (0, max_tau),
    ]
    fitted = minimize(loss, [1.0, 0.2, 1.0, 0.0], method="L-BFGS-B", bounds=bounds)
    scale, weight, sharpness, _ = fitted.x
    return ArtistPriorWeights(float(weight / scale), float(sharpness))
