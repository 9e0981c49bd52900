"""One split a painting, shared by all tasks; a group of near-duplicates is never torn apart."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from morelli.errors import UsageError

SPLITS = ("train", "val", "test")


def parse_split(text: str) -> tuple[str, tuple[float, ...]]:
    """``70/15/15`` → ("stratified", shares); ``official`` and ``artist-disjoint`` come back with default shares."""
    if text in ("official", "artist-disjoint"):
        return text, (0.70, 0.15, 0.15)
    try:
        shares = [float(part) for part in text.split("/")]
    except ValueError:
        shares = []
    if len(shares) != 3 or not np.isfinite(shares).all() or min(shares) < 0 or shares[0] <= 0:
        raise UsageError(
            f"--split {text}: give three shares such as 70/15/15, or official, or artist-disjoint"
        )
    return "stratified", tuple(share / sum(shares) for share in shares)


def stratified(groups: np.ndarray, labels: np.ndarray, shares: Sequence[float], seed: int) -> np.ndarray:
    """Assigns each group to a split so that every class of every task is shared out as asked.

    Iterative stratification (Sechidis, Tsoumakas & Vlahavas 2011), over groups: rarest label first, each to the
    split that is furthest behind with it; the other labels and the split's size
    count a little, then chance. O(N × tasks).

    Args:
        groups: (N,) group numbers; members of one group share a split.
        labels: (N, tasks) class numbers, −1 unknown.
        shares: the share of each split, summing to 1.

    Returns:
        (N,) split numbers.
    """
    rng = np.random.default_rng(seed)
    offsets = np.cumsum([0, *(int(column.max(initial=-1)) + 1 for column in labels.T[:-1])])
    codes = np.where(labels >= 0, labels + offsets[: labels.shape[1]], -1)
    total = int(codes.max(initial=-1)) + 1
    counts = np.bincount(codes[codes >= 0], minlength=total)
    wanted = np.outer(np.asarray(shares), counts)
    room = np.asarray(shares) * len(groups)
    members = _members(groups)
    rarity = np.array(
        [min((counts[c] for c in codes[m].ravel() if c >= 0), default=len(groups)) for m in members]
    )
    result = np.zeros(len(groups), dtype=np.int64)
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
    split. Works without an artist go by their own group."""
    from morelli.collection.duplicates import group

    names: dict[str, int] = {}
    links = []
    first_of_group: dict[int, int] = {}
    for row, (number, artist) in enumerate(zip(groups, artists, strict=True)):
        links.append((first_of_group.setdefault(int(number), row), row))
        if isinstance(artist, str):
            links.append((names.setdefault(artist, row), row))
    joined = group(len(groups), np.asarray(links, dtype=np.int64).reshape(-1, 2))
    return _by_size(joined, labels, shares, seed)


def _by_size(groups: np.ndarray, labels: np.ndarray, shares: Sequence[float], seed: int) -> np.ndarray:
    """Groups of very different sizes: the largest first, each to where it fits best over all labels, where a
    split that would overflow is the worst of choices."""
    rng = np.random.default_rng(seed)
    onehots = [np.eye(int(c.max(initial=-1)) + 2, dtype=np.float64)[c][:, :-1] for c in labels.T]
    onehot = np.concatenate([np.ones((len(groups), 1)), *onehots], axis=1)
    counts = np.maximum(onehot.sum(axis=0), 1)
    wanted = np.outer(np.asarray(shares), counts)
    weight = 1 / np.sqrt(counts)
    weight[0] = weight.sum()
    members = _members(groups)
    result = np.zeros(len(groups), dtype=np.int64)
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


def _members(groups: np.ndarray) -> list[np.ndarray]:
    order = np.argsort(groups, kind="stable")
    cuts = np.flatnonzero(np.diff(groups[order])) + 1
    return np.split(order, cuts)
