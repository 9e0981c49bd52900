"""The nearest works of each work by its embedding, near-duplicates of itself left out, and how they vote."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from morelli.errors import DataError

K = 40
EXACT = 20_000  # up to here every pair is compared; beyond, only works of the nearest cells
_SPARE = 10  # found beyond K, to replace near-duplicates
_SHARPNESS = 10.0  # a neighbour's vote grows by e for each tenth of cosine similarity
_PRIOR = 2.0  # votes of the class frequencies, so that no class is impossible
_BLOCK = 8192


@dataclass(frozen=True)
class Neighbours:
    """Of N works the ``rows`` (N, K) of the nearest others, nearest first, −1 where there are fewer, and their cosine
    ``similarity`` (N, K) float32, NaN there."""

    rows: NDArray[np.int64]
    similarity: NDArray[np.float32]


def nearest_works(
    embedding: NDArray[np.floating], groups: NDArray[np.integer], k: int = K, seed: int = 0
) -> Neighbours:
    """The ``k`` works nearest to each by cosine, those of its own group of near-duplicates (N,) left out.

    Exact up to 20,000 works; beyond, FAISS looks through the cells around a work (inverted lists: Jégou, Douze and
    Schmid, "Product Quantization for Nearest Neighbor Search", TPAMI 2011), and misses a few. Raises
    :class:`DataError` where a value is not finite.
    """
    units = unit(embedding)
    index = _index(units, seed)
    found = min(k + _SPARE, len(units))
    rows = np.full((len(units), k), -1, np.int64)
    similarity = np.full((len(units), k), np.nan, np.float32)
    for start in range(0, len(units), _BLOCK):
        here = slice(start, start + _BLOCK)
        near, places = index.search(units[here], found)
        other = (places >= 0) & (groups[places] != groups[here, None])
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


def share_otherwise(neighbours: Neighbours, labels: NDArray[np.integer]) -> NDArray[np.float64]:
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


def _index(units: NDArray[np.float32], seed: int) -> Any:
    import faiss

    count, width = units.shape
    flat = faiss.IndexFlatIP(width)
    if count <= EXACT:
        flat.add(units)
        return flat
    cells = int(np.sqrt(count))
    index = faiss.IndexIVFFlat(flat, width, cells, faiss.METRIC_INNER_PRODUCT)
    index.cp.seed, index.cp.niter, index.cp.max_points_per_centroid = seed + 1, 8, 64
    index.train(units)
    index.add(units)
    index.nprobe = max(8, cells // 16)
    return index
