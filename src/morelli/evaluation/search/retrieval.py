"""How well search finds works of the same artist, style or genre: every query ranks the whole database by cosine.

A work of the database is relevant where its label is the query's. Works whose label is unknown count neither as
queries nor in the ranking, and near-duplicates of a query are left out of its ranking. For a query with R relevant
works among N ranked ones, with P(i) the share of relevant works among the first i and rel(i) 1 where the i-th is
relevant, else 0:

* ``map`` is the mean of the average precision, AP = Σᵢ P(i) rel(i) / R (Manning, Raghavan and Schütze, "Introduction
  to Information Retrieval", 2008, ch. 8.4; scikit-learn's ``average_precision_score``); ``map@k`` stops the sum at k
  and divides by min(R, k).
* ``all_ranks@k`` is Σᵢ P(i) / min(k, N) over **all** of the first k ranks, relevant or not; ``all_ranks`` is that of
  the whole ranking. It is what code computes that averages a running precision, sometimes also under the name of
  mAP; it is another number, which even a perfect ranking leaves below 1, and must never be compared with it.
* ``recall@k`` is the share of queries with a relevant work among the first k (Oh Song et al., "Deep metric learning via
  lifted structured feature embedding", CVPR 2016); ``precision@k`` is P(k), ``r_precision`` P(R).

A hub is a work that is among the nearest of very many queries. ``hubness`` is the skewness of the number of queries
that have a work among their nearest k (Radovanović, Nanopoulos and Ivanović, "Hubs in space", JMLR 2010).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from morelli.errors import DataError
from morelli.evaluation.vectors import unit_rows

KS = (1, 5, 10)
HUB_K = 10
_QUERIES = 128  # a block of similarities to 81,446 works is 42 MiB

Floats = NDArray[np.floating]
Labels = NDArray[np.integer]


@dataclass(frozen=True)
class Works:
    """Works as retrieval sees them: ``vectors`` (N, D) of any length, ``labels[task]`` (N,) with −1 unknown, and
    ``groups`` (N,), equal numbers for near-duplicates."""

    vectors: Floats
    labels: Mapping[str, Labels]
    groups: Labels

    def take(self, rows: NDArray[Any]) -> Works:
        """The works of these rows."""
        labels = {task: values[rows] for task, values in self.labels.items()}
        return Works(self.vectors[rows], labels, self.groups[rows])


def split_works(works: Works, splits: NDArray[Any], rest_of_test: bool = False) -> tuple[Works, Works]:
    """(queries, database): the test works, and those of training and validation; with ``rest_of_test`` the test
    works again, of which each query's own ranking leaves out itself with its near-duplicates.

    ``splits`` (N,) are names of splits. Raises :class:`DataError` where one of the two is empty.
    """
    test = splits == "test"
    database = test if rest_of_test else np.isin(splits, ("train", "val"))
    if not test.any() or not database.any():
        raise DataError("retrieval needs test works to search with and works to search among; collect again")
    return works.take(np.flatnonzero(test)), works.take(np.flatnonzero(database))


def retrieve(
    queries: Works, database: Works, ks: tuple[int, ...] = KS, csls: int = 0, draws: int = 1000, seed: int = 0
) -> dict[str, Any]:
    """Every figure of the module's list, of each task that both have.

    ``csls`` above 0 ranks by cross-domain similarity local scaling with so many neighbours instead of by cosine (see
    :func:`local_scaling`). ``draws`` resamplings of the queries give the 95 % intervals (percentile bootstrap).

    Returns ``{"tasks": {task: {"n", "database", "relevant", FIGURE: value, "FIGURE_ci95": [low, high], …,
    "per_class": {class number: {"n", "map", "recall@1"}}}}, "hubness": {"k", "skewness", "largest", "never"}}``;
    ``relevant`` is the median number of relevant works, ``largest`` how many queries share one neighbour and
    ``never`` the share of works that are nobody's. Figures are None where no query has a relevant work.
    """
    similarity = _Similarity(queries.vectors, database.vectors, csls)
    tasks = [task for task in queries.labels if task in database.labels]
    rows: dict[str, list[NDArray[np.float64]]] = {task: [] for task in tasks}
    occurrences = np.zeros(len(database.vectors), np.int64)
    for start, block in similarity.blocks():
        block[queries.groups[start : start + len(block), None] == database.groups] = -np.inf
        order = np.argsort(-block, axis=1, kind="stable")
        ranked = np.take_along_axis(block, order, axis=1) > -np.inf
        occurrences += _occurrences(order, ranked)
        for task in tasks:
            own = queries.labels[task][start : start + len(block)]
            labels = np.where(ranked, database.labels[task][order], -1)
            rows[task] += [
                _figures(ranking[ranking >= 0] == label, ks)
                for label, ranking in zip(own, labels, strict=True)
            ]
    names = _names(ks)
    return {
        "tasks": {
            task: _summary(
                np.stack(rows[task]), names, queries.labels[task], database.labels[task], draws, seed
            )
            for task in tasks
        },
        "hubness": _hubness(occurrences),
    }


def average_precision(relevant: NDArray[np.bool_], k: int | None = None) -> float:
    """AP of one ranking (N,), in 0–1; ``k`` cuts it. NaN where nothing is relevant.

    >>> average_precision(np.array([True, False, True, False]))
    0.8333333333333333
    """
    total = int(relevant.sum())
    if not total:
        return float("nan")
    places = np.flatnonzero(relevant[:k])
    return float((np.arange(1, len(places) + 1) / (places + 1)).sum() / min(total, k or total))


def precision_at_all_ranks(relevant: NDArray[np.bool_], k: int | None = None) -> float:
    """The mean of the precision at every rank of one ranking (N,), in 0–1. NaN where nothing is relevant.

    >>> precision_at_all_ranks(np.array([True, False, True, False]))
    0.6666666666666666
    """
    if not relevant.any():
        return float("nan")
    hits = np.cumsum(relevant[:k])
    return float((hits / np.arange(1, len(hits) + 1)).mean())


def local_scaling(similarity: Floats, neighbours: int = 10) -> NDArray[np.float64]:
    """Cross-domain similarity local scaling of cosines (Q, N): 2 cos(q, d) − r(q) − r(d), (Q, N), where r is the
    mean cosine of a work with its ``neighbours`` nearest of the other side. A hub, near to many queries, has a
    large r(d) and sinks. It needs all queries at once. Source: Conneau et al., "Word translation without parallel
    data", ICLR 2018.
    """
    wide = np.asarray(similarity, np.float64)
    return 2 * wide - _mean_of_highest(wide, neighbours)[:, None] - _mean_of_highest(wide.T, neighbours)


class _Similarity:
    """Blocks of (queries, N) similarities in float32; CSLS takes a first pass for the means of both sides."""

    def __init__(self, queries: Floats, database: Floats, csls: int) -> None:
        self.queries, self.database = (
            unit_rows(v, np.float64).astype(np.float32) for v in (queries, database)
        )
        self.csls = csls
        if csls:
            # blocks of the database against all queries; r(q) only shifts a whole ranking, so it is left out
            means = [
                _mean_of_highest(self.database[start : start + _QUERIES] @ self.queries.T, csls)
                for start in range(0, len(database), _QUERIES)
            ]
            self.shift = np.concatenate(means).astype(np.float32)

    def blocks(self) -> Iterator[tuple[int, NDArray[np.float32]]]:
        for start in range(0, len(self.queries), _QUERIES):
            block = self.queries[start : start + _QUERIES] @ self.database.T
            yield start, 2 * block - self.shift if self.csls else block


def _mean_of_highest(similarity: Floats, count: int) -> Floats:
    """Of each row of (Q, N) the mean of its ``count`` highest, (Q,)."""
    count = min(count, similarity.shape[1])
    return np.partition(similarity, -count, axis=1)[:, -count:].mean(axis=1)


def _names(ks: tuple[int, ...]) -> list[str]:
    cut = [f"{name}@{k}" for name in ("map", "all_ranks", "recall", "precision") for k in ks]
    return ["map", "all_ranks", "r_precision", *cut]


def _figures(relevant: NDArray[np.bool_], ks: tuple[int, ...]) -> NDArray[np.float64]:
    """The figures of one query in the order of :func:`_names`, NaN where nothing is relevant."""
    total = int(relevant.sum())
    if not total:
        return np.full(3 + 4 * len(ks), np.nan)
    return np.array(
        [
            average_precision(relevant),
            precision_at_all_ranks(relevant),
            relevant[:total].mean(),
            *(average_precision(relevant, k) for k in ks),
            *(precision_at_all_ranks(relevant, k) for k in ks),
            *(float(relevant[:k].any()) for k in ks),
            *(relevant[:k].sum() / k for k in ks),
        ]
    )


def _summary(
    rows: NDArray[np.float64], names: list[str], own: Labels, others: Labels, draws: int, seed: int
) -> dict[str, Any]:
    """Means and intervals over the queries of known label that have a relevant work; rows is (Q, figures)."""
    judged = ~np.isnan(rows[:, 0]) & (own >= 0)
    values, labels = rows[judged], own[judged]
    summary: dict[str, Any] = {"n": len(values), "database": int((others >= 0).sum())}
    if not len(values):
        return summary | {"relevant": 0, "per_class": {}} | dict.fromkeys(names)
    counts = np.bincount(others[others >= 0])
    summary["relevant"] = int(np.median(counts[labels]))
    shares = np.full(len(values), 1 / len(values))
    weights = np.random.default_rng(seed).multinomial(len(values), shares, size=draws) / len(values)
    low, high = np.percentile(weights @ values, [2.5, 97.5], axis=0)
    for place, name in enumerate(names):
        summary[name] = float(values[:, place].mean())
        summary[f"{name}_ci95"] = [float(low[place]), float(high[place])]
    first = names.index("recall@1") if "recall@1" in names else None
    summary["per_class"] = {
        int(label): {"n": int((labels == label).sum()), "map": float(values[labels == label, 0].mean())}
        | ({} if first is None else {"recall@1": float(values[labels == label, first].mean())})
        for label in np.unique(labels)
    }
    return summary


def _occurrences(order: NDArray[np.int64], ranked: NDArray[np.bool_]) -> NDArray[np.int64]:
    """(N,) of how many queries a work is among the nearest, from orders (Q, N)."""
    nearest = order[:, :HUB_K][ranked[:, :HUB_K]]
    return np.bincount(nearest, minlength=order.shape[1])


def _hubness(occurrences: NDArray[np.int64]) -> dict[str, Any]:
    spread = occurrences.std()
    skewness = float((((occurrences - occurrences.mean()) / spread) ** 3).mean()) if spread else 0.0
    return {
        "k": HUB_K,
        "skewness": skewness,
        "largest": int(occurrences.max()),
        "never": float((occurrences == 0).mean()),
    }
