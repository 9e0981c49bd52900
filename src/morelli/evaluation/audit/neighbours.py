"""The nearest works of each work by its embedding, near-duplicates of itself left out, and how they vote."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from morelli.errors import DataError

K = 40
EXACT = 15_000  # up to here every pair is compared; beyond, only works of the nearest cells
_SPARE = 10  # found beyond K, to replace near-duplicates
_SHARPNESS = 10.0  # a neighbour's vote grows by e for each tenth of cosine similarity
_PRIOR = 2.0  # votes of the class frequencies, so that no class is impossible
# beyond EXACT one cell in so many is looked through, by so many principal axes. Of the 40 nearest that finds nearly all
# among 81,446 simulated works (benchmarks/experiments/scale.py); where cells tell less, among the 12,358 real ones,
# 94 % by the neck's vectors and 84 % by those of the cross-fit, which are half whitened
_SHARE, _AXES = 3, 256
_BLOCK, _REFINED = 512, 32  # works compared at a time with the others, and with their candidates
_THREADS = 8  # at most: each holds a block of similarities to a third of the works

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

    Exact up to 15,000 works. Beyond, a third of the works is looked through, those of the nearest cells (inverted
    lists: Jégou, Douze and Schmid, "Product Quantization for Nearest Neighbor Search", TPAMI 2011), and some of the
    nearest are missed; the similarities are exact. Raises :class:`DataError` where a value is not finite.
    """
    units = unit(embedding)
    found = min(k + _SPARE, len(units))
    rows = np.full((len(units), k), -1, np.int64)
    similarity = np.full((len(units), k), np.nan, np.float32)
    for here, near, places in _likenesses(units, found, seed):
        other = groups[places] != groups[here, None]
        # those that stay, in their order, moved to the left
        order = np.argsort(~other, axis=1, kind="stable")[:, :k]
        kept = np.take_along_axis(other, order, axis=1)
        width = order.shape[1]
        rows[here, :width] = np.where(kept, np.take_along_axis(places, order, axis=1), -1)
        similarity[here, :width] = np.where(kept, np.take_along_axis(near, order, axis=1), np.float32("nan"))
    return Neighbours(rows, similarity)


def votes(
    neighbours: Neighbours, labels: NDArray[np.integer], prior: NDArray[np.floating]
) -> NDArray[np.float32]:
    """What the nearest works say of each work's class: (N, K) probabilities.

    Nearer works count more; ``prior`` (K,), the frequency of the classes, has two votes. Works of unknown label do
    not vote.
    """
    heard, weights = _weights(neighbours, labels)
    counts = np.zeros((len(labels), len(prior)), np.float32)
    every = np.arange(len(labels))
    for column in range(heard.shape[1]):
        counts[every, np.maximum(heard[:, column], 0)] += weights[:, column]
    total = (weights > 0).sum(axis=1, keepdims=True).astype(np.float32)
    mass = counts.sum(axis=1, keepdims=True)
    # the weights of a work sum to its number of voters, so that the prior counts the same everywhere
    counts *= np.divide(total, mass, out=np.zeros_like(mass), where=mass > 0)
    return ((counts + _PRIOR * prior) / (total + _PRIOR)).astype(np.float32)


def neighbour_disagreement(neighbours: Neighbours, labels: NDArray[np.integer]) -> NDArray[np.float64]:
    """The share of a work's neighbours, nearer ones counting more, that carry another label than its own: (N,) in
    0–1, NaN where its label or that of all its neighbours is unknown."""
    heard, weights = _weights(neighbours, labels)
    mass = weights.sum(axis=1, dtype=np.float64)
    other = (weights * (heard != labels[:, None])).sum(axis=1, dtype=np.float64)
    share = np.divide(other, mass, out=np.full(len(labels), np.nan), where=mass > 0)
    share[labels < 0] = np.nan
    return share


def _weights(
    neighbours: Neighbours, labels: NDArray[np.integer]
) -> tuple[NDArray[np.integer], NDArray[np.float32]]:
    """Each neighbour's label (N, K), −1 where it has no say, and its weight, 1 for the nearest."""
    heard = np.where(neighbours.rows >= 0, labels[neighbours.rows], -1)
    gap = neighbours.similarity - neighbours.similarity[:, :1]
    weights = np.where(heard >= 0, np.exp(_SHARPNESS * np.nan_to_num(gap)), 0).astype(np.float32)
    return heard, weights


