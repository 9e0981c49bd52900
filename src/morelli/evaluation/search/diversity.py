"""Diverse results: near to the query, and unlike one another."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

POOL = 10  # times the works wanted: of so many nearest the diverse ones are chosen


def diverse(
    relevance: NDArray[np.floating], vectors: NDArray[np.floating], k: int, diversity: float
) -> NDArray[np.int64]:
    """The places of ``k`` of N works in the order in which maximal marginal relevance chooses them, (k,).

    ``relevance`` (N,) is each work's cosine with the query and ``vectors`` (N, D) are of length 1. Each next work is
    the one of highest (1 − ``diversity``) × relevance − ``diversity`` × its highest cosine with a work chosen before;
    of equals the first. The first is always the most relevant. With 0 the order is that of relevance, with 1 only
    unlikeness counts. Source: Carbonell and Goldstein, "The use of MMR", SIGIR 1998, with λ = 1 − ``diversity``.

    >>> works = np.array([[1.0, 0.0], [0.999, 0.045], [0.0, 1.0]])
    >>> diverse(np.array([0.9, 0.89, 0.4]), works, 2, 0.0), diverse(np.array([0.9, 0.89, 0.4]), works, 2, 0.7)
    (array([0, 1]), array([0, 2]))
    """
    left = np.asarray(relevance, np.float64).copy()
    wide = np.asarray(vectors, np.float64)
    chosen = np.empty(min(k, len(left)), np.int64)
    likeness = np.full(len(left), -np.inf)
    taken = np.zeros(len(left), dtype=bool)
    for number in range(len(chosen)):
        gain = left if number == 0 else (1 - diversity) * left - diversity * likeness
        chosen[number] = np.where(taken, -np.inf, gain).argmax()
        taken[chosen[number]] = True
        likeness = np.maximum(likeness, wide @ wide[chosen[number]])
    return chosen
