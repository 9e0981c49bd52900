"""What one scores without looking at a pixel: the floor under every score of a run.

``majority`` always answers the training split's most frequent class. ``artist_oracle`` knows who painted
the work and answers that artist's most frequent class in the training split; an artist it has not met (or
a work without one) gets the majority. A network that does not beat the oracle on style or genre may have
learned no more than to recognise painters.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from morelli.errors import DataError


def baselines(
    table: pd.DataFrame, task: str, ids: Sequence[str], labels: NDArray[np.integer]
) -> dict[str, float | None]:
    """Accuracy (0–1) of both baselines on the works ``ids`` (N) whose ``labels`` (N,) are not −1.

    ``table`` is the collection: ``id``, ``split``, ``artist_name`` (text or missing) and the task's class
    index with −1 unknown. ``None`` where there is nothing to learn or to score, and for the oracle on the
    task ``artist`` itself. Equally frequent classes: the first of the vocabulary. Raises
    :class:`DataError` naming a column that is missing.
    """
    missing = [name for name in ("id", "split", "artist_name", task) if name not in table.columns]
    if missing:
        raise DataError(f"the collection has no column {missing[0]}; run morelli collect again")
    train = table[(table["split"] == "train") & (table[task] >= 0)]
    scored = np.asarray(labels) >= 0
    if not len(train) or not scored.any():
        return {"majority": None, "artist_oracle": None}
    truth = np.asarray(labels)[scored]
    majority = int(np.bincount(train[task].to_numpy()).argmax())
    oracle = None
    if task != "artist":
        artists = table.drop_duplicates("id").set_index("id")["artist_name"].reindex(list(ids))[scored]
        guesses = artists.map(_favourites(train, task)).fillna(majority).to_numpy()
        oracle = float(np.mean(guesses == truth))
    return {"majority": float(np.mean(truth == majority)), "artist_oracle": oracle}


def _favourites(train: pd.DataFrame, task: str) -> dict[str, int]:
    """Each artist's most frequent class."""
    works = train.groupby(["artist_name", task]).size().reset_index(name="works")
    first = works.sort_values(["works", task], ascending=[False, True]).drop_duplicates("artist_name")
    return dict(zip(first["artist_name"], first[task], strict=True))
