"""Gives each work of a collection its split: drawn or carried over, then moved only where a correction asks for it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from morelli.collection.duplicates import group
from morelli.collection.ledger import Ledger
from morelli.collection.splits.carry import carry_splits
from morelli.collection.splits.draw import draw_splits
from morelli.collection.splits.settings import SPLITS


def assign_splits(
    works: pd.DataFrame,
    pairs: np.ndarray,
    basis: pd.DataFrame,
    basis_pairs: np.ndarray,
    earlier: pd.DataFrame | None,
    kind: str,
    shares: Sequence[float],
    seed: int,
    ledger: Ledger,
) -> pd.DataFrame:
    """``works`` with the columns ``group`` and ``split``.

    Args:
        works: the works with the labels they are to have, as class numbers.
        pairs: (P, 2) row numbers of near-duplicates among ``works``.
        basis: the works with the labels their source gives, from which the splits are drawn; ``works`` itself where no
            label was corrected. ``basis_pairs`` are its near-duplicates.
        earlier: the table of an earlier collection, whose works keep their splits.
        kind, shares, seed: as for :func:`morelli.collection.splits.draw.draw_splits`.
    """
    if earlier is None:
        groups = group(len(basis), basis_pairs)
        split = draw_splits(basis, groups, kind, shares, seed)
    else:
        split, groups = carry_splits(earlier, basis, basis_pairs, kind, shares, seed)
    before = basis[["id", "artist_name"]].assign(split=split)
    if basis is not works:
        split, groups = carry_splits(before, works, pairs, kind, shares, seed)
    works = works.assign(group=groups, split=split)
    _note_moves(works, before if earlier is None else earlier, ledger)
    _note_left_out(works, pairs, ledger)
    return works


def _note_moves(works: pd.DataFrame, before: pd.DataFrame, ledger: Ledger) -> None:
    was = works["id"].map(dict(zip(before["id"], before["split"], strict=True)))
    moved = works["split"].isin(SPLITS) & was.isin(SPLITS) & (works["split"] != was)
    for name, one, other, artist in zip(
        works["id"][moved], was[moved], works["split"][moved], works["artist_name"][moved], strict=True
    ):
        ledger.add("split-moved", name, f"{one} → {other}, where {artist} is")


def _note_left_out(works: pd.DataFrame, pairs: np.ndarray, ledger: Ledger) -> None:
    """Says of each work of split ``none`` which work it looks like: a test work before a validation work."""
    ids, split, groups = (works[name].to_numpy() for name in ("id", "split", "group"))
    for row in np.flatnonzero(split == "none"):
        touching = pairs[(pairs == row).any(axis=1)]
        alike = {split[other] for other in touching.ravel()} | set(split[groups == groups[row]])
        stronger = next((name for name in reversed(SPLITS) if name in alike), None)
        reason = "left out in the earlier collection" if stronger is None else f"looks like a {stronger} work"
        ledger.add("duplicate-leak", ids[row], reason)
