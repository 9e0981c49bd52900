"""One ranking for "is this label wrong?" out of every kind of evidence.

Each source gives every class a log-probability over the class's frequency; their weighted sum, normalised, is the
combined opinion (a logarithmic opinion pool: Genest and Zidek, "Combining Probability Distributions: A Critique and
an Annotated Bibliography", Statistical Science 1986). The weights are those under which the given labels are most
probable when a small share of them may be anything, so they suit each collection and need no known errors.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit, logsumexp
from scipy.stats import rankdata

from morelli.evaluation.audit.evidence import TaskEvidence

NOISE = 0.05
_FITTED = 20_000  # works that the weights are fitted on
_BLOCK = 8192


@dataclass(frozen=True)
class Combined:
    """The combined log-probabilities (N, K) and the weight of each source."""

    log_probabilities: NDArray[np.float32]
    weights: dict[str, float]

    @property
    def answer(self) -> NDArray[np.int64]:
        """The most probable class of each work, (N,)."""
        return self.log_probabilities.argmax(axis=1)


@dataclass(frozen=True)
class Finding:
    """What a rule finds in a case: the ``score`` (N,), higher = more suspicious, NaN where it cannot judge; the works
    ``flagged`` (N,), None for the highest scores; the class ``suggested`` (N,); and the opinion it rests on."""

    score: NDArray[np.float64]
    flagged: NDArray[np.bool_] | None = None
    suggested: NDArray[np.int64] | None = None
    combined: Combined | None = None


def combine(case: TaskEvidence, without: tuple[str, ...] = ()) -> Combined:
    """The combined opinion of a case; ``without`` leaves sources out."""
    opinions = {name: said for name, said in case.opinions.items() if name not in without}
    return pool(case, opinions)


def pool(case: TaskEvidence, opinions: dict[str, NDArray[np.float32]]) -> Combined:
    """The opinions and the class frequencies, weighted and summed."""
    log_prior = np.log(case.prior)
    rows = np.flatnonzero(case.judged)
    if len(rows) > _FITTED:
        rows = np.sort(np.random.default_rng(0).choice(rows, _FITTED, replace=False))
    weights = fit_weights(
        [said[rows] for said in opinions.values()], log_prior, case.task.labels[rows], NOISE
    )
    total = np.tile((weights[-1] * log_prior).astype(np.float32), (len(case.task.labels), 1))
    for start in range(0, len(total), _BLOCK):
        here = slice(start, start + _BLOCK)
        for weight, said in zip(weights, opinions.values(), strict=False):
            total[here] += np.float32(weight) * said[here]
        total[here] -= logsumexp(total[here], axis=1, keepdims=True)
    return Combined(total, dict(zip(opinions, map(float, weights), strict=False)))


def fit_weights(
    opinions: list[NDArray[np.float32]],
    log_prior: NDArray[np.float64],
    labels: NDArray[np.integer],
    noise: float,
) -> NDArray[np.float64]:
    """The weights, none negative, of the opinions, each (N, K), and last of ``log_prior`` (K,), that make ``labels``
    (N,) most probable when a share ``noise`` of them is drawn at random; all 0 but the last where there is no label.
    """
    if not len(labels):
        return np.array([0.0] * len(opinions) + [1.0])
    every, classes = np.arange(len(labels)), len(log_prior)
    own = [said[every, labels].astype(np.float64) for said in opinions] + [log_prior[labels]]

    def loss(weights: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        value, slope = 0.5 * float(weights @ weights), weights.copy()  # keeps the weights of few works small
        for start in range(0, len(labels), _BLOCK):
            here = slice(start, start + _BLOCK)
            total = weights[-1] * log_prior + sum(
                w * o[here] for w, o in zip(weights, opinions, strict=False)
            )
            probabilities = np.exp(total - logsumexp(total, axis=1, keepdims=True))
            mine = probabilities[np.arange(len(probabilities)), labels[here]]
            mixed = (1 - noise) * mine + noise / classes
            value -= float(np.log(mixed).sum())
            share = (1 - noise) * mine / mixed
            for number, said in enumerate([o[here] for o in opinions] + [log_prior]):
                mean = (probabilities * said).sum(axis=1)
                slope[number] -= float((share * (own[number][here] - mean)).sum())
        return value / len(labels), slope / len(labels)

    start = np.full(len(opinions) + 1, 1 / (len(opinions) + 1))
    bounds = [(0, None)] * len(start)
    return minimize(loss, start, jac=True, bounds=bounds, method="L-BFGS-B").x


def against(log_probabilities: NDArray[np.floating], labels: NDArray[np.integer]) -> NDArray[np.float64]:
    """How much more the best other class is believed than the given one: (N,) log-odds; the label must be known."""
    every = np.arange(len(labels))
    given = log_probabilities[every, labels].astype(np.float64)
    others = log_probabilities.copy()
    others[every, labels] = -np.inf
    return others.max(axis=1, initial=-np.inf) - given


def label_error_score(log_probabilities: NDArray[np.floating], case: TaskEvidence) -> NDArray[np.float64]:
    """The score of a combined opinion, (N,) in 0–1: the best other class against the given one; NaN where the work
    cannot be judged, or there is no other class."""
    score = np.full(len(case.task.labels), np.nan)
    if log_probabilities.shape[1] > 1:
        rows = case.judged
        score[rows] = expit(against(log_probabilities[rows], case.task.labels[rows]))
    return score


def rank_average(scores: list[NDArray[np.float64]]) -> NDArray[np.float64]:
    """The mean rank of each work over several rankings, (N,) in 0–1, of those that judge it: the simplest way to
    combine them, for comparison."""
    ranks = []
    for score in scores:
        judged = ~np.isnan(score)
        rank = np.full(len(score), np.nan)
        rank[judged] = rankdata(score[judged]) / max(judged.sum(), 1)
        ranks.append(rank)
    known = np.sum([~np.isnan(rank) for rank in ranks], axis=0)
    return np.where(known > 0, np.nansum(ranks, axis=0) / np.maximum(known, 1), np.nan)
