"""The opinion pool: one ranking for "is this label wrong?" out of every kind of evidence.

An opinion is what one source of evidence gives for each class: the logarithm of its probability over the frequency of
the class. The weighted sum of the opinions and the class frequencies, normalised, is the pool (a logarithmic opinion
pool: Genest and Zidek, "Combining Probability Distributions: A Critique and an Annotated Bibliography", Statistical
Science 1986). The weights are those under which the given labels are most probable when a small share of them may be
anything, so they suit each collection and need no known errors. A label that a person verified is taken as right.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit, logsumexp
from scipy.stats import rankdata

from morelli.evaluation.audit.evidence import TaskEvidence

NOISE = 0.05  # the share of labels that may be anything
VERIFIED_NOISE = 1e-9  # of verified labels: none, but a logarithm of 0 must not occur
FIT_SAMPLE = 20_000  # works that the weights are fitted on
_BLOCK = 8192


@dataclass(frozen=True)
class OpinionPool:
    """The pooled log-probabilities (N, K) and the weight of each source."""

    log_probabilities: NDArray[np.float32]
    weights: dict[str, float]


def pool_evidence(evidence: TaskEvidence, without: tuple[str, ...] = ()) -> OpinionPool:
    """The pool of all opinions of a task; ``without`` leaves sources out."""
    return pool_opinions(
        evidence, {name: opinion for name, opinion in evidence.opinions.items() if name not in without}
    )


def pool_opinions(evidence: TaskEvidence, opinions: dict[str, NDArray[np.float32]]) -> OpinionPool:
    """The opinions and the class frequencies, weighted and summed."""
    log_prior = np.log(evidence.prior)
    rows = np.flatnonzero(evidence.comparable)
    if len(rows) > FIT_SAMPLE:
        rows = np.sort(np.random.default_rng(0).choice(rows, FIT_SAMPLE, replace=False))
    noise = np.where(evidence.verified[rows], VERIFIED_NOISE, NOISE)
    labels = evidence.task.labels[rows]
    weights = fit_weights([opinion[rows] for opinion in opinions.values()], log_prior, labels, noise)
    total = np.tile((weights[-1] * log_prior).astype(np.float32), (len(evidence.task.labels), 1))
    for start in range(0, len(total), _BLOCK):
        here = slice(start, start + _BLOCK)
        for weight, opinion in zip(weights, opinions.values(), strict=False):
            total[here] += np.float32(weight) * opinion[here]
        total[here] -= logsumexp(total[here], axis=1, keepdims=True)
    return OpinionPool(total, dict(zip(opinions, map(float, weights), strict=False)))


def fit_weights(
    opinions: list[NDArray[np.float32]],
    log_prior: NDArray[np.float64],
    labels: NDArray[np.integer],
    noise: float | NDArray[np.float64],
) -> NDArray[np.float64]:
    """The weights, none negative, of the opinions, each (N, K), and last of ``log_prior`` (K,), that make ``labels``
    (N,) most probable when each is drawn at random with probability ``noise``, a number or (N,); all 0 but the last
    where there is no label.
    """
    if not len(labels):
        return np.array([0.0] * len(opinions) + [1.0])
    every, classes = np.arange(len(labels)), len(log_prior)
    of_label = [opinion[every, labels].astype(np.float64) for opinion in opinions] + [log_prior[labels]]
    noise = np.broadcast_to(np.asarray(noise, np.float64), len(labels))

    def loss(weights: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        value, slope = 0.5 * float(weights @ weights), weights.copy()  # keeps the weights of few works small
        for start in range(0, len(labels), _BLOCK):
            here = slice(start, start + _BLOCK)
            total = weights[-1] * log_prior + sum(
                w * o[here] for w, o in zip(weights, opinions, strict=False)
            )
            probabilities = np.exp(total - logsumexp(total, axis=1, keepdims=True))
            given = (1 - noise[here]) * probabilities[np.arange(len(probabilities)), labels[here]]
            mixed = given + noise[here] / classes
            value -= float(np.log(mixed).sum())
            share = given / mixed
            for number, opinion in enumerate([o[here] for o in opinions] + [log_prior]):
                mean = (probabilities * opinion).sum(axis=1)
                slope[number] -= float((share * (of_label[number][here] - mean)).sum())
        return value / len(labels), slope / len(labels)

    start = np.full(len(opinions) + 1, 1 / (len(opinions) + 1))
    bounds = [(0, None)] * len(start)
    return minimize(loss, start, jac=True, bounds=bounds, method="L-BFGS-B").x


def label_error_score(pool: OpinionPool, evidence: TaskEvidence) -> NDArray[np.float64]:
    """The probability of the best other class against the given one, (N,) in 0–1; NaN where the label cannot be
    judged, or there is no other class."""
    score = np.full(len(evidence.task.labels), np.nan)
    if pool.log_probabilities.shape[1] > 1:
        rows = evidence.judged
        score[rows] = expit(_log_odds(pool.log_probabilities[rows], evidence.task.labels[rows]))
    return score


def best_other_class(pool: OpinionPool, evidence: TaskEvidence) -> NDArray[np.int64]:
    """The most probable class other than the given one, (N,); where none is given, the most probable."""
    log_probabilities = pool.log_probabilities.copy()
    rows = np.flatnonzero(evidence.task.known)
    log_probabilities[rows, evidence.task.labels[rows]] = -np.inf
    return log_probabilities.argmax(axis=1)


def _log_odds(log_probabilities: NDArray[np.floating], labels: NDArray[np.integer]) -> NDArray[np.float64]:
    """The log-odds (N,) of the most probable other class against the given one, which must be known."""
    every = np.arange(len(labels))
    given = log_probabilities[every, labels].astype(np.float64)
    others = log_probabilities.copy()
    others[every, labels] = -np.inf
    return others.max(axis=1, initial=-np.inf) - given


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
