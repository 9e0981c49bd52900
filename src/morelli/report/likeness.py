"""The works of a run's index, found by what they look like to the network and by their labels."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from morelli.errors import DataError
from morelli.files import read_json
from morelli.judgement.search import Index
from morelli.report.html import Missing


@dataclass(frozen=True)
class Likeness:
    """``works`` says of each row of ``index`` what the run's ``collection.parquet`` does, indexed by id."""

    index: Index
    works: pd.DataFrame

    def nearest(
        self, vector: NDArray[np.floating], k: int, allowed: NDArray[np.bool_]
    ) -> list[tuple[str, float]]:
        """Ids and cosine distances (0–2) of the ``k`` nearest works of ``allowed`` (N,), nearest first."""
        if not allowed.any():
            return []
        distances, rows = self.index.search(vector[None], k, allowed)
        ids = self.works.index[rows[0]]
        return [(str(work), float(far)) for work, far in zip(ids, distances[0], strict=True)]

    def apart(self, work: str) -> NDArray[np.bool_]:
        """(N,) the works that are neither ``work`` nor a near-duplicate of it."""
        other = (self.works.index != work).copy()
        if "group" in self.works and work in self.works.index:
            other &= (self.works["group"] != self.works["group"].at[work]).to_numpy()
        return other


def open_likeness(run: Path, works: pd.DataFrame, width: int) -> Likeness | Missing:
    """The index in ``RUN/index``, where it is of the run's weights and works and of vectors of ``width`` numbers."""
    make = f"morelli similar {run} IMAGE"
    folder = run / "index"
    if not (folder / "index.json").is_file():
        return Missing("index", "No index yet", make)
    try:
        index = Index.open(folder)
        weights = read_json(run / "model.json").get("weights") if (run / "model.json").is_file() else None
    except DataError as error:
        return Missing("index", str(error))
    stale = "weights" in index.facts and weights is not None and index.facts["weights"] != str(weights)
    known = works.drop_duplicates("id").set_index(works["id"].drop_duplicates().astype(str))
    rows = known.index.get_indexer(index.table["id"].astype(str))
    if stale or (rows < 0).any() or index.vectors.shape[1] != width:
        return Missing("index", "The index is of other weights or works than this run", make)
    return Likeness(index, known.iloc[rows])
