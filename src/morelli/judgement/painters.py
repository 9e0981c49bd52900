"""What the painters say of a work: how much they are to be heard, fitted to held-out works.

Style is nearly a matter of the artist on splits that artists straddle, and much of it can be read from the picture
through the question who may have painted it. Where no artist is on both sides they are heard as well, less loud: whom a
work resembles says something of its style.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import log_softmax, softmax

from morelli.judgement.calibration import HIGHEST, LOWEST, MOST, known_scores, log_shares

_LEAST = 1e-6  # as in ThroughPainters
_PRIOR = 3.0  # works that a painter's habits are given beforehand, shared out as all training works are
_SHARPEST = 4.0


@dataclass(frozen=True)
class Voice:
    """How one task hears the painters: see :class:`morelli.network.painters.ThroughPainters`."""

    weight: float
    sharpness: float


def habits(
    painters: NDArray[np.integer], labels: NDArray[np.integer], count: int, classes: int
) -> NDArray[np.float64]:
    """(``count``, ``classes``): each painter's share of each class among the training works, whose ``painters`` and
    ``labels`` are (N,), −1 unknown; a painter of few works is taken to paint as all do."""
    known = (painters >= 0) & (labels >= 0)
    every = np.bincount(labels[labels >= 0], minlength=classes) + 1.0
    table = np.tile(_PRIOR * every / every.sum(), (count, 1))
    np.add.at(table, (painters[known], labels[known]), 1)
    return table / table.sum(axis=1, keepdims=True)


def fit_painters(
    logits: NDArray[np.floating],
    painters: NDArray[np.floating],
    table: NDArray[np.floating],
    labels: NDArray[np.integer],
    counts: NDArray[np.integer] | None,
) -> Voice:
    """The voice with the least negative log-likelihood on held-out works, together with the temperature and, where the
    training works' ``counts`` (K,) are given, the prior that are fitted after it.

    ``logits`` (N, K) of the task and ``painters`` (N, P) may be log-probabilities; ``table`` (P, K) are the
    :func:`habits`; ``labels`` (N,), −1 left out. Without a known label nobody is heard.
    """
    own, right = known_scores(logits, labels)
    if not len(right):
        return Voice(0.0, 1.0)
    who = np.asarray(painters, np.float64)[np.asarray(labels) >= 0]
    share = np.zeros(own.shape[1]) if counts is None else log_shares(counts)

    def loss(numbers: NDArray[np.float64]) -> float:
        sharpness, voice, by_painters, tau = numbers
        said = np.log(softmax(by_painters * who, axis=1) @ table + _LEAST)
        scores = sharpness * own + voice * said - tau * share
        return -float(np.mean(log_softmax(scores, axis=1)[np.arange(len(right)), right]))

    most = MOST if counts is not None else 0.0
    bounds = [(1 / HIGHEST, 1 / LOWEST), (0, 2.0), (1 / _SHARPEST, _SHARPEST), (0, most)]
    found = minimize(loss, [1.0, 0.2, 1.0, 0.0], method="L-BFGS-B", bounds=bounds)
    sharpness, voice, by_painters, _ = found.x
    return Voice(float(voice / sharpness), float(by_painters))
