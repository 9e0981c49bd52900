"""Keeps the splits of works that stay, and draws those of new works into what the shares still lack.

Two runs can be compared only where a work that both know is in the same split. So a split belongs to a work's id. It
changes in one case: with the split ``artist-disjoint``, a work whose artist was corrected goes where the other works
of that artist are. A work that would stand opposite its near-duplicate, or opposite its artist, is left out of every
split (``none``).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
import pandas as pd

from morelli.collection.duplicates import group
from morelli.collection.names import class_key
from morelli.collection.splits.draw import OFFICIAL_SHARES, largest_first, official_splits, stratified
from morelli.collection.splits.settings import SPLITS
from morelli.recipe import TASKS


def carry_splits(
    earlier: pd.DataFrame,
    works: pd.DataFrame,
    pairs: np.ndarray,
    kind: str,
    shares: Sequence[float],
    seed: int,
) -> tuple[np.ndarray, np.ndarray]:
    """The splits of ``works``, where every id that ``earlier`` has keeps its split.

    Args:
        earlier: ``id``, ``split`` and ``artist_name``: a collection's table, or the same works before a correction.
        works: ``id``, class numbers in a column for each task (−1 unknown), ``artist_name``, and ``official`` where
            ``kind`` is official.
        pairs: (P, 2) row numbers of near-duplicates among ``works``.
        kind, shares, seed: as for :func:`morelli.collection.splits.draw.draw_splits`.

    Returns:
        (N,) the split of each work, and (N,) its near-duplicate group: the connected components of ``pairs``. A work
        that is left out because it looks like works of two splits is a group of its own and joins no others.
    """
    before = works["id"].map(dict(zip(earlier["id"], earlier["split"], strict=True)))
    before = before.fillna("").to_numpy(dtype=object)
    artists = _artist_numbers(works) if kind == "artist-disjoint" else np.full(len(works), -1)
    homes = _homes(artists, before, _same_artist(earlier, works))
    stays = np.isin(before, SPLITS) & ((artists < 0) | (before == homes[artists]))
    split = np.where(stays, before, "none").astype(object)
    bridges = _part_copies(split, pairs)

    fixed = np.full(len(works), "", dtype=object)
    if kind == "official":
        shares = OFFICIAL_SHARES
        fixed = official_splits(works) if (before == "").any() else fixed
    allowed = {name for name, share in zip(SPLITS, shares, strict=False) if share > 0}
    links = _Links([*split, *homes])
    placed = set(np.flatnonzero(split != "none").tolist())
    near = _neighbours(pairs)
    for row in _in_order(np.flatnonzero(~stays).tolist(), before, fixed):
        nodes = [other for other in near[row] if other in placed]
        if before[row] == "none":  # stays left out, and still tells which works look alike
            joined = links.join(row, nodes, set(SPLITS))
        elif fixed[row]:
            joined = links.join(row, nodes, {fixed[row]}, fixed[row])
        else:
            nodes += [len(works) + artists[row]] if artists[row] >= 0 else []
            joined = links.join(row, nodes, allowed)
        (placed if joined else bridges).add(row)
    new = np.array(
        [row for row in np.flatnonzero(~stays) if row in placed and before[row] != "none"], dtype=int
    )
    split[new] = [links.split_of(row) for row in new]
    components = np.array([links.root(row) for row in range(len(works))])
    _draw(split, components, works, kind, shares, seed)
    return split, group(len(works), pairs[~np.isin(pairs, list(bridges)).any(axis=1)])


class _Links:
    """Sets of works and artists that share a split (union–find). ``splits`` are those of the nodes at first: works,
    then artists; ``""`` and ``none`` say that a node has no split yet."""

    def __init__(self, splits: Sequence[str]) -> None:
        self._parent = list(range(len(splits)))
        self._split = ["" if split == "none" else split for split in splits]

    def root(self, node: int) -> int:
        while self._parent[node] != node:
            self._parent[node] = node = self._parent[self._parent[node]]
        return node

    def split_of(self, node: int) -> str:
        return self._split[self.root(node)]

    def join(self, row: int, nodes: Sequence[int], allowed: set[str], split: str = "") -> bool:
        """Links ``row`` with ``nodes`` under one of the ``allowed`` splits; false, and nothing is linked, where that
        is impossible. ``split`` is the one that ``row`` brings with it."""
        roots = {self.root(node) for node in (row, *nodes)}
        splits = {self._split[root] for root in roots} | {split}
        splits.discard("")
        if len(splits) > 1 or not splits <= allowed:
            return False
        for root in roots:
            self._parent[root] = row
        self._parent[row] = row
        self._split[row] = next(iter(splits), "")
        return True


def _artist_numbers(works: pd.DataFrame) -> np.ndarray:
    """(N,) a number an artist, whatever the spelling; −1 unknown."""
    keys = [class_key(name) if isinstance(name, str) else None for name in works["artist_name"]]
    return pd.factorize(np.array(keys, dtype=object))[0]


def _same_artist(earlier: pd.DataFrame, works: pd.DataFrame) -> np.ndarray:
    """(N,) bool: works that ``earlier`` has, by the artist they have now."""
    names = works["id"].map(dict(zip(earlier["id"], earlier["artist_name"], strict=True)))
    pairs = zip(names, works["artist_name"], strict=True)
    return np.array(
        [
            isinstance(a, str) and isinstance(b, str) and (a == b or class_key(a) == class_key(b))
            for a, b in pairs
        ],
        dtype=bool,
    )


def _homes(artists: np.ndarray, before: np.ndarray, same: np.ndarray) -> np.ndarray:
    """(artists + 1,) the split where most of an artist's works are: of those that had this artist before, or of all
    where none had. ``""`` where the artist is new; the last place is for unknown artists."""
    homes = np.full(artists.max(initial=-1) + 2, "", dtype=object)
    known = np.isin(before, SPLITS) & (artists >= 0)
    for counted in (known, known & same):  # the second decides where it has an answer
        counts = np.zeros((len(homes), len(SPLITS)), dtype=np.int64)
        for number, name in enumerate(SPLITS):
            np.add.at(counts[:, number], artists[counted & (before == name)], 1)
        has_any = counts.any(axis=1)
        homes[has_any] = np.array(SPLITS, dtype=object)[counts.argmax(axis=1)[has_any]]
    return homes


def _part_copies(split: np.ndarray, pairs: np.ndarray) -> set[int]:
    """Leaves out the weaker work of each pair on two sides (training before validation before test), in place, and
    gives those rows. Splits drawn from the same pairs have none; a collection prepared at another size may."""
    left_out: set[int] = set()
    for pair in pairs:
        one, other = sorted(pair, key=lambda row: (*SPLITS, "none").index(split[row]))
        if split[one] != split[other] and split[other] != "none":
            split[one] = "none"
            left_out.add(int(one))
    return left_out


def _neighbours(pairs: np.ndarray) -> dict[int, list[int]]:
    near: dict[int, list[int]] = defaultdict(list)
    for one, other in pairs.tolist():
        near[one].append(other)
        near[other].append(one)
    return near


def _in_order(rows: list[int], before: np.ndarray, fixed: np.ndarray) -> list[int]:
    """Works that were left out before, then those that move, then new ones: test works first, as copies of them give
    way to them."""
    places = ("test", "val", "train", "")
    return sorted(
        rows, key=lambda row: (before[row] != "none", before[row] == "", places.index(fixed[row]), row)
    )


def _draw(
    split: np.ndarray,
    components: np.ndarray,
    works: pd.DataFrame,
    kind: str,
    shares: Sequence[float],
    seed: int,
) -> None:
    """Draws the splits that are still ``""``, in place."""
    if not (split == "").any():
        return
    names = SPLITS[: len(shares)]
    used = np.flatnonzero(np.isin(split, (*names, "")))
    fixed = np.array([names.index(name) if name else -1 for name in split[used]])
    labels = works[list(TASKS)].to_numpy(dtype=np.int64)[used]
    draw = largest_first if kind == "artist-disjoint" else stratified
    split[used] = np.array(names, dtype=object)[draw(components[used], labels, shares, seed, fixed)]
