"""The nearest works of each work by its embedding, near-duplicates of it left out, and their votes on its class."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from morelli.evaluation.vectors import highest, unit_rows

K = 40
EXACT = 15_000  # up to here every pair is compared; beyond, only works of the nearest cells
_SPARE = 10  # searched for beyond K, to replace near-duplicates
_SHARPNESS = 10.0  # a neighbour's vote grows by e for each tenth of cosine similarity
_PRIOR_VOTES = 2.0  # votes of the class frequencies, so that no class is impossible
# beyond EXACT one cell in so many is searched, by so many principal axes. Of the 40 nearest that finds nearly all
# among 81,446 simulated works (benchmarks/experiments/scale.py); where cells tell less, among the 12,358 real ones,
# 94 % by the neck's vectors and 84 % by those of the cross-fit, which are half whitened
_CELLS_SEARCHED, _AXES = 3, 256
_BLOCK, _REFINE_BLOCK = 512, 32  # works compared at a time with the others, and with their candidates
_MAX_THREADS = 8  # each holds a block of similarities to a third of the works

_Block = tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.int64]]


@dataclass(frozen=True)
class Neighbours:
    """Of N works the ``rows`` (N, K) of the nearest others, nearest first, −1 where there are fewer, and their cosine
    ``similarity`` (N, K) float32, NaN there."""

    rows: NDArray[np.int64]
    similarity: NDArray[np.float32]


def nearest_works(
    embedding: NDArray[np.floating], groups: NDArray[np.integer], k: int = K, seed: int = 0
) -> Neighbours:
    """The ``k`` works nearest to each by cosine, those of its own group of near-duplicates (N,) left out; of equals
    the first.

    Exact up to 15,000 works. Beyond, a third of the works is searched, those of the nearest cells (inverted
    lists: Jégou, Douze and Schmid, "Product Quantization for Nearest Neighbor Search", TPAMI 2011), and some of the
    nearest are missed; the similarities are exact. Raises :class:`DataError` where a value is not finite.
    """
    units = unit_rows(embedding, np.float32)
    count = min(k + _SPARE, len(units))
    rows = np.full((len(units), k), -1, np.int64)
    similarity = np.full((len(units), k), np.nan, np.float32)
    for here, near, places in _nearest_blocks(units, count, seed):
        other = groups[places] != groups[here, None]
        # those that stay, in their order, moved to the left
        order = np.argsort(~other, axis=1, kind="stable")[:, :k]
        kept = np.take_along_axis(other, order, axis=1)
        width = order.shape[1]
        rows[here, :width] = np.where(kept, np.take_along_axis(places, order, axis=1), -1)
        similarity[here, :width] = np.where(kept, np.take_along_axis(near, order, axis=1), np.float32("nan"))
    return Neighbours(rows, similarity)


def neighbour_votes(
    neighbours: Neighbours, labels: NDArray[np.integer], prior: NDArray[np.floating]
) -> NDArray[np.float32]:
    """The probabilities (N, K) of each work's class by the labels of its nearest works.

    Nearer works count more; ``prior`` (K,), the frequency of the classes, has two votes. Works of unknown label do
    not vote.
    """
    labels_near, weights = _weights(neighbours, labels)
    counts = np.zeros((len(labels), len(prior)), np.float32)
    every = np.arange(len(labels))
    for column in range(labels_near.shape[1]):
        counts[every, np.maximum(labels_near[:, column], 0)] += weights[:, column]
    total = (weights > 0).sum(axis=1, keepdims=True).astype(np.float32)
    mass = counts.sum(axis=1, keepdims=True)
    # the weights of a work sum to its number of voters, so that the prior counts the same everywhere
    counts *= np.divide(total, mass, out=np.zeros_like(mass), where=mass > 0)
    return ((counts + _PRIOR_VOTES * prior) / (total + _PRIOR_VOTES)).astype(np.float32)


def neighbour_disagreement(neighbours: Neighbours, labels: NDArray[np.integer]) -> NDArray[np.float64]:
    """The share of a work's neighbours, nearer ones counting more, that carry another label than its own: (N,) in
    0–1, NaN where its label or that of all its neighbours is unknown."""
    labels_near, weights = _weights(neighbours, labels)
    mass = weights.sum(axis=1, dtype=np.float64)
    other = (weights * (labels_near != labels[:, None])).sum(axis=1, dtype=np.float64)
    share = np.divide(other, mass, out=np.full(len(labels), np.nan), where=mass > 0)
    share[labels < 0] = np.nan
    return share


def _weights(
    neighbours: Neighbours, labels: NDArray[np.integer]
) -> tuple[NDArray[np.integer], NDArray[np.float32]]:
    """Each neighbour's label (N, K), −1 where it is unknown, and its weight, 1 for the nearest."""
    labels_near = np.where(neighbours.rows >= 0, labels[neighbours.rows], -1)
    gap = neighbours.similarity - neighbours.similarity[:, :1]
    weights = np.where(labels_near >= 0, np.exp(_SHARPNESS * np.nan_to_num(gap)), 0).astype(np.float32)
    return labels_near, weights