def unit(embedding: NDArray[np.floating]) -> NDArray[np.float32]:
    """Vectors (N, D) of length 1; zero stays zero. Raises :class:`DataError` where a value is not finite."""
    vectors = np.ascontiguousarray(embedding, np.float32).copy()
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    if not np.isfinite(length).all():
        raise DataError("an embedding holds a value that is not a number; the network has diverged")
    np.divide(vectors, length, out=vectors, where=length > 0)
    return vectors


def _likenesses(units: NDArray[np.float32], found: int, seed: int) -> Iterator[_Block]:
    """For block after block of works: their rows (B,), and of the ``found`` nearest, nearest first, the similarity
    and the rows, both (B, found)."""
    if len(units) <= EXACT:
        rows = _blocks(np.arange(len(units)))
        yield from _on_all_cores(lambda here: [(here, *highest(units[here] @ units.T, found))], rows)
        return
    narrow = units.shape[1] <= _AXES
    short: NDArray[np.float32] = (
        units if narrow else (units @ _axes(units, seed)).astype(np.float32, copy=False)
    )

    def of_cell(field: tuple[NDArray[np.int64], NDArray[np.int64]]) -> list[_Block]:
        members, others = field
        candidates, made = short[others].T, []
        wanted = found if narrow else min(found + _SPARE, len(others))
        for here in _blocks(members):
            near, columns = highest(short[here] @ candidates, wanted)
            places = others[columns]
            made.append((here, near, places) if narrow else (here, *_refined(units, here, places, found)))
        return made

    yield from _on_all_cores(of_cell, _fields(short, found, seed))


def _on_all_cores(make: Callable[[Any], list[_Block]], parts: Iterable[Any]) -> Iterator[_Block]:
    """What ``make`` gives for each of ``parts``, in their order. A thread takes a part, products and selection both:
    by itself only the products would use more than one core."""
    threads = min(_THREADS, os.cpu_count() or 1)
    parts = list(parts)
    with threadpool_limits(1, user_api="blas"), ThreadPoolExecutor(threads) as pool:
        for blocks in pool.map(make, parts):
            yield from blocks


def _refined(
    units: NDArray[np.float32], rows: NDArray[np.int64], places: NDArray[np.int64], found: int
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """The ``found`` nearest of the candidates ``places`` (B, M) of ``rows`` (B,), nearest first: similarity, rows."""
    parts = []
    for part in np.array_split(np.arange(len(rows)), len(rows) // _REFINED + 1):
        exact = np.matmul(units[places[part]], units[rows[part], :, None])[..., 0]
        near, order = highest(exact, found)
        parts.append((near, np.take_along_axis(places[part], order, axis=1)))
    nears, found_rows = zip(*parts, strict=True)
    return np.concatenate(nears), np.concatenate(found_rows)


def highest(values: NDArray[np.float32], count: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """The ``count`` highest of each row of ``values`` (B, M), highest first, of equals the first: the values and
    their columns, both (B, count)."""
    least = np.partition(values, -count, axis=1)[:, -count, None]
    reached = values >= least
    tied = np.flatnonzero(reached.sum(axis=1) > count)
    for row in tied:
        last = np.flatnonzero(values[row] == least[row])
        reached[row, last[count - int((values[row] > least[row]).sum()) :]] = False
    columns = (np.flatnonzero(reached) % values.shape[1]).reshape(len(values), count)
    order = np.argsort(-np.take_along_axis(values, columns, axis=1), axis=1, kind="stable")
    columns = np.take_along_axis(columns, order, axis=1)
    return np.take_along_axis(values, columns, axis=1), columns


def _blocks(rows: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
    for start in range(0, len(rows), _BLOCK):
        yield rows[start : start + _BLOCK]


def _axes(units: NDArray[np.float32], seed: int) -> NDArray[np.float32]:
    """The leading principal axes as columns, (D, 256)."""
    sample = units[np.random.default_rng(seed).choice(len(units), min(len(units), EXACT), replace=False)]
    return np.ascontiguousarray(np.linalg.eigh(sample.T @ sample)[1][:, -_AXES:])


def _fields(
    vectors: NDArray[np.float32], found: int, seed: int
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """The rows of each cell, and those of the cells nearest to it: a third of all, enough to hold ``found``."""
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
        last = max(cells // _SHARE, 8, int(np.searchsorted(sizes, found)) + 1)
        yield members[cell], np.sort(np.concatenate([members[other] for other in nearest[cell, :last]]))
