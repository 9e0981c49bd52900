"""Finds near-duplicates: works that look the same, so that they never stand on both sides of a split."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from morelli.collection.images import prepare
from morelli.collection.ledger import Ledger

if TYPE_CHECKING:
    from morelli.collection.collection import Collection

_BITS = 64
_MAX_HAMMING = 8  # candidates; the thumbnails decide
_MAX_DIFFERENCE = 5.0
_MAX_SHIFT = 24.0
_FLAT = 6.0  # a standard deviation in levels, below which a canvas is nearly empty


def near_duplicate_pairs(hashes: np.ndarray, thumbs: np.ndarray) -> np.ndarray:
    """Pairs (P, 2) of works that look the same.

    Args:
        hashes: (N,) uint64 perceptual hashes (DCT of the 32 × 32 grey image, as in ``imagehash.phash``).
        thumbs: (N, 768) uint8 thumbnails, 16 × 16 × 3.

    Candidates agree in one of nine bands of the hash (any two within 8 bits do, by the pigeonhole principle);
    a candidate counts when the thumbnails, after taking out a shift of each colour, differ by under 5 of 255
    levels on average. Nearly empty canvases hash alike by chance: they must agree five times as closely.
    Time grows with the number of candidates, about N² / 128 / 2 comparisons of one word.
    """
    blocks = [np.empty((0, 2), dtype=np.int64)]
    for pairs in _candidates(hashes):
        left, right = thumbs[pairs[:, 0]].astype(np.float32), thumbs[pairs[:, 1]].astype(np.float32)
        blocks.append(pairs[_same(left, right)])
    return np.unique(np.concatenate(blocks), axis=0)


def group(count: int, pairs: np.ndarray) -> np.ndarray:
    """(N,) group numbers: connected components of ``pairs`` among ``count`` works."""
    links = coo_array((np.ones(len(pairs), dtype=bool), (pairs[:, 0], pairs[:, 1])), shape=(count, count))
    return connected_components(links, directed=False)[1]


def pairs_among(pairs: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """The ``pairs`` (P, 2) of which both works are among the row numbers ``rows`` (N,), as places in ``rows``."""
    places = np.full(int(max(pairs.max(initial=-1), rows.max(initial=-1))) + 1, -1)
    places[rows] = np.arange(len(rows))
    return places[pairs][(places[pairs] >= 0).all(axis=1)].reshape(-1, 2)


def near_duplicates(collection: Collection, query: str, row: int | None) -> np.ndarray:
    """(N,) bool: the works of the near-duplicate group of the query, which is the work ``row``, or where that is None
    the image file ``query``. A file belongs to the groups of the works of which it is a near-duplicate, by the rule
    by which a collection finds its own."""
    groups = collection.table["group"].to_numpy()
    if row is not None:
        return groups == groups[row]
    size = collection.info["size"]
    image = prepare(Path(query), size)
    distance = np.bitwise_count(collection.table["phash"].to_numpy(dtype=np.uint64) ^ np.uint64(image.phash))
    rows = np.flatnonzero(distance <= _MAX_HAMMING)
    works = [prepare(collection.read(int(each)), size) for each in rows]
    hashes = np.array([each.phash for each in (*works, image)], dtype=np.uint64)
    thumbs = np.array([np.frombuffer(each.thumb, np.uint8) for each in (*works, image)])
    pairs = near_duplicate_pairs(hashes, thumbs)
    return np.isin(groups, groups[rows[pairs[pairs[:, 1] == len(rows), 0]]])


def second_styles(works: pd.DataFrame, pairs: np.ndarray, ledger: Ledger) -> np.ndarray:
    """(N,) int32: the other style of a work that is filed under two (the first where there are more), −1 none. Every
    pair goes to the ledger."""
    ids, styles = works["id"].to_numpy(), works["style"].to_numpy()
    also = np.full(len(works), -1, dtype=np.int32)
    for a, b in pairs:
        ledger.add("near-duplicate", ids[a], ids[b])
        same_name = ids[a].rpartition("/")[2] == ids[b].rpartition("/")[2]
        if same_name and styles[a] != styles[b] and min(styles[a], styles[b]) >= 0:
            ledger.add("two-styles", ids[a], ids[b])
            for one, other in ((a, b), (b, a)):
                also[one] = styles[other] if also[one] < 0 else min(also[one], styles[other])
    return also


def _same(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    shape = (len(left), -1, 3)
    left, right = left.reshape(shape), right.reshape(shape)
    shift = (left - right).mean(axis=1, keepdims=True)
    difference = np.abs(left - right - shift).mean(axis=(1, 2))
    contrast = np.minimum(left.std(axis=1).max(axis=1), right.std(axis=1).max(axis=1))
    flat = contrast < _FLAT
    limit = np.where(flat, _MAX_DIFFERENCE / 5, np.minimum(_MAX_DIFFERENCE, contrast / 4))
    return (difference < limit) & (np.abs(shift).max(axis=(1, 2)) < np.where(flat, 2.0, _MAX_SHIFT))


def _candidates(hashes: np.ndarray, block: int = 200_000) -> Iterator[np.ndarray]:
    """Blocks of about ``block`` pairs within the Hamming limit, each pair possibly in several blocks."""
    edges = np.linspace(0, _BITS, _MAX_HAMMING + 2).astype(int)
    kept: list[np.ndarray] = []
    size = 0
    for low, high in pairwise(edges):
        band = (hashes >> np.uint64(low)) & np.uint64((1 << int(high - low)) - 1)
        order = np.argsort(band, kind="stable")
        starts = np.flatnonzero(np.r_[True, np.diff(band[order]) != 0, True])
        for begin, end in pairwise(starts):
            members = order[begin:end]
            for offset in range(len(members) - 1):
                first, rest = members[offset], members[offset + 1 :]
                near = rest[np.bitwise_count(hashes[rest] ^ hashes[first]) <= _MAX_HAMMING]
                if len(near):
                    kept.append(np.stack([np.minimum(near, first), np.maximum(near, first)], axis=1))
                    size += len(near)
                if size >= block:
                    yield np.concatenate(kept)
                    kept, size = [], 0
    if kept:
        yield np.concatenate(kept)
