"""Shorter vectors whose products are never below those of the long ones: what a search may filter by.

A vector is turned onto the principal axes of the collection; the first of them are kept, and all the rest becomes one
number, its length. Two such vectors have the product of what was kept plus that of the two lengths, and by Cauchy and
Schwarz that is at least the product of the whole vectors. What is left out by it is left out for certain.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

MIN_WIDTH = 128  # numbers from which on shortening pays
_SAMPLE, _QUERIES, _K, _BLOCK = 20_000, 64, 10, 8192


@dataclass(frozen=True)
class Projection:
    """``axes`` (D, M) are the orthonormal columns kept. ``rotation`` (W, W), W = M + 1, is a random
    rotation of the result, under which no number is much larger than the others, as suits copies in whole steps;
    products do not change."""

    axes: NDArray[np.float64]
    rotation: NDArray[np.float64]

    def of(self, vectors: NDArray[np.floating]) -> NDArray[np.float64]:
        """``vectors`` (N, D), shortened: (N, W)."""
        wide = np.asarray(vectors, np.float64)
        kept = wide @ self.axes
        rest = np.square(wide).sum(axis=1) - np.square(kept).sum(axis=1)
        return np.concatenate([kept, np.sqrt(np.maximum(rest, 0))[:, None]], axis=1) @ self.rotation


def fit_projection(vectors: NDArray[np.float32], spare: int, seed: int = 0) -> Projection | None:
    """Shortens ``vectors`` (N, D), of length 1, to half their numbers, in multiples of 16, with which FAISS is quick.

    None where that does not pay: for more than one in ten of 64 works drawn as queries more than ``spare`` works have a
    shortened product as high as the tenth highest product, or D is below 128.
    """
    width = vectors.shape[1] // 32 * 16
    if vectors.shape[1] < MIN_WIDTH or len(vectors) <= _K:
        return None
    rng = np.random.default_rng(seed)
    sample = vectors[np.sort(rng.permutation(len(vectors))[:_SAMPLE])].astype(np.float64)
    axes = np.linalg.eigh(sample.T @ sample)[1][:, ::-1][:, : width - 1]
    projection = Projection(np.ascontiguousarray(axes), np.linalg.qr(rng.standard_normal((width, width)))[0])
    queries = vectors[np.sort(rng.permutation(len(vectors))[:_QUERIES])]
    short = projection.of(queries)
    blocks = [vectors[start : start + _BLOCK] for start in range(0, len(vectors), _BLOCK)]
    tenth = np.partition(np.concatenate([queries @ b.T for b in blocks], axis=1), -_K, axis=1)[:, -_K, None]
    reached = np.sum([(short @ projection.of(b).T >= tenth).sum(axis=1) for b in blocks], axis=0)
    return projection if np.quantile(reached, 0.9) <= spare else None