def _nearest_blocks(units: NDArray[np.float32], count: int, seed: int) -> Iterator[_Block]:
    """For block after block of works: their rows (B,), and of the ``count`` nearest, nearest first, the similarity
    and the rows, both (B, count)."""
    if len(units) <= EXACT:
        rows = _blocks(np.arange(len(units)))
        yield from _on_all_cores(lambda here: [(here, *highest(units[here] @ units.T, count))], rows)
        return
    narrow = units.shape[1] <= _AXES
    short: NDArray[np.float32] = (
        units if narrow else (units @ _axes(units, seed)).astype(np.float32, copy=False)
    )

    def of_cell(field: tuple[NDArray[np.int64], NDArray[np.int64]]) -> list[_Block]:
        members, others = field
        candidates, blocks = short[others].T, []
        wanted = count if narrow else min(count + _SPARE, len(others))
        for here in _blocks(members):
            near, columns = highest(short[here] @ candidates, wanted)
            places = others[columns]
            blocks.append((here, near, places) if narrow else (here, *_refined(units, here, places, count)))
        return blocks

    yield from _on_all_cores(of_cell, _fields(short, count, seed))


def _on_all_cores(make: Callable[[Any], list[_Block]], parts: Iterable[Any]) -> Iterator[_Block]:
    """What ``make`` gives for each of ``parts``, in their order. A thread takes a part, products and selection both:
    by itself only the products would use more than one core."""
    threads = min(_MAX_THREADS, os.cpu_count() or 1)
    parts = list(parts)
    with threadpool_limits(1, user_api="blas"), ThreadPoolExecutor(threads) as pool:
        for blocks in pool.map(make, parts):
            yield from blocks


def _refined(
    units: NDArray[np.float32], rows: NDArray[np.int64], places: NDArray[np.int64], count: int
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """The ``count`` nearest of the candidates ``places`` (B, M) of ``rows`` (B,), nearest first: similarity, rows."""
    parts = []
    for part in np.array_split(np.arange(len(rows)), len(rows) // _REFINE_BLOCK + 1):
        exact = np.matmul(units[places[part]], units[rows[part], :, None])[..., 0]
        near, order = highest(exact, count)
        parts.append((near, np.take_along_axis(places[part], order, axis=1)))
    similarities, nearest = zip(*parts, strict=True)
    return np.concatenate(similarities), np.concatenate(nearest)


def _blocks(rows: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
    for start in range(0, len(rows), _BLOCK):
        yield rows[start : start + _BLOCK]


def _axes(units: NDArray[np.float32], seed: int) -> NDArray[np.float32]:
    """The leading principal axes as columns, (D, 256)."""
    sample = units[np.random.default_rng(seed).choice(len(units), min(len(units), EXACT), replace=False)]
    return np.ascontiguousarray(np.linalg.eigh(sample.T @ sample)[1][:, -_AXES:])


def _fields(
    vectors: NDArray[np.float32], wanted: int, seed: int
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """The rows of each cell, and those of the cells nearest to it: a third of all, enough to hold ``wanted``."""
    import faiss

    count, width = vectors.shape
    cells = int(np.sqrt(count))
    means = faiss.Kmeans(width, cells, niter=8, seed=seed + 1, max_points_per_centroid=64)
    means.train(vectors)
    assert means.centroids is not None
    own = means.index.search(vectors, 1)[1][:, 0]
    members = [np.flatnonzero(own == cell) for cell in range(cells)]
    nearest = means.index.search(means.centroids, cells)[1]
    for cell in range(cells):
        sizes = np.cumsum([len(members[other]) for other in nearest[cell]])
        last = max(cells // _CELLS_SEARCHED, 8, int(np.searchsorted(sizes, wanted)) + 1)
        yield members[cell], np.sort(np.concatenate([members[other] for other in nearest[cell, :last]]))
