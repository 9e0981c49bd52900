"""Draws the splits of a new collection; a group of near-duplicates is never torn apart."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from morelli.collection.duplicates import group
from morelli.collection.names import class_key
from morelli.collection.splits.settings import SPLITS
from morelli.errors import DataError
from morelli.recipe import TASKS

OFFICIAL_SHARES = (0.85, 0.15)  # training and validation, of the works that no source holds out as the test


def draw_splits(
    works: pd.DataFrame, groups: np.ndarray, kind: str, shares: Sequence[float], seed: int
) -> np.ndarray:
    """(N,) the split of each work: ``train``, ``val``, ``test``, or ``none`` where it is left out of all of them.

    Args:
        works: class numbers in a column for each task (−1 unknown), ``artist_name``, and ``official`` for that kind.
        groups: (N,) numbers of near-duplicate groups.
        kind: ``stratified``, ``artist-disjoint`` or ``official``.
        shares: of training, validation and test, summing to 1; ``official`` has its own.
    """
    labels = works[list(TASKS)].to_numpy(dtype=np.int64)
    if kind == "official":
        return _official(official_splits(works), groups, labels, seed)
    if kind == "artist-disjoint":
        split = artist_disjoint(groups, list(works["artist_name"]), labels, shares, seed)
    else:
        split = stratified(groups, labels, shares, seed)
    return np.array(SPLITS, dtype=object)[split]


def official_splits(works: pd.DataFrame) -> np.ndarray:
    """(N,) the split that the source fixes for each work, ``""`` where it is to be drawn.

    A source that names training and validation alone (the ArtGAN lists) holds its validation half out as the test; the
    rest is shared between training and validation. Raises :class:`DataError` where the source names no split.
    """
    if not works["official"].notna().any():
        raise DataError("--split official: the source names no split; choose 70/15/15 or artist-disjoint")
    named = works["official"].fillna("train").to_numpy(dtype=object)
    has_test, has_validation = "test" in named, "val" in named
    if has_test and has_validation:
        return named
    return np.where(named == ("test" if has_test else "val"), "test", "").astype(object)


def _official(fixed: np.ndarray, groups: np.ndarray, labels: np.ndarray, seed: int) -> np.ndarray:
    """Copies of a test work, and training copies of a validation work, are left out (``none``)."""
    split = fixed.copy()
    rest = np.flatnonzero(fixed == "")
    if len(rest):
        chosen = stratified(groups[rest], labels[rest], OFFICIAL_SHARES, seed)
        split[rest] = np.array(SPLITS[:2], dtype=object)[chosen]
    for stronger, weaker in (("test", ("train", "val")), ("val", ("train",))):
        leaks = np.isin(groups, groups[split == stronger]) & np.isin(split, weaker)
        split[leaks] = "none"
    return split


def stratified(
    groups: np.ndarray,
    labels: np.ndarray,
    shares: Sequence[float],
    seed: int,
    fixed: np.ndarray | None = None,
) -> np.ndarray:
    """Assigns each group to a split so that every class of every task is shared out as asked.

    Iterative stratification (Sechidis, Tsoumakas & Vlahavas 2011), over groups: rarest label first, each to the
    split that is furthest behind with it; the other labels and the split's size
    count a little, then chance. O(N × tasks).

    Args:
        groups: (N,) group numbers; members of one group share a split.
        labels: (N, tasks) class numbers, −1 unknown.
        shares: the share of each split, summing to 1.
        fixed: (N,) split numbers of works that have one already, −1 for those to draw; the drawn ones fill up what
            the fixed ones leave of each share. None draws all.

    Returns:
        (N,) split numbers.
    """
    fixed = np.full(len(groups), -1) if fixed is None else fixed
    rng = np.random.default_rng(seed)
    offsets = np.cumsum([0, *(int(column.max(initial=-1)) + 1 for column in labels.T[:-1])])
    codes = np.where(labels >= 0, labels + offsets[: labels.shape[1]], -1)
    total = int(codes.max(initial=-1)) + 1
    counts = np.bincount(codes[codes >= 0], minlength=total)
    wanted = np.outer(np.asarray(shares), counts)
    room = np.asarray(shares) * len(groups)
    for number in range(len(shares)):
        held = codes[fixed == number]
        wanted[number] -= np.bincount(held[held >= 0], minlength=total)
        room[number] -= len(held)
    members = _members(groups, fixed < 0)
    rarity = np.array(
        [min((counts[c] for c in codes[m].ravel() if c >= 0), default=len(groups)) for m in members]
    )
    result = fixed.astype(np.int64)
    open_splits = np.asarray(shares) > 0
    for index in np.lexsort((rng.random(len(members)), np.array([-len(m) for m in members]), rarity)):
        rows = members[index]
        known = codes[rows].ravel()
        known = known[known >= 0]
        need = 0.3 * _lag(room, shares)
        if len(known):
            lag = _lag(wanted[:, known], shares)
            need = need + lag[:, np.argmin(counts[known])] + 0.3 * lag.mean(axis=1)
        tie = 1e-6 * np.asarray(shares) + 1e-9 * rng.random(len(need))  # a lone work is for training
        choice = int(np.argmax(np.where(open_splits, need + tie, -np.inf)))
        result[rows] = choice
        np.subtract.at(wanted[choice], known, 1)
        room[choice] -= len(rows)
    return result


def _lag(wanted: np.ndarray, shares: Sequence[float]) -> np.ndarray:
    """By how many works each split is behind its share of what is still to be given out."""
    return (wanted.T - np.outer(wanted.sum(axis=0), shares).reshape(*wanted.shape[1:], -1)).T


def artist_disjoint(
    groups: np.ndarray, artists: Sequence[str | None], labels: np.ndarray, shares: Sequence[float], seed: int
) -> np.ndarray:
    """As :func:`stratified`, with all works of an artist (and of artists who share a near-duplicate) in one
    split, however the artist is spelt. Works without an artist go by their own group."""
    first_by: dict[str, int] = {}
    first_of_group: dict[int, int] = {}
    links = []
    for row, (number, artist) in enumerate(zip(groups, artists, strict=True)):
        links.append((first_of_group.setdefault(int(number), row), row))
        if isinstance(artist, str):
            links.append((first_by.setdefault(class_key(artist), row), row))
    joined = group(len(groups), np.asarray(links, dtype=np.int64).reshape(-1, 2))
    return largest_first(joined, labels, shares, seed)


def largest_first(
    groups: np.ndarray,
    labels: np.ndarray,
    shares: Sequence[float],
    seed: int,
    fixed: np.ndarray | None = None,
) -> np.ndarray:
    """As :func:`stratified`, for groups of very different sizes: the largest first, each to where it fits best over all
    labels, where a split that would overflow is the worst of choices."""
    fixed = np.full(len(groups), -1) if fixed is None else fixed
    rng = np.random.default_rng(seed)
    onehots = [np.eye(int(c.max(initial=-1)) + 2, dtype=np.float64)[c][:, :-1] for c in labels.T]
    onehot = np.concatenate([np.ones((len(groups), 1)), *onehots], axis=1)
    counts = np.maximum(onehot.sum(axis=0), 1)
    wanted = np.outer(np.asarray(shares), counts)
    weight = 1 / np.sqrt(counts)
    weight[0] = weight.sum()
    for number in range(len(shares)):
        wanted[number] -= onehot[fixed == number].sum(axis=0)
    members = _members(groups, fixed < 0)
    result = fixed.astype(np.int64)
    closed = np.asarray(shares) <= 0
    for index in np.lexsort((rng.random(len(members)), np.array([-len(m) for m in members]))):
        have = onehot[members[index]].sum(axis=0)
        # the drop in squared distance to the wanted counts, by share so that small splits are not starved
        before = (wanted**2 / np.outer(np.maximum(shares, 1e-9), counts)) @ weight
        after = ((wanted - have) ** 2 / np.outer(np.maximum(shares, 1e-9), counts)) @ weight
        choice = int(np.argmin(np.where(closed, np.inf, after - before)))
        result[members[index]] = choice
        wanted[choice] -= have
    return result


def _members(groups: np.ndarray, drawn: np.ndarray) -> list[np.ndarray]:
    """The rows of each group, of those that are ``drawn`` (N,) bool."""
    rows = np.flatnonzero(drawn)
    order = rows[np.argsort(groups[rows], kind="stable")]
    cuts = np.flatnonzero(np.diff(groups[order])) + 1
    return np.split(order, cuts) if len(order) else []
