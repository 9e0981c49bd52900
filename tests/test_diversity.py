"""Maximal marginal relevance chooses what a loop over its definition chooses."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics.pairwise import cosine_similarity
from sklearn.preprocessing import normalize

from morelli.evaluation.search.diversity import diverse


def slow(relevance: np.ndarray, vectors: np.ndarray, k: int, weight: float) -> list[int]:
    """Carbonell and Goldstein's formula, word by word."""
    between, chosen = cosine_similarity(vectors), [int(np.argmax(relevance))]
    while len(chosen) < k:
        gains = {
            work: weight * relevance[work] - (1 - weight) * max(between[work][other] for other in chosen)
            for work in range(len(vectors))
            if work not in chosen
        }
        chosen.append(max(gains, key=lambda work: gains[work]))
    return chosen


@pytest.mark.parametrize("diversity", [0.0, 0.2, 0.5, 0.9, 1.0])
def test_the_order_is_that_of_the_formula(diversity: float) -> None:
    rng = np.random.default_rng(2)
    vectors = normalize(rng.normal(size=(60, 5)))
    relevance = vectors @ normalize(rng.normal(size=(1, 5)))[0]
    assert diverse(relevance, vectors, 20, diversity).tolist() == slow(relevance, vectors, 20, 1 - diversity)


def test_without_diversity_the_order_is_that_of_relevance_and_every_work_comes_once() -> None:
    rng = np.random.default_rng(3)
    vectors = normalize(rng.normal(size=(40, 6)))
    relevance = vectors[7] @ vectors.T
    assert diverse(relevance, vectors, 40, 0).tolist() == np.argsort(-relevance).tolist()
    assert sorted(diverse(relevance, vectors, 99, 0.5)) == list(range(40))


def test_copies_of_the_nearest_give_way_to_works_of_another_kind() -> None:
    near, other = np.array([1.0, 0.0]), np.array([0.8, 0.6])
    vectors = np.array([near, near, near, other])
    relevance = vectors @ near
    assert diverse(relevance, vectors, 2, 0.0).tolist() == [0, 1]
    # 0.4 × 1 − 0.6 × 1 = −0.2 for a copy, 0.4 × 0.8 − 0.6 × 0.8 = −0.16 for the other
    assert diverse(relevance, vectors, 2, 0.6).tolist() == [0, 3]
